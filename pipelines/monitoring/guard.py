"""The guard of a command as the command sees it: it starts with it and learns of its workers."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

_PROGRAM = Path(__file__).with_name("guard_process.py")
# What an orderly end may take, its removal of files included: with what Python and the guard take
# themselves it stays below the ten seconds that schedulers grant.
GRACE_SECS = 8.0


class Guard:
    """Starts the guard's process, which sees to it that this one ends when it is asked to.

    For the main thread alone. Where no process can be started there is no guard, and all else goes
    on as it would.
    """

    def __init__(self, grace_secs: float = GRACE_SECS) -> None:
        self._pipe = -1
        self._wakeup = -1
        self._process: subprocess.Popen[bytes] | None = None
        with suppress(OSError):
            self._start(grace_secs)

    def _start(self, grace_secs: float) -> None:
        read, write = os.pipe()
        try:
            os.set_blocking(write, False)
            command = [sys.executable, "-I", "-S", str(_PROGRAM), str(os.getpid()), str(grace_secs)]
            self._process = subprocess.Popen(  # noqa: S603 - a file of ours
                command,
                stdin=read,
                stdout=subprocess.DEVNULL,
                # What ends a whole process group (Ctrl-C, a killed job) must not end the guard.
                start_new_session=True,
            )
        except BaseException:
            os.close(write)
            raise
        finally:
            os.close(read)
        self._pipe = write
        self._wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        _end_by_quit()

    def tell(self, line: str) -> None:
        """Tell the guard `+PID` or `-PID` of a worker process, `hold`, or `end`."""
        if self._pipe >= 0:
            with suppress(OSError):
                os.write(self._pipe, f"{line}\n".encode())

    def close(self) -> None:
        """Let the guard go: what ends from here on ends by itself."""
        if self._pipe < 0 or self._process is None:
            return
        signal.set_wakeup_fd(self._wakeup)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        self.tell("end")  # closing alone is no sign where a forked process has the pipe too
        os.close(self._pipe)
        self._pipe = -1
        self._process.wait()


def _end_by_quit() -> None:
    """Let SIGQUIT end this process at once with exit code 3, whatever it is busy with.

    No Python runs: the kernel calls the C library's `_exit`, to which a handler's only argument,
    the number of the signal, is the exit code. That of SIGQUIT is 3, as that of what broke off.
    """
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal.restype = ctypes.c_void_p
    libc.signal(signal.SIGQUIT, ctypes.cast(libc._exit, ctypes.c_void_p))
