"""`catalog-enrich template list | check | show`: the packaged templates, and errors of one."""

from __future__ import annotations

import argparse

from pipelines.commands.command import Command, no_options
from pipelines.commands.exits import Exit
from pipelines.monitoring.terminal import print_json
from schemas.loading import TemplateRefusedError, load_template, packaged_templates


def _add_check_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "template", metavar="NAME|FILE", help="a packaged template, or the path of a YAML file"
    )


def _add_show_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "template", metavar="NAME", choices=sorted(packaged_templates()), help="packaged template"
    )


def _list(options: argparse.Namespace) -> Exit:
    about = {
        name: load_template(name).description.strip().splitlines()[0]
        for name in packaged_templates()
    }
    if options.json:
        print_json(about)
        return Exit.DONE
    for name, text in about.items():
        print(f"{name:14} {text}")
    return Exit.DONE


def _show(options: argparse.Namespace) -> Exit:
    text = packaged_templates()[options.template]
    if options.json:
        print_json(load_template(options.template).model_dump(mode="json", by_alias=True))
    else:
        print(text, end="")
    return Exit.DONE


def _check(options: argparse.Namespace) -> Exit:
    try:
        template = load_template(options.template)
    except TemplateRefusedError as error:
        if not options.json:
            raise
        print_json({"sound": False, "errors": error.errors})
        return Exit.BAD_ARGUMENTS
    facts = {
        "name": template.name,
        "version": template.version,
        "attributes": len(template.attributes),
    }
    if options.json:
        print_json({"sound": True, **facts, "hash": template.hash})
        return Exit.DONE
    about = f"{len(template.attributes)} attributes, hash {template.hash[:12]}"
    print(f"{options.template} is sound: {template.name} {template.version}, {about}")
    return Exit.DONE


_EXITS = {
    Exit.DONE: "done",
    Exit.BAD_ARGUMENTS: "bad arguments, or the template has errors; each is printed with its line",
}

LIST = Command(
    "template list",
    "Names the templates that are part of the package.",
    [""],
    no_options,
    _list,
    _EXITS,
)
CHECK = Command(
    "template check",
    "Reports every error of a template at once, each with its line and what to write instead.",
    ["my.yaml"],
    _add_check_options,
    _check,
    _EXITS,
)
SHOW = Command(
    "template show",
    "Prints a template that is part of the package, with its comments, to start your own from.",
    ["product > my.yaml"],
    _add_show_options,
    _show,
    _EXITS,
)
