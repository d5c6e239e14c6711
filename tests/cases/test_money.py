"""Prices and codes as feeds write them: right, or told."""

import json

import pytest

from tests.cases.support import case, items_of, run_case


def test_a_merchants_feed(tmp_path):
    """Prices with their currency, the sale price first, stock, weights and codes of a feed are read
    (03).
    """
    folder = case("03-merchant-tsv")
    options = ("--images-root", str(folder / "pics"))
    items = items_of(
        run_case(folder / "my.yaml", [folder / "feed.tsv"], tmp_path / "out", *options)
    )
    order = ("M-27", "CH-1", "TV-5", "PN-2", "LM-9")
    assert [items[name]["price"] for name in order] == [199, 149.5, 1299, 9.9, 39]
    assert [items[name]["in_stock"] for name in order] == [True, True, False, False, True]
    assert [round(items[name]["weight"], 2) for name in order] == [4100, 12000, 14500, 200, 544.31]
    flagged = {name: {flag["reason"] for flag in items[name]["flags"]} for name in order}
    assert "value-bad-check-digit" in flagged["LM-9"]
    assert items["M-27"]["gtin"] == "4006381333931"


def test_a_merchants_feed_with_currencies(tmp_path):
    """As money, each price of the feed keeps its own currency (03)."""
    folder = case("03-merchant-tsv")
    template = tmp_path / "money.yaml"
    own = (folder / "my.yaml").read_text()
    assert "type: number, min: 0, from: [sale_price" in own
    template.write_text(
        own.replace("type: number, min: 0, from: [sale", "type: money, from: [sale")
    )
    options = ("--images-root", str(folder / "pics"))
    items = items_of(run_case(template, [folder / "feed.tsv"], tmp_path / "out", *options))
    found = {
        name: (item["price"]["amount"], item["price"]["currency"]) for name, item in items.items()
    }
    assert found == {
        "M-27": (199, "USD"),
        "CH-1": (149.5, "USD"),
        "TV-5": (1299, "USD"),
        "PN-2": (9.9, "USD"),
        "LM-9": (39, "EUR"),
    }


def test_words_for_stock_in_the_packaged_template(tmp_path):
    """The packaged template knows what a feed says of stock (03)."""
    folder = case("03-merchant-tsv")
    options = ("--images-root", str(folder / "pics"))
    items = items_of(run_case("product", [folder / "feed.tsv"], tmp_path / "out", *options))
    stock = {item["in_stock"] for item in items.values()}
    assert stock == {True, False}


@pytest.mark.parametrize(
    "name",
    ["comma.csv", "comma_cp1252.csv", "cp1252.csv", "semicolon.csv", "sep.csv", "unicode.csv"],
)
def test_a_spreadsheet_of_prices_and_dates(name, tmp_path):
    """Prices, weights, codes and times of a German spreadsheet are right in every encoding, and what
    was found out is reported (04).
    """
    folder = case("04-excel-csv")
    snapshot = run_case(folder / "my.yaml", [folder / name], tmp_path / "out", *_as_csv(name))
    items = items_of(snapshot)
    assert [items[key]["price"] for key in ("0012", "0013", "0014", "0015")] == [
        12.9,
        1299,
        7.5,
        1299,
    ]
    assert [items[key]["weight"] for key in ("0012", "0013", "0014")] == [350, 1250, 400]
    assert [items[key]["ean"] for key in ("0012", "0013")] == ["4006381333931", "96385074"]
    assert [items[key]["stock"] for key in ("0012", "0013")] == [True, False]
    times = [items[key]["event_ts"].isoformat()[:16] for key in ("0012", "0013", "0014", "0015")]
    assert times == ["2025-12-31T00:00", "2026-02-01T00:00", "2026-01-15T08:30", "2026-01-15T00:00"]
    manifest = json.loads((snapshot / "manifest.json").read_text())
    assert "day first in Geändert" in manifest["inputs"][0]["read_as"]


def _as_csv(name):
    return ["--input-format", "csv"] if name.startswith("unicode") else []
