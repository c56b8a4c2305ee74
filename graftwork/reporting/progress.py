"""What a running step tells the person who waits: progress, notes, errors.

On a cluster these are plain log lines, as many as GRAFTWORK_LOG_LEVEL asks for. A local run sets GRAFTWORK_EVENTS, and
every line becomes one JSON object behind a marker, which `graftwork.running.local` turns into progress bars.
"""

import contextlib
import functools
import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from graftwork.errors import EXIT_CODE, UserError, in_one_line
from graftwork.reporting import levels

EVENTS_VARIABLE = "GRAFTWORK_EVENTS"
FOLDER_VARIABLE = "GRAFTWORK_RUN_FOLDER"
"""Names a folder that all steps of a local run share, and that goes with it."""
MARKER = "::graftwork::"
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

    A UserError ends the process with exit code 2 and its message alone; anything else keeps its traceback.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            started = time.monotonic()
            _emit("start", f"{name}: started", step=name)
            try:
                result = function(*args, **kwargs)
            except UserError as error:
                _record_failure(in_one_line(error))
                _emit("error", f"error: {error}", message=str(error))
                raise SystemExit(EXIT_CODE) from None
            except Exception as error:
                _record_failure(f"{name}: {type(error).__name__}: {in_one_line(error)}")
                _emit("crash", f"{name}: failed", message=f"{type(error).__name__}: {error}")
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


def _record_failure(text: str) -> None:
    """Tell later steps of a local run why this one failed."""
    if path := _failure_file():
        with contextlib.suppress(OSError), path.open("x", encoding="utf-8") as file:
            file.write(text)


def _failure_file() -> Path | None:
    folder = os.environ.get(FOLDER_VARIABLE)
    return Path(folder) / "failure.txt" if folder else None


def _events_wanted() -> bool:
    return bool(os.environ.get(EVENTS_VARIABLE))


def _emit(event: str, text: str, /, **fields: Any) -> None:
    if _events_wanted():
        print(MARKER + json.dumps({"event": event, "process": _PROCESS, **fields}), flush=True)
    elif levels.says(logging.ERROR if event in ("error", "crash") else logging.INFO):
        print(text, file=sys.stderr if event == "error" else sys.stdout, flush=True)
