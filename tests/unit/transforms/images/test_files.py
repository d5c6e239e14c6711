"""From a picture reference to its bytes: what is read, and what is refused."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.images.files import (
    MAX_REFERENCE_CHARS,
    ImageLimits,
    PictureProblem,
    locate,
    read_picture,
)

LIMITS = ImageLimits()
INSIDE, OUTSIDE = b"a picture below the root", b"a secret beside the root"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with pictures and links, and beside it what must never be read."""
    top = tmp_path_factory.mktemp("pictures")
    root = top / "root"
    (root / "shoes").mkdir(parents=True)
    (root / "shoes" / "red.jpg").write_bytes(INSIDE)
    for name in (
        "äöü 图.jpg",
        "..jpg",
        "a..b.jpg",
        "img:1.jpg",
        "red.jpg.gz",
        "~tmp.jpg",
        "[1]*?.jpg",
    ):
        (root / name).write_bytes(INSIDE)
    (root / "empty.jpg").touch()
    (top / "root-private").mkdir()
    for secret in (top / "secret.jpg", top / "root-private" / "secret.jpg"):
        secret.write_bytes(OUTSIDE)
    for name, target in {
        "link-file.jpg": "shoes/red.jpg",
        "link-folder": "shoes",
        "link-absolute.jpg": str(root / "shoes" / "red.jpg"),
        "link-there-and-back.jpg": "../root/shoes/red.jpg",
        "link-out.jpg": "../secret.jpg",
        "link-out-absolute.jpg": "/etc/passwd",
        "link-out-folder": "../root-private",
        "link-out-twice.jpg": "link-out.jpg",
        "link-out-nowhere.jpg": "../no-such-file.jpg",
        "link-broken.jpg": "no-such-file.jpg",
        "link-circle.jpg": "link-circle.jpg",
    }.items():
        (root / name).symlink_to(target)
    return root


def reason(result: object) -> str:
    assert isinstance(result, PictureProblem), result
    return result.reason


@pytest.mark.parametrize(
    "reference",
    [
        "shoes/red.jpg",
        "./shoes//red.jpg",
        "shoes/./red.jpg",
        "äöü 图.jpg",
        "..jpg",
        "a..b.jpg",
        "./img:1.jpg",
        "./~tmp.jpg",
        "[1]*?.jpg",
        "link-file.jpg",
        "link-folder/red.jpg",
        "link-absolute.jpg",
        "link-there-and-back.jpg",
    ],
)
def test_reads_what_lies_below_the_root(root: Path, reference: str) -> None:
    """A file below the root is read whole and its digest is that of its bytes, also through a link
    that stays.
    """
    assert read_picture(str(root), reference, LIMITS) == INSIDE
    assert locate(str(root), reference, LIMITS) == hashlib.sha256(INSIDE).hexdigest()


def test_root_may_be_a_link(root: Path) -> None:
    """The root itself may be a symbolic link or a relative path."""
    link = root.parent / "root-link"
    link.symlink_to(root)
    assert read_picture(str(link), "shoes/red.jpg", LIMITS) == INSIDE
    assert read_picture(os.path.relpath(root), "shoes/red.jpg", LIMITS) == INSIDE


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("", "is empty"),
        (" \t", "is empty"),
        ("http://shop.example/a.jpg", "scheme 'http:'"),
        ("HTTPS://shop.example/a.jpg", "scheme 'HTTPS:'"),
        ("file:///etc/passwd", "scheme 'file:'"),
        ("data:image/png;base64,AAAA", "scheme 'data:'"),
        ("s3://bucket/a.jpg", "scheme 's3:'"),
        ("a\0.jpg", "U+0000"),
        ("a\n.jpg", "U+000A"),
        ("a\x85.jpg", "U+0085"),
        ("a\ud800.jpg", "U+D800"),
        ("a" * (MAX_REFERENCE_CHARS + 1), "4,097 characters, at most 4,096"),
        ("a" * 300 + ".jpg", "longer than the file system allows"),
    ],
)
def test_refuses_what_is_no_path(root: Path, reference: str, told: str) -> None:
    """A URL, control characters, an empty or an endless reference is no path, and the message names
    the fault.
    """
    result = read_picture(str(root), reference, LIMITS)
    assert reason(result) == "image-path-invalid"
    assert told in result.message
    assert len(result.message) < 400
    assert result.message.isprintable()


@pytest.mark.parametrize(
    "reference",
    [
        "/etc/passwd",
        "//host/share/a.jpg",
        "\\\\host\\share\\a.jpg",
        "C:\\pictures\\a.jpg",
        "c:a.jpg",
        "~/a.jpg",
        "~root/a.jpg",
        "..",
        "../secret.jpg",
        "../../etc/passwd",
        "shoes/../../secret.jpg",
        "shoes/../shoes/red.jpg",
        "shoes\\..\\..\\secret.jpg",
        "link-out.jpg",
        "link-out-absolute.jpg",
        "link-out-folder/secret.jpg",
        "link-out-twice.jpg",
        "link-out-nowhere.jpg",
    ],
)
def test_refuses_what_leads_out(root: Path, reference: str) -> None:
    """Nothing outside the root is read, and the answer does not tell whether it exists."""
    assert reason(locate(str(root), reference, LIMITS)) == "image-outside-root"


@pytest.mark.parametrize(
    "reference",
    ["no.jpg", "no/no.jpg", "shoes/red.jpg/a.jpg", "link-broken.jpg", "link-circle.jpg", "RED.JPG"],
)
def test_missing(root: Path, reference: str) -> None:
    """A path that leads to no file is missing."""
    assert reason(locate(str(root), reference, LIMITS)) == "image-missing"


def test_missing_root(tmp_path: Path) -> None:
    """A root that does not exist holds no pictures."""
    assert reason(locate(str(tmp_path / "no"), "a.jpg", LIMITS)) == "image-missing"


def test_refuses_what_is_not_a_file_without_waiting(tmp_path: Path) -> None:
    """A directory, pipe, socket or device is refused at once; a pipe without a writer is not waited
    for.
    """
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server, tempfile.TemporaryDirectory(dir="/tmp") as short:
        server.bind(f"{short}/socket.jpg")
        results = [
            *(locate(str(tmp_path), name, LIMITS) for name in ("folder.jpg", "pipe.jpg", ".")),
            locate(short, "socket.jpg", LIMITS),
            locate("/dev", "zero", LIMITS),
        ]
    assert {reason(result) for result in results} == {"image-not-a-file"}


def test_unreadable() -> None:
    """A file that this user may not read is told apart from a missing one."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        picture = Path(folder, "a.jpg")
        picture.write_bytes(INSIDE)
        picture.chmod(0)
        user = os.geteuid()
        if user == 0:  # root may read everything
            os.seteuid(65534)
        try:
            result = read_picture(folder, "a.jpg", LIMITS)
        finally:
            os.seteuid(user)
    assert reason(result) == "image-unreadable"
    assert (
        result.message == "'a.jpg' cannot be read (Permission denied); give the job read permission"
    )


def test_empty(root: Path) -> None:
    """A file of zero bytes is no picture."""
    assert reason(read_picture(str(root), "empty.jpg", LIMITS)) == "image-empty"


def test_too_many_bytes(root: Path, tmp_path: Path) -> None:
    """A file one byte over the limit is refused, one at the limit is read, a huge one costs
    nothing.
    """
    exact = replace(LIMITS, max_bytes=len(INSIDE))
    assert read_picture(str(root), "shoes/red.jpg", exact) == INSIDE
    result = read_picture(str(root), "shoes/red.jpg", replace(LIMITS, max_bytes=len(INSIDE) - 1))
    assert reason(result) == "image-too-many-bytes"
    assert result.message == (
        "'shoes/red.jpg' has 24 bytes, at most 23 are allowed; shrink it or raise --max-image-bytes"
    )
    with (tmp_path / "huge.jpg").open("wb") as huge:
        huge.truncate(1 << 40)
    assert reason(locate(str(tmp_path), "huge.jpg", LIMITS)) == "image-too-many-bytes"


def test_reading_is_bounded_whatever_the_size_said() -> None:
    """A file that yields more bytes than its size is cut off at the limit."""
    if not Path("/proc/cpuinfo").exists():
        pytest.skip("needs a file whose size is given as zero: /proc/cpuinfo")
    assert (
        reason(read_picture("/proc", "cpuinfo", replace(LIMITS, max_bytes=10)))
        == "image-too-many-bytes"
    )


def test_a_folder_that_turns_into_a_link_leads_nowhere(tmp_path: Path) -> None:
    """While another process swaps a folder for a link out of the root, nothing outside is ever
    read.
    """
    for name, content in {"root/shoes": INSIDE, "outside": OUTSIDE}.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "red.jpg").write_bytes(content)
    folder, link, aside = tmp_path / "root/shoes", tmp_path / "root/link", tmp_path / "root/aside"
    link.symlink_to(tmp_path / "outside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            folder.rename(aside)
            link.rename(folder)
            folder.rename(link)
            aside.rename(folder)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        seen = [read_picture(str(tmp_path / "root"), "shoes/red.jpg", LIMITS) for _ in range(3000)]
    finally:
        stop.set()
        swapper.join()
    assert OUTSIDE not in seen
    assert INSIDE in seen


def test_leaves_no_descriptor_open(root: Path) -> None:
    """Whether a file is read or refused, every descriptor is closed again."""
    descriptors = Path("/dev/fd")
    before = len(list(descriptors.iterdir()))
    for reference in (
        "shoes/red.jpg",
        "shoes",
        "no.jpg",
        "shoes/no.jpg",
        "shoes/red.jpg/a.jpg",
        "empty.jpg",
        ".",
    ):
        read_picture(str(root), reference, LIMITS)
        read_picture(str(root), reference, replace(LIMITS, max_bytes=1))
    assert len(list(descriptors.iterdir())) == before


PARTS = st.sampled_from(
    [
        "..",
        ".",
        "/",
        "\\",
        "~",
        "shoes",
        "red.jpg",
        "secret.jpg",
        "root",
        "root-private",
        "link-out-folder",
        "C:",
        "\0",
    ]
)


@settings(max_examples=300, deadline=None)
@given(reference=st.one_of(st.text(max_size=40), st.lists(PARTS, max_size=7).map("/".join)))
def test_no_reference_leads_out(root: Path, reference: str) -> None:
    """Whatever the reference says, the answer is bytes from below the root or a registered reason."""
    result = read_picture(str(root), reference, LIMITS)
    assert isinstance(result, PictureProblem) or result == INSIDE


class MemoryFileSystem(FileSystem):
    """A Beam file system in memory; counts what was asked of it.

    Forbids files below `forbidden/`.
    """

    files: dict[str, bytes] = {}  # noqa: RUF012 Beam makes a new instance for each call
    opened: list[tuple[str, str]] = []  # noqa: RUF012

    @classmethod
    def scheme(cls):
        return "memory"

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def size(self, path):
        if path not in self.files:
            raise BeamIOError("size failed", {path: "404"})
        return len(self.files[path])

    def exists(self, path):
        if "/forbidden/" in path:
            raise BeamIOError("exists failed", {path: "403"})
        return path in self.files

    def open(
        self, path, mime_type="application/octet-stream", compression_type=CompressionTypes.AUTO
    ):
        if "/broken/" in path:
            raise BeamIOError("open failed", {path: "500"})
        self.opened.append((path, compression_type))
        return io.BytesIO(self.files[path])

    def _unused(self, *arguments, **options):
        raise NotImplementedError

    split = mkdirs = has_dirs = _list = create = copy = rename = last_updated = checksum = (
        metadata
    ) = delete = _unused


@pytest.fixture
def remote() -> Iterator[str]:
    top = "memory://bucket/root"
    MemoryFileSystem.files = {
        f"{top}/shoes/red.jpg": INSIDE,
        f"{top}/red.jpg.gz": INSIDE,
        f"{top}/empty.jpg": b"",
        f"{top}/broken/red.jpg": INSIDE,
        "memory://bucket/secret.jpg": OUTSIDE,
    }
    MemoryFileSystem.opened = []
    yield top
    MemoryFileSystem.files = {}


@pytest.mark.parametrize("reference", ["shoes/red.jpg", "./shoes//red.jpg", "red.jpg.gz"])
def test_remote_files_are_read_as_they_are(remote: str, reference: str) -> None:
    """A root with a scheme is read through Beam's file systems, and no name makes it unpack the
    bytes.
    """
    assert read_picture(remote, reference, LIMITS) == INSIDE
    assert locate(remote, reference, LIMITS) == hashlib.sha256(INSIDE).hexdigest()
    assert {compression for _, compression in MemoryFileSystem.opened} == {
        CompressionTypes.UNCOMPRESSED
    }


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("../secret.jpg", "image-outside-root"),
        ("memory://bucket/secret.jpg", "image-path-invalid"),
        ("/secret.jpg", "image-outside-root"),
        ("no.jpg", "image-missing"),
        ("*/red.jpg", "image-missing"),
        ("empty.jpg", "image-empty"),
        ("forbidden/red.jpg", "image-unreadable"),
        ("broken/red.jpg", "image-unreadable"),
    ],
)
def test_remote_problems(remote: str, reference: str, expected: str) -> None:
    """A remote root has the same rules and reasons as a local one; a reference is no pattern."""
    assert reason(read_picture(remote, reference, LIMITS)) == expected


def test_remote_files_are_bounded(remote: str) -> None:
    """A remote file over the limit is refused before it is opened for reading."""
    assert (
        reason(read_picture(remote, "shoes/red.jpg", replace(LIMITS, max_bytes=5)))
        == "image-too-many-bytes"
    )


def test_remote_root_that_beam_does_not_know() -> None:
    """A scheme without a file system is a wrong configuration, not a bad picture."""
    with pytest.raises(ValueError, match="Unable to get filesystem"):
        read_picture("nosuch://bucket", "a.jpg", LIMITS)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_bytes": 0}, "--max-image-bytes is 0; allowed is a number of at least 1"),
        ({"max_pixels": 0}, "--max-image-pixels is 0; allowed is a number from 1 to 178,956,970"),
        (
            {"max_pixels": 178_956_971},
            "--max-image-pixels is 178956971; allowed is a number from 1 to 178,956,970",
        ),
        (
            {"max_side_ratio": 0.5},
            "--max-image-side-ratio is 0.5; allowed is a number of at least 1",
        ),
        (
            {"max_side_ratio": float("nan")},
            "--max-image-side-ratio is nan; allowed is a number of at least 1",
        ),
        (
            {"max_side_ratio": float("inf")},
            "--max-image-side-ratio is inf; allowed is a number of at least 1",
        ),
        ({"max_frames": -1}, "--max-image-frames is -1; allowed is a number of at least 1"),
    ],
)
def test_limits_out_of_range(options: dict[str, float], told: str) -> None:
    """A limit outside its range is refused with its option, the value and what is allowed."""
    with pytest.raises(ValueError) as refused:
        ImageLimits(**options)
    assert str(refused.value) == told


def test_problems_are_registered() -> None:
    """A problem can only have a reason that the registry knows as a flag."""
    with pytest.raises(ValueError, match="image-ugly"):
        PictureProblem("image-ugly", "it is")
