"""Pictures in cells: several references in a text, and bytes."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from transforms.normalise.picture_texts import (
    NoPictureError,
    joined,
    picture_bytes,
    without_description,
)


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(stream, "PNG")
    return stream.getvalue()


PNG = png()
BASE64 = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    "entry",
    [
        PNG,
        bytearray(PNG),
        memoryview(PNG),
        {"bytes": PNG, "path": None},
        {"bytes": PNG, "path": "a.png"},
        {"bytes": BASE64, "path": "a.png"},
        {"bytes": f"data:image/png;base64,{BASE64}"},
        BASE64,
        "\n".join(BASE64[i : i + 40] for i in range(0, len(BASE64), 40)),
        f"data:image/png;base64,{BASE64}",
        f"DATA:image/png;name=a.png;BASE64,{BASE64}",
        f"data:;base64,{BASE64.rstrip('=')}",
        "data:image/png," + "".join(f"%{byte:02x}" for byte in PNG),
        "data:image/png;base64," + BASE64.replace("+", "%2B").replace("=", "%3D"),
    ],
    ids=range(14),
)
def test_bytes_in_a_cell(entry: Any) -> None:
    """Bytes are taken from every way in which people put them into a cell."""
    assert picture_bytes(entry) == PNG


@pytest.mark.parametrize(
    "entry",
    ["a.jpg", "", b"", None, 7, {"path": "a.jpg"}, {"bytes": None, "path": "a.jpg"}, "/9j/a.jpg"],
)
def test_other_cells_hold_no_bytes(entry: Any) -> None:
    """What is a path, or nothing, is no picture."""
    assert picture_bytes(entry) is None


@pytest.mark.parametrize(
    "entry", ["data:image/png;base64", "data:image/png;base64,", "data:image/png;base64,a*b"]
)
def test_harmed_data_addresses_are_told(entry: str) -> None:
    """A data: address without its data is an error that says what is missing."""
    with pytest.raises(NoPictureError):
        picture_bytes(entry)


@pytest.mark.parametrize(
    ("cell", "there", "entries"),
    [
        ("a.jpg,b.jpg", [], ["a.jpg", "b.jpg"]),
        ("w_1,h_2/a.jpg", ["w_1,h_2/a.jpg"], ["w_1,h_2/a.jpg"]),
        ("w_1,h_2/a.jpg", [], ["w_1", "h_2/a.jpg"]),
        ("noext,a.jpg", [], ["noext", "a.jpg"]),
        ("https://s.example/w_1,h_2,c/a.jpg", [], ["https://s.example/w_1,h_2,c/a.jpg"]),
        (
            "https://s.example/w_1,h_2/a.jpg,https://s.example/b",
            [],
            ["https://s.example/w_1,h_2/a.jpg", "https://s.example/b"],
        ),
        ("//s.example/w_1,h_2/a.jpg?x=1", [], ["//s.example/w_1,h_2/a.jpg?x=1"]),
        (
            "https://s.example/1,https://s.example/2",
            [],
            ["https://s.example/1", "https://s.example/2"],
        ),
        ("data:image/png;base64,AAAA,b.jpg", [], ["data:image/png;base64,AAAA", "b.jpg"]),
        ("a.jpg,data:image/png;base64,AAAA", [], ["a.jpg", "data:image/png;base64,AAAA"]),
    ],
)
def test_separators_inside_references(cell: str, there: list[str], entries: list[str]) -> None:
    """A comma inside an address, a data: address or the path of a file parts nothing."""
    assert list(joined(cell.split(","), ",", there.__contains__)) == entries


@given(st.lists(st.text("abc./:,", max_size=8), min_size=1, max_size=6), st.booleans())
def test_joining_loses_nothing(parts: list[str], there: bool) -> None:
    """However parts are joined, all of the cell is in them, in order."""
    assert ",".join(joined(parts, ",", lambda _: there)) == ",".join(parts)


@pytest.mark.parametrize(
    ("cell", "left"),
    [
        ("a.jpg", "a.jpg"),
        ("a.jpg ! alt : Mug ! title : x", "a.jpg"),
        ("a.jpg ! alt :  ! title : x ! desc :  ! caption : ", "a.jpg"),
        ("a.jpg ! alt : red, big | b.jpg ! alt : y", "a.jpg | b.jpg"),
        ("a.jpg ! title : red, b.jpg ! title : y", "a.jpg, b.jpg"),
        (
            "https://s.example/a.jpg ! alt : x, https://s.example/b",
            "https://s.example/a.jpg, https://s.example/b",
        ),
        ("wow ! nice.jpg", "wow ! nice.jpg"),
    ],
)
def test_descriptions_behind_references(cell: str, left: str) -> None:
    """What a shop says of a picture behind its address is no part of the address."""
    assert without_description(cell) == left
