"""An output whose texts an earlier version composed otherwise is taken over, not refused."""

from __future__ import annotations

import json

from tests.support import FAKE_MODELS, Shop
from transforms.items import text

DRIFT = "gate: {drift: {min_items: 10}}\n"


def test_vectors_of_other_texts_are_no_drift(shop: Shop) -> None:
    """Vectors of texts that were composed alike and moved far are drift; of texts that another
    version composed they are not compared, and the texts are composed again once.
    """
    shop.template += DRIFT
    rows = [{"sku": f"p{n}", "name": f"Mug {n}", "color": "Red"} for n in range(20)]
    catalog = shop.file("items.jsonl", rows)
    run = shop.run(catalog, options=FAKE_MODELS)
    assert run.code == 0, run.err
    # The mean vector lay on the other side then, made as the file says.
    first = run.snapshot.resolve()
    path = first / "statistics.json"
    then = json.loads(path.read_text())
    then["distributions"]["sums"]["text"] = [
        -each for each in then["distributions"]["sums"]["text"]
    ]
    path.write_text(json.dumps(then))
    manifest = json.loads((first / "manifest.json").read_text())
    del manifest["beside"][path.name]  # as versions wrote it that kept no digest
    (first / "manifest.json").write_text(json.dumps(manifest))
    refused = shop.run(catalog, options=[*FAKE_MODELS, "--full"])
    assert refused.code == 1
    assert "drift-vectors" in refused.out
    then["encoders"]["text"] = then["encoders"]["text"].replace(f", texts {text.VERSION}", "")
    path.write_text(json.dumps(then))
    manifest = json.loads((first / "manifest.json").read_text())
    del manifest["shape"]["text"]
    (first / "manifest.json").write_text(json.dumps(manifest))
    made = shop.run(catalog, options=FAKE_MODELS)
    assert made.code == 0, made.err
    assert made.manifest["made_anew_because"] == ["text changed"]
