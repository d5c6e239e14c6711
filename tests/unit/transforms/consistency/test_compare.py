"""transforms.consistency.compare: what the stage finds is what the functions find in the whole
catalog, whatever buckets it comes in.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to

from schemas.elements import Bucket, Flag, Item
from schemas.template import Template
from tests.items import item, picture
from transforms.consistency.compare import (
    CatalogStatistics,
    CompareBuckets,
    Comparisons,
    OpenBuckets,
    load_statistics,
    save_statistics,
)
from transforms.consistency.outliers import Norms, find_outliers, fit_norms, sample_items
from transforms.consistency.reliability import add_tallies, reliable_checks
from transforms.consistency.shared_content import find_shared, group_digests, item_digests
from transforms.consistency.within_item import check_item, tally
from transforms.runtime.spool import Together
from transforms.runtime.stages.fused import in_one

SHOP = Template.model_validate(
    {
        "name": "shop",
        "version": "1.0.0",
        "record": {"id": "id"},
        "attributes": [
            {"name": "title", "type": "string", "role": "title"},
            {"name": "about", "type": "string", "role": "text"},
            {"name": "color", "type": "enum", "values": ["Red", "Blue"]},
            {"name": "size", "type": "enum", "values": ["Small", "Large"]},
            {"name": "year", "type": "number", "integer": True, "evidence": ["image"]},
            {"name": "weight", "type": "number", "unit": "g"},
        ],
    }
)
ABOUT = "A story of eight climbers who went up the mountain and of those who came down again"


def catalog() -> list[Item]:
    """Items of which some contradict themselves, share what belongs to one, or are far off."""
    source = np.random.default_rng(3)
    made = [
        item({"title": f"Mug {n}, red", "color": "Red", "size": "Small"}, item_id=f"m{n:02}")
        for n in range(24)
    ]
    made.append(item({"title": "Mug, blue", "color": "Red"}, item_id="contradicted"))
    # The word for a size is no statement in this catalog.
    made += [
        item({"title": f"Small jug {n}", "size": "Large"}, item_id=f"j{n:02}") for n in range(24)
    ]
    made += [item({"title": title, "about": ABOUT}, item_id=title) for title in ("Quest", "Fan")]
    for n in range(150):
        weight = 11.0 if n == 7 else float(np.round(100 * np.exp(0.1 * source.standard_normal())))
        year = float(np.round(1995 - 25 * source.beta(1, 2)))
        shown = 1970.0 if n == 3 else year
        angle = (shown - 1970) / 25 * np.pi / 2
        vector = np.array([np.cos(angle), np.sin(angle), 0.1, 0.1], np.float32)
        film = item(
            {"title": f"Film {n}", "year": 1995.0 if n == 3 else year, "weight": weight},
            picture(digest=f"d{n}", phash="0" * 16),
            item_id=f"f{n:03}",
        )
        made.append(replace(film, image_vector=vector / np.linalg.norm(vector)))
    return made


def expected(items: Sequence[Item]) -> list[tuple[str, Flag]]:
    """What the functions say when they are given the whole catalog at once."""
    checks = {one.item_id: check_item(SHOP, one) for one in items}
    trusted = reliable_checks(add_tallies(map(tally, checks.values())))
    found = [
        (item_id, check.flag)
        for item_id, made in checks.items()
        for check in made
        if check.flag is not None and (check.reason, check.field) in trusted
    ]
    digests = [digest for one in items for digest in item_digests(SHOP, one, 0)]
    shared = find_shared(digests, group_digests(digests))
    found += [(finding.item_id, finding.flag) for _, finding in shared]
    samples = (sample_items(SHOP, items, vectors=v, size=2_000) for v in (False, True))
    norms = fit_norms(SHOP, *samples)
    found += [
        (each.item_id, each.flag) for one in items for each in find_outliers(SHOP, norms, one)
    ]
    return sorted(found, key=repr)


@pytest.mark.parametrize("num_buckets", [1, 6])
def test_the_stage_finds_what_the_functions_find(num_buckets: int, tmp_path: Path) -> None:
    """Every item gets back the flags that count, whatever the number of buckets and the order."""
    items = catalog()
    flags = expected(items)
    reasons = {flag.reason for _, flag in flags}
    assert reasons >= {"text-contradicts-value", "shared-text-other-title", "value-outlier"}
    random.Random(5).shuffle(items)
    buckets = [Bucket(n, tuple(items[n::num_buckets])) for n in range(num_buckets)]
    numbers = {one.item_id: bucket.number for bucket in buckets for one in bucket.items}
    # As the stage that reads them says it, which digests carry along.
    how = Comparisons(SHOP, str(tmp_path), num_buckets)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        compared = pipeline | beam.Create(buckets) | CompareBuckets(how)
        opened = (
            (compared.buckets, compared.findings)
            | Together()
            | in_one(OpenBuckets(SHOP).step(compared.statistics))
        )
        said = opened | beam.FlatMap(
            lambda bucket: [
                (bucket.number, one.item_id, repr(flag))
                for one in bucket.items
                for flag in one.flags
            ]
        )
        assert_that(
            said, equal_to([(numbers[item_id], item_id, repr(flag)) for item_id, flag in flags])
        )
        counted = opened | beam.Map(lambda bucket: (bucket.number, len(bucket.items)))
        assert_that(
            counted,
            equal_to([(bucket.number, len(bucket.items)) for bucket in buckets]),
            label="items",
        )


def test_a_part_is_judged_by_its_catalog(tmp_path: Path) -> None:
    """Items of a run that continues are judged by what is known of the whole catalog, and not
    compared with each other.
    """
    items = (
        item({"title": "Mug, blue", "color": "Red", "about": ABOUT}, item_id="a"),
        item({"title": "Small jug", "size": "Large", "about": ABOUT}, item_id="b"),
    )
    trusted = frozenset([("text-contradicts-value", "color")])
    known = save_statistics(str(tmp_path), CatalogStatistics(trusted))
    how = Comparisons(SHOP, str(tmp_path), 1, statistics=known)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        compared = pipeline | beam.Create([Bucket(0, items)]) | CompareBuckets(how)
        opened = compared.buckets | in_one(OpenBuckets(SHOP).step(compared.statistics))
        said = opened | beam.FlatMap(
            lambda bucket: [
                (one.item_id, flag.reason, flag.field) for one in bucket.items for flag in one.flags
            ]
        )
        assert_that(said, equal_to([("a", "text-contradicts-value", "color")]))


def test_statistics_come_back_as_they_were(tmp_path: Path) -> None:
    """Models of numbers and pictures give the same findings after their file was read."""
    items = catalog()
    samples = (sample_items(SHOP, items, vectors=v, size=2_000) for v in (False, True))
    norms = fit_norms(SHOP, *samples)
    assert norms.spreads
    assert norms.pictures
    saved = CatalogStatistics(frozenset([("a", "b")]), frozenset([("c", "d")]), norms)
    loaded = load_statistics(save_statistics(str(tmp_path), saved))
    assert (loaded.trusted, loaded.trusted_twins) == (saved.trusted, saved.trusted_twins)

    def found(by: Norms) -> list[str]:
        return [each.flag.detail for one in items for each in find_outliers(SHOP, by, one)]

    assert found(norms)
    assert found(loaded.norms) == found(norms)
