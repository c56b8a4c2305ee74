"""What a person sees of a local run: one line per step while it runs, and the result at the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from graftwork.local import Results


class Display:
    """Shows the steps of a pipeline as they run. Without a terminal, plain lines."""

    def __init__(self, console: Console, steps: list[str]) -> None:
        self._console, self._steps = console, steps
        self._live: Live | None = None
        self._running: str | None = None
        self._started = 0.0
        self._progress: dict[str, Any] = {}
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
        kind = event["event"]
        if kind == "start":
            self._pass_cached(before=event["step"])
            self._running, self._started, self._progress = event["step"], time.monotonic(), {}
        elif kind == "progress":
            self._progress = event
        elif kind == "note":
            self._console.print(Text(f"     {event['text']}", style="dim"), soft_wrap=True)
        elif kind == "end":
            peak = f"{event['peak_mib'] / 1024:.1f} GiB"
            self._line("✓", "green", event["step"], f"{event['seconds']:6.1f} s   {peak}")
            self._running = None
        elif kind in ("error", "crash") and self._running:
            self._line("✗", "red", self._running, f"{time.monotonic() - self._started:6.1f} s")
            self._running = None

    def finish(self) -> None:
        """Name the last steps if they were cached."""
        self._pass_cached(before=None)

    def _pass_cached(self, before: str | None) -> None:
        """Name the steps that KFP passed over before the given one: their results are still valid."""
        end = self._steps.index(before) if before in self._steps else len(self._steps)
        for step in self._steps[self._seen : end]:
            self._line("=", "blue", step, "cached")
        self._seen = max(self._seen, end + 1)

    def _line(self, mark: str, style: str, step: str, detail: str) -> None:
        self._console.print(Text.assemble((f" {mark} ", style), (f"{step:<20}", "bold"), detail))

    def _current(self) -> RenderableType:
        if self._running is None:
            return Group()
        done, total = self._progress.get("done"), self._progress.get("total")
        row = Table.grid(padding=(0, 1))
        cells: list[RenderableType] = [self._spinner, Text(f"{self._running:<19}", style="bold")]
        cells.append(Text(f"{time.monotonic() - self._started:6.1f} s"))
        if total:
            cells.append(ProgressBar(total=total, completed=done or 0, width=24))
        if done is not None:
            counted = f"{done:,}" + (f" of {total:,}" if total else "")
            cells.append(Text(f"{counted} {self._progress['what']}  {self._progress['detail']}", style="dim"))
        row.add_row(*cells)
        return row


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
