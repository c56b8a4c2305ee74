"""What a command prints: lines for a person; with --json one document, and the lines on standard error."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TextIO

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON document; what is for people goes to standard error.")]

FAILED = 1
"""Exit code of what did not succeed without being the user's mistake: a step crashed, a run on a cluster failed."""
INTERRUPTED = 130
"""Exit code after Ctrl-C."""


class Answer:
    """What a command has found out so far."""

    def __init__(self, as_json: bool) -> None:
        self.lines: TextIO = sys.stderr if as_json else sys.stdout
        self.facts: dict[str, Any] = {}

    def say(self, line: str, **facts: Any) -> None:
        """Print a line for a person; the facts in it are for the document."""
        print(line, file=self.lines, flush=True)
        self.facts |= facts


@contextmanager
def answering(as_json: bool) -> Iterator[Answer]:
    """Collect facts while the block runs; with `as_json`, print them as a document, after a run that failed too."""
    answer = Answer(as_json)
    try:
        yield answer
    except typer.Exit as end:
        if as_json and end.exit_code == FAILED:
            print_json(answer.facts)
        raise
    if as_json:
        print_json(answer.facts)


def print_json(document: Any) -> None:
    """Print a document on standard output."""
    print(json.dumps(document, indent=2, ensure_ascii=False))
