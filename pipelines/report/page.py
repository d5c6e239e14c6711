"""The page of a run, written beside its tables: what the manifest says, with examples from the
rows.

Numbers that stem from the manifest carry its path in `data-manifest` and the raw value in
`data-value`. The page loads nothing, and its content policy forbids it to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import resources
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup

from pipelines.report.changes import Changes, changes
from pipelines.report.data_docs import DATA_DOCS
from pipelines.report.examples import (
    CONTRADICTIONS,
    Card,
    flag_cards,
    set_aside,
    shown,
    value_cards,
)
from pipelines.report.gather import SEED, Gathered, gather
from pipelines.report.groups import Group, near
from pipelines.report.html import clean, content_policy
from pipelines.report.projection import HEIGHT, NO_VALUE, OTHER, WIDTH, colorable, project, value_of
from pipelines.report.thumbnails import MAX_POINT_PICTURES, Thumbnails
from pipelines.snapshots.layout import kept_pictures
from pipelines.snapshots.manifest import UNKNOWN, CheckEntry, Counts, Manifest
from schemas.reasons import REASONS
from schemas.secrets import hidden
from transforms.images.files import ImageLimits
from transforms.images.finding import Pictures
from transforms.models.http.servers.remedies import remedy_for, told
from transforms.runtime import storage

REPORT_PAGE = "report.html"
MAX_TABLE_POINTS = 400
_LONGEST = 4_000


def write_run_report(
    snapshot: str,
    manifest: Manifest,
    images_root: str | None,
    limits: ImageLimits,
    earlier: str | None = None,
) -> str:
    """Write `report.html` into a snapshot's folder, published or refused; returns its path.

    images_root: where picture references start, None for nowhere; earlier: folder of the
    snapshot before. Raises DamagedFileError, and whatever a disk or an object store raises.
    """
    path = storage.join(snapshot, REPORT_PAGE)
    page = render(snapshot, manifest, images_root, limits, earlier).encode(
        "utf-8", "backslashreplace"
    )
    storage.write_bytes(path, page)
    return path


def _thumbnails(snapshot: str, images_root: str | None, limits: ImageLimits) -> Thumbnails:
    return Thumbnails(Pictures(images_root or "", kept_pictures(snapshot)), limits)


def render(
    snapshot: str,
    manifest: Manifest,
    images_root: str | None,
    limits: ImageLimits,
    earlier: str | None = None,
) -> str:
    """Return the page as text, without secrets: it is handed on to people who see no table."""
    # The page names its numbers by where they are in the file, so it is given what the file holds.
    document = msgspec.to_builtins(manifest)
    found, pictures = gather(snapshot, manifest), _thumbnails(snapshot, images_root, limits)
    style, script = (
        resources.files("pipelines.report").joinpath(f"report.{kind}").read_text()
        for kind in ("css", "js")
    )
    attributes = [name for name in manifest.counts.values if name in found.attributes]
    cards = {name: list(value_cards(found, name, pictures)) for name in attributes}
    flagged = {
        reason: list(flag_cards(found, reason, pictures)) for reason in sorted(found.flagged)
    }
    groups = list(found.groups.largest())
    moved = changes(snapshot, manifest, earlier)
    page: str = (
        _environment(document)
        .get_template("report.html.j2")
        .render(
            manifest=document,
            policy=Markup(content_policy(style, script)),  # noqa: S704 - made of hashes
            style=Markup(style),  # noqa: S704 - a file of this package
            script=Markup(script),  # noqa: S704 - a file of this package
            failed=_failed(manifest.checks),
            passed=sum(check.passed for check in manifest.checks),
            attributes=attributes,
            coverage=[_coverage(manifest.counts, name) for name in manifest.counts.values],
            sources=_sources(manifest.counts),
            confidence={
                name: counts.tolist() for name, counts in found.confidence.items() if counts.sum()
            },
            cards=cards,
            contradictions={
                reason: each for reason, each in flagged.items() if reason in CONTRADICTIONS
            },
            flags={
                reason: each for reason, each in flagged.items() if reason not in CONTRADICTIONS
            },
            quarantine={
                reason: list(map(set_aside, rows))
                for reason, rows in sorted(found.quarantine.items())
            },
            groups=_groups([*groups, *near(found.vectors["text"], groups)], found),
            group_counts=found.groups.counts(),
            reasons=REASONS,
            failures_told=told(
                manifest.counts.described.failed_words, manifest.counts.described.items
            ),
            data_docs=_data_docs(snapshot),
            changes=moved,
            difference=_difference(moved),
            map=_map(found, pictures),
            filters=_filters(
                [card for each in [*cards.values(), *flagged.values()] for card in each]
            ),
        )
    )
    return hidden(page)


def _environment(document: Mapping[str, Any]) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipelines.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Every text that the template puts out goes through here, so none can be forgotten.
        finalize=_shown,
    )
    environment.globals.update(
        num=partial(number_at, document),
        bar=bar,
        line=shown,
        share=share,
        sided=frozenset(CONTRADICTIONS),
        remedy_for=remedy_for,
    )
    return environment


def _shown(value: Any) -> Any:
    if value is None:
        return "–"
    if type(value) is str:  # Markup is a kind of str, and made here
        edges = " " if value[:1] == " " else "", " " if len(value) > 1 and value[-1:] == " " else ""
        return f"{edges[0]}{clean(value, _LONGEST)}{edges[1]}"
    return f"{value:,}" if type(value) is int else value


def number_at(document: Mapping[str, Any], *keys: str | int) -> Markup:
    """Return a number of the manifest with its path and raw value, for whoever checks the page; a
    dash where it has none.
    """
    value: Any = document
    for key in keys:
        if isinstance(value, list) and isinstance(key, int):
            value = value[key]
        else:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is None:
            return Markup("–")
    path, text = (
        ".".join(map(str, keys)),
        f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}",
    )
    return Markup('<data value="{0}" data-manifest="{1}" data-value="{0}">{2}</data>').format(
        json.dumps(value), path, text
    )


def share(part: float, whole: float) -> str:
    """Return a share in per cent.

    >>> share(1, 3), share(0, 0)
    ('33 %', '–')
    """
    return f"{100 * part / whole:.0f} %" if whole else "–"


def bar(*parts: tuple[float, str]) -> Markup:
    """Return a bar of parts, each (share of the width from 0 to 1, class).

    It repeats what the table says in numbers.
    """
    drawn, at = [], 0.0
    for width, kind in parts:
        drawn.append(
            Markup('<rect x="{:.2f}" width="{:.2f}" height="10" class="{}"/>').format(
                at, 100 * width, kind
            )
        )
        at += 100 * width
    head = '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
    return Markup(head) + Markup("").join(drawn) + Markup("</svg>")  # noqa: S704 - written here


def _failed(checks: Sequence[CheckEntry]) -> list[tuple[int, CheckEntry]]:
    """Return failed checks with their places in the manifest, the critical ones first."""
    numbered = [(number, check) for number, check in enumerate(checks) if not check.passed]
    return sorted(numbered, key=lambda each: (each[1].severity != "critical", each[0]))


def _coverage(counts: Counts, name: str) -> dict[str, Any]:
    given = counts.values[name].get("record", 0)
    return {"name": name, "before": given, "after": counts.known(name)}


def _sources(counts: Counts) -> list[str]:
    """Return who gave values, besides the catalog."""
    every = {source for values in counts.values.values() for source in values}
    return sorted(
        source for source in every if source != "record" and not source.startswith(UNKNOWN)
    )


def _data_docs(snapshot: str) -> str:
    return DATA_DOCS if storage.exists(storage.join(snapshot, *DATA_DOCS.split("/"))) else ""


def _groups(groups: Sequence[Group], found: Gathered) -> list[dict[str, Any]]:
    titles = {
        row["item_id"]: shown(row.get(found.title)) for row in [*found.points, *found.rows.values()]
    }
    listed: list[dict[str, Any]] = []
    for group in groups:
        items = [(item_id, titles.get(item_id, "")) for item_id in group.ids]
        listed.append({"group": group, "items": items})
    return listed


def _difference(moved: Changes | None) -> list[dict[str, str]]:
    if moved is None or moved.difference is None:
        return []
    return [
        {
            "attribute": name,
            "kind": each.kind,
            "item": clean(each.item_id),
            "before": shown(each.before),
            "after": shown(each.after),
        }
        for name, difference in moved.difference.attributes.items()
        for each in difference.examples[:4]
    ][:60]


def _map(found: Gathered, pictures: Thumbnails) -> dict[str, Any] | None:
    """Return the points of the map, how they may be coloured, and what they show."""
    kind = "text" if found.vectors["text"] else "image"
    points, method = project(found.vectors[kind], SEED)
    if not points:
        return None
    rows = {row["item_id"]: row for row in found.points}
    colors = colorable([rows[point.item_id] for point in points], found.attributes)
    data: list[dict[str, Any]] = []
    for number, point in enumerate(points):
        row = rows[point.item_id]
        data.append(
            {
                "id": clean(point.item_id),
                "title": shown(row.get(found.title)) or clean(row["text_source"], 80),
                "colors": [_color(value_of(row, name), values) for name, values in colors.items()],
                "values": [shown(row.get(name), 60) for name in colors],
                "picture": pictures.small(row["images"]) if number < MAX_POINT_PICTURES else "",
            }
        )
    names = {name: [*values, OTHER, NO_VALUE] for name, values in colors.items()}
    return {
        "points": list(zip(points, data, strict=True)),
        "listed": data[:MAX_TABLE_POINTS],
        "method": method,
        "kind": kind,
        "colors": names,
        "width": WIDTH,
        "height": HEIGHT,
        "json": _script_json({"points": data, "colors": names}),
    }


def _color(value: str, values: Sequence[str]) -> int:
    """Return the number of a value's colour: 8 for values that have none of their own, 9 for no
    value.
    """
    if not value:
        return 9
    return values.index(value) if value in values else 8


def _script_json(value: Any) -> Markup:
    """JSON that may stand in a script element whatever its texts hold."""
    text = json.dumps(value, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))  # noqa: S704


def _filters(cards: Sequence[Card]) -> dict[str, list[str]]:
    """Return what the examples may be filtered by."""
    choices: dict[str, list[str]] = {}
    for name in ("attribute", "source", "reason"):
        choices[name] = sorted({str(getattr(card, name)) for card in cards} - {""})
    return choices
