"""`catalog-enrich doctor`: whether this machine can run the job, and what to do where it cannot."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

from rich.console import Console
from rich.text import Text

from pipelines.commands.command import Command
from pipelines.commands.exits import Exit
from pipelines.configuration.declare import declare_options, read_options
from pipelines.doctor.machine import MACHINE_CHECKS, Finding, Patient
from pipelines.doctor.models import MODEL_CHECKS
from pipelines.monitoring.terminal import print_json, printable
from schemas.secrets import masked
from transforms.models.contract import ModelOptions

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def examine(patient: Patient) -> Iterator[Finding]:
    """All findings, in order, without secrets. A check that itself fails is a finding."""
    for finding in _findings(patient):
        yield replace(finding, found=masked(finding.found), fix=masked(finding.fix))


def _findings(patient: Patient) -> Iterator[Finding]:
    for check in (*MACHINE_CHECKS, *MODEL_CHECKS):
        try:
            yield from check(patient)
        except ModuleNotFoundError as error:
            name = check.__name__.lstrip("_").replace("_", " ")
            found = f"{error.name} is not installed, which this check needs"
            yield Finding(name, "problem", found, f"pip install {error.name}")
        except Exception as error:  # whatever a broken machine brings
            name = check.__name__.lstrip("_").replace("_", " ")
            yield Finding(
                name,
                "problem",
                f"the check broke off: {type(error).__name__}: {error}",
                "report it",
            )


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--template", default="", metavar="NAME|FILE", help="template of the run")
    parser.add_argument("--output", default="", metavar="DIR", help="output of the run")
    parser.add_argument("--images-root", default="", metavar="DIR", help="folder of the images")
    declare_options(parser, ModelOptions, lambda declared: declared.identifies)
    parser.add_argument(
        "--quick", action="store_true", help="load no model, and put no question to a server"
    )


def _doctor(options: argparse.Namespace) -> Exit:
    patient = Patient(
        read_options(ModelOptions, options),
        options.template,
        options.output,
        options.images_root,
        options.quick,
    )
    findings = []
    console = Console(highlight=False)
    for finding in examine(patient):
        findings.append(finding)
        if not options.json:
            _print(console, finding)
    if options.json:
        print_json(findings)
    has_problem = any(finding.status == "problem" for finding in findings)
    return Exit.REFUSED if has_problem else Exit.DONE


def _print(console: Console, finding: Finding) -> None:
    line = Text(f"{finding.status:8} ", style=_STYLES[finding.status])
    line.append(f"{finding.name}: ", style="bold")
    line.append(printable(finding.found), style="default")
    console.print(line)
    if finding.fix:
        console.print(Text(f"         -> {printable(finding.fix)}"))


DOCTOR = Command(
    "doctor",
    "Looks at what a run needs: Python, packages, memory, GPU, disk, the output and its last "
    "snapshot, the template, "
    "the models (which it loads), the server of a language model (one small question, which costs "
    "some hundred tokens). Says what is well and what to do about the rest. "
    "Give it the options of the run.",
    [
        "",
        "--template my.yaml --output features --describe-backend openai --endpoint "
        "http://gpu-box:8000/v1",
    ],
    _add_options,
    _doctor,
    {
        Exit.DONE: "no problem, perhaps warnings",
        Exit.REFUSED: "a problem: a run with these options would fail",
        Exit.BAD_ARGUMENTS: "bad arguments; nothing was checked",
    },
)
