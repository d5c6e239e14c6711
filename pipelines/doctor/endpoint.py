"""Checks of the server of a language model: its list of models, and one small question.

The server is reached as a run reaches it: with the same key, headers, proxy and certificates.
"""

from __future__ import annotations

import json
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.doctor.machine import Finding, Patient
from schemas.loading import TemplateRefusedError, load_template
from schemas.questions import Question
from schemas.template import Template
from transforms.describe.answers import Problem, read_answer
from transforms.describe.prompts import AskOptions, ShownContent, build_request
from transforms.describe.taxonomy import is_large
from transforms.models.chat import ChatAnswer, ChatRequest, PreparedPicture
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import Failure
from transforms.models.http.calls.upstream import FixedUpstream
from transforms.models.http.chat import ChatClient
from transforms.models.http.connection import Connection, read_connection
from transforms.models.http.openai import base_url, read_key
from transforms.models.http.servers.capabilities import Capabilities, in_words
from transforms.models.http.servers.known import Known, known_capabilities
from transforms.runtime import storage

LIST_SECS = 5
ASK_SECS = 60.0
MAX_LIST_BYTES = 2**20
# Servers that have no list of models answer so.
_NO_LIST = (400, 404, 405, 501)
_SHOWN = ShownContent({"title": "A red mug"}, {})


def endpoint(patient: Patient) -> Iterator[Finding]:
    """Check that the given server serves the model and answers; the key is used, never printed."""
    chat = patient.models.chat
    if patient.models.describe_backend != "openai" or not chat.endpoint:
        return
    try:
        url, key = base_url(chat.endpoint), read_key(chat.api_key_env)
        known = known_capabilities(_kept_beside(chat, patient.output), url)
        connection = read_connection(chat, key, known.key_header)
    except ValueError as error:
        yield Finding("endpoint", "problem", str(error), "see `catalog-enrich run --help`")
        return
    is_set = "set" if key else "not set, which servers without keys need not"
    yield Finding("key", "ok", f"{chat.api_key_env} is {is_set}")
    try:
        listed = _list_of_models(chat, url, connection, known)
    except OSError as error:
        reason = getattr(error, "reason", error)
        fix = "check that the server is up, and host, port, firewall, --proxy and --ca-file"
        found = f"{chat.endpoint} does not answer: {reason}"
        yield Finding("endpoint", "problem", found, fix)
        return
    if patient.quick or not chat.model:
        yield listed
        return
    asked = _question(patient, known, url, key, connection)
    # A list that is refused, or that names other models, does not count where the model answers.
    is_answering = asked.status != "problem" and listed.status == "problem"
    yield replace(listed, status="ok", fix="") if is_answering else listed
    yield asked


def _kept_beside(chat: ChatOptions, output: str) -> ChatOptions:
    """Return the options of a run on this output: what is learnt here is known there."""
    there = bool(output) and storage.is_local(output) and Path(output).is_dir()
    return replace(chat, learnt_dir=storage.join(output, "servers")) if there else chat


def _list_of_models(chat: ChatOptions, url: str, connection: Connection, known: Known) -> Finding:
    """Return what the server lists. Raises OSError where it does not answer."""
    try:
        served = _served(f"{url}/models", connection)
    except urllib.error.HTTPError as error:
        if error.code in _NO_LIST:
            return Finding("endpoint", "ok", f"{chat.endpoint} has no list of models")
        fix = (
            f"set the key in {chat.api_key_env}"
            if error.code in (401, 403)
            else "look at the server's log"
        )
        return Finding("endpoint", "problem", f"{chat.endpoint} answers HTTP {error.code}", fix)
    except ValueError:
        return Finding("endpoint", "ok", f"{chat.endpoint} has no list of models that can be read")
    lists_others = known.row is not None and known.row.lists_others
    if chat.model and served and not lists_others and not _is_served(chat.model, served):
        fix = f"--describe-model has to be one of: {', '.join(served[:20])}"
        return Finding("endpoint", "problem", f"{chat.endpoint} does not serve {chat.model!r}", fix)
    names = ", ".join(served[:20]) or "models that it does not name"
    return Finding("endpoint", "ok", f"{chat.endpoint} serves {names}")


def _is_served(model: str, served: list[str]) -> bool:
    """Tell whether a list has the model, by any of the names that servers take it by."""
    names = {name.removeprefix("models/") for name in served}
    return bool({model.removeprefix("models/"), f"{model}:latest"} & names)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The endpoint is the host that was named, and no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _served(url: str, connection: Connection) -> list[str]:
    """Return the names in a server's list. Raises OSError, or ValueError for what is no list."""
    query = urllib.parse.urlencode(connection.query)
    request = urllib.request.Request(  # noqa: S310 base_url allows http and https only
        f"{url}?{query}" if query else url, headers=dict(connection.headers)
    )
    proxies = dict.fromkeys(("http", "https"), connection.proxy) if connection.proxy else {}
    https = urllib.request.HTTPSHandler(context=connection.certificates())
    # Without the handler of proxies, those of the environment would be taken, which a run does not.
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler(proxies), https)
    with opener.open(request, timeout=LIST_SECS) as answer:
        content = json.loads(answer.read(MAX_LIST_BYTES))
    if isinstance(content, dict):
        content = content.get("data", content.get("models"))
    entries = content if isinstance(content, list) else []
    names = [
        each.get("id", each.get("name")) if isinstance(each, dict) else each for each in entries
    ]
    return [name for name in names if isinstance(name, str)]


def _question(
    patient: Patient, known: Known, url: str, key: str, connection: Connection
) -> Finding:
    """Ask one small question as a run does, with a picture and the template's own schema."""
    chat = replace(patient.models.chat, max_inflight=1, max_retries=1, timeout_secs=ASK_SECS)
    learner = known.learner()
    client = ChatClient(chat, FixedUpstream(url), key, learner=learner, connection=connection)
    with tempfile.TemporaryDirectory() as folder:
        request = _request(patient, f"{folder}/picture.jpg")
        try:
            ((_, answer),) = client.answer([request])
        finally:
            client.close()
    blind = learner.sees_nothing
    return _finding(chat, request, answer, learner.takes, blind=blind)


def _request(patient: Patient, path: str) -> ChatRequest:
    Image.new("RGB", (64, 64), "red").save(path, "JPEG")
    question = Question(describe=True, places=("title", "image 1"))
    template = _template(patient)
    shown = replace(_SHOWN, pictures=(PreparedPicture("", path),))
    if template is not None:
        asked = [a for a in template.attributes if a.fill and not is_large(a)]
        question = replace(question, attributes=tuple(asked))
        if asked and not template.record.images.are_read:
            question = replace(question, describe=False, places=("title",))
            shown = _SHOWN
    subject = template or Template.model_validate(
        {
            "name": "doctor",
            "version": "1.0.0",
            "record": {"id": "id"},
            "attributes": [{"name": "title", "type": "string", "role": "title"}],
        }
    )
    return build_request(subject, AskOptions(), question, shown)


def _template(patient: Patient) -> Template | None:
    try:
        return load_template(patient.template) if patient.template else None
    except TemplateRefusedError:
        return None  # reported where the template is looked at


def _finding(
    chat: ChatOptions,
    request: ChatRequest,
    answer: ChatAnswer | Failure,
    takes: Capabilities,
    *,
    blind: bool,
) -> Finding:
    name = f"{chat.model} at {chat.endpoint}"
    if blind:
        fix = "run with --max-pictures 0, or take a model that sees pictures"
        return Finding("question", "problem", f"{name} takes no pictures", fix)
    if isinstance(answer, Failure):
        fix = "fix what it says; docs/models.md tells what each server takes"
        return Finding("question", "problem", f"{name} does not answer: {answer.message}", fix)
    tokens = answer.prompt_tokens + answer.completion_tokens
    unusual = " ".join(in_words(Capabilities().differences(takes)))
    about = f"; it takes {unusual}" if unusual else ""
    found = f"{name} answers in {answer.seconds:.1f} s, which cost {tokens:,} tokens{about}"
    read = read_answer(answer, request.schema)
    if isinstance(read, Problem):
        fix = "a larger model, or a server that decodes by JSON Schema, may do better"
        return Finding("question", "warning", f"{found}; but {read.message}", fix)
    return Finding("question", "ok", found)
