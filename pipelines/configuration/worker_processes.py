"""The worker processes of Beam's local runner: started, watched, and ended with the run.

Beam's own handler waits for a process whatever becomes of it: for ever for one that the kernel has
killed, and a minute and longer, while the whole run is to end, for one that is still starting.
"""

from __future__ import annotations

import signal
import subprocess
import threading
from typing import Any

from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_fn_api_pb2, endpoints_pb2
from apache_beam.runners.portability.fn_api_runner.worker_handlers import (
    GrpcWorkerHandler,
    WorkerHandler,
)
from google.protobuf import json_format, text_format

from pipelines.configuration.errors import WorkerDiedError
from pipelines.configuration.workers.waiting_workers import take_worker, tell_worker
from pipelines.monitoring import interrupts

# What a worker may take to end when its work is done, and when that of another has failed.
GRACE_SECS = 10.0


class _Connection:
    """Beam's control connection to a worker; what is asked of a dead one is answered with an
    error.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._open: list[Any] = []
        self._died = ""

    def push(self, request: Any) -> Any:
        """Ask the worker; returns a future of its answer."""
        future = self._connection.push(request)
        if future is None:
            return None
        with self._lock:
            self._open = [each for each in self._open if not each.is_done()]
            self._open.append(future)
            if self._died:
                _answer(future, self._died)
        return future

    def died(self, how: str) -> None:
        """Answer all that is open, and all that will be asked."""
        with self._lock:
            self._died = how
            for future in self._open:
                if not future.is_done():
                    _answer(future, how)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def _answer(future: Any, how: str) -> None:
    error = f"{WorkerDiedError.__name__}: {how}"
    future.set(
        beam_fn_api_pb2.InstructionResponse(instruction_id=future.instruction_id, error=error)
    )


# How workers died, which a run tells: Beam may raise any of the errors that follow from it.
DEATHS: list[str] = []
# Of all runs of this process.
_WORKERS: set[WorkerProcess] = set()


@WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)
class WorkerProcess(GrpcWorkerHandler):
    """A worker process, in the place of Beam's own handler."""

    def __init__(self, _: bytes, state: Any, provision_info: Any, grpc_server: Any) -> None:
        super().__init__(state, provision_info, grpc_server)
        self._connection = _Connection(self.control_conn)
        self.control_conn: Any = self._connection
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closing = False

    def start_worker(self) -> None:
        """Start the process, and a thread that waits for its end."""
        # One that a stop comes upon before anybody knows of it would outlive the run.
        with interrupts.active().delayed():
            self._process = take_worker()
            _WORKERS.add(self)
        tell_worker(self._process, self._environment())
        threading.Thread(
            target=self._watch, args=(self._process,), name="worker", daemon=True
        ).start()

    def end(self, how: str) -> None:
        """Kill the process, for the death of another; how: what becomes of what it was asked."""
        self._is_closing = True
        self._connection.died(how)
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the process; one that is busy with what nobody waits for any more is killed."""
        self._is_closing = True
        _WORKERS.discard(self)
        if self._process is not None and interrupts.active().happened:
            self._process.kill()
        super().close()

    def stop_worker(self) -> None:
        """Wait for the process to end, not for long."""
        if self._process is None:
            return
        try:
            self._process.wait(GRACE_SECS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        interrupts.active().tell(f"-{self._process.pid}")

    def _environment(self) -> dict[str, str]:
        """Return what Beam's worker finds in its environment."""
        control, logging = (
            self.control_api_service_descriptor(),
            endpoints_pb2.ApiServiceDescriptor(),
        )
        logging.CopyFrom(self.logging_api_service_descriptor())
        options = self.provision_info.provision_info.pipeline_options
        return {
            "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(control),
            "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(logging),
            "PIPELINE_OPTIONS": json_format.MessageToJson(options),
            "WORKER_ID": self.worker_id,
        }

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        status = process.wait()
        if self._is_closing:
            return
        # The run ends with it, so that nobody waits for what the others are busy with.
        how = how_it_ended(status)
        DEATHS.append(how)
        for worker in [each for each in _WORKERS if each._grpc_server is self._grpc_server]:
            worker.end(how)


def how_it_ended(status: int) -> str:
    """Return how a worker process ended, by its exit status, and what to do.

    >>> how_it_ended(1)
    'a worker process ended with exit code 1; its last words are in workers.log (--keep-work)'
    """
    if status == -signal.SIGKILL:
        return (
            "a worker process was killed (SIGKILL), as the kernel does when memory runs out; give "
            "it more memory, or less to do at once: fewer --workers, more --buckets, a smaller "
            "--max-inflight"
        )
    if status < 0:
        return f"a worker process was ended by signal {-status} ({signal.Signals(-status).name})"
    return (
        f"a worker process ended with exit code {status}; its last words are in workers.log "
        "(--keep-work)"
    )
