"""`catalog-enrich template list | check | show`: what templates there are, and whether one is
sound.
"""

from __future__ import annotations

import argparse
from functools import partial

from pipelines.commands.command import Command, print_json
from schemas.loading import TemplateRefusedError, load_template, packaged_templates

DONE = 0
EXIT_CODES = """exit codes:
  0  done
  2  bad arguments, or the template has errors; each is printed with its line"""


def _nothing(_: argparse.ArgumentParser) -> None:
    """For commands that take no options of their own."""


def _named(parser: argparse.ArgumentParser, *, packaged: bool) -> None:
    if packaged:
        parser.add_argument(
            "template", metavar="NAME", choices=sorted(packaged_templates()), help="which one"
        )
    else:
        parser.add_argument(
            "template", metavar="NAME|FILE", help="a packaged one, or the path of a YAML file"
        )


def _list(options: argparse.Namespace) -> int:
    about = {
        name: load_template(name).description.strip().splitlines()[0]
        for name in packaged_templates()
    }
    if options.json:
        print_json(about)
        return DONE
    for name, text in about.items():
        print(f"{name:14} {text}")
    return DONE


def _show(options: argparse.Namespace) -> int:
    text = packaged_templates()[options.template]
    if options.json:
        print_json(load_template(options.template).model_dump(mode="json", by_alias=True))
    else:
        print(text, end="")
    return DONE


def _check(options: argparse.Namespace) -> int:
    try:
        template = load_template(options.template)
    except TemplateRefusedError as error:
        if not options.json:
            raise
        print_json({"sound": False, "errors": error.errors})
        return 2
    told = {
        "name": template.name,
        "version": template.version,
        "attributes": len(template.attributes),
    }
    if options.json:
        print_json({"sound": True, **told, "hash": template.hash})
        return DONE
    about = f"{len(template.attributes)} attributes, hash {template.hash[:12]}"
    print(f"{options.template} is sound: {template.name} {template.version}, {about}")
    return DONE


COMMANDS = tuple(
    Command(name, brief, about, examples, add_options, run, EXIT_CODES)
    for name, brief, add_options, run, about, examples in (
        (
            "list",
            "name the packaged templates",
            _nothing,
            _list,
            "Names the templates that come along.",
            [""],
        ),
        (
            "check",
            "report every error of a template, with its line",
            partial(_named, packaged=False),
            _check,
            "Reports every error of a template at once, each with its line and what to write "
            "instead.",
            ["my.yaml"],
        ),
        (
            "show",
            "print a packaged template, to start your own from",
            partial(_named, packaged=True),
            _show,
            "Prints a template that comes along, with its comments, to start your own from.",
            ["product > my.yaml"],
        ),
    )
)
