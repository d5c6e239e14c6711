"""`catalog-enrich doctor`: what is well, what is not, and what to do, on real folders, models and
servers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pipelines import cli
from pipelines.doctor.machine import Finding, Patient
from tests.chat_server import ChatServer
from tests.servers.network import Proxy
from tests.servers.registry import SERVERS, needed_options
from tests.support import TEMPLATE, Shop
from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.models.http.servers.capabilities import in_words
from transforms.models.http.servers.kept import KeptCapabilities

FAKE = ("--image-encoder", "fake", "--text-encoder", "fake")


def examined(
    capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, dict[str, dict[str, Any]]]:
    capsys.readouterr()
    code = cli.main(["doctor", *options, "--json"])
    return code, {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}


def test_a_sound_machine_is_well(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """With a published snapshot, a sound template and models that load nothing is a problem, and
    the exit code is 0.
    """
    run = shop.run(shop.file("in.jsonl", [{"sku": "a", "name": "Red mug"}]))
    template = str(shop.folder / "template.yaml")
    code, found = examined(
        capsys,
        "--template",
        template,
        "--output",
        str(run.output),
        "--images-root",
        str(shop.images),
        *FAKE,
    )
    assert code == 0, found
    assert found["snapshot"]["found"].startswith(run.manifest["run_id"])
    assert found["text encoder"]["found"].endswith("64 dimensions")
    assert {"Python", "packages", "memory", "GPU", "output", "template", "pictures"} <= found.keys()


def test_the_embedded_models_are_really_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    """The default models are loaded, and the text encoder has its documented dimension; --quick
    loads none.
    """
    code, found = examined(capsys)
    assert code == 0, found
    assert found["text encoder"]["found"].endswith("384 dimensions")
    _, quick = examined(capsys, "--quick")
    assert "not loaded" in quick["text encoder"]["found"]


@pytest.mark.parametrize(
    ("script", "model", "status", "expected"),
    [
        ((), "stub", "ok", "serves stub"),
        ((), "other", "problem", "does not serve 'other'"),
    ],
)
def test_an_endpoint_is_asked(
    script: tuple[str, ...],
    model: str,
    status: str,
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A server that is up names its models; a model that it does not serve is a problem with the
    right names.
    """
    with ChatServer(script) as server:
        options = (
            "--describe-backend",
            "openai",
            "--endpoint",
            server.url,
            "--describe-model",
            model,
        )
        code, found = examined(capsys, *options, *FAKE, "--quick")
    assert found["endpoint"]["status"] == status
    assert expected in found["endpoint"]["found"]
    assert code == (1 if status == "problem" else 0)


def test_a_server_that_wants_a_key_is_told_so_and_the_key_is_never_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the key the finding says where to set it; with a wrong one nothing of it is printed."""
    with ChatServer(key="right-key") as server:
        options = (
            "--describe-backend",
            "openai",
            "--endpoint",
            server.url,
            "--describe-model",
            "stub",
            *FAKE,
            "--quick",
        )
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        code, found = examined(capsys, *options)
        assert code == 1
        assert "OPENAI_API_KEY" in found["endpoint"]["fix"]
        monkeypatch.setenv("OPENAI_API_KEY", "secret-and-wrong")
        cli.main(["doctor", *options])
        assert "secret-and-wrong" not in capsys.readouterr().out


def openai(server: ChatServer, *more: str) -> tuple[str, ...]:
    model = getattr(server, "model", "stub")
    return (
        *("--describe-backend", "openai", "--endpoint", server.url, "--describe-model", model),
        *FAKE,
        *more,
    )


@pytest.mark.parametrize(
    "name", ["OpenAI, reasoning models", "Azure OpenAI, deployments", "Gemini", "Bedrock", "Ollama"]
)
def test_every_server_is_asked_one_small_question(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Whether a server lists its models or not, the question tells that the model answers, what it
    cost, and how it has to be asked; a run on the output begins with that.
    """
    with SERVERS[name]() as server:
        needed = needed_options(server)
        more = [
            word
            for option, values in needed.items()
            for word in (f"--{option.replace('_', '-')}", *values)
        ]
        code, found = examined(capsys, *openai(server, *more, "--output", str(tmp_path)))
        assert code == 0, found
        assert found["endpoint"]["status"] == found["question"]["status"] == "ok", found
        assert "tokens" in found["question"]["found"]
        kept = KeptCapabilities(str(tmp_path / "servers"), server.url, server.model).load()
        assert kept is not None
        assert bool(kept) == bool(server.refused)
        for word in in_words(kept):
            assert word in found["question"]["found"]


def test_a_model_that_takes_no_pictures_is_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that answers without the picture only is told, with what to do."""
    with SERVERS["llama.cpp without a projector"]() as server:
        code, found = examined(capsys, *openai(server))
    assert code == 1
    assert "takes no pictures" in found["question"]["found"]
    assert "--max-pictures 0" in found["question"]["fix"]


@pytest.mark.parametrize(
    "listed", [b"null", b"[]", b"<html>", b'["stub"]', b'{"models": [{"name": "models/stub"}]}',
               b'{"data": null}', b'{"data": [{"id": "stub:latest"}]}', b'{"data": [{"id": 7}]}']
)  # fmt: skip
def test_any_list_of_models_will_do(listed: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """A list in another form, or none, is no problem and breaks nothing off."""

    class Listing(ChatServer):
        async def _models(self, request: web.Request) -> web.Response:
            return web.Response(body=listed, content_type="application/json")

    with Listing() as server:
        code, found = examined(capsys, *openai(server, "--quick"))
    assert code == 0, found
    assert found["endpoint"]["status"] == "ok"


def test_the_proxy_of_a_run_is_the_doctors(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """List and question go through --proxy, and never through one of the environment."""
    with ChatServer() as server, Proxy() as proxy:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        code, found = examined(capsys, *openai(server, "--proxy", proxy.url))
        assert code == 0, found
        assert [line.split()[0] for line, _ in proxy.seen] == ["GET", "POST"]
        code, found = examined(capsys, *openai(server))
        assert code == 0, found


def test_a_dead_endpoint_is_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody listening ends with 1 and says what to look at."""
    options = (
        "--describe-backend",
        "openai",
        "--endpoint",
        "http://127.0.0.1:9/v1",
        "--describe-model",
        "M",
    )
    code, found = examined(capsys, *options, *FAKE, "--quick")
    assert code == 1
    assert "does not answer" in found["endpoint"]["found"]


def test_what_is_wrong_with_folders_and_templates_is_told(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken template, a folder of pictures that is none, and a damaged snapshot each have their
    fix.
    """
    run = shop.run(shop.file("in.jsonl", [{"sku": "a", "name": "Red mug"}]))
    broken = shop.file("broken.yaml", "name: x\n")
    next((run.snapshot / "items").glob("*.parquet")).write_bytes(b"PAR1")
    code, found = examined(
        capsys,
        "--template",
        str(broken),
        "--output",
        str(run.output),
        "--images-root",
        "/nowhere",
        *FAKE,
        "--quick",
    )
    assert code == 1
    assert found["template"]["status"] == found["pictures"]["status"] == "problem"
    assert "template check" in found["template"]["fix"]
    assert found["snapshot"]["status"] == "warning"
    assert all(finding["fix"] for finding in found.values() if finding["status"] != "ok")
    # What a run would take for a first one has snapshots that readers had.
    (run.output / "current.json").unlink()
    code, found = examined(capsys, "--output", str(run.output), *FAKE, "--quick")
    assert (code, found["snapshot"]["status"]) == (1, "problem")
    assert f"{run.output}/current.json is missing" in found["snapshot"]["found"]


def test_a_check_that_breaks_is_a_finding() -> None:
    """A fault of a check itself is reported as one, and the others go on."""
    from pipelines.commands.doctor import examine

    broken = EncoderOptions(["no name"])  # type: ignore[arg-type]
    findings = list(examine(Patient(ModelOptions(image=broken), quick=True)))
    assert all(isinstance(finding, Finding) for finding in findings)
    assert any("broke off" in finding.found for finding in findings)
    assert findings[0].name == "Python"


def test_people_read_it_in_80_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each finding has its status in front, and the fix below it."""
    assert cli.main(["doctor", "--quick", "--images-root", str(tmp_path / "none"), *FAKE]) == 1
    out = capsys.readouterr().out
    assert "problem  pictures: " in out
    assert "-> name the folder" in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_encoders_of_the_template_are_checked(tmp_path: Path) -> None:
    """Each space of vectors with an encoder of its own is a finding, one that cannot be made too."""
    from pipelines.commands.doctor import examine

    spaces = "{name: titles, of: text, encoder: fake}, {name: looks, of: image, encoder: nobody}"
    template = tmp_path / "shop.yaml"
    template.write_text(f"{TEMPLATE}\nvectors: [{spaces}]\n")
    fakes = ModelOptions(text=EncoderOptions("fake", model="a"), image=EncoderOptions("fake"))
    found = {
        finding.name: finding
        for finding in examine(Patient(fakes, template=str(template), quick=True))
    }
    assert found["vectors titles"].status == "ok"
    assert found["vectors looks"].status == "problem"
    assert "there is no image encoder 'nobody'" in found["vectors looks"].found
