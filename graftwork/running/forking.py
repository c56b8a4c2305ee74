"""The process from which the steps of a local run are forked; `graftwork.running.processes` starts it.

Importing TensorFlow and Keras takes seconds, in every step anew. This process imports them once and does nothing with
them: no operation has run, no device is open when it is forked, so each step begins as a fresh process does after its
imports, and ends as one.
"""

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys

from graftwork.running import kfp_internals

READY = b"ready"
FILES = 3
"""What comes with an order: a file with its JSON, where the step's output goes, where its process is reported."""
_IMPORTED = ("tensorflow", "keras", "pandas", "matplotlib.pyplot", "sklearn.metrics", kfp_internals.EXECUTOR)


def main() -> None:
    """Fork a step for each order that comes over the socket, an inherited descriptor, until that is closed."""
    kfp_internals.prepare_to_execute()
    for name in _IMPORTED:
        with contextlib.suppress(Exception):  # a step that needs it says what is wrong
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else the first collection in a step writes to, and so copies, every page
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a step dies of it, this ends with the run
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        orders.send(READY)
        while True:
            order, files, _, _ = socket.recv_fds(orders, 1, FILES)
            # To wait for a process is also to take over the CPU time that it has used.
            if not order:
                _clear_away(0)
                return
            _clear_away(os.WNOHANG)
            if os.fork() == 0:
                break
            for file in files:
                os.close(file)
    _wait_for_step(*files)


def _clear_away(options: int) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, options) != (0, 0):
            pass


def _wait_for_step(request: int, output: int, reports: int) -> None:
    """Fork the step itself; report its process, and how it ended."""
    step = os.fork()
    if step == 0:
        os.close(reports)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _be_step(request, output)
        return
    os.close(output)
    with os.fdopen(reports, "w") as lines:
        print(step, file=lines, flush=True)
        _, status = os.waitpid(step, 0)
        print(os.waitstatus_to_exitcode(status), file=lines)
    os._exit(0)


def _be_step(request: int, output: int) -> None:
    os.dup2(output, sys.stdout.fileno())
    os.dup2(output, sys.stderr.fileno())
    os.close(output)
    with os.fdopen(request, encoding="utf-8") as file:
        order = json.load(file)
    kfp_internals.execute(order)


if __name__ == "__main__":
    main()
