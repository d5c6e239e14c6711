"""Faults of models and of this program itself: each stays with its own record."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest

from schemas.elements import Bucket, Item, RawRecord, Record
from tests.support import FAKE_MODELS, Shop, flags, reasons
from transforms.runtime.buckets import each_item


def test_one_poisoned_picture_costs_exactly_itself(shop: Shop) -> None:
    """A picture that makes the backend raise for its whole batch loses its description; its
    neighbours keep theirs.
    """
    names = [shop.picture(f"{n:02}.png", f"rgb({n * 3}, 0, 0)") for n in range(64)]
    records = [{"sku": f"s{n:02}", "name": "x", "photos": [name]} for n, name in enumerate(names)]
    whole = shop.run(shop.file("in.jsonl", records), output="whole")
    digest = whole.rows("items")[17]["images"][0]["digest"]
    script = shop.file("script.yaml", f"- {{match: '{digest}', raise: true}}\n")
    run = shop.run(
        shop.folder / "in.jsonl", options=("--fake-script", str(script)), output="poisoned"
    )
    poisoned = [row["item_id"] for row in run.rows("items") if "backend-failed" in flags(row)]
    assert poisoned == [
        row["item_id"] for row in whole.rows("items") if row["images"][0]["digest"] == digest
    ]
    assert len(poisoned) == 1
    assert sum(row["image_description"] is not None for row in run.rows("items")) == 63
    assert len(run.rows("embeddings/image")) == 64, "the image encoder did not fail"


def test_a_scripted_failure_keeps_its_reason(shop: Shop) -> None:
    """A failure that the backend answers is flagged on each item that it concerns, and says why
    values are unknown.
    """
    shop.template += "gate: {max_describe_failure_rate: 1}\n"
    script = shop.file("script.yaml", "- {match: '.*', failure: backend-failed}\n")
    shop.picture("a.png")
    records = [{"sku": f"s{n}", "name": "x", "photos": ["a.png"]} for n in range(3)]
    run = shop.run(shop.file("in.jsonl", records), options=("--fake-script", str(script)))
    assert run.code == 0
    assert [flags(row) for row in run.rows("items")] == [{"backend-failed"}] * 3
    assert [row["color__provenance"]["reason"] for row in run.rows("items")] == [
        "backend-failed"
    ] * 3


def test_a_model_that_fails_too_often_refuses_the_snapshot(shop: Shop) -> None:
    """When the model fails on more items than the template allows, readers keep the previous
    snapshot.
    """
    script = shop.file("script.yaml", "- {match: '.*', failure: model-unavailable}\n")
    run = shop.run(
        shop.file("in.jsonl", [{"sku": "a", "name": "x"}]), options=("--fake-script", str(script))
    )
    assert run.code == 1
    assert "the language model failed on at most 20%" in run.out
    assert len(run.rows("items")) == 1


def test_a_text_encoder_that_fails_costs_one_vector(shop: Shop) -> None:
    """An item that the text encoder fails on is published without a vector and says embed-failed."""
    script = shop.file("script.yaml", "- {match: Poison, model: text-encoder, raise: true}\n")
    records = [{"sku": f"s{n}", "name": "Poison" if n == 3 else f"Mug {n}"} for n in range(8)]
    run = shop.run(shop.file("in.jsonl", records), options=("--fake-script", str(script)))
    assert run.code == 0
    assert [row["item_id"] for row in run.rows("items") if "embed-failed" in flags(row)] == ["s3"]
    assert {row["item_id"] for row in run.rows("embeddings/text")} == {
        f"s{n}" for n in range(8) if n != 3
    }


def test_a_text_encoder_that_always_fails_refuses_the_snapshot(shop: Shop) -> None:
    """A run whose encoder has no vector for any text publishes nothing."""
    script = shop.file("script.yaml", "- {match: '.*', model: text-encoder, raise: true}\n")
    records = [{"sku": f"s{n}", "name": "Mug"} for n in range(3)]
    run = shop.run(shop.file("in.jsonl", records), options=("--fake-script", str(script)))
    assert run.code == 1
    assert "no encoder failed on everything that it was given" in run.out
    assert not (run.output / "current").exists()


def test_an_image_encoder_that_always_fails_refuses_the_snapshot(shop: Shop) -> None:
    """A run whose image encoder has no vector for any picture publishes nothing."""
    script = shop.file("script.yaml", "- {match: '.*', model: image-encoder, raise: true}\n")
    records = [{"sku": f"s{n}", "name": "Mug", "photos": [shop.picture("a.png")]} for n in range(3)]
    run = shop.run(shop.file("in.jsonl", records), options=("--fake-script", str(script)))
    assert run.code == 1
    assert not (run.output / "current").exists()


def test_a_template_may_require_pictures_and_values(shop: Shop) -> None:
    """With required pictures, items without a usable one go to quarantine; the others are
    published.
    """
    shop.template = shop.template.replace("columns: photos", "columns: photos, required: true")
    good = [{"sku": f"g{n}", "name": "x", "photos": [shop.picture("a.png")]} for n in range(3)]
    bad = [{"sku": "b1", "name": "x"}, {"sku": "b2", "name": "x", "photos": ["gone.png"]}]
    run = shop.run(shop.file("in.jsonl", [*good, *bad]))
    assert run.code == 0, run.out
    assert reasons(run) == {"image-required": 2}


def test_a_fault_of_this_program_sets_one_record_aside() -> None:
    """When a stage raises for one item, that record is quarantined as internal-error and the others
    go on.
    """
    raw = RawRecord(b"raw", "jsonl", "f", 1)
    items = tuple(Item(Record(str(n), {}, {}, (), (), raw)) for n in range(3))

    def fails_on_one(item: Item) -> Item:
        if item.item_id == "1":
            raise KeyError("nobody thought of this")
        return item

    bucket = each_item(Bucket(0, items), "fill", fails_on_one)
    assert [item.item_id for item in bucket.items] == ["0", "2"]
    (reject,) = bucket.rejects
    assert (reject.reason, reject.stage, reject.item_id, reject.raw) == (
        "internal-error",
        "fill",
        "1",
        raw,
    )
    assert "nobody thought of this" in reject.message


@pytest.mark.parametrize(
    ("script", "problem"), [("- {mach: x}", "mach"), ("- {match: '('}", "match"), ("{}", "list")]
)
def test_a_wrong_script_is_refused_before_any_work(shop: Shop, script: str, problem: str) -> None:
    """A fake script with a mistake ends with exit code 2 and names the mistake."""
    options = ("--fake-script", str(shop.file("script.yaml", script)))
    run = shop.run(shop.file("in.jsonl", [{"sku": "a"}]), options=options)
    assert run.code == 2
    assert problem in run.err


def test_a_full_disk_keeps_the_previous_snapshot(shop: Shop) -> None:
    """When nothing more can be written the run says so, ends with 3, and leaves the published
    snapshot as it was.
    """
    small = [{"sku": f"s{n}", "name": f"Mug {n}"} for n in range(3)]
    first = shop.run(shop.file("in.jsonl", small))
    assert first.code == 0
    before = {
        path: path.read_bytes() for path in (shop.folder / "out").rglob("*") if path.is_file()
    }
    path = shop.file(
        "in.jsonl",
        [*small, *({"sku": f"t{n}", "name": "Mug " + f"{n * 7919:x} " * 50} for n in range(400))],
    )
    command = [
        sys.executable,
        "-m",
        "pipelines.enrich",
        "--template",
        str(shop.folder / "template.yaml"),
        *FAKE_MODELS,
    ]
    command += ["--images-root", str(shop.images), "--workers", "1", "--input", str(path)]
    full = subprocess.run(
        [*command, "--output", str(shop.folder / "out")],
        # No file may grow beyond this: like a disk that is full, for whoever writes more.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, 8_192)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert full.returncode == 3
    assert "the run broke off: " in full.stderr
    assert "File too large" in full.stderr
    assert "Readers keep the previous snapshot." in full.stderr
    after = {path: path.read_bytes() for path in (shop.folder / "out").rglob("*") if path.is_file()}
    assert {path: after.get(path) for path in before} == before
    assert not [path for path in after.keys() - before.keys() if not path.name.startswith(".lock")]
    again = shop.run(path)
    assert again.code == 0
    assert len(again.rows("items")) == 403


def test_a_record_that_takes_too_long_is_set_aside(shop: Shop) -> None:
    """The record is in quarantine with its bytes, the run goes on with the others and ends."""
    shop.template = shop.template.replace("role: text,", "role: text, max_length: 9000000,")
    long = {"sku": "long", "name": "Mug", "text": "<p>12 kg red x 3, </p>" * 90_000}
    records = [{"sku": f"s{n}", "name": f"Mug {n}"} for n in range(3)]
    catalog = shop.file("in.jsonl", [*records, long])
    options = ("--max-element-secs", "1", "--no-probes", *FAKE_MODELS)
    run = shop.run(catalog, options=options)
    assert run.code == 0, run.err
    assert reasons(run) == {"took-too-long": 1}
    (row,) = run.rows("quarantine")
    assert json.loads(row["raw"]) == long
    assert "--max-element-secs" in row["message"]
    assert len(run.rows("items")) == 3
