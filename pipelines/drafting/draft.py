"""A template's YAML from what was guessed: valid, commented, and the same for the same catalog.

Pure.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from pipelines.drafting.column_sets import column_sets
from pipelines.drafting.findings import Guess, LeftOut, key_of
from pipelines.drafting.guess import Around, columns_of_units, guess, merged
from pipelines.drafting.identity import Identity, is_counter
from pipelines.drafting.money import columns_of_currencies
from pipelines.drafting.names import has_word
from pipelines.drafting.pictures import PictureColumns, find_position
from pipelines.drafting.profile import Profile
from pipelines.drafting.roles import prices, with_roles
from pipelines.drafting.scalars import SCHEMES
from pipelines.drafting.shapes import ONE_VALUE
from pipelines.drafting.times import find_times, null_words
from pipelines.monitoring.terminal import printable
from schemas.attribute_types.registry import AttributeType
from schemas.attributes import Attribute
from schemas.sections.inputs import NONE, InputDescription
from schemas.tables.columns import FIXED_ITEM_COLUMNS
from schemas.template import LANGUAGE_MARK
from schemas.texts import one_line
from transforms.readers import ANYHOW

MAX_NAME_CHARS = 40
MAX_EXAMPLE_CHARS = 40
MAX_FLOW_VALUES = 12
MAX_NOTE_CHARS = 300
MAX_NAMED = 5
MAX_LEFT_OUT = 100
# Of a draft that somebody is to read.
MAX_ATTRIBUTES, MAX_SOURCE_CHARS = 1_000, 300
FILLED_TYPES = frozenset(kind.value for kind in AttributeType if kind.spec.is_drafted_filled)
YAML_WIDTH = 110


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found in a catalog.

    image_table: id and picture column of a table of pictures; about: how the files are written, as
    far as the template should say it; read_as: in words.
    """

    profile: Profile
    identity: Identity
    pictures: PictureColumns
    image_table: tuple[str, str] | None = None
    about: InputDescription = ANYHOW
    read_as: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drafted:
    """text: the YAML; attributes: (name, guess) of each that it has; left_out: columns that it does
    not read; notes: what it takes for the id, the title, the pictures and the price, and what it
    does not know.
    """

    text: str
    attributes: tuple[tuple[str, Guess], ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


def draft(name: str, seen: Seen) -> Drafted:
    """Return the template of a catalog."""
    profile, identity, pictures = seen.profile, seen.identity, seen.pictures
    times = find_times(profile)
    guesses, left_out = _guesses(seen, times)
    entries, named = _entries(
        guesses, left_out, has_pictures=bool(pictures.columns or pictures.pattern)
    )
    if not named:
        # A template needs an attribute; the id is there.
        kind = "localized" if LANGUAGE_MARK in identity.column else "string"
        entries.append(CommentedMap(name="given_id", type=kind, **{"from": identity.column}))
        options = {"type": kind}
        named.append(("given_id", Guess(identity.column, options, 1.0, (), "nothing else")))
    content = CommentedMap(
        name=name, version="1.0.0", description=f"Drafted from {profile.records:,} records."
    )
    if said := seen.about.model_dump(mode="json", exclude_unset=True):
        content["input"] = {key: NONE if value == "" else value for key, value in said.items()}
    content["record"] = _record(seen, times)
    formats = _formats([each for _, each in named])
    if formats:
        content["columns"] = formats
    content["attributes"] = entries
    notes = tuple(_notes(seen, named))
    return Drafted(
        _dumped(content, _head(profile, notes, left_out)), tuple(named), tuple(left_out), notes
    )


def _guesses(seen: Seen, times: Sequence[str]) -> tuple[list[Guess], list[LeftOut]]:
    columns = seen.profile.columns
    taken = {seen.identity.column, *seen.pictures.whole, *times, _position(seen)}
    ids = columns[seen.identity.column].texts if seen.identity.column in columns else {}
    around = Around(
        seen.profile.records, columns_of_units(columns), columns_of_currencies(columns), ids
    )
    found: list[Guess | LeftOut] = []
    if seen.identity.column in columns:
        # An id that is a code of trade is looked for as such, too.
        found += [
            each
            for each in guess(columns[seen.identity.column], replace(around, ids={}))
            if isinstance(each, Guess) and each.options.get("scheme") in SCHEMES
        ]
    together = {}
    for each_set in column_sets(seen.profile):
        if taken.isdisjoint(each_set.columns):
            taken.update(each_set.columns)
            together[min(each_set.columns, key=list(columns).index)] = each_set
    for column in columns.values():
        if column.name in together:
            found += together[column.name].found
        if column.name in taken:
            continue
        if is_counter(column):
            found.append(LeftOut(column.name, "the numbers of the rows"))
            continue
        found += [
            each
            for each in guess(column, around)
            if isinstance(each, LeftOut) or each.source not in taken
        ]
    kept, left_out = _within_bounds(found)
    return with_roles(merged(kept)), left_out


def _within_bounds(found: Sequence[Guess | LeftOut]) -> tuple[list[Guess], list[LeftOut]]:
    """Return what becomes attributes, and what does not, because of its name or of how many there
    are, too.
    """
    kept: list[Guess] = []
    left_out: list[LeftOut] = []
    for each in found:
        if isinstance(each, LeftOut):
            left_out.append(each)
        elif len(each.source) > MAX_SOURCE_CHARS:
            left_out.append(LeftOut(each.source, f"a name of {len(each.source):,} characters"))
        elif len(kept) >= MAX_ATTRIBUTES:
            left_out.append(LeftOut(each.source, f"behind {MAX_ATTRIBUTES:,} others"))
        else:
            kept.append(each)
    return kept, left_out


def _entries(
    guesses: Sequence[Guess], left_out: list[LeftOut], *, has_pictures: bool
) -> tuple[CommentedSeq, list[tuple[str, Guess]]]:
    """Return the attributes as they are written, and with their names; what is none is left
    out.
    """
    named: list[tuple[str, Guess]] = []
    entries = CommentedSeq()
    has_texts = any("role" in each.options for each in guesses)
    for each in guesses:
        used = {name for name, _ in named}
        # A key alone, where no other column is called so.
        short = unused_name(key_of(each.source), set())
        attribute_name = unused_name(each.source if short in used else key_of(each.source), used)
        entry = _entry(attribute_name, each, has_texts=has_texts, has_pictures=has_pictures)
        problem = _problem(entry)
        if problem:
            left_out.append(LeftOut(each.source, f"no attribute could be made of it: {problem}"))
            continue
        entries.append(entry)
        entries.yaml_set_comment_before_after_key(len(entries) - 1, before=_comment(each), indent=2)
        named.append((attribute_name, each))
    return entries, named


def unused_name(source: str, used: set[str]) -> str:
    """Return an attribute name for a raw column: ASCII, allowed, and not used yet.

    >>> taken = {"grosse_de"}
    >>> [unused_name(source, taken) for source in ("Net Weight (g)", "größe.de", "images")]
    ['net_weight_g', 'grosse_de_2', 'images_given']
    """
    # What stands in brackets counts only where it is letters or digits: "Weight (kg)".
    spaced = re.sub(r"(?<=[a-zß-öø-ÿ0-9])(?=[A-ZÀ-ÖØ-Þ])", " ", source.replace("ß", "ss"))
    plain = unicodedata.normalize("NFKD", spaced).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "_", plain.casefold()).strip("_")[:MAX_NAME_CHARS].strip("_")
    name = re.sub(r"^(?=[^a-z]|$)", "column_", name).strip("_")
    name = f"{name}_given" if name in FIXED_ITEM_COLUMNS or name == "item" else name
    candidate, number = name, 1
    while candidate in used:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def _entry(name: str, each: Guess, *, has_texts: bool, has_pictures: bool) -> CommentedMap:
    options = dict(each.options)
    entry = CommentedMap(name=name, type=options.pop("type"))
    if "role" in options:
        entry["role"] = options.pop("role")
    entry["from"] = _flow(options.pop("from", each.source))
    for key, value in options.items():
        entry[key] = (
            _flow(value) if isinstance(value, list) and len(value) <= MAX_FLOW_VALUES else value
        )
    if has_texts and each.known_share < 0.995 and _may_be_filled(entry, each):
        entry["fill"] = True
        if has_pictures:
            entry["evidence"] = _flow(["text", "image"])
    return entry


def _may_be_filled(entry: CommentedMap, each: Guess) -> bool:
    """Return whether a wrong value is unlikely enough: no bare number, and nothing that the shop
    decides.
    """
    is_bare = entry["type"] == "number" and "unit" not in entry
    of_shop = has_word(key_of(each.source), "switches") or has_word(key_of(each.source), "price")
    return entry["type"] in FILLED_TYPES and entry.get("in_text", True) and not (is_bare or of_shop)


def _flow(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    sequence = CommentedSeq(map(_unmistakable, value))
    sequence.fa.set_flow_style()
    return sequence


def _unmistakable(value: Any) -> Any:
    """Return the value, a text in quotes where YAML could read its first sign as its own: `[?a]`
    is a key to some.
    """
    is_sign = isinstance(value, str) and value[:1] in ("?", ":", "-")
    return DoubleQuotedScalarString(value) if is_sign else value


def _problem(entry: CommentedMap) -> str:
    sources = [entry["from"]] if isinstance(entry["from"], str) else entry["from"]
    if entry["type"] != "localized" and any(LANGUAGE_MARK in source for source in sources):
        return f"{LANGUAGE_MARK} in a name stands for languages"
    try:
        Attribute.model_validate(dict(entry))
    except ValidationError as error:
        return str(error.errors()[0]["msg"])
    return ""


def _record(seen: Seen, times: Sequence[str]) -> CommentedMap:
    pictures, image_table = seen.pictures, seen.image_table
    record = CommentedMap(id=seen.identity.column)
    position = _position(seen)
    if seen.identity.above:
        record["group"] = record["fill_down"] = seen.identity.above
    elif _has_groups(seen):
        record["group"] = seen.identity.column
    if times:
        record["event_ts"] = _flow(list(times[:3]))
    nulls = list(null_words(seen.profile))
    if nulls:
        record["null_values"] = _flow(["", *nulls])
    if pictures.columns or pictures.pattern or image_table:
        images = CommentedMap(columns=_flow(list(pictures.columns)))
        if pictures.pattern:
            images["pattern"] = pictures.pattern
        if pictures.separator:
            images["separator"] = pictures.separator
        if pictures.strip_prefix:
            images["strip_prefix"] = pictures.strip_prefix
        if position:
            images["position"] = position
        if image_table:
            images["table"] = CommentedMap(id=image_table[0], image=image_table[1])
        record["images"] = images
    return record


def _has_groups(seen: Seen) -> bool:
    """Return whether rows that share an id are known to be one item."""
    return seen.identity.is_grouped and seen.identity.is_known


def _position(seen: Seen) -> str:
    """Return the column that numbers the pictures of an item whose rows have one each."""
    return find_position(seen.profile) if _has_groups(seen) and seen.pictures.columns else ""


def _formats(guesses: Sequence[Guess]) -> CommentedMap:
    formats = CommentedMap()
    for each in guesses:
        first = (each.column or each.source, each.column_format)
        for source, column_format in (first, *each.more_formats):
            if column_format != ONE_VALUE:
                written = CommentedMap(column_format.model_dump(exclude_defaults=True, mode="json"))
                written.fa.set_flow_style()
                formats[source] = written
    return formats


def _comment(each: Guess) -> str:
    examples = "; ".join(_short(example) for example in each.examples)
    return _short(
        f"known for {each.known_share:.0%}: {each.why}"
        + (f", such as {examples}" if examples else ""),
        160,
    )


def _short(text: str, most: int = MAX_EXAMPLE_CHARS) -> str:
    return printable(one_line(text, most))


def _notes(seen: Seen, named: Sequence[tuple[str, Guess]]) -> Iterator[str]:
    """Yield what the draft takes for the id, the title, the pictures and the price, or that it does
    not know.
    """
    identity, pictures = seen.identity, seen.pictures
    for way in seen.read_as:
        yield f"read as {_short(way, MAX_NOTE_CHARS)}"
    doubt = "" if identity.is_known else "not known; taken for now: "
    unique = ", ".join(map(_short, identity.others))
    yield (
        f"id: {doubt}{_short(identity.column)}"
        + (f"; unique too: {unique}" if unique else "")
        + (f"; {_short(identity.note, MAX_NOTE_CHARS)}" if identity.note else "")
    )
    title = next((each.source for _, each in named if each.options.get("role") == "title"), None)
    texts = [name for name, each in named if each.options["type"] == "string"]
    hint = f" one of {', '.join(texts[:MAX_NAMED])}" if texts else " the attribute that is one"
    yield (
        f"title: {_short(title)}"
        if title
        else (f"title: not known, no column is called so; give role: title to{hint}")
    )
    columns = ", ".join(map(_short, pictures.columns))
    if pictures.looked_at:
        columns += f" ({pictures.found} of {pictures.looked_at} files looked for were found)"
    if pictures.pattern:
        columns = f"{_short(pictures.pattern)}, files that are called as the ids are"
    if seen.image_table:
        columns += f"{'; ' if columns else ''}table of pictures"
    yield f"pictures: {columns or 'not known, no column names picture files; see record.images'}"
    guesses = [each for _, each in named]
    found = ", ".join(
        _short(each.source)
        + (" (in what currency is not known)" if each.options["type"] == "number" else "")
        for each in prices(guesses)
    )
    yield f"price: {found or 'not known, no column with amounts is called so'}"


def _head(profile: Profile, notes: Sequence[str], left_out: Sequence[LeftOut]) -> Iterator[str]:
    yield (
        f"Drafted by `catalog-enrich template init` from {profile.records:,} records; change what "
        "is wrong:"
    )
    yield (
        "closed lists have the values that were seen, `fill: true` lets a missing value be "
        "filled from texts and"
    )
    yield "pictures. `catalog-enrich template show product` explains every option."
    yield ""
    yield from notes
    if left_out:
        yield ""
        yield "Not read:"
        shown = left_out[:MAX_LEFT_OUT]
        yield from (f"  {_short(each.column)}: {_short(each.why, 100)}" for each in shown)
        if len(left_out) > len(shown):
            yield f"  and {len(left_out) - len(shown):,} more"


def _dumped(content: CommentedMap, head: Iterator[str]) -> str:
    yaml = YAML()
    yaml.width = YAML_WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    sink = io.StringIO()
    yaml.dump(content, sink)
    return "".join(f"# {line}".rstrip() + "\n" for line in head) + "\n" + sink.getvalue()
