"""The processes in which the steps of a local run run."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import IO, Any

from graftwork.running import forking, kfp_internals

_KILLED = -signal.SIGKILL


@contextlib.contextmanager
def runner() -> Iterator[Any]:
    """Yield a KFP runner that starts every step in a process of its own.

    The first two that run are started as KFP does it. Meanwhile a process gets ready that has imported what steps
    import; later steps are forked from it, which saves each the seconds that takes. A repeated run, of which only the
    first step runs, starts nothing besides.
    """
    from kfp import local

    with (
        contextlib.closing(Processes(kfp_internals.current(kfp_internals.PROCESS))) as processes,
        kfp_internals.replaced(kfp_internals.PROCESS, processes.run),
    ):
        yield local.SubprocessRunner(use_venv=False)


class Processes:
    """The steps of one run; they may be started from several threads."""

    def __init__(self, kfp_runs: Any) -> None:
        self.kfp_runs = kfp_runs
        self._started = 0
        self._forks: Forks | None = None
        self._lock = threading.Lock()

    def run(self, full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        """Run a step to its end, print what it says line by line, and return its exit code; takes what KFP gives."""
        with self._lock:
            self._started += 1
            if self._started == 2 and sys.platform == "linux":  # elsewhere a fork is not safe after such imports
                self._forks = Forks()
        order = kfp_internals.order(full_command)
        if order is not None and not env_vars and self._forks is not None and self._forks.ready():
            return self._forks.run(order)
        return int(self.kfp_runs(full_command=full_command, env_vars=env_vars))

    def close(self) -> None:
        """Leave no process behind but steps that still run."""
        if self._forks is not None:
            self._forks.close()


class Forks:
    """A running `graftwork.running.forking`."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", forking.__name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._ready = False
        self._lock = threading.Lock()

    def ready(self, seconds: float = 0) -> bool:
        """Return whether its imports are done, after waiting for that."""
        with self._lock:
            if not self._ready and select.select([self._orders], [], [], seconds)[0]:
                self._ready = self._orders.recv(len(forking.READY)) == forking.READY
            return self._ready and self._process.poll() is None

    def run(self, order: dict[str, Any]) -> int:
        """Run a step to its end, print what it says line by line, and return its exit code.

        Args:
            order: "source" of the component's module, and "arguments" of KFP's executor.
        """
        output, their_output = os.pipe()
        reports, their_reports = os.pipe()
        with os.fdopen(output, encoding="utf-8", errors="replace") as lines, os.fdopen(reports) as reported:
            with tempfile.TemporaryFile("w+", encoding="utf-8") as request:
                json.dump(order, request)
                request.seek(0)
                try:
                    with self._lock:
                        socket.send_fds(self._orders, [b"1"], [request.fileno(), their_output, their_reports])
                finally:
                    os.close(their_output)
                    os.close(their_reports)
            return _follow(lines, reported)

    def close(self) -> None:
        """End it; steps that run go on."""
        self._orders.close()
        if not self._ready:
            self._process.kill()
        self._process.wait()


def _follow(lines: IO[str], reported: IO[str]) -> int:
    process = int(reported.readline() or 0)
    try:
        for line in lines:
            print(line, end="")
        return int(reported.readline() or _KILLED)
    except BaseException:
        if process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        raise
