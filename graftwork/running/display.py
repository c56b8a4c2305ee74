"""What a person sees of a local run: one line per step while it runs, and the result at the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from graftwork.running.local import Results


class Display:
    """Shows the steps of a pipeline as they run. Without a terminal, plain lines."""

    def __init__(self, console: Console, steps: list[str]) -> None:
        self._console, self._steps = console, steps
        self._live: Live | None = None
        self._running: dict[Any, _Running] = {}  # by process; steps of one loop run at the same time
        self._spinner = Spinner("dots", style="cyan")
        self._seen = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show progress while the block runs."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, get_renderable=self._current, refresh_per_second=8, transient=True) as live:
            self._live = live
            yield

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event of a step."""
        kind, process = event["event"], event.get("process")
        if kind == "start":
            self._pass_cached(before=event["step"])
            self._running[process] = _Running(event["step"])
        elif kind == "progress" and process in self._running:
            self._running[process].progress = event
        elif kind == "note":
            self._note(event["text"], self._running.get(process))
        elif kind == "end":
            if ended := self._running.pop(process, None):
                self._print_notes(ended.notes)
            peak = f"{event['peak_mib'] / 1024:.1f} GiB"
            self._line("✓", "green", event["step"], f"{event['seconds']:6.1f} s   {peak}")
        elif kind in ("error", "crash") and process in self._running:
            failed = self._running.pop(process)
            self._print_notes(failed.notes)
            self._line("✗", "red", failed.step, f"{failed.seconds:6.1f} s")

    def finish(self) -> None:
        """Name the last steps if they were cached."""
        self._pass_cached(before=None)

    def _pass_cached(self, before: str | None) -> None:
        """Name the steps that KFP passed over before the given one: their results are still valid."""
        end = len(self._steps) if before is None else self._steps.index(before) if before in self._steps else 0
        for step in self._steps[self._seen : end]:
            self._line("=", "blue", step, "cached")
        self._seen = max(self._seen, end + 1)

    def _note(self, text: str, running: "_Running | None") -> None:
        """Print a note above the line of its step: at once if no other step can come in between."""
        if running is not None and (len(self._running) > 1 or running.notes):
            running.notes.append(text)
        else:
            self._print_notes([text])

    def _print_notes(self, notes: list[str]) -> None:
        for text in notes:
            self._console.print(Text(f"     {text}", style="dim"), soft_wrap=True)

    def _line(self, mark: str, style: str, step: str, detail: str) -> None:
        self._console.print(Text.assemble((f" {mark} ", style), (f"{step:<20}", "bold"), detail))

    def _current(self) -> RenderableType:
        return Group(*map(self._row, list(self._running.values())))

    def _row(self, running: "_Running") -> RenderableType:
        done, total = running.progress.get("done"), running.progress.get("total")
        row = Table.grid(padding=(0, 1))
        cells: list[RenderableType] = [self._spinner, Text(f"{running.step:<19}", style="bold")]
        cells.append(Text(f"{running.seconds:6.1f} s"))
        if total:
            cells.append(ProgressBar(total=total, completed=done or 0, width=24))
        if done is not None:
            counted = f"{done:,}" + (f" of {total:,}" if total else "")
            detail = f"{counted} {running.progress['what']}  {running.progress['detail']}"
            cells.append(Text(detail, style="dim"))
        row.add_row(*cells)
        return row


@dataclass
class _Running:
    """A step that has begun and not ended."""

    step: str
    started: float = field(default_factory=time.monotonic)
    progress: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

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


def show_results(console: Console, summary: dict[str, Any], results: Results) -> None:
    """Print the candidates, which of them was selected and why, and where everything is."""
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
    for label, path in (("model", results.model), ("report", results.report), ("metrics", results.metrics)):
        console.print(Text.assemble((f"{label:<8}", "dim"), str(path)), soft_wrap=True)
