"""A template's YAML from what was guessed: valid, commented, and the same for the same catalog.

Pure.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from pipelines.drafting.guess import Guess, LeftOut, guess, key_of, merged, with_roles
from pipelines.drafting.profile import Profile
from pipelines.drafting.record import Identity, PictureColumns, find_times, null_words
from pipelines.drafting.shapes import ONE_VALUE
from pipelines.monitoring.terminal import printable
from schemas.attribute_types.registry import AttributeType
from schemas.attributes import Attribute
from schemas.sections.inputs import InputDescription
from schemas.tables.columns import FIXED_ITEM_COLUMNS
from schemas.texts import one_line
from transforms.readers import ANYHOW

MAX_NAME_CHARS = 40
MAX_EXAMPLE_CHARS = 40
MAX_FLOW_VALUES = 12
FILLED_TYPES = frozenset(kind.value for kind in AttributeType if kind.spec.is_drafted_filled)
YAML_WIDTH = 110


@dataclass(frozen=True, slots=True)
class Drafted:
    """text: the YAML; attributes: (name, guess) of each that it has; left_out: columns that it does
    not read.
    """

    text: str
    attributes: tuple[tuple[str, Guess], ...]
    left_out: tuple[LeftOut, ...]


def draft(
    name: str,
    profile: Profile,
    identity: Identity,
    pictures: PictureColumns,
    image_table: tuple[str, str] | None,
    about: InputDescription = ANYHOW,
) -> Drafted:
    """Return the template of a catalog with this profile. about: how its files are written."""
    times = find_times(profile)
    taken = {identity.column, *pictures.columns, *times}
    found = [
        each
        for column in profile.columns.values()
        if column.name not in taken
        for each in guess(column, profile.records)
    ]
    guesses = with_roles(merged([each for each in found if isinstance(each, Guess)]))
    left_out = [each for each in found if isinstance(each, LeftOut)]
    named: list[tuple[str, Guess]] = []
    entries = CommentedSeq()
    has_texts = any("role" in each.options for each in guesses)
    for each in guesses:
        used = {name for name, _ in named}
        # A key alone, where no other column is called so.
        short = unused_name(key_of(each.source), set())
        attribute_name = unused_name(each.source if short in used else key_of(each.source), used)
        entry = _entry(
            attribute_name, each, has_texts=has_texts, has_pictures=bool(pictures.columns)
        )
        problem = _problem(entry)
        if problem:
            left_out.append(LeftOut(each.source, f"no attribute could be made of it: {problem}"))
            continue
        entries.append(entry)
        entries.yaml_set_comment_before_after_key(len(entries) - 1, before=_comment(each), indent=2)
        named.append((attribute_name, each))
    if not named:
        # A template needs an attribute; the id is there.
        entries.append(
            CommentedMap(name="title", type="string", role="title", **{"from": identity.column})
        )
        named.append(
            (
                "title",
                Guess(
                    identity.column, {"type": "string", "role": "title"}, 1.0, (), "nothing else"
                ),
            )
        )
    content = CommentedMap(
        name=name, version="1.0.0", description=f"Drafted from {profile.records:,} records."
    )
    if said := about.model_dump(mode="json", exclude_unset=True):
        content["input"] = said
    content["record"] = _record(profile, identity, pictures, image_table, times)
    formats = _formats([each for _, each in named])
    if formats:
        content["columns"] = formats
    content["attributes"] = entries
    return Drafted(
        _dumped(content, _head(profile, identity, pictures, left_out)),
        tuple(named),
        tuple(left_out),
    )


def unused_name(source: str, used: set[str]) -> str:
    """Return an attribute name for a raw column: ASCII, allowed, and not used yet.

    >>> taken = {"grosse_de"}
    >>> [unused_name(source, taken) for source in ("Net Weight (g)", "größe.de", "images")]
    ['net_weight_g', 'grosse_de_2', 'images_given']
    """
    plain = (
        unicodedata.normalize("NFKD", source.replace("ß", "ss")).encode("ascii", "ignore").decode()
    )
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
    if (
        entry["type"] in FILLED_TYPES
        and each.known_share < 0.995
        and has_texts
        and entry.get("in_text", True)
    ):
        entry["fill"] = True
        if has_pictures:
            entry["evidence"] = _flow(["text", "image"])
    return entry


def _flow(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    sequence = CommentedSeq(value)
    sequence.fa.set_flow_style()
    return sequence


def _problem(entry: CommentedMap) -> str:
    try:
        Attribute.model_validate(dict(entry))
    except ValidationError as error:
        return str(error.errors()[0]["msg"])
    return ""


def _record(
    profile: Profile,
    identity: Identity,
    pictures: PictureColumns,
    image_table: tuple[str, str] | None,
    times: Sequence[str],
) -> CommentedMap:
    record = CommentedMap(id=identity.column)
    if times:
        record["event_ts"] = _flow(list(times[:3]))
    nulls = list(null_words(profile))
    if nulls:
        record["null_values"] = _flow(["", *nulls])
    if pictures.columns or image_table:
        images = CommentedMap(columns=_flow(list(pictures.columns)))
        if pictures.separator:
            images["separator"] = pictures.separator
        if pictures.strip_prefix:
            images["strip_prefix"] = pictures.strip_prefix
        if image_table:
            images["table"] = CommentedMap(id=image_table[0], image=image_table[1])
        record["images"] = images
    return record


def _formats(guesses: Sequence[Guess]) -> CommentedMap:
    formats = CommentedMap()
    for each in guesses:
        for source, column_format in ((each.source, each.column_format), *each.more_formats):
            if column_format != ONE_VALUE:
                written = CommentedMap(column_format.model_dump(exclude_defaults=True, mode="json"))
                written.fa.set_flow_style()
                formats[source if column_format.format != "pairs" else source.partition(".")[0]] = (
                    written
                )
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


def _head(
    profile: Profile, identity: Identity, pictures: PictureColumns, left_out: Sequence[LeftOut]
) -> Iterator[str]:
    yield (
        f"Drafted by `catalog-enrich template init` from {profile.records:,} records; change what "
        "is wrong:"
    )
    yield (
        "closed lists have the values that were seen, `fill: true` lets a missing value be "
        "filled from texts and"
    )
    yield "pictures. `catalog-enrich template show product` explains every option."
    if identity.others:
        yield (
            f"The id is {_short(identity.column)}; unique too: "
            f"{', '.join(map(_short, identity.others))}."
        )
    if pictures.looked_at:
        yield f"Of {pictures.looked_at} picture files looked for, {pictures.found} were found."
    if left_out:
        yield ""
        yield "Not read:"
        yield from (f"  {_short(each.column)}: {_short(each.why, 100)}" for each in left_out)


def _dumped(content: CommentedMap, head: Iterator[str]) -> str:
    yaml = YAML()
    yaml.width = YAML_WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    sink = io.StringIO()
    yaml.dump(content, sink)
    return "".join(f"# {line}".rstrip() + "\n" for line in head) + "\n" + sink.getvalue()
