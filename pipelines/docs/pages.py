"""The reference pages: tables, reasons, options, commands, metrics, the gate."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
from ruamel.yaml import YAML

from pipelines.commands.exits import exit_lines
from pipelines.commands.run import RUN
from pipelines.configuration.options import add_run_options
from pipelines.docs.architecture import architecture_page
from pipelines.docs.limits import limits_page
from pipelines.docs.markdown import NOTE, option_row, table
from pipelines.monitoring.metrics import COUNTERS, DISTRIBUTIONS, FAILED_ABOUT
from pipelines.monitoring.openmetrics import FAMILIES, INFO, METRICS, PREFIX, SUMMARIES
from pipelines.monitoring.stages import STAGES
from schemas.attribute_types.registry import AttributeType
from schemas.attributes import Attribute
from schemas.checks import KINDS
from schemas.choices import Choice
from schemas.loading import load_template, packaged_templates
from schemas.reasons import REASONS, Effect
from schemas.tables.columns import ANSWERS
from schemas.tables.specs import TABLES
from schemas.template import Drift, Gate, Template
from transforms.runtime.metrics import FAILED, NAMESPACE

# Stands for whatever dimension the chosen encoder has.
DIMENSION = 384


def reasons_page() -> str:
    """Every reason id, by what it does to the record."""
    titles = {
        Effect.QUARANTINE: "Records that are quarantined (`quarantine.reason`)",
        Effect.FLAG: "Flags on items that go on (`items.flags`, `items.images[].reason`)",
        Effect.UNKNOWN: "Why a value is unknown (`items.<attribute>__provenance.reason`)",
    }
    lines = [
        "# Reason ids",
        NOTE,
        "",
        "A reason id is stable: queries, alerts and replays may rely on it.",
    ]
    for effect, title in titles.items():
        rows = [
            (f"`{r.id}`", r.stage, r.meaning, r.fix)
            for r in REASONS.values()
            if effect in r.effects
        ]
        lines += [
            "",
            f"## {title}",
            "",
            *table(("reason", "stage", "what it means", "what to do"), rows),
        ]
    return "\n".join(lines) + "\n"


def tables_page() -> str:
    """Return the data dictionary of all tables."""
    about = "an attribute of the template, here `color`"
    example = Attribute(
        name="color", type=AttributeType.ENUM, values=(Choice(value="Red"),), description=about
    )
    lines = [
        "# Tables",
        NOTE,
        "",
        "Plain Parquet (zstd), one file a table and bucket, sorted by `item_id` within a file. "
        "Every file's schema",
        "metadata holds run id, template name, version and hash, model ids and prompt hashes.",
    ]
    template = Template.model_validate(
        {"name": "example", "version": "1.0.0", "record": {"id": "id"}, "attributes": [example]}
    )
    for spec in TABLES.values():
        schema = spec.schema(template, {space.name: DIMENSION for space in template.spaces})
        lines += ["", f"## {spec.name}", "", *spec.about.splitlines(), "", *_fields(schema)]
    lines += [
        "",
        "## answers",
        "",
        "In `OUTPUT/answers/`, beside the snapshots: what language models answered, for every run "
        "that asks the same.",
        "",
        *_fields(pa.schema(ANSWERS)),
    ]
    lines += ["", "## Attributes of the packaged templates"]
    for name in packaged_templates():
        template = load_template(name)
        rows = [
            (
                f"`{a.name}`",
                str(a.type),
                _type_name(a.spec.arrow_type(a)),
                a.unit or "",
                "yes" if a.fill else "",
                a.description,
            )
            for a in template.attributes
        ]
        head = ("attribute", "type", "Arrow type", "unit", "filled", "description")
        lines += [
            "",
            f"### {name} {template.version}",
            "",
            template.description.strip(),
            "",
            *table(head, rows),
        ]
    return "\n".join(lines) + "\n"


def options_page() -> str:
    """Every option of `catalog-enrich run`."""
    parser = RUN.parser()
    lines = [
        "# Options of `catalog-enrich run`",
        NOTE,
        "",
        "`python -m pipelines.enrich` takes the same, and both take every Apache Beam option.",
    ]
    for group in parser._action_groups:
        rows = [option_row(action) for action in group._group_actions if action.dest != "help"]
        if rows:
            lines += ["", f"## {group.title}", "", *table(("option", "default", "meaning"), rows)]
    lines += ["", "## Exit codes", "", "```", *exit_lines(RUN.exits).splitlines()[1:], "```"]
    return "\n".join(lines) + "\n"


def _flags_with_help(action: argparse.Action) -> list[tuple[str, str | None]]:
    """Return (flag, help) of each flag of an option: a command may mean something else by a flag
    that `run` has too.
    """
    return [(flag, action.help) for flag in action.option_strings]


def commands_page() -> str:
    """Every command with its options; those of a run are in options.md."""
    from pipelines.cli import build_parser

    shared = argparse.ArgumentParser()
    add_run_options(shared)
    known = {each for action in shared._actions for each in _flags_with_help(action)}
    lines = [
        "# Commands",
        NOTE,
        "",
        "`catalog-enrich COMMAND --help` says the same. Every command takes `--json`, to print one "
        "JSON document.",
        "Options that a command shares with `run` are in [options.md](options.md).",
    ]
    for name, parser in commands_of(build_parser()):
        lines += ["", f"## {name}", "", " ".join((parser.description or "").split())]
        actions = [action for action in parser._actions if action.dest not in ("help", "json")]
        own = [action for action in actions if known.isdisjoint(_flags_with_help(action))]
        rows = [option_row(action) for action in own]
        if len(own) < len(actions):
            lines += [
                "",
                "Its options are in [options.md](options.md)" + (", besides:" if rows else "."),
            ]
        if rows:
            lines += ["", *table(("argument", "default", "meaning"), rows)]
        if parser.epilog:
            lines += ["", "```", *parser.epilog.splitlines(), "```"]
    return "\n".join(lines) + "\n"


def commands_of(
    parser: argparse.ArgumentParser, before: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each command with its parser, actions of commands included."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, part in action.choices.items():
                inner = list(commands_of(part, f"{before}{name} "))
                yield from inner or [(f"{before}{name}", part)]


def gate_page() -> str:
    """Every kind of check with its severity, and what to do when it fails."""
    lines = [
        "# The gate",
        NOTE,
        "",
        "Before readers see a snapshot its files are read back from where they lie, bucket by "
        "bucket, and Great",
        "Expectations checks what the template says of them, and how far they are from the last "
        "published snapshot. A",
        "failed check of severity *critical* refuses the snapshot: it stays under "
        "`OUTPUT/snapshots/RUN_ID` with its",
        "manifest, report and Data Docs, readers keep the last one, the run ends with 1 and says "
        "which checks failed,",
        "with numbers, examples and what to do.",
        "",
        "## Kinds of checks",
        "",
        *table(
            ("kind", "severity", "what is expected", "what to do when it fails"),
            [(f"`{kind.id}`", kind.severity, kind.about, kind.fix) for kind in KINDS.values()],
        ),
        "",
        "A template changes severities under `gate.severities`, for example `{coverage: "
        "critical}`; an attribute's",
        "`expect: {min_coverage: 0.9, severity: critical}` goes for that attribute.",
        "",
        "## Limits",
        "",
        "In the template under `gate:`, with these defaults:",
        "",
        "```yaml",
        *_yaml({"gate": {n: v for n, v in Gate().model_dump().items() if n != "severities"}}),
        "```",
        "",
        " ".join(str(Drift.__doc__).split()),
        "",
        "What is compared: only attributes whose template entry is the same, filled ones only "
        "while the same models",
        "and steps fill them, vectors only of the same encoder. `--accept-drift` publishes once "
        "whatever drifted.",
    ]
    return "\n".join(lines) + "\n"


def _yaml(content: Any) -> list[str]:
    sink = io.StringIO()
    YAML().dump(content, sink)
    return sink.getvalue().splitlines()


def metrics_page() -> str:
    """Every metric: Beam's names, and those of metrics.txt."""
    lines = [
        "# Metrics",
        NOTE,
        "",
        "## In Beam, on every runner",
        "",
        f"Counters and distributions in the namespace `{NAMESPACE}`, named `<stage>_<what>`; the "
        "manifest has them as",
        f"`stages` and `distributions`. `<stage>_{FAILED}<reason>` counts {FAILED_ABOUT}.",
        "",
        *table(
            ("stage", "what it does"),
            [(f"`{stage.name}`", stage.about) for stage in STAGES.values()],
        ),
        "",
        *table(
            ("counter", "what is counted"), [(f"`{what}`", text) for what, text in COUNTERS.items()]
        ),
        "",
        *table(
            ("distribution", "what is measured"),
            [(f"`{what}`", text) for what, text in DISTRIBUTIONS.items()],
        ),
        "",
        f"## In `{METRICS}` of a snapshot",
        "",
        "OpenMetrics text of one run, for example for the textfile collector of Prometheus' node "
        "exporter: copy",
        f"`OUTPUT/current/{METRICS}` there after each run. All are gauges but for the last, which "
        "are summaries.",
        "",
    ]
    rows = [(f"`{PREFIX}_{INFO[0]}_info`", ", ".join(INFO[2]), INFO[1])]
    rows += [
        (f"`{PREFIX}_{family.name}`", ", ".join(family.labels), family.about) for family in FAMILIES
    ]
    rows += [(f"`{PREFIX}_{name}`", "stage", text) for name, text in SUMMARIES.values()]
    return "\n".join([*lines, *table(("metric", "labels", "what it says"), rows)]) + "\n"


PAGES = {
    "reasons.md": reasons_page,
    "tables.md": tables_page,
    "options.md": options_page,
    "limits.md": limits_page,
    "commands.md": commands_page,
    "metrics.md": metrics_page,
    "gate.md": gate_page,
    "architecture.md": architecture_page,
}


def _fields(fields: Iterable[pa.Field], prefix: str = "") -> list[str]:
    return table(("column", "type", "null", "description"), list(_field_rows(fields, prefix)))


def _field_rows(fields: Iterable[pa.Field], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for field in fields:
        about = (field.metadata or {}).get(b"description", b"").decode()
        yield (
            f"`{prefix}{field.name}`",
            _type_name(field.type),
            "yes" if field.nullable else "",
            about,
        )
        inner = field.type.value_type if pa.types.is_list(field.type) else field.type
        # Provenance is the same for every attribute: described once, under the first.
        if pa.types.is_struct(inner) and not field.name.startswith("image_description"):
            described = [child for child in inner if child.metadata]
            step = "[]." if pa.types.is_list(field.type) else "."
            yield from _field_rows(described, f"{prefix}{field.name}{step}")


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        return "struct"
    if pa.types.is_list(kind):
        return f"list of {_type_name(kind.value_type)}"
    if pa.types.is_fixed_size_list(kind):
        return "fixed-size list of float32"
    return str(kind)
