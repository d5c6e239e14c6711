"""Contracts of a run against those of the snapshot that it continues from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipelines.configuration.errors import ConfigError
from pipelines.run.vectors.contracts import (
    continued,
    disagreements,
    misdescribed,
    proven,
    refuse_changed,
)
from schemas.sections.vectors import VectorSpec
from tests.support import encoder_card
from transforms.models.encoder_options import EncoderOptions
from transforms.vectors.canaries import Canary
from transforms.vectors.contract import VectorContract, contract_of
from transforms.vectors.stage import CanaryReport

TABLE = "embeddings/text"
CANARY = Canary("text", "document", "a mug", (1.0, 0.0))
TEXT = VectorSpec(name="text", of="text")
CARD = encoder_card("some/encoder", revision="7", weights_sha256="a" * 64, dimension=2)


def contract(parts: tuple[str, ...] = (), dimension: int = 0, **changed: Any) -> VectorContract:
    options = EncoderOptions("fake", model="some/encoder", dimension=dimension)
    card = replace(CARD, **changed)
    spec = VectorSpec(name="text", of="text", parts=parts)
    return contract_of(spec, card, options, "some/encoder 7")


def before() -> dict[str, VectorContract]:
    return {TABLE: replace(contract(), canaries=(CANARY,))}


def test_canaries_go_on_with_their_table() -> None:
    """A table of the same encoder and text keeps its canaries; one that is rebuilt has none."""
    assert continued({TABLE: contract()}, before())[TABLE].canaries == (CANARY,)
    assert continued({TABLE: contract(revision="8")}, before())[TABLE].canaries == ()
    assert continued({TABLE: contract(("title",))}, before())[TABLE].canaries == ()
    assert continued({TABLE: contract()}, {})[TABLE].canaries == ()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"weights_sha256": "b" * 64}, "weights have digest bbbbbbbbbbbb"),
        ({"dimension": 3}, "vectors of 3 numbers, those that are kept have 2"),
    ],
    ids=["weights", "dimension"],
)
def test_an_encoder_that_changed_under_its_name_is_refused(
    changed: dict[str, Any], told: str
) -> None:
    """Other weights or another dimension of the same id and revision are one line that says what
    changed and how to accept it; accepted, they are not.
    """
    options = EncoderOptions("fake", model="some/encoder")
    now = {TABLE: contract_of(TEXT, replace(CARD, **changed), options, "some/encoder 7")}
    with pytest.raises(ConfigError) as raised:
        refuse_changed(now, before(), accepted=False)
    (problem,) = raised.value.problems
    for part in (TABLE, "some/encoder@7 changed under its name", told, "--full", "revision"):
        assert part in problem
    assert "\n" not in problem
    refuse_changed(now, before(), accepted=True)


@pytest.mark.parametrize(
    "now",
    [
        contract(),
        contract(revision="8", weights_sha256="b" * 64),
        contract(id="some/other", weights_sha256="b" * 64, dimension=3),
        replace(contract(dimension=1), dimension=1),
        contract(("title",)),
        contract(library="none 2"),
    ],
    ids=["nothing", "revision", "model", "asked width", "composition", "library"],
)
def test_a_change_that_was_named_is_not_refused(now: VectorContract) -> None:
    """Another revision, model, width or composition is what somebody asked for."""
    refuse_changed({TABLE: now}, before(), accepted=False)


def test_canaries_are_those_that_were_kept_or_else_what_a_worker_found() -> None:
    """What is kept never moves with the workers; a table without canaries gets them once."""
    other = Canary(*CANARY.key, (0.0, 1.0))
    reports = [CanaryReport(TABLE, problem="broken"), CanaryReport(TABLE, (other,))]
    assert proven(before(), reports)[TABLE].canaries == (CANARY,)
    assert proven({TABLE: contract()}, reports)[TABLE].canaries == (other,)
    assert proven({TABLE: contract()}, [])[TABLE].canaries == ()


def test_workers_that_disagree_are_named_once() -> None:
    """A worker whose canaries differ, or that has none, is reported with table and encoder; several of
    one mind are one line.
    """
    same, near = CanaryReport(TABLE, (CANARY,)), Canary(*CANARY.key, (0.99999, 0.004))
    assert list(disagreements(before(), [same, CanaryReport(TABLE, (near,))])) == []
    far = CanaryReport(TABLE, (Canary(*CANARY.key, (0.0, 1.0)),))
    broken = CanaryReport(TABLE, problem="it is broken")
    lines = list(disagreements(before(), [same, far, far, broken, broken]))
    assert len(lines) == 2
    assert lines[0].startswith(f"{TABLE}: some/encoder@7: the document 'a mug' has cosine 0.0000")
    assert lines[1] == f"{TABLE}: it is broken"


def test_files_that_say_something_else_than_their_contract_are_named() -> None:
    """Another contract, another dimension and no contract at all are faults; files of an earlier
    version, which say nothing, are not.
    """
    digest = contract().digest
    assert list(misdescribed(before(), {TABLE: {(digest, 2), ("", 2)}})) == []
    found = {TABLE: {("0" * 64, 2), (digest, 3)}, "embeddings/lost": {("", 2)}}
    assert len(list(misdescribed(before(), found))) == 3
