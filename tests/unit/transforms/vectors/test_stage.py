"""What workers report of their encoders' canaries."""

from __future__ import annotations

from pathlib import Path

from schemas.sections.vectors import VectorSpec
from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.models.fake.script import FakeTextEncoder
from transforms.vectors.contract import VectorContract, contract_of
from transforms.vectors.stage import CanaryWatch, WatchedTables, read_canary_reports


def encoder(prompt: str = "") -> FakeTextEncoder:
    return FakeTextEncoder(EncoderOptions("fake", prompt=prompt), ModelOptions())


def contract(name: str) -> VectorContract:
    spec, options = VectorSpec(name=name, of="text"), EncoderOptions("fake")
    return contract_of(spec, encoder().card, options, "fake-text 1")


def test_workers_whose_encoders_differ_leave_a_report_each(tmp_path: Path) -> None:
    """Reports of one table with other vectors come back in one order, whoever wrote first."""
    watch = CanaryWatch(str(tmp_path), {"embeddings/a": contract("a")})
    made = {watch.watch("embeddings/a", encoder(prompt)) for prompt in ("", "passage: ", "p: ")}
    found = read_canary_reports(str(tmp_path))
    assert set(found) == made
    assert found == sorted(found, key=lambda each: repr(each.canaries))


def test_an_encoder_is_looked_at_once_for_each_table(tmp_path: Path) -> None:
    """Every table of an encoder has its report, and further batches cost nothing."""
    contracts = {f"embeddings/{name}": contract(name) for name in ("a", "b")}
    watched = WatchedTables(CanaryWatch(str(tmp_path), contracts), tuple(contracts))
    asked = encoder()
    assert watched.agree(asked)
    calls = asked.calls
    assert watched.agree(asked)
    assert asked.calls == calls
    assert [each.table for each in read_canary_reports(str(tmp_path))] == list(contracts)


def test_without_contracts_nothing_is_embedded() -> None:
    """A run that writes no vectors has none to compare, and trusts its encoder."""
    asked = encoder()
    assert WatchedTables(None, ("embeddings/a",)).agree(asked)
    assert asked.calls == 0
