"""Everything that reads a text from outside: name → a function of the text.

What is here is held to a time that grows with the text (benchmarks/growth.py, and a test of it). A
new parser takes its place in `parsers`.
"""

from __future__ import annotations

import json
import tempfile
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from pipelines.drafting.scalars import unit_of_header
from pipelines.drafting.shapes import shape_of
from schemas.elements import ImageFeatures, ImageResult, Item, RawRecord, Record
from schemas.loading import load_template
from schemas.questions import CONFIDENCE_KEY, SEEN_KEY, Question, answer_schema
from schemas.secrets import masked
from schemas.template import ColumnFormat, Template
from transforms.consistency.shared_content import item_digests
from transforms.consistency.within_item import check_item
from transforms.describe.answers import read_answer
from transforms.describe.fitting import fit
from transforms.describe.prompts import AskOptions, describe_job
from transforms.embed import chunking
from transforms.extraction import cells, identifiers, plain_text, quantities, text_repair, tokens
from transforms.extraction.compounds import find_parts, states_a_pack, states_sides
from transforms.extraction.dates.formats import moment_readings, read_formatted
from transforms.extraction.dates.written import date_readings, find_dates
from transforms.extraction.decimal_marks import column_mark, text_mark
from transforms.extraction.money.amounts import read_money
from transforms.extraction.money.mentions import find_money
from transforms.extraction.structures.json_repair import mend_json
from transforms.extraction.structures.parse import parse_structure
from transforms.fill.cascade import fill_item
from transforms.fill.rules import RuleStep
from transforms.images import references
from transforms.images.remote.addresses import why_forbidden
from transforms.items.evidence import find_statements
from transforms.items.identity import item_fingerprint
from transforms.items.text import compose_item
from transforms.models.answer_text import find_objects
from transforms.models.chat import ChatAnswer
from transforms.models.http.messages import quoted, redact
from transforms.models.http.waits import retry_after_secs, wait_secs
from transforms.models.logprobs import value_probabilities
from transforms.normalise import column_names, ids, picture_texts, timestamps
from transforms.normalise.column_currencies import currency_of_name
from transforms.normalise.records import Normaliser
from transforms.probes.features import base_features, example_of
from transforms.probes.spans import features_of, passages
from transforms.readers.formats.json_lists import lists_in
from transforms.readers.registry import read_split
from transforms.readers.splits import plan_splits

Parser = Callable[[str], Any]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^[a-z]+$"}}}
RAW = RawRecord(b"", "jsonl", "catalog.jsonl", 1)
# Wide enough that what bounds a text in a catalog does not hide what its parsers do.
LONGEST = 50_000_000


def parsers() -> dict[str, Parser]:
    """Name → what reads a text; what it raises counts as read."""
    return {**_answers(), **_cells(), **_texts(), **_names(), **_whole_records(), **_files()}


def _answers() -> dict[str, Parser]:
    template = load_template("product")
    question = Question(tuple(a for a in template.attributes if a.fill), places=("title",))
    listed = Question((template.by_name["color"],), places=("title",))
    schema, schema_of_list = answer_schema(question), answer_schema(listed)
    return {
        "answer: read": lambda text: read_answer(ChatAnswer(text, "stop"), schema),
        "answer: value": lambda text: read_answer(_said(question, text), schema),
        "answer: list": lambda text: read_answer(_said(listed, list(text)), schema_of_list),
        "answer: keys": lambda text: read_answer(
            _said(question, {f"{place}{sign}": sign for place, sign in enumerate(text)}), schema
        ),
        "message: masked": masked,
        "answer: wait": lambda text: retry_after_secs(text, datetime.now(UTC)),
        "answer: wait, in its body": lambda text: wait_secs(
            {}, text.encode("utf-8", "replace"), datetime.now(UTC)
        ),
        "answer: objects": find_objects,
        "answer: probabilities": lambda text: value_probabilities(
            text, [{"token": text[: len(text) // 2], "logprob": -1.0}] * 2
        ),
        "answer: probabilities of signs": lambda text: value_probabilities(
            '{"a": "' + text + '"}', [{"token": sign, "logprob": -1.0} for sign in text]
        ),
        "answer: fit": lambda text: fit({"a": text}, SCHEMA),
        "answer: error body": lambda text: quoted(text.encode("utf-8", "replace"), "sk-1"),
        "answer: redacted": lambda text: redact(text, "sk-1"),
    }


def _said(question: Question, value: Any) -> ChatAnswer:
    """Return an answer that says the same of every attribute."""
    said: dict[str, Any] = {}
    for attribute in question.attributes:
        name = attribute.name
        said |= {name: value, name + CONFIDENCE_KEY: "likely", name + SEEN_KEY: "title"}
    return ChatAnswer(json.dumps(said), "stop")


def _cells() -> dict[str, Parser]:
    split = ColumnFormat(format="pairs", separator=";", key_separator=":")
    found = ColumnFormat(format="pairs")
    fields = ColumnFormat(format="pairs", separator=",", key_separator=":", fields="name:value")
    return {
        "cell: structure": parse_structure,
        "cell: JSON": lambda text: mend_json(text.encode("utf-8", "replace")),
        "cell: list": lambda text: cells.split_list(text, split),
        "cell: pairs": lambda text: cells.as_mapping(text, split),
        "cell: pairs, marks found": lambda text: cells.as_mapping(text, found),
        "cell: fields": lambda text: cells.as_mapping(text, fields),
        "cell: pictures": lambda text: cells.split_paths(text, split),
        "cell: picture bytes": picture_texts.picture_bytes,
        "cell: picture names": lambda text: list(
            picture_texts.joined(text.split(","), ",", lambda _: False)
        ),
        "cell: reference": lambda text: deque(references.readings(text, "/root"), maxlen=1),
        "cell: reference, shown": references.shown,
        "cell: address": why_forbidden,
        "cell: description": picture_texts.without_description,
        "cell: number": quantities.parse_number,
        "cell: amount": lambda text: quantities.parse_quantity(text, "g"),
        "cell: money": read_money,
        "cell: date": date_readings,
        "cell: date, formats": lambda text: read_formatted(text, ("DD.MM.YYYY", "YYYY-MM-DD")),
        "cell: moment": timestamps.is_moment,
        "cell: moments": moment_readings,
        "cell: repair": text_repair.repair,
        "cell: identifier": lambda text: identifiers.normalise_identifier("gtin", text),
        "cell: id": lambda text: ids.check_id("sku", text),
        "cells: marks": lambda text: column_mark([text, "1.5"]),
        "cells: shape": lambda text: shape_of([text, text[::-1]]),
    }


def _texts() -> dict[str, Parser]:
    template = load_template("product")
    # One of each type: the others are read by the same rules.
    of_types = {a.type: a for a in reversed(template.attributes) if a.rules}
    return {
        "text: plain": plain_text.to_plain_text,
        "text: line": plain_text.to_single_line,
        "text: tokens": tokens.find_tokens,
        "text: mark": text_mark,
        "text: amounts": lambda text: quantities.find_quantities(text, "g"),
        "text: numbers": quantities.find_numbers,
        "text: dates": find_dates,
        "text: money": lambda text: find_money(text, 0),
        "text: identifiers": lambda text: identifiers.find_identifiers("gtin", text),
        "text: isbn": lambda text: identifiers.find_identifiers("isbn", text),
        "text: packs": states_a_pack,
        "text: sides": states_sides,
        "text: parts": lambda text: find_parts(text, "each", "g"),
        "text: dimensions": lambda text: find_parts(text, "length", "cm"),
        "text: pieces": lambda text: chunking.divide(text, _count, 64),
        **{
            f"text: states {attribute.name}": partial(find_statements, template, attribute)
            for attribute in of_types.values()
        },
    }


def _count(texts: Any) -> list[int]:
    return [len(text.split()) + len(text) // 4 for text in texts]


def _names() -> dict[str, Parser]:
    return {
        "name: spellings": column_names.spellings,
        "name: unit": unit_of_header,
        "name: currency": currency_of_name,
        "name: list": lambda text: list(lists_in(text.encode("utf-8", "replace"))),
    }


def _whole_records() -> dict[str, Parser]:
    return {
        f"record: {name}": partial(_through, template)
        for name in ("product", "grocery", "films")
        for template in [_without_lengths(load_template(name))]
    }


def _without_lengths(template: Template) -> Template:
    attributes = [a.model_copy(update={"max_length": LONGEST}) for a in template.attributes]
    return template.model_copy(update={"attributes": tuple(attributes)})


@lru_cache(maxsize=8)
def _columns(name: str) -> tuple[str, ...]:
    template = load_template(name)
    written = {source.split(".")[0] for a in template.attributes for source in a.from_[:1]}
    return tuple(sorted(written - set(template.record.id)))


def _through(template: Template, text: str) -> Item | None:
    """Take a record that has the text in every column through all stages that look at it."""
    given = dict.fromkeys(_columns(template.name), text)
    record = _normaliser(template.name).normalise(RAW, {template.record.id[0]: "1", **given})
    if not isinstance(record, Record):
        return None
    features = ImageFeatures("d", "f0f0f0f0f0f0f0f0", 9, 9, "JPEG", 1, text=text[::-1])
    item = Item(record, (ImageResult("d.jpg", features),))
    item = fill_item(template, [RuleStep(template, {})], item)
    check_item(template, item)
    item_digests(template, item, 0)
    item_fingerprint(item)
    describe_job(template, AskOptions(), item, 0)
    example = example_of(template, item)
    base_features(template, [example])
    for passage in passages(example, set()):
        features_of(passage, ())
    return compose_item(template, item)


@lru_cache(maxsize=8)
def _normaliser(name: str) -> Normaliser:
    return Normaliser(_without_lengths(load_template(name)))


def _files() -> dict[str, Parser]:
    endings = {"csv": ".csv", "tsv": ".tsv", "json": ".json", "JSON lines": ".jsonl", "xml": ".xml"}
    return {f"file: {name}": partial(_read_file, ending) for name, ending in endings.items()}


def _read_file(ending: str, text: str) -> int:
    """Read a file that holds the text behind a usual beginning; returns how many records it has."""
    beginnings = {
        ".csv": "sku,name,price\n1,Mug,2\n2,",
        ".tsv": "sku\tname\tprice\n1\tMug\t2\n2\t",
        ".json": '[{"sku": "1", "name": "Mug"}, {"sku": "2", "name": ',
        ".jsonl": '{"sku": "1", "name": "Mug"}\n{"sku": "2", "name": ',
        ".xml": "<items><item><sku>1</sku></item><item><sku>2</sku><name>",
    }
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"catalog{ending}")
        path.write_bytes((beginnings[ending] + text).encode("utf-8", "replace"))
        for split in plan_splits([str(path)]):
            for _ in read_split(split):
                count += 1
    return count
