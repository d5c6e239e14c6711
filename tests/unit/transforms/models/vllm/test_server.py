"""The life of the vLLM server, with a stand-in for vLLM and with real processes that live, leave
and are killed.
"""

import http.client
import json
import os
import re
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.planted import MARK, holds
from tests.vllm_users import User, fake_interpreter, processes_of, starts, supervisor_of, wait_until
from transforms.models.chat import ChatAnswer, ChatRequest
from transforms.models.chat_options import ChatOptions
from transforms.models.http.calls.upstream import UpstreamGoneError
from transforms.models.vllm.server import log_excerpt

pytestmark = pytest.mark.timeout(120)
GONE_SECS = 5


class Machine:
    """A machine with a stand-in for vLLM on it, and the processes of a run."""

    def __init__(self, folder):
        self.folder = folder
        self.users = []

    def user(self, model=False, session="run", environment=None, **options):
        options = {"startup_timeout_secs": 30, "max_inflight": 4, **options}
        python = str(self.folder / "python")
        chat = ChatOptions(model="shop/vlm", vllm_python=python, session=session, **options)
        self.users.append(User(chat, self.folder, model, environment))
        return self.users[-1]

    def script(self, **script):
        fake_interpreter(self.folder, **script)

    @property
    def starts(self):
        return starts(self.folder)

    def nothing_left(self):
        return wait_until(lambda: not processes_of(self.folder), GONE_SECS)


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path)
    machine.script()
    yield machine
    for user in machine.users:
        user.kill()
    assert machine.nothing_left(), processes_of(tmp_path)


def test_processes_share_one_server(machine):
    """Processes of one run that ask at the same time get the same URL, and one server is started."""
    users = [machine.user() for _ in range(3)]
    for user in users:
        user.ask("url")
    assert len({user.hear() for user in users}) == 1
    assert len(machine.starts) == 1


def test_runs_do_not_share(machine):
    """Another run has a server of its own."""
    assert machine.user(session="one").call("url") != machine.user(session="two").call("url")
    assert len(machine.starts) == 2


def test_the_last_to_leave_ends_it(machine):
    """The server outlives who leaves while others stay; when the last one's close returns, it has
    ended.
    """
    first, second = machine.user(), machine.user()
    url = first.call("url")
    assert second.call("url") == url
    first.call("close")
    assert healthy(url)
    second.call("close")
    assert not alive(machine.starts[0]["pid"])
    assert not alive(machine.starts[0]["engine"])
    assert machine.nothing_left()
    assert not list(machine.folder.glob("catalog-enrich-*/*/*"))


def test_killed_users_count_as_gone(machine):
    """When every user is killed, the server goes within seconds."""
    users = [machine.user(), machine.user()]
    for user in users:
        user.call("url")
    for user in users:
        user.kill()
    assert machine.nothing_left()


def test_a_user_killed_while_it_starts_counts_as_gone(machine):
    """A server that nobody waits for any more is ended although it was never ready."""
    machine.script(never_ready=True)
    user = machine.user()
    user.ask("url")
    assert wait_until(lambda: len(machine.starts) == 1, 20)
    user.kill()
    assert machine.nothing_left()


def test_a_killed_server_is_restarted_for_all(machine):
    """All users get the same new URL after a death, also who asks later, and the dead server's
    engine is gone.
    """
    users = [machine.user() for _ in range(3)]
    [url] = {user.call("url") for user in users}
    dead = machine.starts[0]
    os.kill(dead["pid"], signal.SIGKILL)
    for user in users[:2]:
        user.ask("lost", url)
    new = {user.hear() for user in users[:2]} | {users[2].call("lost", url)}
    assert len(new) == 1
    assert url not in new
    assert len(machine.starts) == 2
    assert not alive(dead["engine"])


def test_a_second_death_is_the_last(machine):
    """After the second death every user learns how it died, where the log lies and what it says
    last.
    """
    users = [machine.user(), machine.user()]
    [url] = {user.call("url") for user in users}
    for _ in range(2):
        os.kill(machine.starts[-1]["pid"], signal.SIGKILL)
        lost, url = url, ""
        for user in users:
            try:
                url = user.call("lost", lost)
            except UpstreamGoneError as error:
                message = str(error)
                assert "died 2 times, the last time it was killed by signal 9 (SIGKILL" in message
                assert "starting with" in message
                assert Path(log_of(message)).is_file()
    assert url == ""
    assert len(machine.starts) == 2


def test_a_server_that_is_well_is_kept(machine):
    """Who merely failed to connect is given the same URL, and nothing is restarted."""
    user = machine.user()
    url = user.call("url")
    assert user.call("lost", url) == url
    assert len(machine.starts) == 1


def test_a_start_that_fails_shows_the_log(machine):
    """A server that ends before it is ready fails at once, not after the time-out, with the cause
    from its log.
    """
    machine.script(die_at_start="ValueError: No available memory for the cache blocks.")
    with pytest.raises(
        UpstreamGoneError, match="ended with exit code 1 before it was ready"
    ) as caught:
        # Longer than a test may take here.
        machine.user(startup_timeout_secs=300).call("url")
    message = str(caught.value)
    assert "first error: ValueError: No available memory for the cache blocks." in message
    assert message.endswith(
        "RuntimeError: Engine core initialization failed. See root cause above."
    )
    assert Path(log_of(message)).is_file()
    assert len(machine.starts) == 1


def test_a_server_that_never_gets_ready(machine):
    """The wait for a server ends with the stated time-out."""
    machine.script(never_ready=True)
    user = machine.user(startup_timeout_secs=2)
    with pytest.raises(UpstreamGoneError, match=r"not ready within 2 s \(--startup-timeout-secs\)"):
        user.call("url")
    assert len(machine.starts) == 1


def test_no_interpreter(machine):
    """An interpreter that cannot be started is named."""
    (machine.folder / "python").unlink()
    with pytest.raises(UpstreamGoneError, match=r"could not be started.*python"):
        machine.user().call("url")


def test_a_killed_supervisor_leaves_nothing(machine):
    """When the supervisor is killed, the kernel ends the server, the reaper its engine, and users get a
    new server, once.
    """
    user = machine.user()
    url = user.call("url")
    dead = machine.starts[0]
    supervisor_of(machine.folder).kill()
    assert machine.nothing_left()
    assert not alive(dead["pid"])
    assert not alive(dead["engine"])
    new = user.call("lost", url)
    assert healthy(new)
    supervisor_of(machine.folder).kill()
    with pytest.raises(UpstreamGoneError, match="or its supervisor died 2 times"):
        user.call("lost", new)


def test_a_killed_reaper_is_replaced(machine):
    """The server's engine is ended also when the reaper was killed before."""
    user = machine.user()
    user.call("url")
    reapers = [
        p for p in processes_of(machine.folder) if any("reaper.py" in word for word in p.cmdline())
    ]
    assert len(reapers) == 1
    reapers[0].kill()
    user.call("close")
    assert not alive(machine.starts[0]["engine"])


def test_a_supervisor_that_is_asked_to_end(machine):
    """SIGTERM to the supervisor ends the server in order."""
    machine.user().call("url")
    supervisor_of(machine.folder).terminate()
    assert machine.nothing_left()


def test_leaving_while_it_starts(machine):
    """A model that is closed before its server is ready does not wait for the server, and leaves
    nothing.
    """
    machine.script(never_ready=True)
    user = machine.user(model=True, startup_timeout_secs=300)
    user.ask("answer_and_close", [ChatRequest("", "?", {})], 2.0)
    [(index, failure)] = user.hear()
    assert (index, failure.reason) == (0, "model-unavailable")
    assert machine.nothing_left()


def test_a_port_that_another_process_took(machine):
    """A server that finds its port taken is started again on another one, which does not count as a death."""
    machine.script(lose_port=True)
    url = machine.user().call("url")
    first, second = machine.starts
    assert first["port"] != second["port"] == urlsplit(url).port


def test_a_model_answers_through_a_death(machine):
    """Requests that were open when the server died are sent again, and each is answered exactly
    once.
    """
    machine.script(die_after=10, delay_secs=0.02)
    user = machine.user(model=True)
    answers = user.call("answer", [ChatRequest("", f"{n}?", {}) for n in range(15)])
    assert sorted(index for index, _ in answers) == list(range(15))
    assert all(isinstance(answer, ChatAnswer) for _, answer in answers)
    assert len(machine.starts) == 2


def test_a_model_fails_after_two_deaths(machine):
    """When the server died twice, every open request fails with `model-unavailable` and the way to
    the log.
    """
    machine.script(die_after=3)
    user = machine.user(model=True)
    answers = user.call("answer", [ChatRequest("", f"{n}?", {}) for n in range(20)])
    failures = [answer for _, answer in answers if not isinstance(answer, ChatAnswer)]
    assert len(answers) == 20
    assert len(failures) == 20 - 2 * 3
    assert {failure.reason for failure in failures} == {"model-unavailable"}
    assert "died 2 times" in failures[0].message
    assert "the whole log: " in failures[0].message


def test_nobody_else_can_ask(machine):
    """The server wants a key that is on no command line and in no log, in a folder that only this
    user can enter.
    """
    user = machine.user()
    url, key = user.call("url"), user.call("key")
    assert post(url, key) == 200
    assert post(url, "another") == 401
    assert all(key not in " ".join(process.cmdline()) for process in processes_of(machine.folder))
    folders = [path for path in machine.folder.glob("catalog-enrich-*/**/") if path.is_dir()]
    assert len(folders) >= 2
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
    for log in machine.folder.glob("catalog-enrich-*/*/*.log"):
        assert key not in log.read_text("utf-8")
    assert machine.user(session="other").call("key") != key


def test_a_server_that_tells_its_environment(machine):
    """Its log has neither its own key nor those of the job, by value and by shape, and neither has
    the error that quotes it.
    """
    machine.script(
        tells_environment=True, die_at_start=f"ValueError: https://me:{MARK}@hub.example"
    )
    environment = {"HF_TOKEN": MARK, "HTTPS_PROXY": f"http://me:{MARK}@proxy.example:3128"}
    user = machine.user(environment=environment)
    with pytest.raises(UpstreamGoneError) as caught:
        user.call("url")
    key, logs = user.call("key"), list(machine.folder.glob("catalog-enrich-*/*/vllm-*.log"))
    assert logs
    for text in (str(caught.value), *(log.read_text("utf-8") for log in logs)):
        assert "hub.example" in text
        assert not holds(text)
        assert key not in text


def test_a_folder_that_others_can_write(machine):
    """A private folder that is not private is not used."""
    folder = machine.folder / f"catalog-enrich-{os.getuid()}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with pytest.raises(UpstreamGoneError, match="TMPDIR"):
        machine.user().call("url")


def test_log_excerpt_names_the_cause(tmp_path):
    """The first error in a log is what failed; the last lines are where it was noticed."""
    log = tmp_path / "log"
    lines = [
        "INFO fine",
        "(EngineCore pid=7) ERROR 01-31 12:00:00 [core.py:1] OSError: no such model",
        *"x" * 40,
    ]
    log.write_text("\n".join(lines), "utf-8")
    cause, tail = log_excerpt(log)
    assert cause == "OSError: no such model"
    assert tail == "\n".join("x" * 15)
    assert log_excerpt(tmp_path / "none") == ("", "(it is empty)")


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def log_of(message):
    return re.search(r"the whole log: (\S+);", message).group(1)


def healthy(url):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    connection.request("GET", "/health")
    return connection.getresponse().status == 200


def post(url, key):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    connection.request(
        "POST", "/v1/chat/completions", json.dumps({}), {"Authorization": f"Bearer {key}"}
    )
    return connection.getresponse().status
