"""The vllm backend with the real vLLM, on the CPU, and a tiny model with random weights: `make
test-vllm`.
"""

import hashlib
import http.client
import io
import json
import os
import time

import jsonschema
import psutil
import pytest
from PIL import Image

from tests.tiny_vlm import build_tiny_vlm
from tests.vllm_users import User, supervisor_of, wait_until
from transforms.models.chat import ChatAnswer, ChatRequest, PreparedPicture
from transforms.models.chat_options import ChatOptions

PYTHON = os.environ.get("CATALOG_ENRICH_VLLM_PYTHON", "")
pytestmark = [
    pytest.mark.skipif(
        not PYTHON, reason="CATALOG_ENRICH_VLLM_PYTHON names no interpreter; run `make test-vllm`"
    ),
    pytest.mark.timeout(600),
]
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
GONE_SECS = 15
SCHEMA = {
    "type": "object",
    "properties": {
        "description": {"type": "string", "maxLength": 40},
        "color": {"enum": ["red", "green", "unknown"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["description", "color", "count"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return build_tiny_vlm(tmp_path_factory.mktemp("tiny") / "vlm")


@pytest.fixture
def start(weights, tmp_path):
    """Starts processes that use one server; at the end of the test, none of the server's processes
    may be left.
    """
    users = []

    def user(**options):
        chat = ChatOptions(
            model=str(weights),
            vllm_python=PYTHON,
            vllm_args="--max-model-len 4096 --max-num-seqs 8 --enforce-eager",
            dtype="bfloat16",
            startup_timeout_secs=300,
            session="test",
            **options,
        )
        users.append(User(chat, tmp_path, model=True, environment=ENVIRONMENT))
        return users[-1]

    yield user
    family = server_processes(tmp_path)
    for user in users:
        user.kill()
    assert wait_until(lambda: not living(family), GONE_SECS), living(family)


def server_processes(folder):
    """The supervisor, its children, and all that is in the server's session, engine processes included."""
    try:
        supervisor = supervisor_of(folder)
        sessions = {child.pid for child in supervisor.children()}
    except (psutil.NoSuchProcess, StopIteration):
        return []
    return [
        supervisor,
        *(process for process in psutil.process_iter() if session_of(process.pid) in sessions),
    ]


def session_of(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def living(processes):
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def api_server(folder):
    """The server's process and its port, once it is ready."""
    for child in supervisor_of(folder).children():
        try:
            words = child.cmdline()
        except psutil.NoSuchProcess:  # killed a moment ago, and not yet buried
            continue
        if "vllm.entrypoints.openai.api_server" in words:
            port = int(words[words.index("--port") + 1])
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return child, port
            except OSError:
                pass
    return None


def picture(folder):
    path = folder / "picture.jpg"
    content = io.BytesIO()
    Image.new("RGB", (90, 60), "red").save(content, "JPEG")
    path.write_bytes(content.getvalue())
    return PreparedPicture(hashlib.sha256(content.getvalue()).hexdigest(), str(path))


def requests(count, folder):
    shown = (picture(folder),)
    return [
        ChatRequest("You describe.", f"Item {n}.", SCHEMA, shown, max_tokens=200)
        for n in range(count)
    ]


def check(answers, count):
    """Each request has one answer, and each answer obeys the schema unless it ran into its limit."""
    assert sorted(index for index, _ in answers) == list(range(count))
    for _, answer in answers:
        assert isinstance(answer, ChatAnswer), answer
        assert answer.finish_reason == "stop"
        jsonschema.validate(json.loads(answer.content), SCHEMA)


def test_structured_answers(start, tmp_path):
    """One answer with a picture obeys the schema; so do 32 at once; after close nothing is left of
    the server.
    """
    user = start()
    started = time.monotonic()
    check(user.call("answer", requests(1, tmp_path)), 1)
    print(f"\nfirst answer after {time.monotonic() - started:.1f} s, the server's start included")
    started = time.monotonic()
    answers = user.call("answer", requests(32, tmp_path))
    print(f"32 answers in {time.monotonic() - started:.1f} s")
    check(answers, 32)
    assert answers[0][1].probabilities
    family = server_processes(tmp_path)
    assert len(living(family)) >= 3
    started = time.monotonic()
    user.call("close")
    print(f"closed in {time.monotonic() - started:.1f} s")
    # The supervisor itself ends a moment after it has told so.
    assert wait_until(lambda: not living(family), 2), living(family)


def test_no_url_is_fetched(start, tmp_path):
    """A URL in place of a picture is refused by the server, not fetched, and needs the key even to
    be refused.
    """
    user = start()
    user.call("answer", requests(1, tmp_path))
    _, port = api_server(tmp_path)
    picture = {"type": "image_url", "image_url": {"url": f"http://127.0.0.1:{port}/health"}}
    body = {"model": "x", "messages": [{"role": "user", "content": [picture]}], "max_tokens": 1}
    status, text = user.call("post", f"http://127.0.0.1:{port}/v1/chat/completions", body)
    assert status == 400
    assert "domain" in text.lower()
    assert (
        user.call("post", f"http://127.0.0.1:{port}/v1/chat/completions", body, "another")[0] == 401
    )


def test_killed_server_is_restarted(start, tmp_path):
    """When the server is killed with requests under way, all of them are answered exactly once, by
    its successor.
    """
    user = start()
    check(user.call("answer", requests(1, tmp_path)), 1)
    server, _ = api_server(tmp_path)
    family = server_processes(tmp_path)
    user.ask("answer", requests(400, tmp_path))
    time.sleep(1)
    server.kill()
    answers = user.hear()
    check(answers, 400)
    assert any(answer.retries for _, answer in answers)
    assert api_server(tmp_path)[0].pid != server.pid
    assert not [process for process in living(family) if process.pid != supervisor_of(tmp_path).pid]


def test_killed_twice(start, tmp_path):
    """When the server is killed twice, all that is open fails with `model-unavailable` and the way
    to the log.
    """
    user = start()
    check(user.call("answer", requests(1, tmp_path)), 1)
    user.ask("answer", requests(400, tmp_path))
    time.sleep(1)
    first, _ = api_server(tmp_path)
    first.kill()
    assert wait_until(
        lambda: (found := api_server(tmp_path)) is not None and found[0].pid != first.pid, 300
    )
    api_server(tmp_path)[0].kill()
    answers = user.hear()
    assert sorted(index for index, _ in answers) == list(range(400))
    failures = [answer for _, answer in answers if not isinstance(answer, ChatAnswer)]
    assert failures
    assert {failure.reason for failure in failures} == {"model-unavailable"}
    # Which of the two depends on whether the job had seen the second server ready.
    assert "died 2 times" in failures[0].message or "before it was ready" in failures[0].message


def test_killed_engine_is_a_death(start, tmp_path):
    """When only the engine process is killed, the server is restarted, too."""
    user = start()
    check(user.call("answer", requests(1, tmp_path)), 1)
    server, _ = api_server(tmp_path)
    engine = next(
        process for process in server.children() if "EngineCore" in " ".join(process.cmdline())
    )
    user.ask("answer", requests(400, tmp_path))
    time.sleep(1)
    engine.kill()
    answers = user.hear()
    check(answers, 400)
    assert any(answer.retries for _, answer in answers)
    assert api_server(tmp_path)[0].pid != server.pid


def test_killed_user(start, tmp_path):
    """When the only process that uses the server is killed, the server goes within seconds, its
    engine included.
    """
    user = start()
    check(user.call("answer", requests(1, tmp_path)), 1)
    family = server_processes(tmp_path)
    started = time.monotonic()
    user.kill()
    assert wait_until(lambda: not living(family), GONE_SECS), living(family)
    print(f"\ngone {time.monotonic() - started:.1f} s after its user was killed")


def test_killed_supervisor(start, tmp_path):
    """When the supervisor is killed, the server and its engine go within seconds."""
    user = start()
    check(user.call("answer", requests(1, tmp_path)), 1)
    family = server_processes(tmp_path)
    supervisor_of(tmp_path).kill()
    assert wait_until(lambda: not living(family), GONE_SECS), living(family)
