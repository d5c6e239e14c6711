"""Who finds whom across vector tables of one space, and across languages of one item.

A table's vectors are compared with another's where both say that they are in one space. Languages
are embedded again, one as queries and the other as documents, by the encoder that the table's
contract describes. Tables of earlier versions have no contract: there the encoder's name decides.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import cast

import numpy as np

from pipelines.evaluation.vectors.neighbours import (
    MIN_ITEMS,
    Figure,
    Scores,
    Space,
    by_item,
    figures_of,
    found_at,
    ranks,
)
from pipelines.evaluation.vectors.tables import VectorTable, read_items, read_space
from pipelines.snapshots.snapshot import Snapshot
from schemas.attributes import Attribute
from transforms.models import build_text_encoder
from transforms.models.backends import OWN_ENCODERS
from transforms.models.contract import Failure, ModelOptions, call_each
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import Role, TextEncoder, encoder_identity
from transforms.vectors.contract import NEVER_FROM_A_FILE, VectorContract
from transforms.vectors.fit import Encoders, fit

# Options of a recorded encoder that are those of the command line.
_OF_THIS_MACHINE = ("device", *NEVER_FROM_A_FILE)

# Language → item → text.
Texts = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched, and how.

    items: that are there; groups: item → group; chosen: those of some items that are asked about.
    """

    snapshot: Snapshot
    tables: Sequence[VectorTable]
    items: frozenset[str]
    groups: Mapping[str, str]
    ks: tuple[int, ...]
    seed: int
    chosen: Callable[[Collection[str]], Collection[str]]


# Across tables


def across_tables(search: Search, notes: list[str]) -> Iterator[Figure]:
    """Yield how often a vector of one table finds the same item in another of the same space."""
    shared = [
        (one, other)
        for one, other in permutations(search.tables, 2)
        if one.compared_by == other.compared_by
    ]
    if not shared:
        notes.append(
            "across tables: not measured, no two vector tables are in one space; a multimodal "
            "encoder (CLIP, SigLIP), named for both, puts texts and pictures into one"
        )
    for one, other in shared:
        from_, to = (
            read_space(search.snapshot, each.space, search.groups, search.items)
            for each in (one, other)
        )
        both = set(from_.ids) & set(to.ids)
        yield from _found(search, f"{one.space} finds {other.space}", from_.of(both), to.of(both))


def _found(search: Search, of: str, from_: Space, to: Space) -> Iterator[Figure]:
    """Yield figures of how often items of `from_` find themselves in `to`; both have the same."""
    chosen = search.chosen(from_.ids)
    # Those that are asked about come first, so that their own candidate is the one of their row.
    rows = sorted(range(len(to.ids)), key=lambda row: to.ids[row] not in chosen)
    queries = rows[: len(chosen)]
    places = ranks(from_.vectors[queries], to.vectors[rows])
    scores = found_at([from_.ids[row] for row in queries], places, search.ks)
    yield from figures_of("item found", of, scores, from_.group_of, search.seed)


# Across languages


def across_languages(
    search: Search, localized: Sequence[Attribute], models: ModelOptions, notes: list[str]
) -> Iterator[Figure]:
    """Yield how often the text of one language finds the item's text of another, by the encoder of
    each text table.

    models: options that all encoders share, where a recorded encoder is computed, and the encoder
    of a table without a contract.
    """
    if not localized:
        notes.append("across languages: not measured, the template has no localized attribute")
        return
    texts = {each.name: _texts_of(search, each) for each in localized}
    for encoder, tables in _text_encoders(search.tables, models, notes):
        for name, by_language in texts.items():
            yield from _between_languages(search, name, by_language, encoder, tables)


def _text_encoders(
    tables: Sequence[VectorTable], models: ModelOptions, notes: list[str]
) -> list[tuple[TextEncoder, str]]:
    """Return the loaded encoders of the text tables, each with the names of its tables; which
    tables have none, and why, is noted.
    """
    encoders = Encoders(models)
    found: dict[EncoderOptions, tuple[TextEncoder, list[str]]] = {}
    for table in tables:
        contract = table.contract
        if table.space != "text" if contract is None else contract.of != "text":
            continue
        try:
            options = models.text if contract is None else _options_of(contract, models.text)
            encoder = _proven(table, encoders, options)
        except ValueError as error:
            notes.append(f"across languages: not measured in {table.space}, {error}")
        else:
            found.setdefault(options, (encoder, []))[1].append(table.space)
    return [(encoder, ", ".join(names)) for encoder, names in found.values()]


def _options_of(contract: VectorContract, given: EncoderOptions) -> EncoderOptions:
    """Return the recorded encoder, computed where the command line says. Raises ContractError."""
    recorded = contract.options
    if recorded.backend in OWN_ENCODERS:
        return recorded
    here = {name: getattr(given, name) for name in _OF_THIS_MACHINE}
    return replace(recorded, **here)


def _proven(table: VectorTable, encoders: Encoders, options: EncoderOptions) -> TextEncoder:
    """Return the loaded encoder if it is the one that made the table. Raises ValueError."""
    contract = table.contract
    if contract is None:
        made_by = encoder_identity(build_text_encoder(encoders.models, options), options)
        if made_by != table.encoder:
            raise ValueError(
                f"--text-encoder is {made_by} and the table was made by {table.encoder}"
            )
    encoder = encoders.get(options, of_pictures=False)
    if contract is not None and contract.canaries:
        found = fit(contract, encoder, contract.canaries)
        if not found.fits:
            raise ValueError(f"{encoder.card.id} is not the encoder that made it: {found.problem}")
    return cast(TextEncoder, encoder)


def _texts_of(search: Search, attribute: Attribute) -> Texts:
    """Return the items' texts in each language that enough of them have."""
    texts: dict[str, dict[str, str]] = {}
    chosen = search.chosen(search.items)
    for row in read_items(search.snapshot, [attribute.name]):
        for language, text in row[attribute.name] or () if row["item_id"] in chosen else ():
            texts.setdefault(language, {})[row["item_id"]] = text
    return {
        language: by_item
        for language, by_item in sorted(texts.items())
        if len(by_item) >= MIN_ITEMS
    }


def _between_languages(
    search: Search, name: str, texts: Texts, encoder: TextEncoder, tables: str
) -> Iterator[Figure]:
    """Yield the mean over all pairs of languages, then each pair.

    name: of the attribute; tables: names of those that the encoder made.
    """
    card = encoder.card
    wanted = _encoded(search, texts, encoder, "document")
    asking = wanted
    if card.query_prompt != card.document_prompt:
        asking = _encoded(search, texts, encoder, "query")
    measured: list[Mapping[int, Scores]] = []
    figures: list[Figure] = []
    for one, other in permutations(texts, 2):
        both = set(asking[one].ids) & set(wanted[other].ids)
        if len(both) >= MIN_ITEMS:
            from_, to = asking[one].of(both), wanted[other].of(both)
            measured.append(found_at(from_.ids, ranks(from_.vectors, to.vectors), search.ks))
            of = f"{name}: {one} finds {other} ({tables})"
            figures += figures_of("text found", of, measured[-1], from_.group_of, search.seed)
    of = f"{name}: one language finds another ({tables})"
    for space in list(asking.values())[:1]:
        yield from figures_of("text found", of, by_item(measured), space.group_of, search.seed)
    yield from figures


def _encoded(search: Search, texts: Texts, encoder: TextEncoder, role: Role) -> dict[str, Space]:
    """Return language → vectors of the items' texts in it; texts that fail have none."""
    spaces = {}
    for language, by_item_id in texts.items():
        ids = sorted(by_item_id)
        answers = call_each(
            lambda batch: encoder.encode_texts(batch, role),
            [by_item_id[each] for each in ids],
            "embed-failed",
        )
        made = [(i, v) for i, v in zip(ids, answers, strict=True) if not isinstance(v, Failure)]
        vectors = np.array([vector for _, vector in made], np.float32)
        found = tuple(item_id for item_id, _ in made)
        spaces[language] = Space(language, found, vectors, search.groups)
    return spaces
