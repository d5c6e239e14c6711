"""Columns of the template that the input lacks."""

from pathlib import Path

import pytest

from pipelines.configuration.missing_columns import missing_columns, refused_columns
from schemas.loading import parse_template
from transforms.readers import peek, plan_splits

TEMPLATE = """
name: shop
version: 1.0.0
record: {{id: sku, images: {{columns: [picture]}}}}
attributes:
  - {{name: title, type: string, role: title, from: [title, name], description: Name.}}
  - {{name: country, type: string, from: country, required: {country}, description: Country.}}
  - {{name: size, type: string, from: options.size, description: Size.}}
"""


def looked_at(folder: Path, name: str, text: str, country: str = "false"):
    path = folder / name
    path.write_text(text)
    splits = plan_splits([str(path)])
    template = parse_template(TEMPLATE.format(country=country), "test")
    seen = peek(splits)
    return missing_columns(template, seen), list(refused_columns(template, seen, splits))


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        ("sku,title,country,options,picture", []),
        ("SKU, Title ,Country,Options,PICTURE", []),
        ("sku,name,country,options.size,picture", []),
        ("sku,title,Countrys,options,picture", ["country (did you mean Countrys?)"]),
        ("sku,title,options,picture,x", ["country"]),
        ("sku,titel,country,options,picture", ["title (did you mean titel?)", "name"]),
        ("sku,title,country,sizes,picture", ["options.size"]),
        ("sku,title,country,options,pictures", ["picture (did you mean pictures?)"]),
        ("sku,g:title,g:country,options,g:picture", []),
    ],
)
def test_what_is_missing(tmp_path, header, missing):
    """Columns that no input has are named with those that may be meant; of several from which one
    value may come, one is enough.
    """
    assert looked_at(tmp_path, "a.csv", f"{header}\n1,2,3,4,5\n")[0] == missing


def test_what_is_required(tmp_path):
    """A required attribute without a column is refused with the columns that there are, where files
    say all of them at their beginning.
    """
    text = "sku,titel,land\n1,Mug,DE\n"
    assert looked_at(tmp_path, "a.csv", text)[1] == []
    (message,) = looked_at(tmp_path, "a.csv", text, "true")[1]
    assert message == (
        "attribute country is required, and no input has its columns: country; the columns are "
        "sku, titel, land. Name the right one, or write required: false"
    )
    assert looked_at(tmp_path, "a.jsonl", '{"sku": "1"}\n', "true")[1] == []


def test_nothing_seen(tmp_path):
    """Of an input without records nothing is said to be missing."""
    assert looked_at(tmp_path, "a.csv", "sku\n", "true") == ([], [])
