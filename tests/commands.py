"""The command, as a user calls it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

COMMAND = Path(sys.executable).with_name("graftwork")


def graftwork(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end; keywords are environment variables."""
    env = {**os.environ, "COLUMNS": "120", **environment}
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, env=env, check=False
    )


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.05)


def steps_run(output: Path) -> set[str]:
    """Return the steps that ran, not those whose results were cached, from the log of the last run."""
    events = (line.partition("::graftwork::")[2] for line in (output / "run.log").read_text().splitlines())
    return {event["step"] for event in map(json.loads, filter(None, events)) if event["event"] == "start"}
