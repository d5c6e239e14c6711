"""The contract of a vector table: what it says, and that it comes back as it was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas.sections.vectors import VectorSpec
from tests.support import encoder_card
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import EncoderCard
from transforms.runtime.sealed import DamagedFileError
from transforms.vectors.canaries import Canary
from transforms.vectors.contract import (
    CONTRACTS,
    ContractError,
    VectorContract,
    as_text,
    contract_of,
    of_text,
    parse_contracts,
    query_lines,
    space_of,
    write_contracts,
)

OPTIONS = EncoderOptions(
    "fake", model="some/encoder", query_prompt="query: ", endpoint="http://a/v1"
)
TEXT = VectorSpec(name="text", of="text", parts=("title", "brand"))
CARD = encoder_card("some/encoder", revision="7", query_prompt="query: ", max_tokens=512)


def contract(card: EncoderCard = CARD, options: EncoderOptions = OPTIONS) -> VectorContract:
    return contract_of(TEXT, card, options, "some/encoder 7")


def test_a_contract_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """One line of JSON in the schema metadata and one entry of the file, canaries included."""
    canary = Canary("text", "document", 'a "mug" – 茶', (0.6, -0.8))
    written = replace(contract(), canaries=(canary,))
    assert of_text(as_text(written), "here") == written
    assert "\n" not in as_text(written)
    other = replace(written, table="embeddings/other", canaries=())
    both = {each.table: each for each in (written, other)}
    data = write_contracts(str(tmp_path), both)
    assert (tmp_path / CONTRACTS).read_bytes() == data
    assert parse_contracts(data, CONTRACTS) == both
    assert len(data.splitlines()) == len(both) + 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"embeddings/text": {"table": 1}}', "\xff"])
def test_a_damaged_file_is_one_clear_error(content: str) -> None:
    """Whatever half a file brings, the message names it and is one line."""
    with pytest.raises(DamagedFileError, match=r"vectors\.json is damaged") as raised:
        parse_contracts(content.encode("latin-1"), CONTRACTS)
    assert "\n" not in str(raised.value)
    with pytest.raises(ContractError, match=r"b\.parquet: what its vectors are cannot be read"):
        of_text(content.encode("latin-1"), "b.parquet")


def test_what_queries_need_is_told_by_modality() -> None:
    """A query has its own prompt; an encoder of pictures and texts is found by both."""
    found = contract()
    assert (found.document.prompt, found.document.max_tokens) == ("", 512)
    assert [(each.modality, each.prompt) for each in found.queries] == [("text", "query: ")]
    (line,) = query_lines(found)
    assert "some/encoder@7" in line
    assert "'query: '" in line
    clip = replace(CARD, modalities=("text", "image"))
    image = VectorSpec(name="image", of="image")
    shown = contract_of(image, clip, OPTIONS, "some/encoder 7")
    assert (shown.document.modality, shown.document.prompt) == ("image", "")
    assert [(each.modality, each.prompt) for each in shown.queries] == [
        ("image", ""),
        ("text", "query: "),
    ]
    assert shown.long_texts == ""


def test_texts_and_pictures_of_one_model_share_a_space() -> None:
    """The space follows from the weights, not from what is embedded, prompts or limits."""
    same = (
        replace(CARD, document_prompt="passage: ", query_prompt=""),
        replace(CARD, max_tokens=77, dtype="bfloat16", library="other 9"),
        replace(CARD, modalities=("image",)),
    )
    assert {space_of(each) for each in same} == {space_of(CARD)}
    others = (
        replace(CARD, id="some/other"),
        replace(CARD, revision="8"),
        replace(CARD, weights_sha256="0" * 64),
        replace(CARD, pooling="cls"),
        replace(CARD, dimension=32),
    )
    assert len({space_of(each) for each in (CARD, *others)}) == 1 + len(others)


def test_the_space_of_known_encoders_stays_what_it_is() -> None:
    """Ids are kept in snapshots and in readers' configurations, so they never change."""
    assert space_of(CARD) == "encoder-46d39c7c5a42"
    assert contract().digest == "066055be4efdd0aab15395b2fa3cc2e32c0bf6bfb6789803432474151f55925d"


@pytest.mark.parametrize(
    "change",
    [
        {"revision": "8"},
        {"weights_sha256": "0" * 64},
        {"document_prompt": "passage: "},
        {"query_prompt": ""},
        {"pooling": "cls"},
        {"max_tokens": 256},
        {"dimension": 32},
        {"dtype": "bfloat16"},
    ],
    ids=str,
)
def test_whatever_moves_a_vector_moves_the_digest(change: dict[str, Any]) -> None:
    """A table of another digest is rebuilt."""
    assert contract(replace(CARD, **change)).digest != contract().digest


def test_composition_moves_the_digest_and_libraries_do_not() -> None:
    """Other parts, another order and other treatment of long texts are other vectors; an update of
    a library and the place of the model are not.
    """
    kept = contract().digest
    reordered = replace(contract(), parts=("brand", "title"))
    assert reordered.digest != kept
    assert contract(options=replace(OPTIONS, long_texts="pool")).digest != kept
    assert contract(replace(CARD, library="fake 2")).digest == kept
    assert contract(options=replace(OPTIONS, endpoint="http://b/v1", batch_tokens=1)).digest == kept
    assert replace(contract(), canaries=(Canary("text", "query", "x", (1.0,)),)).digest == kept
    assert replace(contract(), identity="of another description").digest != kept


def test_the_encoder_is_built_again_from_what_was_kept() -> None:
    """Options come back; of a URL with a user, which may hold a password, nothing is kept."""
    assert contract().options == replace(OPTIONS, endpoint="")
    assert contract().built_with["endpoint"] == OPTIONS.endpoint
    secret = replace(OPTIONS, endpoint="http://me:secret@a/v1")
    assert "secret" not in as_text(contract(options=secret))
    later = replace(contract(), built_with={"backend": "fake", "of_tomorrow": 1})
    with pytest.raises(ContractError, match="of_tomorrow"):
        _ = later.options


def test_a_file_permits_nothing() -> None:
    """A table from anybody decides neither which code is run nor which server gets a key."""
    options = replace(OPTIONS, api_key_env="OTHER", vllm_args="--x", remote_code=True)
    found = contract(options=options)
    assert found.built_with.keys() >= {"endpoint", "api_key_env", "vllm_args", "remote_code"}
    assert found.options == replace(OPTIONS, endpoint="")
