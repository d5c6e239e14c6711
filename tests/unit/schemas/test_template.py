"""Templates: the single source of truth is checked as a whole, and refused with everything that is
wrong.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.loading import TemplateRefusedError, load_template, parse_template
from schemas.template import split_source

SMALL = """
name: shop
version: 1.0.0
record: {id: sku}
attributes:
  - {name: title, type: string, from: name}
  - {name: color, type: enum, from: color, values: [Red, {value: Blue, synonyms: [navy]}]}
"""

WRONG = """\
name: My Shop
version: 1.0
descripton: typo
record:
  images:
    column: pictures
    required: perhaps
columns:
  colour: {format: list, seperator: "|"}
  color: {format: csv}
gate: {min_items: -1, max_quarantine_rate: 1.5}
attributes:
  - name: Title
    type: string
    from: title
  - name: color
    type: enum
    from: color
  - name: size
    type: strng
  - name: weight
    type: number
    unit: parsnip
  - name: length
    type: number
    min: 10
    max: 1
  - name: color
    type: localized
    fill: true
  - name: brand
    type: string
    values: [A, B]
  - name: shade
    type: enum
    values: [{value: Red, synonyms: [rouge]}, {value: Pink, synonyms: [Rouge]}]
  - name: code
    type: string
    pattern: "[a-"
  - name: item_id
    type: string
    min_confidence: 3
"""
# Where each error stands, what it is about, and a part of what it advises.
EXPECTED = [
    (1, "name", "'My Shop' does not fit"),
    (2, "version", "1.0 does not fit"),
    (3, "descripton", "did you mean 'description'?"),
    (4, "record.id", "is missing; add it"),
    (6, "record.images.column", "did you mean 'columns'?"),
    (7, "record.images.required", "perhaps"),
    (9, "columns.colour", "did you mean 'color'?"),
    (9, "columns.colour.seperator", "did you mean 'separator'?"),
    (10, "columns.color.format", "'text', 'list', 'path' or 'pairs', not 'csv'"),
    (11, "gate.max_quarantine_rate", "less than or equal to 1, not 1.5"),
    (11, "gate.min_items", "greater than or equal to 0, not -1"),
    (13, "attributes[0].name", "lower-case letters, digits and _"),
    (16, "attributes[1]", "needs a closed list; add values"),
    (20, "attributes[2].type", "'string', 'enum'"),
    (23, "attributes[3].unit", "write for example g, ml, cm"),
    (24, "attributes[4]", "min 10 is above max 1; swap them"),
    (28, "attributes[5]", "set fill: false"),
    (28, "attributes[5].name", "is taken by line 16; rename one"),
    (31, "attributes[6]", "use type enum or multi_enum, or remove values"),
    (36, "attributes[7].values", "stands for both 'Red' and 'Pink'; keep it with one of them"),
    (39, "attributes[8].pattern", "is not a regular expression"),
    (40, "attributes[9].name", "is a column of the tables; choose another name"),
    (42, "attributes[9].min_confidence", "less than or equal to 1, not 3"),
]


def test_all_errors_come_at_once_with_line_and_fix() -> None:
    """A wrong template is refused with every one of its errors, in the order of its lines, each
    with advice.
    """
    with pytest.raises(TemplateRefusedError) as refused:
        parse_template(WRONG, "wrong.yaml")
    errors = refused.value.errors
    assert [(error.line, error.where) for error in errors] == [
        (line, where) for line, where, _ in EXPECTED
    ]
    for error, (_, _, advice) in zip(errors, EXPECTED, strict=True):
        assert advice in error.problem
    assert "for example 1.0.0" in errors[1].problem
    assert "letters, digits, _ and -" in errors[0].problem
    assert str(refused.value).startswith(
        f"template wrong.yaml has {len(EXPECTED)} errors:\n  line 1: name: "
    )


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("name: [shop", 1, "expected"),
        ("name: shop\nversion: 1.0.0\nname: other\n", 3, 'duplicate key "name"'),
        ("name: shop\nrecord:\n\tid: sku\n", 3, "indent with spaces"),
        ("name: \x01\n", None, "special characters are not allowed"),
        (
            "version: 1.0.0\nrecord: {id: sku}\nattributes: [{name: a, type: string}]\n",
            None,
            "is missing; add it",
        ),
        ("- a\n- b\n", None, "is not a mapping; start with name:"),
        ("", None, "is not a mapping"),
        (
            "name: shop\nversion: 1.0.0\nrecord: {id: sku}\nattributes: []\n",
            4,
            "at least one attribute",
        ),
        (
            "name: shop\nversion: 1.0.0\nrecord: {id: []}\nattributes: [{name: a, type: string}]\n",
            3,
            "at least 1",
        ),
        (
            "name: shop\nversion: 1.0.0\nrecord: 5\nattributes: [{name: a, type: string}]\n",
            3,
            "not 5",
        ),
    ],
)
def test_what_is_no_template(text: str, line: int | None, problem: str) -> None:
    """Broken YAML, a key written twice and other shapes are refused with their line, never with a
    traceback.
    """
    with pytest.raises(TemplateRefusedError) as refused:
        parse_template(text, "broken.yaml")
    assert refused.value.errors[-1].line == line
    assert problem in refused.value.errors[-1].problem
    assert ("line " in str(refused.value)) == (line is not None), (
        "what has no place in the file names none"
    )


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("type: identifier", "needs a scheme; add scheme: gtin, isbn, issn or orcid"),
        ("type: identifier, scheme: upc", "'gtin', 'isbn', 'issn', 'orcid' or 'any', not 'upc'"),
        (
            "type: identifier, scheme: any, fill: true",
            "no check digit that a found value could be held against; set fill: false",
        ),
        ("type: string, scheme: any", "scheme belongs to type identifier"),
        ("type: date, min: 0", "min and max belong to type number or money, not date"),
    ],
)
def test_an_identifier_says_how_it_is_checked(entry: str, problem: str) -> None:
    """An identifier without a scheme would go unchecked unnoticed: the template has to name one, or
    say any.
    """
    parse_template(f"{SMALL}  - {{name: code, type: identifier, scheme: any}}\n", "t")
    with pytest.raises(TemplateRefusedError, match=problem):
        parse_template(f"{SMALL}  - {{name: code, {entry}}}\n", "t")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("type: string, part: width", "part belongs to type number, not string"),
        ("type: number, part: width", "part width is an amount; add a unit, for example cm"),
        ("type: number, part: width, unit: g", "part width is a length; 'g' is not one"),
        ("type: number, part: each", "part each is an amount; add a unit, for example ml"),
        (
            "type: number, part: pack_count, unit: g",
            "part pack_count is a number of pieces; remove the unit",
        ),
        ("type: number, part: girth", "'width', 'height', 'depth' or 'length', not 'girth'"),
    ],
)
def test_a_part_fits_its_unit(entry: str, problem: str) -> None:
    """A side is a length, contents have a unit, and a number of pieces has none."""
    parse_template(f"{SMALL}  - {{name: one, type: number, part: each, unit: ml}}\n", "t")
    with pytest.raises(TemplateRefusedError, match=problem):
        parse_template(f"{SMALL}  - {{name: one, {entry}}}\n", "t")


def test_unknown_names_suggest_the_right_one() -> None:
    """A misspelt packaged name is answered with the closest one and the whole list."""
    with pytest.raises(
        TemplateRefusedError, match=r"did you mean 'grocery'\?.*apparel, films, grocery"
    ):
        load_template("grocry")
    with pytest.raises(TemplateRefusedError, match="no such template; packaged: apparel"):
        load_template("furniture")


def test_files_are_loaded_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path ending in .yaml is read, with or without BOM; a folder does not hide a packaged name."""
    path = tmp_path / "shop.yaml"
    path.write_text(SMALL, "utf-8-sig")
    assert load_template(str(path)).hash == parse_template(SMALL, "small").hash
    with pytest.raises(TemplateRefusedError, match="cannot be read"):
        load_template(str(tmp_path / "missing.yaml"))
    path.write_bytes(b"name: \xff\n")
    with pytest.raises(TemplateRefusedError, match="is not UTF-8"):
        load_template(str(path))
    (tmp_path / "grocery").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_template("grocery").name == "grocery"


def test_the_hash_does_not_depend_on_the_order_of_keys() -> None:
    """The same meaning in another layout has the same hash; the order of attributes is meaning."""
    turned = """
attributes:
  - {from: [name], type: string, name: title}   # a comment
  - {values: [{value: Red}, {synonyms: [navy], value: Blue}], from: color, type: enum, name: color}
record: {id: [sku]}
version: "1.0.0"
name: shop
"""
    small = parse_template(SMALL, "small")
    assert parse_template(turned, "turned").hash == small.hash
    swapped = small.model_copy(update={"attributes": small.attributes[::-1]})
    assert parse_template(SMALL.replace("navy", "marine"), "other").hash != small.hash
    assert type(small).model_validate(swapped.model_dump(by_alias=True)).hash != small.hash


def test_sources_reach_into_cells_unless_the_column_is_declared() -> None:
    """`column.key` means a key inside the cell, but a declared column may have a dot in its own
    name.
    """
    template = parse_template(
        SMALL.replace("from: name", "from: [names.en, a.b]") + "columns: {a.b: {format: text}}\n",
        "t",
    )
    assert template.mapped_columns == {"sku", "names", "a.b", "color"}
    assert split_source("names.en", template.columns) == ("names", "en")
    assert split_source("a.b", template.columns) == ("a.b", None)


def test_values_and_ids_may_be_written_as_plain_words_and_numbers() -> None:
    """Lists of one, numbers and strings as choices, and labels made of names need no further
    writing.
    """
    text = SMALL + "  - {name: shoe_size, type: enum, from: size, values: [38, '39']}\n"
    attribute = parse_template(text, "t").by_name["shoe_size"]
    assert [choice.value for choice in attribute.values] == ["38", "39"]
    assert (attribute.from_, attribute.title) == (("size",), "Shoe size")


@pytest.mark.parametrize(
    ("entry", "advice"),
    [
        ("type: number, rows: all", "needs a type that holds several values"),
        ("type: money, rows: all", "needs a type that holds several values"),
        ('type: string, pattern: "[A-Z]+", rows: all', "keep one of them"),
    ],
)
def test_rows_are_joined_only_where_that_is_a_value(entry: str, advice: str) -> None:
    """Several rows' values are one value where the type and the entry allow what comes of it."""
    template = f"name: shop\nversion: 1.0.0\nrecord: {{id: id}}\nattributes:\n  - {{name: code, {entry}}}\n"
    with pytest.raises(TemplateRefusedError, match=advice):
        parse_template(template, "wrong.yaml")


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ("{id: sku, fill_down: sku}", "group: sku"),
        ("{id: [sku, ean], fill_down: [shelf, ean]}", "group: ean"),
        ('{id: sku, fill_down: "handle_{n}"}', "stands for several columns"),
    ],
)
def test_what_cannot_be_filled_down(record: str, said: str) -> None:
    """An id that several rows have needs a group, and one name of several columns is none."""
    with pytest.raises(TemplateRefusedError, match=said):
        parse_template(SMALL.replace("{id: sku}", record), "t.yaml")


def test_a_template_that_fills_nothing_down_is_what_it_was() -> None:
    """The option is in no digest of templates that do not use it, and its columns are read."""
    plain = parse_template(SMALL, "t.yaml")
    empty = parse_template(SMALL.replace("{id: sku}", "{id: sku, fill_down: []}"), "t.yaml")
    filled = parse_template(SMALL.replace("{id: sku}", "{id: sku, fill_down: shelf}"), "t.yaml")
    assert plain.hash == empty.hash != filled.hash
    assert filled.sources - plain.sources == {"shelf"}
