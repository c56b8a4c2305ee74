"""A run on Kubeflow followed to its end."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from graftwork.errors import UserError
from graftwork.kubeflow.connection import Kubeflow
from graftwork.pipelines.grafting import STEPS

_ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
_POLL_SECONDS = 5.0
_STUCK_SECONDS = 300.0
_PATIENCE_SECONDS = 600.0
"""For so long a server that does not answer is asked again."""


def watch(kubeflow: Kubeflow, run_id: str, say: Callable[[str], None], poll_seconds: float = _POLL_SECONDS) -> bool:
    """Follow a run to its end; lost connections are made again.

    Args:
        kubeflow: The server.
        run_id: Which run.
        say: Is given one line when a step starts, and one when it ends.
        poll_seconds: How often to ask.

    Returns:
        Whether the run succeeded.

    Raises:
        UserError: There is no such run, the user is no longer let in, or the server does not answer for ten minutes.
    """
    seen: dict[str, str] = {}
    warned: set[str] = set()
    answered = time.monotonic()
    while True:
        try:
            with kubeflow.saying(f"look at the run {run_id}"):
                run = kubeflow.client.get_run(run_id)
        except UserError as error:
            lost = time.monotonic() - answered
            if not _is_temporary(error) or lost > _PATIENCE_SECONDS:
                raise UserError(
                    error.problem,
                    {**error.facts, "run": f"goes on: {kubeflow.link_to_run(run_id)}"},
                    next=[*error.next, f"follow it again: graftwork watch {run_id}"],
                ) from None
            time.sleep(poll_seconds)
            continue
        answered = time.monotonic()
        for task in sorted(_steps(run), key=lambda task: str(task.create_time)):
            _report_task(task, seen, warned, say)
        if run.state in _ENDED:
            reason = f": {run.error.message}" if run.error and run.error.message else ""
            say(f"run {run.state.lower()}{reason}")
            return bool(run.state == "SUCCEEDED")
        time.sleep(poll_seconds)


def _is_temporary(error: UserError) -> bool:
    return error.problem.startswith("the connection was lost") or "temporarily" in str(error).lower()


def _steps(run: Any) -> list[Any]:
    """Return the tasks of a run that are steps: not loops, nor what KFP runs before each of them."""
    details = (run.run_details and run.run_details.task_details) or []
    return [task for task in details if _step(task) in STEPS]


def _step(task: Any) -> str:
    return str(task.display_name or "").lower().replace(" ", "_").replace("-", "_")


def _report_task(task: Any, seen: dict[str, str], warned: set[str], say: Callable[[str], None]) -> None:
    state, step = str(task.state), _step(task)
    waits = (datetime.now(task.create_time.tzinfo) - task.create_time).total_seconds() if task.create_time else 0.0
    if state == "PENDING" and waits > _STUCK_SECONDS and task.task_id not in warned:
        warned.add(task.task_id)
        pod = f" {task.pod_name}" if task.pod_name else ""
        say(
            f"{step:<20} waits for {waits / 60:.0f} minutes: no node fits, or the image cannot be pulled? "
            f"Look at its pod{pod}"
        )
    if seen.get(task.task_id) == state or state not in ("RUNNING", *_ENDED):
        return
    seen[task.task_id] = state
    seconds = ""
    if state in _ENDED and task.start_time and task.end_time and task.end_time.year > 1970 < task.start_time.year:
        seconds = f"  {(task.end_time - task.start_time).total_seconds():.0f} s"
    reason = f": {task.error.message}" if task.error and task.error.message else ""
    say(f"{step:<20} {state.lower()}{seconds}{reason}")
