"""`catalog-enrich inspect`: one item's whole story in a terminal."""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from PIL import Image
from rich.console import Console
from rich.style import Style
from rich.text import Text

from pipelines.commands.command import Command
from pipelines.commands.exits import Exit
from pipelines.commands.snapshot_option import (
    add_snapshot_option,
    existing_output,
    snapshot_of,
)
from pipelines.commands.source_rows import ItemRows, add_rows_option, row_lines, rows_of_items
from pipelines.configuration.errors import ConfigError
from pipelines.monitoring.terminal import print_json, print_warnings, printable
from pipelines.snapshots.history import list_folders
from pipelines.snapshots.item_history import SetAside, Story, Value, Version, near_ids, story_of
from pipelines.snapshots.layout import kept_pictures
from schemas.reasons import REASONS
from schemas.secrets import without_secrets
from schemas.texts import shorten
from transforms.images.decode import decode
from transforms.images.files import ImageLimits, PictureProblem
from transforms.images.finding import Pictures

PICTURE_COLUMNS = 36
# Half blocks show two pixels a character, one above the other.
HALF_BLOCK = "▀"
MAX_PICTURES = 3
MAX_ROWS = 50
MAX_SHOWN_CHARS = 300
CONTEXT_CHARS = 60


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("item_id", metavar="ITEM_ID", help="the item, by its id")
    parser.add_argument(
        "--output",
        type=existing_output,
        required=True,
        metavar="DIR",
        help="folder of the snapshots: the --output of a run",
    )
    add_snapshot_option(parser)
    parser.add_argument(
        "--images-root",
        metavar="DIR",
        help="folder of the pictures (default: that of the run that made the snapshot)",
    )
    parser.add_argument(
        "--no-pictures", action="store_true", help="show no pictures in the terminal"
    )
    add_rows_option(parser)
    parser.add_argument(
        "--history",
        type=int,
        default=10,
        metavar="N",
        help="snapshots to look back to (default: %(default)s)",
    )


def _inspect(options: argparse.Namespace) -> Exit:
    if options.history < 0:
        raise ConfigError(
            [f"--history {options.history} is negative; write how many snapshots to look back to"]
        )
    info = snapshot_of(options)
    infos, broken = list_folders(options.output)
    if options.history:
        print_warnings(f"{each.path} is left out of its history: {each.problem}" for each in broken)
    story = story_of(info, options.item_id, infos[-options.history :] if options.history else [])
    if not story.row and not story.set_aside:
        close = near_ids(info, options.item_id)
        hint = (
            f"; did you mean {', '.join(close)}?"
            if close
            else f"; `catalog-enrich tables {options.output} --head 3`"
        )
        raise ConfigError([f"{info.run_id} has no item {options.item_id!r}{hint}"])
    rows = ItemRows()
    if not options.no_rows:
        rows = rows_of_items(info, [story.item_id]).get(story.item_id, rows)
    if options.json:
        print_json(
            {**{each.name: getattr(story, each.name) for each in fields(story)}, "rows": rows}
        )
    else:
        root = options.images_root or info.manifest.images_root
        pictures = Pictures(root, kept_pictures(info.path))
        _print(story, rows, None if options.no_pictures else pictures)
    return Exit.DONE if story.row else Exit.REFUSED


def _print(story: Story, rows: ItemRows, pictures: Pictures | None) -> None:
    console = Console(highlight=False)
    console.print(Text(printable(f"{story.item_id} in {story.run_id}"), style="bold"))
    for title, lines in (
        ("Given by the source", [line for value in story.values for line in _given(value)]),
        ("Filled", [line for value in story.values for line in _filled(value, story.row)]),
        ("Unknown", [line for value in story.values for line in _unknown(value)]),
        ("Flags", [line for flag in story.flags for line in _flag(flag)]),
        ("Rows", [Text(f"  {printable(line)}") for line in row_lines(rows, MAX_ROWS)]),
        ("In quarantine", [line for row in story.set_aside for line in _aside(row)]),
    ):
        _section(console, title, lines)
    _pictures(console, story, pictures)
    near = [
        Text(f"  {n.similarity:.3f}  {printable(n.item_id)}  {_short(n.title)}")
        for n in story.neighbours
    ]
    _section(console, "Nearest items by text", near)
    _section(console, "History", [line for version in story.versions for line in _version(version)])


def _section(console: Console, title: str, lines: list[Text]) -> None:
    if lines:
        console.print(Text(f"\n{title}", style="bold cyan"))
    for line in lines:
        console.print(line, soft_wrap=True)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else "" if value is None else repr(value)
    return printable(shorten(text, MAX_SHOWN_CHARS))


def _given(value: Value) -> Iterator[Text]:
    if value.given is not None:
        line = Text(f"  {value.attribute}: {_short(value.given)}")
        if (
            value.value is not None
            and value.value != value.given
            and str(value.value) != value.given
        ):
            line.append(f"  -> {_short(value.value)}", style="dim")
        yield line


def _filled(value: Value, row: Mapping[str, Any]) -> Iterator[Text]:
    if value.value is None or value.source in (None, "record"):
        return
    line = Text(f"  {value.attribute}: {_short(value.value)}", style="green")
    line.append(
        f"  {value.source}, {printable(str(value.method))}, {value.confidence or 0:.2f}",
        style="dim",
    )
    yield line
    yield from _evidence(value.evidence or {}, row)


def _evidence(evidence: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[Text]:
    """Yield the span that a value was seen in, marked within its text; or the picture."""
    begin, end, field = evidence.get("begin"), evidence.get("end"), evidence.get("field")
    whole = row.get(str(field))
    if (
        isinstance(whole, str)
        and begin is not None
        and end is not None
        and whole[begin:end] == evidence.get("text")
    ):
        line = Text(f"    {field}: ", style="dim")
        line.append(
            printable(
                ("..." if begin > CONTEXT_CHARS else "")
                + whole[max(0, begin - CONTEXT_CHARS) : begin]
            )
        )
        line.append(f"«{printable(whole[begin:end])}»", style="bold black on yellow")
        line.append(
            printable(
                whole[end : end + CONTEXT_CHARS]
                + ("..." if len(whole) > end + CONTEXT_CHARS else "")
            )
        )
        yield line
    elif evidence.get("text"):
        yield Text(f"    {printable(str(field))}: «{_short(evidence['text'])}»", style="dim")
    if evidence.get("image"):
        yield Text(f"    picture {printable(str(evidence['image']))[:12]}", style="dim")


def _unknown(value: Value) -> Iterator[Text]:
    if value.value is None:
        line = Text(
            f"  {value.attribute}: {value.reason or 'unknown'}",
            style="yellow" if value.candidate else "dim",
        )
        if value.candidate:
            line.append(f", considered {_short(value.candidate)} ({value.confidence or 0:.2f})")
        yield line


def _flag(flag: Mapping[str, Any]) -> Iterator[Text]:
    # A flag of a picture names its address.
    field = printable(without_secrets(str(flag["field"])))
    yield Text(f"  {flag['reason']} ({field}): {_short(flag['detail'])}", style="yellow")
    if flag["reason"] in REASONS:
        yield Text(f"    {REASONS[flag['reason']].fix}", style="dim")


def _aside(row: SetAside) -> Iterator[Text]:
    yield Text(f"  {row.reason} ({row.stage}): {_short(row.message)}", style="red")
    yield Text(f"    to do: {row.fix}", style="dim")
    yield Text(f"    from {printable(row.source)}: {printable(row.raw)}", style="dim")


def _version(version: Version) -> Iterator[Text]:
    made = f", row of {version.created}" if version.created else ""
    refused = "" if version.published else ", refused by the gate"
    yield Text(f"  {version.run_id}: {version.fate}{made}{refused}")
    if version.problem:
        yield Text(f"    {printable(version.problem)}", style="red")
    for change in version.changes:
        now = f"{_short(change.after) or 'nothing'} ({change.source or 'unknown'})"
        yield Text(
            f"    {change.attribute}: {_short(change.before) or 'nothing'} -> {now}", style="dim"
        )


def _pictures(console: Console, story: Story, pictures: Pictures | None) -> None:
    if story.pictures:
        console.print(Text("\nPictures", style="bold cyan"))
    for number, picture in enumerate(story.pictures):
        path = printable(without_secrets(picture["path"]))
        console.print(Text(f"  {path}: {_about(picture)}"), soft_wrap=True)
        if pictures and number < MAX_PICTURES and picture["digest"] and _shows_pictures(console):
            drawn = _drawn(pictures, picture["path"], picture["digest"])
            if drawn is not None:
                console.print(drawn)


def _about(picture: Mapping[str, Any]) -> str:
    if picture["digest"] is None:
        return printable(f"{picture['reason']}, {picture['message']}")
    labels = ", ".join(
        f"{each['name']} {each['score']:.0%}" for each in (picture["labels"] or ())[:3]
    )
    colors = ", ".join(
        f"{each['name']} {each['score']:.0%}" for each in (picture["colors"] or ())[:3]
    )
    parts = [
        f"{picture['width_px']} x {picture['height_px']} px",
        picture["format"],
        labels,
        colors,
    ]
    parts += [f"text: {picture['text']}"] if picture["text"] else []
    return printable("; ".join(part for part in parts if part))


def _shows_pictures(console: Console) -> bool:
    """Return whether coloured half blocks can be seen: a terminal with 256 colours at least."""
    return (
        console.is_terminal
        and console.color_system in ("256", "truecolor")
        and not os.environ.get("NO_COLOR")
    )


def _drawn(pictures: Pictures, path: str, digest: str) -> Text | None:
    data = pictures.read_known(path, digest, ImageLimits())
    if isinstance(data, PictureProblem):
        return None
    decoded = decode(data, hashlib.sha256(data).hexdigest(), ImageLimits(), 4 * PICTURE_COLUMNS)
    return (
        None
        if isinstance(decoded, PictureProblem)
        else half_blocks(decoded.picture.image, PICTURE_COLUMNS)
    )


def _hex_color(image: Image.Image, x: int, y: int) -> str:
    """Return the color of an RGB image's pixel, as in "#ff0000"."""
    return "#{:02x}{:02x}{:02x}".format(*image.getpixel((x, y)))  # type: ignore[misc]


def half_blocks(image: Image.Image, columns: int) -> Text:
    """Return the picture as text, two pixels a character: the upper one in its foreground, the
    lower in its background.
    """
    width, height = image.size
    rows = max(2, round(columns * height / width / 2) * 2)
    small = image.convert("RGB").resize((columns, rows), Image.Resampling.BOX)
    text = Text()
    for y in range(0, rows, 2):
        text.append("    ")
        for x in range(columns):
            upper, lower = (_hex_color(small, x, y + below) for below in (0, 1))
            text.append(HALF_BLOCK, Style.parse(f"{upper} on {lower}"))
        text.append("\n")
    return text


INSPECT = Command(
    "inspect",
    "Shows one item: what the source gave, every filled value with its method, confidence and the "
    "evidence marked in "
    "its text, what is unknown and why, flags, the rows that it is made of where there are several "
    "(file and line in the input as it is now), its pictures (in the terminal, if that has "
    "colours), the nearest items, "
    "and its history over the snapshots; or the records with its id in quarantine, with what to "
    "do.",
    ["sku-42 --output features", "sku-42 --output features --snapshot previous --json"],
    _add_options,
    _inspect,
    {
        Exit.DONE: "the item is in the tables",
        Exit.REFUSED: "it is not, but records with its id are in quarantine",
        Exit.BAD_ARGUMENTS: "bad arguments, or no such item or snapshot",
        Exit.BROKEN_OFF: "it broke off (no permission, object store out of reach), or a file "
        "that it reads is damaged; the message names it",
    },
    data=("item_id",),
)
