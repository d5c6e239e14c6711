"""Checks of the models of a run: each is loaded, and the endpoint of a language model is called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

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
from transforms.models.http.openai import base_url
from transforms.models.spaces import VectorSpace, spaces_of

ENDPOINT_SECS = 5
MAX_ANSWER_BYTES = 2**20


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
        return []  # told where the template is looked at
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


def _endpoint(patient: Patient) -> Iterator[Finding]:
    """Check that the given server answers and serves the model; the key is used, never printed."""
    chat = patient.models.chat
    if patient.models.describe_backend != "openai" or not chat.endpoint:
        return
    key = os.environ.get(chat.api_key_env, "")
    yield Finding(
        "key",
        "ok",
        f"{chat.api_key_env} is {'set' if key else 'not set, which servers without keys need not'}",
    )
    try:
        served = _served(f"{base_url(chat.endpoint)}/models", key)
    except ValueError as error:
        yield Finding("endpoint", "problem", str(error), "fix --endpoint")
    except urllib.error.HTTPError as error:
        fix = (
            f"set the key in {chat.api_key_env}"
            if error.code in (401, 403)
            else "look at the server's log"
        )
        yield Finding("endpoint", "problem", f"{chat.endpoint} answers HTTP {error.code}", fix)
    except OSError as error:
        fix = "check that the server is up, and host, port and firewall"
        yield Finding("endpoint", "problem", f"{chat.endpoint} does not answer: {error}", fix)
    else:
        if chat.model and served and chat.model not in served:
            fix = f"--describe-model has to be one of: {', '.join(served)}"
            yield Finding(
                "endpoint", "problem", f"{chat.endpoint} does not serve {chat.model!r}", fix
            )
        else:
            yield Finding(
                "endpoint",
                "ok",
                f"{chat.endpoint} serves {', '.join(served) or 'models that it does not name'}",
            )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The endpoint is the host that was named, and no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _served(url: str, key: str) -> list[str]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 base_url allows http and https only
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=ENDPOINT_SECS) as answer:
        content = json.loads(answer.read(MAX_ANSWER_BYTES))
    return [
        str(each["id"])
        for each in content.get("data", ())
        if isinstance(each, dict) and "id" in each
    ]


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


MODEL_CHECKS: tuple[Check, ...] = (_models, _language_model, _endpoint, _vllm)
