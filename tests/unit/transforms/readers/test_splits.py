"""From names and patterns to splits: what is found, what is refused, all problems at once."""

import gzip
import os
from pathlib import Path

import pytest

from transforms.readers import InputRefusedError, InputSplit, plan_splits

LINE = b'{"id":1}\n'


def touch(folder: Path, *names: str, data: bytes = b"") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def names(splits: list[InputSplit], folder: Path) -> list[str]:
    return [str(Path(split.path).relative_to(folder)) for split in splits]


def problems_of(*patterns: str, **plan) -> list[str]:
    with pytest.raises(InputRefusedError) as caught:
        plan_splits(patterns, **plan)
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    return caught.value.problems


def test_several_files_and_globs(tmp_path):
    """Files and globs together give each file once, sorted by path."""
    touch(tmp_path, "b.jsonl", "a.jsonl", "c.csv", "deep/er/d.jsonl", "deep/x.png")
    patterns = [
        f"{tmp_path}/{name}"
        for name in ("b.jsonl", "*.jsonl", "c.csv", "deep/../a.jsonl", "**/d.jsonl")
    ]
    assert names(plan_splits(patterns), tmp_path) == [
        "a.jsonl",
        "b.jsonl",
        "c.csv",
        "deep/er/d.jsonl",
    ]
    assert plan_splits(patterns) == plan_splits(patterns[::-1])


def test_relative_paths(tmp_path, monkeypatch):
    """Relative names and globs work without a folder in front, and the path stays as it was
    written.
    """
    touch(tmp_path, "a.jsonl", "sub/b.jsonl", data=LINE)
    monkeypatch.chdir(tmp_path)
    found = plan_splits(["*.jsonl", "./a.jsonl", "s*/b.jsonl", f"{tmp_path}/sub/b.jsonl"])
    assert sorted(split.path for split in found) == sorted(
        ["a.jsonl", min("sub/b.jsonl", f"{tmp_path}/sub/b.jsonl")]
    )


def test_linked_file_is_read_once(tmp_path):
    """A symbolic link and the file it points to are one file."""
    touch(tmp_path, "2026-01.jsonl", data=LINE)
    (tmp_path / "latest.jsonl").symlink_to(tmp_path / "2026-01.jsonl")
    assert names(plan_splits([f"{tmp_path}/*.jsonl"]), tmp_path) == ["2026-01.jsonl"]


def test_brackets_in_a_name(tmp_path):
    """A file whose own name looks like a pattern is found by that name."""
    touch(tmp_path, "export [1].jsonl", data=LINE)
    assert len(plan_splits([f"{tmp_path}/export [1].jsonl"])) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("a.json", "jsonl"),
        ("a.csv", "csv"),
        ("a.tsv", "tsv"),
        ("a.parquet", "parquet"),
        ("a.pq", "parquet"),
        ("A.JSONL.GZ", "jsonl"),
        ("a.b.csv.gz", "csv"),
        ("a.tsv.xz", "tsv"),
    ],
)
def test_format_from_extension(tmp_path, name, expected):
    """Of a file that says nothing itself, the format comes from the extension, in any case."""
    touch(tmp_path, name)
    (split,) = plan_splits([str(tmp_path / name)], kind="image-table")
    assert (split.format, split.kind) == (expected, "image-table")


def test_given_format(tmp_path):
    """A given format overrides the extension; what packs a file shows in its bytes."""
    touch(tmp_path, "export.txt", "export.csv", data=LINE)
    touch(tmp_path, "export.dat.gz", data=gzip.compress(LINE))
    found = plan_splits([f"{tmp_path}/*"], input_format="jsonl")
    assert [(split.format, split.layers) for split in found] == [
        ("jsonl", ()),
        ("jsonl", ("gzip",)),
        ("jsonl", ()),
    ]


def test_byte_ranges(tmp_path):
    """A plain JSON lines file is planned in ranges that touch; gzip and CSV stay whole."""
    touch(tmp_path, "a.jsonl", data=LINE * 10)
    touch(tmp_path, "a.jsonl.gz", data=gzip.compress(LINE * 10))
    touch(tmp_path, "a.csv", data=b"id,name\n" * 10)
    found = plan_splits([f"{tmp_path}/*"], split_bytes=40)
    assert [(split.begin, split.end, split.size_bytes) for split in found] == [
        (0, 80, 80),
        (0, 40, 40),
        (40, 80, 40),
        (80, 90, 10),
        (0, len(gzip.compress(LINE * 10)), len(gzip.compress(LINE * 10))),
    ]


def test_only_what_may_be_a_folder_is_taken_for_one(tmp_path):
    """The hint for directories is given for a bare name, not for a glob or a name with an
    extension.
    """
    (bare,) = problems_of(f"{tmp_path}/nope")
    assert bare.endswith(f"check the path, for a directory write {tmp_path}/nope/*.jsonl")
    for pattern in (f"{tmp_path}/nope/*", f"{tmp_path}/nope.csv", f"{tmp_path}/no[pq]e"):
        assert problems_of(pattern) == [f"{pattern!r} matches no file; check the path"]


def test_nothing_given():
    """No patterns, no splits."""
    assert plan_splits([]) == []


def test_all_problems_at_once(tmp_path):
    """Every problem of every pattern is told in one message, with what to do about it."""
    touch(tmp_path, "a.cfg", "b.cfg", "LICENSE", data=b"All rights reserved, and so on\n")
    touch(tmp_path, "c.csv", data=b",,\n")
    touch(tmp_path, "d.parquet", data=b"<!doctype html><title>Log in</title>")
    os.mkfifo(tmp_path / "pipe.jsonl")
    folder = str(tmp_path)
    unknown = (
        "says nothing of the format, and neither does its beginning; known are .jsonl, .ndjson, "
        ".json, .csv, .tsv, .tab, .parquet, .pq, .xml, .rss, .atom, .xlsx, .xlsm (also "
        "compressed, and in zip or tar); rename, or set --input-format to one of jsonl, csv, tsv, "
        "parquet, xml, xlsx"
    )
    assert problems_of("", f"{folder}/none-*.csv", "foo://x/y.csv", f"{folder}/[a-zL]*") == [
        "'' names a directory, not files; write for example ./*.jsonl",
        f"'{folder}/none-*.csv' matches no file; check the path",
        problems_of("foo://x/y.csv")[0],
        f"'{folder}/pipe.jsonl' is not a regular file; name a file with records",
        f"{folder}/c.csv: the header is empty; write the column names into line 1",
        f"{folder}/d.parquet: this is a web page, perhaps a login page or an error, not a catalog; "
        "download the file again, or save its table as CSV",
        f"{folder}/LICENSE: no extension {unknown}",
        f"{folder}/a.cfg and 1 more: the extension '.cfg' {unknown}",
    ]


def test_a_folder_of_one_kind_of_file(tmp_path):
    """A folder stands for the files with records in it and below it, without the notes that Spark
    keeps beside them.
    """
    touch(tmp_path, "a.jsonl", "deep/er/b.jsonl", "_temporary/c.jsonl", data=LINE)
    touch(tmp_path, "_SUCCESS", "deep/.a.jsonl.crc", "images/x.png")
    for folder in (f"{tmp_path}", f"{tmp_path}/"):
        assert names(plan_splits([folder]), tmp_path) == ["a.jsonl", "deep/er/b.jsonl"]


def test_a_folder_of_several_kinds(tmp_path):
    """A folder with several kinds of files, or none, is refused with the patterns that fit it."""
    touch(tmp_path, "a/x.csv", "a/y.csv", data=b"id,b\n1,2\n")
    touch(tmp_path, "b/x.jsonl", "c/README", data=LINE)
    folder = str(tmp_path)
    assert problems_of(folder, f"{folder}/c") == [
        f"'{folder}' names a directory, not files; it holds {folder}/**/*.csv (2 files), "
        f"{folder}/**/*.jsonl (1 file): name those (and c/README)",
        f"'{folder}/c' names a directory, not files; write for example {folder}/c/*.jsonl; it holds "
        "README",
    ]


def test_unknown_format_and_size():
    """A format that does not exist and a part of no size are refused with what is allowed."""
    assert problems_of("a.csv", input_format="avro") == [
        "--input-format 'avro' is not known; allowed are jsonl, csv, tsv, parquet, xml, xlsx"
    ]
    with pytest.raises(ValueError, match="split_bytes is 0; give a positive number of bytes"):
        plan_splits(["a.csv"], split_bytes=0)


def test_what_else_a_folder_holds_is_told(tmp_path):
    """Files that a folder holds besides those that are read are told, hidden ones with records
    too; marks that programs leave are not.
    """
    touch(tmp_path / "out", "a.jsonl", "part-0", "more.zip", "_old.jsonl", "_SUCCESS", ".a.crc")
    (split,) = plan_splits([str(tmp_path / "out")])
    assert split.read_as is not None
    assert split.read_as.notes == (f"left out of {tmp_path / 'out'}: _old.jsonl, more.zip, part-0",)
    touch(tmp_path / "none", "part-0")
    (problem,) = problems_of(str(tmp_path / "none"))
    assert problem.endswith("it holds part-0")


def test_marks_of_spark_are_no_files(tmp_path):
    """A pattern with a star does not name the marks and checksums that Spark leaves; a hidden file
    that holds something is named.
    """
    touch(tmp_path, "_SUCCESS")
    touch(tmp_path, "a.jsonl", ".a.jsonl.crc", data=LINE)
    assert names(plan_splits([f"{tmp_path}/*"]), tmp_path) == ["a.jsonl"]
    touch(tmp_path, "_b.jsonl", data=LINE)
    assert names(plan_splits([f"{tmp_path}/*"]), tmp_path) == ["_b.jsonl", "a.jsonl"]
