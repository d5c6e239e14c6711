"""A Flink of one's own: job manager, task managers of Flink's default size, and Beam's job server.

The jars are those of `docker/flink/pom.xml`: in ../shared/flink/jars, or where
CATALOG_ENRICH_FLINK_JARS says. Task managers start Python workers as processes (`boot.py`).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.engines.ports import answers, free_ports
from tests.support import ROOT

JARS = Path(os.environ.get("CATALOG_ENRICH_FLINK_JARS", ROOT.parent / "shared/flink/jars"))
BOOT = Path(__file__).with_name("boot.py")
# What is missing for a Flink here, or nothing.
MISSING = next(
    (
        f"Flink cannot be started: {what} (runbooks/flink.md)"
        for what, is_there in (
            (f"no jars in {JARS}", any(JARS.glob("flink-runtime-*.jar"))),
            ("no java", shutil.which("java") is not None),
        )
        if not is_there
    ),
    "",
)
START_SECS = 120
# Flink's own sizes of a task manager of 1,728 MiB, and the smallest that its job manager takes.
HEAP_MIB, NETWORK_MIB, MANAGED_MIB, FRAMEWORK_MIB, METASPACE_MIB = 384, 128, 512, 128, 256
_OPENED = (
    *("java.base/java.lang", "java.base/java.lang.reflect", "java.base/java.net"),
    *("java.base/java.io", "java.base/java.nio", "java.base/sun.nio.ch", "java.base/java.text"),
    *("java.base/java.time", "java.base/java.util", "java.base/java.util.concurrent"),
    *("java.base/java.util.concurrent.atomic", "java.base/java.util.concurrent.locks"),
)


@dataclass(frozen=True)
class Job:
    """A job as Flink's REST interface shows it. done: share of its vertices that have finished."""

    state: str
    vertices: int
    done: float
    restarts: int


@dataclass
class Cluster:
    """A running cluster in `folder`, for a `with` statement. environment: of all its processes,
    workers among them.
    """

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    managers: int = 2
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Cluster:
        self._rest, self._rpc, self._jobs = free_ports(3)
        self._conf.mkdir(parents=True)
        (self._conf / "config.yaml").write_text(json.dumps(self._configuration()))
        main = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
        conf = ["--configDir", str(self._conf)]
        try:
            self._start("job-manager", ["-Xmx512m"], [main, *conf, "--executionMode", "cluster"])
            _await("the job manager", lambda: answers(self._rest))
            for number in range(self.managers):
                self.add(f"manager-{number}")
            server = ["--flink-master", f"localhost:{self._rest}", "--job-port", str(self._jobs)]
            server += ["--artifact-port", "0", "--expansion-port", "0"]
            server += ["--artifacts-dir", str(self.folder / "artifacts")]
            server += ["--flink-conf-dir", str(self._conf)]
            main = "org.apache.beam.runners.flink.FlinkJobServerDriver"
            self._start("job-server", ["-Xmx512m"], [main, *server])
            self.wait(self.managers)
            _await("the job server", lambda: answers(self._jobs))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                # Its workers are of its group.
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._processes.clear()

    def add(self, name: str) -> None:
        """Start one more task manager, with one slot."""
        sizes = {
            "taskmanager.memory.task.heap.size": HEAP_MIB,
            "taskmanager.memory.task.off-heap.size": 0,
            "taskmanager.memory.framework.heap.size": FRAMEWORK_MIB,
            "taskmanager.memory.framework.off-heap.size": FRAMEWORK_MIB,
            "taskmanager.memory.network.min": NETWORK_MIB,
            "taskmanager.memory.network.max": NETWORK_MIB,
            "taskmanager.memory.managed.size": MANAGED_MIB,
            "taskmanager.memory.jvm-metaspace.size": METASPACE_MIB,
            "taskmanager.memory.jvm-overhead.min": 192,
            "taskmanager.memory.jvm-overhead.max": 192,
        }
        given = {key: f"{mib}m" for key, mib in sizes.items()}
        given |= {"taskmanager.resource-id": name, "taskmanager.cpu.cores": "1.0"}
        given |= {"taskmanager.numberOfTaskSlots": "1", "external-resources": "none"}
        main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
        dynamic = [word for key, value in given.items() for word in ("-D", f"{key}={value}")]
        memory = [
            f"-Xmx{HEAP_MIB + FRAMEWORK_MIB}m",
            f"-XX:MaxDirectMemorySize={NETWORK_MIB + FRAMEWORK_MIB}m",
            f"-XX:MaxMetaspaceSize={METASPACE_MIB}m",
        ]
        self._start(name, memory, [main, "--configDir", str(self._conf), *dynamic])

    def kill(self, name: str) -> None:
        """End a task manager at once, with its workers, as a machine that goes."""
        process = self._processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def wait(self, managers: int) -> None:
        """Wait until so many task managers are there."""
        _await(
            f"{managers} task managers",
            lambda: self._ask("/overview")["taskmanagers"] >= managers,
        )

    @property
    def options(self) -> list[str]:
        """Options of a run on this cluster."""
        worker = {"command": str(BOOT), "env": {"BOOT_PYTHON": sys.executable}}
        return [
            *("--runner", "PortableRunner", "--job_endpoint", f"localhost:{self._jobs}"),
            *("--environment_type", "PROCESS", "--environment_config", json.dumps(worker)),
            *("--parallelism", str(self.managers), "--environment_cache_millis", "60000"),
        ]

    def jobs(self) -> dict[str, Job]:
        """All jobs by their ids, in the order of their beginning."""
        listed = sorted(self._ask("/jobs/overview")["jobs"], key=lambda each: each["start-time"])
        return {each["jid"]: self._job(each["jid"]) for each in listed}

    def _job(self, job: str) -> Job:
        told = self._ask(f"/jobs/{job}")
        states = [vertex["status"] for vertex in told["vertices"]]
        done = sum(state == "FINISHED" for state in states) / max(len(states), 1)
        counted = self._ask(f"/jobs/{job}/metrics?get=numRestarts")
        restarts = sum(int(each["value"]) for each in counted)
        return Job(told["state"], len(states), done, restarts)

    @property
    def _conf(self) -> Path:
        return self.folder / "conf"

    def _configuration(self) -> dict[str, Any]:
        return {
            # Workers stay from one wave of a job to the next only where Beam's classes are Flink's.
            "classloader.resolve-order": "parent-first",
            "jobmanager.rpc.address": "localhost",
            "jobmanager.rpc.port": self._rpc,
            "jobmanager.memory.process.size": "1600m",
            "rest.address": "localhost",
            "rest.port": self._rest,
            "parallelism.default": self.managers,
            "taskmanager.host": "localhost",
            "restart-strategy.type": "fixed-delay",
            # A task manager that goes costs several: tasks fail one after the other until it is missed.
            "restart-strategy.fixed-delay.attempts": 20,
            "restart-strategy.fixed-delay.delay": "2 s",
            # A task manager that was killed is missed soon.
            "heartbeat.interval": 2000,
            "heartbeat.timeout": 10000,
            "io.tmp.dirs": str(self.folder / "io"),
        }

    def _start(self, name: str, java: list[str], arguments: list[str]) -> None:
        opened = ["--add-exports=java.base/sun.net.util=ALL-UNNAMED"]
        opened += [f"--add-opens={package}=ALL-UNNAMED" for package in _OPENED]
        command = ["java", *java, *opened, "-cp", f"{JARS}/*", *arguments]
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        (self.folder / "io").mkdir(exist_ok=True)
        workers = {"BOOT_FOLDER": str(logs / "workers"), "PYTHONPATH": str(ROOT)}
        with (logs / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={
                    **os.environ,
                    "FLINK_CONF_DIR": str(self._conf),
                    **workers,
                    **self.environment,
                },
                start_new_session=True,
            )

    def _ask(self, path: str) -> Any:
        with urlopen(f"http://localhost:{self._rest}{path}", timeout=10) as answer:
            return json.load(answer)


def _await(what: str, is_there: Any) -> None:
    end = time.monotonic() + START_SECS
    while time.monotonic() < end:
        with suppress(OSError, KeyError):
            if is_there():
                return
        time.sleep(0.5)
    raise TimeoutError(f"{what} did not come within {START_SECS} seconds")
