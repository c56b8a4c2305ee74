"""A run on Kubeflow followed to its end: what each step does, says and waits for, and why it failed."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from graftwork.errors import UserError
from graftwork.kubeflow.connection import Kubeflow, NoAnswerError
from graftwork.kubeflow.following import Follower
from graftwork.kubeflow.logs import Reader, clean
from graftwork.kubeflow.nodes import Attempt, Node, Step, workflow_of
from graftwork.kubeflow.plan import Planned, place_of, planned, step_name
from graftwork.kubeflow.pods import Pods
from graftwork.kubeflow.step_logs import parameters_of

ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
POLL_SECONDS = 5.0
_PATIENCE_SECONDS = 600.0
"""For so long a server that does not answer is asked again."""
SETTLE_SECONDS = 60.0
"""For so long a run that has ended is looked at until the last of its steps have: the server learns of them later."""
_SILENT_SECONDS = 15.0
"""A pod that is not up after so long is said to wait."""
_NO_LOG = "why is not known: the log of its pod is gone"
_SEE_PAGE = "why is on the run's page, in the log of its pod"
_SILENT_LOG = "why is not known: the log of its pod does not say"
_POD_GONE = "the pod of the attempt before was deleted, or its node taken away"
_OF_A_PROXY = (401, 403, 404)
"""Answers to requests for logs that do not come from the server itself."""
_LOG_GONE = "those of some pods are gone, with what these steps have said"
_NO_LOGS = "those of pods cannot be read through this address: what steps say is on the run's page"
_CACHE_GONE = (
    "a result that Kubeflow's cache remembers is gone from the artifact store; a run without the cache makes it anew:  "
    "graftwork submit ... --no-cache"
)
_GONE_SIGNS = ("nosuchkey", "not found", "notfound", "no such key", "does not exist", "404")
_STORE_SIGNS = ("://", "bucket", "blob", "download", "nosuchkey")
Tell = Callable[[dict[str, Any]], None]
"""Is given events for `reporting.display.Display`."""


@dataclass(frozen=True)
class Watched:
    """How a run has ended.

    Attributes:
        state: "succeeded", "failed" or "terminated".
        reason: Why it did not succeed, "" if it did or nothing says why.
        results: What its steps have found out, by their names, see `reporting.progress.result`.
        artifacts: Where these steps have put what they made, by the step's name and the artifact's.
        steps: How each of them ended, by its label: "succeeded", "cached", "skipped", "failed", "terminated".
    """

    state: str
    reason: str
    results: dict[str, Any]
    artifacts: dict[str, dict[str, str]]
    steps: dict[str, str]

    @property
    def succeeded(self) -> bool:
        """Whether everything went well."""
        return self.state == "succeeded"


def watch(kubeflow: Kubeflow, run_id: str, tell: Tell, poll_seconds: float = POLL_SECONDS) -> Watched:
    """Follow a run to its end; lost connections are made again.

    Args:
        kubeflow: The server.
        run_id: Which run.
        tell: Is given what the steps do and say, in the order in which it happens.
        poll_seconds: How often to ask.

    Raises:
        UserError: There is no such run, the user is no longer let in, or the server does not answer for ten minutes.
    """
    watcher: _Watcher | None = None
    answered, ended = time.monotonic(), 0.0
    try:
        while True:
            try:
                run = kubeflow.run(run_id)
            except UserError as error:
                lost = time.monotonic() - answered
                if not isinstance(error, NoAnswerError) or lost > _PATIENCE_SECONDS:
                    raise UserError(
                        error.problem,
                        {**error.facts, "run": f"goes on: {kubeflow.link_to_run(run_id)}"},
                        next=[*error.next, f"follow it again: graftwork watch {run_id}"],
                    ) from None
                time.sleep(poll_seconds)
                continue
            answered = time.monotonic()
            watcher = watcher or _Watcher(kubeflow, run, tell)
            watcher.look(run)
            if run.state in ENDED:
                ended = ended or answered
                if not watcher.unknown(run) or answered - ended >= SETTLE_SECONDS:
                    return watcher.ended(run)
            time.sleep(poll_seconds)
    finally:
        if watcher:
            watcher.leave()


def plan_of(kubeflow: Kubeflow, run: Any) -> list[Planned]:
    """Return the steps of the pipeline that a run is of; [] where the server does not tell."""
    spec, reference = run.pipeline_spec, run.pipeline_version_reference
    if not spec and reference and reference.pipeline_version_id:
        try:
            with kubeflow.saying("look at the run's pipeline"):
                ids = (reference.pipeline_id, reference.pipeline_version_id)
                spec = kubeflow.client.get_pipeline_version(*ids).pipeline_spec
        except UserError:
            return []  # it was deleted, or is somebody else's
    try:
        return planned(spec) if spec else []
    except (KeyError, TypeError):
        return []  # of Kubeflow's first version


@dataclass
class _Task:
    """What has been told of a task, and what is known from its pods' logs."""

    label: str
    tries: int
    attempt: int = 0
    running: bool = False
    ended: bool = False
    waiting: str = ""
    followers: dict[str, Follower] = field(default_factory=dict)


class _Watcher:
    """Tells of each task of a run what is new since the last look."""

    def __init__(self, kubeflow: Kubeflow, run: Any, tell: Tell) -> None:
        self._kubeflow, self._run_id, self._show = kubeflow, str(run.run_id), tell
        self._plan = {step.place: step for step in plan_of(kubeflow, run)}
        self._known = parameters_of(run)
        self._tasks: dict[Step, _Task] = {}
        self._pods = Pods(kubeflow.runs_in, kubeflow.kube_context)
        self._results: dict[str, Any] = {}
        self._artifacts: dict[str, dict[str, str]] = {}
        self._steps: dict[str, str] = {}
        self._reasons: list[str] = []
        self._logs_missing = self._begun = self._placed = self._left = False

    def look(self, run: Any) -> None:
        """Tell what is new."""
        workflow = workflow_of(run)
        self._placed = self._placed or bool(workflow.tasks)
        nodes = {step: node for step, node in workflow.tasks.items() if self._is_step(step, node)}
        if not nodes and not self._begun and run.state not in ENDED:
            self._begun = True
            self._say("…", "cyan", "run", "starting: Kubeflow prepares the first step, and nodes pull its image")
        pending = any(pod.state == "PENDING" for node in nodes.values() for pod in node.attempts)
        reasons = self._pods.waiting(self._run_id) if pending else {}
        terminated = _terminated(run)
        skipped = {step: node for step, node in workflow.tasks.items() if node.state == "SKIPPED"}
        for step, node in sorted({**nodes, **skipped}.items(), key=lambda item: str(item[1].start)):
            if step in skipped:
                self._skip(place_of(step))
                continue
            task = self._tasks.get(step)
            if task is None:
                task = self._tasks[step] = self._task(step, workflow.iterations)
            self._look_at(task, node, reasons, terminated)

    def unknown(self, run: Any) -> list[str]:
        """Return the steps of a run that has ended of which the server has not told yet how they ended."""
        if not self._placed:
            return []
        known = {place_of(step) for step, task in self._tasks.items() if task.ended}
        begun = {place_of(step) for step, task in self._tasks.items() if not task.ended}
        missing = [step for place, step in self._plan.items() if place not in known and step.name not in self._steps]
        # After a failure, what had not begun never does; but for what is done at the end in any case.
        return [step.name for step in missing if run.state == "SUCCEEDED" or step.last or step.place in begun]

    def ended(self, run: Any) -> Watched:
        """Tell how the run has ended."""
        succeeded, terminated = run.state == "SUCCEEDED", _terminated(run)
        if unknown := self.unknown(run):
            self._say("?", "yellow", "not known", f"how these have ended: {', '.join(unknown)}")
        state = "succeeded" if succeeded else "terminated" if terminated else "failed"
        message = run.error.message if run.error and run.error.message else ""
        reason = "" if succeeded else next(iter(self._reasons), message)
        mark, style = ("✓", "green") if succeeded else ("✗", "red")
        text = "terminated by somebody, or its time was up" if terminated else state
        self._say(mark, style, "run", f"{text}: {message}" if message and not succeeded else text, run.finished_at)
        return Watched(state, reason, self._results, self._artifacts, self._steps)

    def leave(self) -> None:
        """Read no more logs, and tell nothing that is still on its way."""
        self._left = True
        for task in self._tasks.values():
            for follower in task.followers.values():
                follower.leave()

    def _tell(self, event: dict[str, Any]) -> None:
        if not self._left:
            self._show({key: clean(value) for key, value in event.items()})

    def _is_step(self, step: Step, node: Node) -> bool:
        return place_of(step) in self._plan if self._plan else bool(node.attempts)

    def _task(self, step: Step, iterations: Mapping[Step, int]) -> _Task:
        plan = self._plan.get(place_of(step))
        if plan is None:
            return _Task(step_name(step[-1]), 1)
        return _Task(plan.label(step, iterations, self._known), plan.tries)

    def _look_at(self, task: _Task, node: Node, reasons: Mapping[str, str], terminated: bool) -> None:
        if task.ended:
            return
        if node.cached:
            self._end(task, "cached", "=", "blue", "from the cache", node.end)
            return
        for number, pod in enumerate(node.attempts):
            self._look_at_pod(task, node, number, pod, reasons)
        if node.state == "SUCCEEDED":
            self._succeeded(task, node)
        elif node.state == "FAILED" or (node.driver and node.driver.state == "FAILED"):
            self._failed(task, node, terminated)

    def _look_at_pod(self, task: _Task, node: Node, number: int, pod: Attempt, reasons: Mapping[str, str]) -> None:
        if number > task.attempt:
            task.attempt, task.running, task.waiting = number, False, ""
            why = _last(self._why(task, node.attempts[number - 1]) or _POD_GONE)
            self._say("↻", "yellow", task.label, f"attempt {number + 1} of {max(task.tries, number + 1)}: {why}")
        if pod.state == "PENDING" or pod.node_id in reasons:
            self._look_at_waiting(task, pod, reasons.get(pod.node_id, ""))
            return
        if not task.running:
            task.running = True
            began = pod.running or pod.created
            self._tell({"event": "start", "step": task.label, "process": task.label, "at": began})
        if pod.node_id not in task.followers:
            over = number + 1 < len(node.attempts) or node.state in ENDED
            task.followers[pod.node_id] = self._follower(task, pod.node_id, over)

    def _follower(self, task: _Task, node_id: str, over: bool) -> Follower:
        def tell(event: dict[str, Any]) -> None:
            self._tell({**event, "step": task.label, "process": task.label})

        return Follower(self._kubeflow, self._run_id, node_id, tell, over)

    def _look_at_waiting(self, task: _Task, pod: Attempt, reason: str) -> None:
        waited = (datetime.now(pod.created.tzinfo) - pod.created).total_seconds() if pod.created else 0.0
        if not reason and waited < _SILENT_SECONDS:
            return
        reason = reason or "waiting for a node, or for the image"
        if reason != task.waiting:
            task.waiting = reason
            since = f"since {pod.created.astimezone():%H:%M:%S}, " if pod.created and waited >= 1 else ""
            self._say("…", "cyan", task.label, since + reason)

    def _succeeded(self, task: _Task, node: Node) -> None:
        pod = node.attempts[-1]
        reader = self._log_of(task, pod)
        self._end(task, "succeeded", "✓", "green", _measured(pod, reader.ended if reader else {}), pod.end)

    def _failed(self, task: _Task, node: Node, terminated: bool) -> None:
        pod = node.attempts[-1] if node.attempts else node.driver
        if pod and pod.node_id not in task.followers:
            task.followers[pod.node_id] = self._follower(task, pod.node_id, over=True)
        why = pod and (self._why(task, pod) or self._no_reason(task, pod))
        if not why or not pod or (terminated and not why.startswith("error: ")):  # it may have failed before
            self._end(task, "terminated", "✗", "red", "terminated")
            return
        self._end(task, "failed", "✗", "red", f"failed  {_measured(pod, {}).strip()}".rstrip(), pod.end)
        for line in why.splitlines():
            self._tell({"event": "reason", "text": line})
        self._reasons.append(f"{task.label}: {why}")

    def _why(self, task: _Task, pod: Attempt) -> str:
        """Return why a pod has failed, by its log; "" where there is none, or it says nothing."""
        reader = self._log_of(task, pod)
        if reader is None:
            return ""
        why = reader.why()
        said = why.lower()
        of_store = any(sign in said for sign in _STORE_SIGNS) and any(sign in said for sign in _GONE_SIGNS)
        if of_store and not reader.reason and reader.exit_status is None:
            why += f"\n{_CACHE_GONE}"
        return why

    def _no_reason(self, task: _Task, pod: Attempt) -> str:
        """Return what to say where a log does not say why a pod has failed."""
        problem = task.followers[pod.node_id].problem
        if problem is None:
            return _SILENT_LOG
        return _SEE_PAGE if problem.status in _OF_A_PROXY else _NO_LOG

    def _log_of(self, task: _Task, pod: Attempt) -> Reader | None:
        """Return what is known from the log of a pod that has ended, None if nobody has read it; learn from it."""
        follower = task.followers.get(pod.node_id)
        if follower is None:
            return None
        reader = follower.finish()
        if follower.problem and not self._logs_missing:
            self._logs_missing = True
            self._say("!", "yellow", "logs", _NO_LOGS if follower.problem.status in _OF_A_PROXY else _LOG_GONE)
        if found := reader.results:
            step = found.get("step", task.label)
            self._results[step], self._artifacts[step] = found, reader.artifacts()
            self._known |= found.get("items", {})
        return reader

    def _skip(self, place: Step) -> None:
        below = [step.name for step in self._plan.values() if step.place[: len(place)] == place]
        names = [name for name in dict.fromkeys(below) if name not in self._steps]
        if names:
            self._steps |= dict.fromkeys(names, "skipped")
            self._say("-", "dim", "skipped", ", ".join(names))

    def _end(self, task: _Task, state: str, mark: str, style: str, text: str, at: datetime | None = None) -> None:
        task.ended = True
        self._steps[task.label] = state
        event = {"event": "state", "step": task.label, "process": task.label, "mark": mark, "style": style}
        self._tell({**event, "text": text, "ended": True, "at": at})

    def _say(self, mark: str, style: str, step: str, text: str, at: datetime | None = None) -> None:
        self._tell({"event": "state", "step": step, "mark": mark, "style": style, "text": text, "at": at})


def _measured(pod: Attempt, said: Mapping[str, float]) -> str:
    """Return how long a step took, as it says itself, or else from when its pod ran; waiting is not counted."""
    if said:
        return f"{said['seconds']:6.1f} s   {said['peak_mib'] / 1024:.1f} GiB"
    begun = pod.running or pod.created
    return f"{(pod.end - begun).total_seconds():6.1f} s" if pod.end and begun else ""


def _last(text: str) -> str:
    """Return the line of a reason that fits behind an attempt's number: the first of an error, else the last."""
    lines = text.splitlines()
    return lines[0] if lines[0].startswith("error: ") else lines[-1]


def _terminated(run: Any) -> bool:
    history = {status.state for status in run.state_history or []}
    message = (run.error.message or "") if run.error else ""
    return run.state in ("CANCELING", "CANCELED") or "CANCELING" in history or "workflow deadline" in message.lower()
