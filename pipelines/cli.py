"""The command line: `catalog-enrich COMMAND`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import metadata

from pipelines.backfill import COMMANDS, HELP, part_command
from pipelines.config import ConfigError
from pipelines.enrich import report_bad_arguments, run_command
from pipelines.evaluate import EPILOG as EVALUATE_EPILOG
from pipelines.evaluate import add_evaluate_options, evaluate_command
from pipelines.history_commands import COMMANDS as HISTORY
from pipelines.history_commands import add_history_commands, history_command
from pipelines.options import EPILOG, EXIT_CODES, Parser, add_run_options, refuse_unknown_options
from schemas.loading import TemplateRefusedError, load_template, packaged_templates


def build_parser() -> Parser:
    """The parser of all commands."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        prog="catalog-enrich",
        description="Raw catalogs and their pictures in, complete and checked feature tables out.",
        epilog=EXIT_CODES,
        formatter_class=raw,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=metadata.version("catalog-enrich"))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    run = commands.add_parser(
        "run", help="enrich a catalog and publish a snapshot", epilog=EPILOG, formatter_class=raw, allow_abbrev=False
    )
    add_run_options(run)
    evaluate = commands.add_parser(
        "evaluate",
        help="measure how good filled values are, on known values held back",
        epilog=EVALUATE_EPILOG,
        formatter_class=raw,
        allow_abbrev=False,
    )
    add_evaluate_options(evaluate)
    for name, (add_options, epilog, _) in COMMANDS.items():
        part = commands.add_parser(
            name, help=HELP[name], epilog=epilog, formatter_class=raw, allow_abbrev=False, description=HELP[name]
        )
        add_options(part)
    add_history_commands(commands.add_parser)
    template = commands.add_parser("template", help="look at catalog templates", allow_abbrev=False)
    actions = template.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    actions.add_parser("list", help="name the packaged templates", allow_abbrev=False)
    check = actions.add_parser("check", help="report every error of a template, with its line", allow_abbrev=False)
    check.add_argument("template", metavar="NAME|FILE")
    show = actions.add_parser("show", help="print a packaged template, to start your own from", allow_abbrev=False)
    show.add_argument("template", metavar="NAME", choices=sorted(packaged_templates()))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        if arguments and arguments[0] in COMMANDS:
            return part_command(arguments[0], arguments[1:])
        if arguments[:1] == ["run"]:
            refuse_unknown_options(arguments)
        if arguments[:1] == ["evaluate"]:
            refuse_unknown_options(arguments, add_evaluate_options, beam=False)
        options, passed = build_parser().parse_known_args(arguments)
        if options.command == "run":
            return run_command(options, passed)
        if options.command == "evaluate":
            return evaluate_command(options, passed)
        if passed:
            raise ConfigError([f"unknown argument {argument}" for argument in passed])
        return history_command(options) if options.command in HISTORY else _template(options)
    except (ConfigError, TemplateRefusedError) as error:
        return report_bad_arguments(error)


def _template(options: argparse.Namespace) -> int:
    if options.action == "list":
        for name in packaged_templates():
            print(f"{name:14} {load_template(name).description.strip().splitlines()[0]}")
    elif options.action == "show":
        print(packaged_templates()[options.template], end="")
    else:
        template = load_template(options.template)
        about = f"{len(template.attributes)} attributes, hash {template.hash[:12]}"
        print(f"{options.template} is sound: {template.name} {template.version}, {about}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
