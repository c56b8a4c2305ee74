"""Measuring a process from its start to the moment its model is trained, from outside and from inside."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from graftwork.reporting.progress import peak_memory_mib

MARKER = "::trained::"
_TAIL = 40

Evaluate = Callable[[], dict[str, Any]]
"""Returns "test_accuracy", but for a floor, and what else is to be kept about a run."""


class ContestantError(Exception):
    """A contestant ended with an error; says with which."""


def measure(command: Sequence[str], log: Path) -> dict[str, Any]:
    """Run a contestant and return what it took.

    Args:
        command: Starts a process that calls `report`.
        log: Where its output goes.

    Returns:
        wall_s, cpu_s and peak_mib from the start of the process until the model was trained, its children included;
        total_wall_s and total_cpu_s until its end, which adds the evaluation; test_accuracy, None of a floor;
        others_cpu_s, what all other processes of the machine used meanwhile; started, a time stamp; and of graftwork
        the profiles of its steps, and what it chose about the cache.

    Raises:
        ContestantError: The process ended with an error.
    """
    environment = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
    busy = _busy_seconds()
    started = time.time()
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:  # interrupted: nothing may go on behind the next measurement's back
            process.kill()
            raise
    ended = time.time()
    process.returncode = os.waitstatus_to_exitcode(status)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    reports = [json.loads(line.removeprefix(MARKER)) for line in lines if line.startswith(MARKER)]
    if process.returncode or not reports:
        raise ContestantError(f"exit code {process.returncode}\n" + "\n".join(lines[-_TAIL:]))
    (found,) = reports
    cpu = used.ru_utime + used.ru_stime
    return {
        "wall_s": round(found["trained_at"] - started, 3),
        "cpu_s": round(found["cpu_s"], 3),
        "peak_mib": round(found["peak_mib"], 1),
        "test_accuracy": found.get("test_accuracy"),
        "total_wall_s": round(ended - started, 3),
        "total_cpu_s": round(cpu, 3),
        "others_cpu_s": None if busy is None else round(max(0.0, (_busy_seconds() or 0.0) - busy - cpu), 1),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(started)),
        **{entry: found[entry] for entry in ("profile", "cache") if entry in found},
    }


def report(train: Callable[[], Evaluate]) -> None:
    """Train, note the time, evaluate, and print one line with what was measured.

    Args:
        train: Returns how to evaluate, as soon as the model is there.
    """
    evaluate = train()
    trained_at = time.time()
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    measured = {
        "trained_at": trained_at,
        "cpu_s": sum(used.ru_utime + used.ru_stime for used in (own, children)),
        "peak_mib": max(peak_memory_mib(), _in_mib(children.ru_maxrss)),
    }
    # On a line of its own, whatever was printed before it.
    print(f"\n{MARKER}{json.dumps({**measured, **evaluate()})}", flush=True)


def _in_mib(maximum: int) -> float:
    return maximum / 2**20 if sys.platform == "darwin" else maximum / 2**10


def _busy_seconds() -> float | None:
    """Return the CPU time that all processes of this machine have used so far, None where that is not to be had."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _, _, irq, softirq, *_ = map(int, stat.read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
