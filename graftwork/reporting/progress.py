"""What a running step tells the person who waits: progress, notes, errors.

On a cluster these are plain log lines, as many as GRAFTWORK_LOG_LEVEL asks for, and why a step failed is left with its
container too. A local run sets GRAFTWORK_EVENTS, and every line becomes one JSON object behind a marker, which
`graftwork.running.local` turns into progress bars.
"""

import contextlib
import functools
import json
import logging
import os
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TextIO, TypeVar

from graftwork.errors import EXIT_CODE, UserError, in_one_line
from graftwork.reporting import levels, termination

EVENTS_VARIABLE = "GRAFTWORK_EVENTS"
FOLDER_VARIABLE = "GRAFTWORK_RUN_FOLDER"
"""Names a folder that all steps of a local run share, and that goes with it."""
MARKER = "::graftwork::"
RESULT = "graftwork result: "
"""What a line with a step's result begins with on a cluster, where the log is all that comes to the terminal."""
_LONGEST_RESULT = 60 * 1024
"""Bytes; Kubeflow's server reads archived logs in lines of up to 64 KiB."""
_EVENT_SECONDS = 0.25
_LOG_SECONDS = 15.0
_PROCESS = secrets.token_hex(4)
"""Tells the events of steps apart that run at the same time, in containers too."""
_reported = -_LOG_SECONDS  # when progress was last reported, by the monotonic clock

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def step(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate the function behind a pipeline step: report its start, end, seconds and peak memory.

    A UserError ends the process with exit code 2 and its message alone; anything else keeps its traceback. On a
    cluster, why it failed or was stopped is also left as the container's termination message.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            started = time.monotonic()
            try:
                with contextlib.nullcontext() if _events_wanted() else termination.of_signals(name):
                    _emit("start", f"{name}: started", step=name)
                    result = function(*args, **kwargs)
            except UserError as error:
                _record_failure(in_one_line(error), f"error: {error}")
                _emit("error", f"error: {error}", logging.ERROR, message=str(error))
                raise SystemExit(EXIT_CODE) from None
            except Exception as error:
                summary = f"{name}: {type(error).__name__}: {in_one_line(error)}"
                _record_failure(summary, f"{summary}\n{traceback.format_exc()}")
                _emit("crash", f"{name}: failed", logging.ERROR, message=f"{type(error).__name__}: {error}")
                raise
            seconds, peak = time.monotonic() - started, peak_memory_mib()
            _emit("end", f"{name}: {seconds:.1f} s, {peak:.0f} MiB at most", step=name, seconds=seconds, peak_mib=peak)
            return result

        return run

    return decorate


def failure() -> str:
    """Return why the first step failed of the local run that this step belongs to; "" if none did, or on a cluster."""
    file = _failure_file()
    return file.read_text(encoding="utf-8") if file and file.is_file() else ""


def note(text: str) -> None:
    """Tell the user one finding of the running step, such as how many images were kept."""
    _emit("note", text, text=text)


def warn(text: str) -> None:
    """Tell the user one finding that they will want to do something about."""
    _emit("note", f"warning: {text}", logging.WARNING, text=f"warning: {text}")


def result(document: Mapping[str, Any] | Callable[[], Mapping[str, Any]]) -> None:
    """Say on a cluster, whatever the log level, in one line what came out of a step; a local run has it in files.

    Args:
        document: What JSON can hold; "step" says which step this is. Or what makes it, where that is work.
    """
    if _events_wanted():
        return
    document = document() if callable(document) else document
    line = RESULT + json.dumps(document, separators=(",", ":"))
    if len(line) > _LONGEST_RESULT:
        warn(f"the result of {document['step']} is too long for a line of the log; it is in the step's outputs")
        return
    _say(line)


def track(items: Iterable[T], total: int | None, what: str) -> Iterator[T]:
    """Yield the items and report how far along they are.

    Args:
        items: Anything iterable.
        total: How many there are, None if not known.
        what: What is counted, as in "images".
    """
    done = 0
    for done, item in enumerate(items, start=1):
        yield item
        report(done, total, what)
    if done != total:
        report(done, done, what)


def report(done: int, total: int | None, what: str, detail: str = "") -> None:
    """Report progress: done of total (None if not known), and a detail such as the current loss.

    May be called as often as you like; what is said is said at most a few times a second, and in a log far less often.
    """
    global _reported
    now = time.monotonic()
    if done != total and now - _reported < (_EVENT_SECONDS if _events_wanted() else _LOG_SECONDS):
        return
    _reported = now
    text = f"{what}: {done:,}" + (f" of {total:,}" if total else "") + (f"  {detail}" if detail else "")
    _emit("progress", text, done=done, total=total, what=what, detail=detail)


def parse(line: str) -> dict[str, Any] | None:
    """Return the event a line of a step's output carries, None for any other line."""
    head, marker, payload = line.partition(MARKER)
    if not marker or head.strip():
        return None
    try:
        event = json.loads(payload)
    except json.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def peak_memory_mib() -> float:
    """Return the largest resident size this process has had so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # not getrusage: its figure is inherited from the parent across exec
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def _record_failure(summary: str, whole: str) -> None:
    """Tell later steps of a local run why this one failed; on a cluster, whoever asks Kubernetes."""
    if not _events_wanted():
        termination.write(whole)
    if path := _failure_file():
        with contextlib.suppress(OSError), path.open("x", encoding="utf-8") as file:
            file.write(summary)


def _failure_file() -> Path | None:
    folder = os.environ.get(FOLDER_VARIABLE)
    return Path(folder) / "failure.txt" if folder else None


def _events_wanted() -> bool:
    return bool(os.environ.get(EVENTS_VARIABLE))


def _emit(event: str, text: str, level: int = logging.INFO, /, **fields: Any) -> None:
    if _events_wanted():
        _say(MARKER + json.dumps({"event": event, "process": _PROCESS, **fields}))
    elif levels.says(level):
        _say(text, sys.stderr if event == "error" else sys.stdout)


def _say(text: str, file: TextIO | None = None) -> None:
    print(text + "\n", end="", file=file, flush=True)  # written at once: what other threads write is not within a line
