"""transforms.probes.store."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from schemas.elements import Example
from tests.memory_storage import MemoryStorage
from tests.support import clean_example, example, learning_template, without
from transforms.probes.predict import propose
from transforms.probes.store import (
    ProbeFileError,
    StoredProbe,
    from_bytes,
    load_probe,
    save_probe,
    to_bytes,
)
from transforms.probes.training import Probe, train_probe

SHOP = learning_template()


def rows() -> list[Example]:
    """Clean rows with one wrong value, one without any, and one whose title states its value."""
    made = [clean_example(n) for n in range(40)]
    made[7] = example("i007", "azure lamp", "Keeps dry", {**made[7].known, "color": ("Red",)})
    made += [
        example("none", "gift card", absent=("color", "model")),
        example("said", "Red lamp", known={"color": ("Red",)}),
    ]
    return made


@cache
def trained(name: str) -> Probe:
    known = [row for row in rows() if name in row.known or name in row.absent]
    return train_probe(SHOP, SHOP.by_name[name], known)


@cache
def pictured() -> Probe:
    """Learnt from pictures and vectors, the texts say nothing."""
    made = []
    for n in range(40):
        shown = {f"p{n}": [(f"color={n % 2}", 0.9), ("label=mug", 0.5)]}
        made.append(
            example(
                f"i{n:02}",
                "lamp",
                "",
                {"color": ("Red" if n % 2 else "Blue",)},
                (),
                shown,
                (n, n % 3),
            )
        )
    shop = learning_template(evidence=["text", "image"])
    return train_probe(shop, shop.by_name["color"], made)


PROBES = {
    **{
        name: lambda name=name: trained(name)
        for name in ("color", "tags", "proof", "model", "weight")
    },
    "pictures": pictured,
    "untrained": lambda: Probe("color", "classes", labelled=3, note="3 rows have a value"),
}


@pytest.mark.parametrize("which", PROBES)
def test_there_and_back(which: str) -> None:
    """A probe that was stored and read is the same to the byte, and so is one that is trained
    again.
    """
    probe = PROBES[which]()
    data = to_bytes(probe)
    back = from_bytes(data)
    assert to_bytes(back) == data
    plain = (
        "attribute",
        "kind",
        "labelled",
        "absent",
        "classes",
        "majority",
        "view",
        "calibration",
        "cut",
        "right",
    )
    for name in (*plain, "rules", "note", "disagreements"):
        assert getattr(back, name) == getattr(probe, name), name
    assert type(back.model) is type(probe.model)


def test_the_same_probe_gives_the_same_bytes() -> None:
    """Training again gives the same file."""
    before = {name: to_bytes(trained(name)) for name in ("color", "model")}
    trained.cache_clear()
    assert {name: to_bytes(trained(name)) for name in before} == before


@pytest.mark.parametrize("name", ["color", "tags", "proof", "model"])
def test_a_read_probe_answers_as_the_trained_one(name: str, tmp_path: Path) -> None:
    """What a probe says does not change by storing it."""
    stored = save_probe(str(tmp_path), trained(name))
    assert (stored.attribute, stored.path) == (name, str(tmp_path / f"{name}.safetensors"))
    assert stored.digest == hashlib.sha256(Path(stored.path).read_bytes()).hexdigest()
    asked = [without(clean_example(n)) for n in range(50, 60)]
    assert propose(SHOP, load_probe(stored), "d", asked) == propose(SHOP, trained(name), "d", asked)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """A file that is not the one that was stored is refused, wherever it was changed, and named."""
    stored = save_probe(str(tmp_path), trained("color"))
    path = Path(stored.path)
    data = path.read_bytes()
    for at in (0, 20, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(ProbeFileError, match=r"color\.safetensors is not the file"):
            load_probe(stored)
    path.write_bytes(data[:-1])
    with pytest.raises(ProbeFileError):
        load_probe(stored)


def header_of(data: bytes) -> dict[str, object]:
    content: dict[str, object] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return content


def with_about(**changed: object) -> bytes:
    """The file of an untrained probe, its description changed."""
    data = to_bytes(PROBES["untrained"]())
    description = json.loads(header_of(data)["__metadata__"]["about"])  # type: ignore[index]
    return bytes(
        save({"none": np.zeros(1, np.uint8)}, {"about": json.dumps({**description, **changed})})
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "magic"},
        {"view": "smell"},
        {"names": ["Red"]},
        {"calibration": 3},
        {"cut": {"threshold": 1, "luck": 2}},
        {"rules": [["term", "title"]]},
        {"rules": 5},
        {"disagreements": [1]},
        {"disagreements": {"1": {}}},
        {"majority": None},
    ],
)
def test_another_description_is_no_probe(changed: dict[str, object]) -> None:
    """A file in the right format that describes something else is refused."""
    assert from_bytes(with_about()) == PROBES["untrained"]()
    with pytest.raises(ProbeFileError):
        from_bytes(with_about(**changed))


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200)
    | st.sampled_from(
        [b"[]", b"{}", b"3", b'"x"', b'{"__metadata__": 3}', b'{"__metadata__": {"about": "[]"}}']
    ).map(lambda header: len(header).to_bytes(8, "little") + header)
)
def test_rubbish_is_no_probe(data: bytes) -> None:
    """Any bytes that are no probe are refused with one kind of error."""
    with pytest.raises(ProbeFileError):
        from_bytes(data)


@settings(max_examples=100, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_a_changed_byte_never_raises_anything_else(at: float, byte: int) -> None:
    """Also without a digest a damaged file is read as a probe or refused."""
    data = to_bytes(trained("proof"))
    place = int(at * min(len(data), 6_000))
    try:
        from_bytes(data[:place] + bytes([byte]) + data[place + 1 :])
    except ProbeFileError:
        return


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (_spring, ("sprung",))


SPRUNG: list[str] = []


def _spring(what: str) -> str:
    SPRUNG.append(what)
    return what


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    """A pickle, alone or within numpy's format, is refused and what it holds not executed, though
    its digest is right.
    """
    packed = io.BytesIO()
    np.save(packed, np.array([_Trap()], object), allow_pickle=True)
    for data in (pickle.dumps(_Trap()), packed.getvalue()):
        path = tmp_path / "color.safetensors"
        path.write_bytes(data)
        with pytest.raises(ProbeFileError):
            load_probe(StoredProbe("color", str(path), hashlib.sha256(data).hexdigest()))
    assert not SPRUNG
    pickle.loads(pickle.dumps(_Trap()))
    assert SPRUNG == ["sprung"], "the trap works"


def test_on_an_object_store() -> None:
    """Probes are written to and read from any file system of Beam; one that is gone is an error of
    reading.
    """
    stored = save_probe("store://probes/run", trained("color"))
    assert stored.path == "store://probes/run/color.safetensors"
    assert to_bytes(load_probe(stored)) == MemoryStorage.files[stored.path]
    del MemoryStorage.files[stored.path]
    with pytest.raises(OSError):
        load_probe(stored)
