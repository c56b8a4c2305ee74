"""Why a step ended, where Kubernetes keeps it: the termination message of its container outlives the log."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

LOG = Path("/dev/termination-log")
"""Kubernetes' default; it puts the file into every container, and no other machine has it."""
_MOST_BYTES = 4096
"""Kubernetes cuts off what is beyond."""
_CUT = "\n[...]\n"


def write(text: str) -> None:
    """Leave a text as the container's termination message, in place of an earlier one; elsewhere do nothing.

    Args:
        text: Of one that is too long, the beginning and, where tracebacks say the most, the end are kept.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(LOG, os.O_WRONLY | os.O_TRUNC)  # never made: outside of a container nobody would read it
        with os.fdopen(descriptor, "wb") as file:
            file.write(shortened(text).encode())


def shortened(text: str, most: int = _MOST_BYTES) -> str:
    """Return a text of at most so many bytes of UTF-8: its beginning and its end, cut between lines if it has such."""
    encoded = text.encode()
    if len(encoded) <= most:
        return text
    head = _within(encoded[: most // 4])
    tail = _within(encoded[-(most - most // 4 - len(_CUT)) :])
    return (head.rpartition("\n")[0] or head) + _CUT + (tail.partition("\n")[2] or tail)


@contextlib.contextmanager
def of_signals(step: str) -> Iterator[None]:
    """While the block runs, let SIGTERM leave a message and a line in the log; the process dies of it as ever.

    Kubernetes sends it when a pod is deleted or evicted, Kubeflow when a run is terminated.
    """
    if threading.current_thread() is not threading.main_thread():  # only that one may
        yield
        return

    def tell(number: int, frame: FrameType | None) -> None:
        text = f"{step}: stopped from outside by {signal.Signals(number).name}"
        write(f"{text}: the pod was deleted or evicted, or the run terminated")
        os.write(2, f"{text}\n".encode())  # sys.stderr may be in the middle of a line
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        os._exit(128 + number)  # the first process of a container does not die of a signal

    before = signal.signal(signal.SIGTERM, tell)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _within(part: bytes) -> str:
    return part.decode(errors="ignore")  # of a character that was cut in two, nothing
