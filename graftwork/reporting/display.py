"""What a person sees of a run, here or on a cluster: each step with its notes under it, and the result at the end."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from graftwork.reporting import levels

_LONG_SECONDS = 5.0
"""After which a log says that a step runs; most steps are over by then."""
_INDENT = " " * 5
_LABEL = 20
"""Columns of a step's name."""
_WIDE = 80
"""Columns of a terminal that has room for a bar."""


class Display:
    """Shows the steps of a pipeline as they run: a line for each when it ends, and under it what it said.

    In a terminal the steps that run have a row each, with their notes. A log cannot take a line back: there, a step
    that lasts gets a line that says since when it runs, and its notes follow that line as they come, until another step
    writes.
    """

    def __init__(
        self, console: Console, steps: list[str], long_seconds: float = _LONG_SECONDS, clock: bool = False
    ) -> None:
        self._console, self._steps, self._long_seconds = console, steps, long_seconds
        self._clock = clock
        self._lock = threading.RLock()
        self._running: dict[Any, _Running] = {}  # by process; steps of one loop run at the same time
        self._open: _Running | None = None  # in a log, the step under whose line the next note stands
        self._spinner = Spinner("dots", style="cyan")
        self._seen = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show progress while the block runs."""
        try:
            if self._console.is_interactive and levels.says(logging.INFO):
                with Live(console=self._console, get_renderable=self._current, refresh_per_second=8, transient=True):
                    yield
            else:
                yield
        finally:
            with self._lock:
                for process in list(self._running):  # they were killed, or interrupted
                    self._failed(self._running.pop(process))

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event of a step."""
        kind, process = event["event"], event.get("process")
        with self._lock:
            if kind == "start":
                self._pass_cached(before=event["step"])
                self._running[process] = _Running.since(event["step"], event.get("at"))
                self._announce_later(self._running[process])
            elif kind == "output":
                self._open = None
                self._print(Text.from_ansi(event["text"], style="dim"), logging.DEBUG)
            elif kind == "progress" and process in self._running:
                self._running[process].progress = event
            elif kind == "note":
                self._note(event["text"], self._running.get(process))
            elif kind == "state":
                running = self._running.pop(process, None) if event.get("ended") else None
                self._line(event["mark"], event["style"], event["step"], event["text"], running, event.get("at"))
            elif kind == "reason":
                self._print(Text(_INDENT + event["text"], style="red"), logging.ERROR)
            elif kind == "end":
                detail = f"{event['seconds']:6.1f} s   {event['peak_mib'] / 1024:.1f} GiB"
                self._line("✓", "green", event["step"], detail, self._running.pop(process, None))
            elif kind in ("error", "crash") and process in self._running:
                self._failed(self._running.pop(process))

    def leave(self) -> None:
        """Take back what is shown of steps that run; they go on without being watched."""
        with self._lock:
            self._running.clear()

    def finish(self) -> None:
        """Name the last steps if they were cached."""
        self._pass_cached(before=None)

    def _failed(self, step: "_Running") -> None:
        self._line("✗", "red", step.step, f"{step.seconds:6.1f} s", step)

    def _pass_cached(self, before: str | None) -> None:
        """Name the steps that KFP passed over before the given one: their results are still valid."""
        end = len(self._steps) if before is None else self._steps.index(before) if before in self._steps else 0
        for step in self._steps[self._seen : end]:
            self._line("=", "blue", step, "cached")
        self._seen = max(self._seen, end + 1)

    def _announce_later(self, running: "_Running") -> None:
        if not self._console.is_interactive:
            timer = threading.Timer(self._long_seconds, self._announce, [running])
            timer.daemon = True
            timer.start()

    def _announce(self, running: "_Running") -> None:
        with self._lock:
            if running in self._running.values():
                self._line("…", "cyan", running.step, f"running since {running.clock:%H:%M:%S}", running)
                self._open = running

    def _note(self, text: str, running: "_Running | None") -> None:
        if running is None or running is self._open:
            self._print_note(text)
        else:
            running.notes.append(text)

    def _print_note(self, text: str) -> None:
        if not levels.says(logging.INFO):
            return
        note = Text(text, style="dim")
        if self._console.is_interactive:
            self._console.print(Padding(note, (0, 0, 0, len(_INDENT)), expand=False))
        else:
            self._console.print(Text(_INDENT).append_text(note), soft_wrap=True)  # one line, for whoever searches a log

    def _line(
        self,
        mark: str,
        style: str,
        step: str,
        detail: str,
        running: "_Running | None" = None,
        at: datetime | None = None,
    ) -> None:
        self._open = None
        time_ = Text(f"{at.astimezone() if at else datetime.now():%H:%M:%S} ", "dim") if self._clock else ""
        line = Text.assemble(time_, (f" {mark} ", style), (f"{step:<{_LABEL}}", "bold"), detail)
        self._print(line, logging.WARNING)
        if running:
            for text in running.notes:
                self._print_note(text)
            running.notes = []

    def _print(self, text: Text, level: int) -> None:
        if levels.says(level):
            self._console.print(text, soft_wrap=True)

    def _current(self) -> RenderableType:
        # Without the lock: who writes holds it, and waits for the one that rich holds while it asks for this.
        parts: list[RenderableType] = []
        for running in list(self._running.values()):
            notes = [Text(_INDENT + note, style="dim", no_wrap=True, overflow="ellipsis") for note in running.notes]
            parts += [self._row(running), *notes]
        return Group(*parts)

    def _row(self, running: "_Running") -> RenderableType:
        done, total = running.progress.get("done"), running.progress.get("total")
        row = Table.grid(padding=(0, 1))
        cells: list[RenderableType] = ["", self._spinner, Text(f"{running.step:<{_LABEL - 1}}", style="bold")]
        cells.append(Text(f"{running.seconds:6.1f} s"))
        for _ in cells:
            row.add_column(no_wrap=True)
        if total and self._console.width >= _WIDE:
            cells.append(ProgressBar(total=total, completed=done or 0, width=24))
        if done is not None:
            counted = f"{done:,}" + (f" of {total:,}" if total else "")
            detail = f"{counted} {running.progress['what']}  {running.progress['detail']}"
            cells.append(Text(detail, style="dim", no_wrap=True, overflow="ellipsis"))
        row.add_row(*cells)
        return row


@dataclass(eq=False)
class _Running:
    """A step that has begun and not ended, with those of its notes that are not printed yet."""

    step: str
    clock: datetime = field(default_factory=datetime.now)
    started: float = field(default_factory=time.monotonic)
    progress: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def since(cls, step: str, began: datetime | None) -> "_Running":
        """Return a step that began at a moment, or just now."""
        if began is None:
            return cls(step)
        passed = max(0.0, (datetime.now(began.tzinfo) - began).total_seconds())
        return cls(step, began.astimezone(), time.monotonic() - passed)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


def show_outcome(console: Console, outcome: dict[str, Any]) -> None:
    """Print how a retraining has ended, by what its last step says; see `report_outcome`."""
    serving = f"version {outcome['champion']}" if outcome["champion"] else "no version"
    console.print()
    if outcome["outcome"] == "unchanged":
        console.print(Text(f"nothing has changed; {serving} serves"))
        return
    console.print(Text(f"{outcome['model']}: {outcome['outcome']}; {serving} serves", "bold"))
    console.print(Text(outcome["why"], style="dim"), soft_wrap=True)
    console.print()
    for page in ("verdict", "drift") if outcome["report"] else ():
        console.print(Text.assemble((f"{page:<8}", "dim"), f"{outcome['report']}/{page}.html"), soft_wrap=True)


def show_results(console: Console, summary: Mapping[str, Any], places: Mapping[str, object]) -> None:
    """Print the candidates, which of them was selected and why, and where everything is.

    Args:
        console: Where to.
        summary: "candidates", "selected" and "reason" of metrics.json.
        places: Paths, or addresses, by what lies there.
    """
    table = Table(box=None, padding=(0, 2), header_style="dim", pad_edge=False)
    for heading in ("candidate", "validation", "test", "95 % interval", ""):
        table.add_column(heading, justify="left" if heading in ("candidate", "") else "right")
    for name, splits in summary["candidates"].items():
        chosen = name == summary["selected"]
        low, high = splits["test"]["accuracy_interval"]
        table.add_row(
            name,
            f"{splits['validation']['accuracy']:.4f}",
            f"{splits['test']['accuracy']:.4f}",
            f"{low:.4f} to {high:.4f}",
            "selected" if chosen else "",
            style="bold" if chosen else None,
        )
    console.print()
    console.print(table)
    console.print(Text(f"{summary['selected']} is selected: {summary['reason']}", style="dim"), soft_wrap=True)
    console.print()
    for label, path in places.items():
        console.print(Text.assemble((f"{label:<8}", "dim"), str(path)), soft_wrap=True)
