"""Many files by their names, in little memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transforms.images.name_index import NameIndex, stem_of
from transforms.runtime.storage import FoundFile

PATHS = st.lists(
    st.tuples(
        st.sampled_from(["", "a/", "b/"]), st.sampled_from(["1.jpg", "1.PNG", "2", "É.gif", "é"])
    ).map("".join),
    unique=True,
    max_size=12,
)


@given(PATHS, st.integers(0, 12), st.sets(st.sampled_from(["1", "2", "é", "none"])))
def test_what_an_index_holds(paths: list[str], most: int, stems: set[str]) -> None:
    """An index has all files, or those of the stems that were asked for, or says that it has none;
    it never has a part of a stem.
    """
    files = [FoundFile(path, number, number / 8) for number, path in enumerate(paths)]
    index = NameIndex(files, most, stems)
    asked = sum(stem_of(path) in stems for path in paths)
    assert index.is_whole == (len(paths) <= most)
    for stem in ("1", "2", "é", "none"):
        fits = [file for file in files if stem_of(file.path) == stem]
        is_held = index.is_whole or (stem in stems and asked <= most)
        assert index.has(stem) == is_held
        assert list(index.named(stem)) == (fits if is_held else [])
    for file in files:
        assert index.find(file.path) in (file, None)
        assert (index.find(file.path) is not None) == index.has(stem_of(file.path))
