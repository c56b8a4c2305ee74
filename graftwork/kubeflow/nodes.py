"""The nodes of a run's workflow, put in their places.

The API lists what Argo Workflows has started as a flat list, in which a node is known by a short name ("executor",
"fine-tune(0)") and by the IDs of what comes after it. Argo makes a node's ID from its full name, its path through the
workflow, by FNV-1a (32 bits): so the full names can be found out again, and with them which executor is whose.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

_OFFSET, _PRIME, _BITS = 0x811C9DC5, 0x01000193, 0xFFFFFFFF  # of FNV-1a with 32 bits
_ATTEMPT = re.compile(r"\((\d+)\)$")
_ITERATION = re.compile(r"\((\d+):.*\)(?:\(\d+\))?$")
_EXIT_HOOK = ".onExit"
_EXECUTOR, _DRIVER = "executor", "-driver"
_PLUMBING = ("iteration", "iteration-item", "iteration-iterations")
"""Nodes that KFP puts around what stands in a loop."""
Step = tuple[str, ...]
"""Where a task stands in a pipeline: the keys of the tasks around it and its own; within a loop, behind the loop's key,
the number of the iteration, as in ("for-loop-2", "1", "fine-tune")."""


@dataclass(frozen=True)
class Attempt:
    """One pod of a step.

    Attributes:
        node_id: Under which the API has its log, and Kubernetes the pod's annotation.
        state: As the API says it: PENDING, RUNNING, SUCCEEDED, FAILED, SKIPPED or "".
        created: When it was created.
        running: When it was first seen to run; None before.
        end: When it ended; None before.
    """

    node_id: str
    state: str
    created: datetime | None
    running: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class Node:
    """A task of the pipeline, as the workflow has it.

    Attributes:
        state: Of the task, as the API says it; "" for one that was left out after another had failed.
        start: When it, or what prepares it, was started.
        end: When it ended; None before.
        attempts: Its pods, the first one first; none where KFP found its results in the cache, or prepares it still.
        driver: The pod that prepares it; None where there is none.
    """

    state: str = ""
    start: datetime | None = None
    end: datetime | None = None
    attempts: tuple[Attempt, ...] = ()
    driver: Attempt | None = None

    @property
    def cached(self) -> bool:
        """Whether a step succeeded without a pod."""
        return self.state == "SUCCEEDED" and not self.attempts


@dataclass
class _Entry:
    """What the API says of one node."""

    display: str
    state: str
    start: datetime | None
    end: datetime | None
    running: datetime | None
    children: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Workflow:
    """How far the workflow of a run has come.

    Attributes:
        tasks: Those that it has come to, loops and conditions too, by their place.
        iterations: How many there are of each loop, as far as it has come.
    """

    tasks: dict[Step, Node]
    iterations: dict[Step, int]


def workflow_of(run: Any) -> Workflow:
    """Return how far a run has come.

    Args:
        run: As KFP's client returns it.
    """
    details = (run.run_details and run.run_details.task_details) or []
    entries = [_entry(task) for task in details if task.display_name]
    workflow, names = _full_names(entries)
    named: dict[str, _Entry] = {}
    alone: dict[str, list[_Entry]] = {}
    for entry in entries:
        if name := _name_of(entry, names):
            named[name] = entry
        else:
            alone.setdefault(entry.display, []).append(entry)
    for name in names.values():  # what nothing comes after, as a condition that did not hold
        if name not in named and len(alone.get(_last(name), ())) == 1:
            named[name] = alone[_last(name)][0]
    attempts = _attempts(workflow, entries, named, names)
    found: dict[Step, Node] = {}
    for name, entry in named.items():
        step = _step(name)
        if step is None or _ATTEMPT.search(name):
            continue
        pods = tuple(attempts.get(f"{name}(0).{_EXECUTOR}", ()))
        found[step] = Node(entry.state, entry.start, entry.end, pods)
    for name, entry in named.items():
        step = _step(name.removesuffix(_DRIVER)) if name.endswith(_DRIVER) else None
        if step:
            driver = Attempt(_node_id(workflow, f"{name}(0)"), entry.state, entry.start, entry.running, entry.end)
            found[step] = replace(found.get(step, Node("", entry.start)), driver=driver)
    return Workflow(found, _iterations(names.values()))


def _entry(task: Any) -> _Entry:
    ended = task.end_time if task.end_time and task.end_time.year > 1970 else None
    started = task.start_time if task.start_time and task.start_time.year > 1970 else None
    children = [child.pod_name for child in task.child_tasks or [] if child.pod_name]
    running = next((moment.update_time for moment in task.state_history or [] if moment.state == "RUNNING"), None)
    return _Entry(str(task.display_name), str(task.state or ""), started, ended, running, children)


def _full_names(entries: Sequence[_Entry]) -> tuple[str, dict[str, str]]:
    """Return the workflow's name, and the full names of nodes by their IDs."""
    unknown = {child for entry in entries for child in entry.children}
    workflow = min(unknown, default="").rpartition("-")[0]
    displays = {entry.display for entry in entries}
    plain = [display for display in displays if "(" not in display]
    hooks = [display for display in plain if display.endswith(_EXIT_HOOK)]
    names: dict[str, str] = {workflow: workflow}  # the first node's ID is its name
    queue = [workflow]
    while queue:
        name = queue.pop()
        last = _last(name)
        below = [f"{name}.{display}" for display in plain]
        below += [name + display[len(last) :] for display in displays if display.startswith(f"{last}(")]
        # Nothing comes before the handler of an exit, so nothing lists it; what it begins with is listed.
        below += [f"{name}.{hook}(0)" for hook in hooks]
        for candidate in below:
            node_id = _node_id(workflow, candidate)
            if node_id in unknown:
                unknown.remove(node_id)
                names[node_id] = candidate
                queue.append(candidate)
    return workflow, names


def _node_id(workflow: str, name: str) -> str:
    """Return the ID that Argo gives to a node."""
    if name == workflow:
        return workflow
    value = _OFFSET
    for byte in name.encode():
        value = (value ^ byte) * _PRIME & _BITS
    return f"{workflow}-{value}"


def _last(name: str) -> str:
    """Return the last part of a full name; that of an exit's handler has a dot in it."""
    head, _, last = name.rpartition(".")
    return f"{head.rpartition('.')[2]}.{last}" if f".{last}".startswith(_EXIT_HOOK) else last


def _name_of(entry: _Entry, names: Mapping[str, str]) -> str | None:
    """Return the full name of an entry, by what comes after it; None for one with nothing after it."""
    for child in entry.children:
        name = names.get(child)
        if name is None:
            continue
        head, last = name[: -len(_last(name))].rstrip("."), _last(name)
        if last.startswith(f"{entry.display}("):  # its first attempt, or iteration
            return f"{head}.{entry.display}" if head else entry.display
        if _last(head) == entry.display:  # what it begins with
            return head
    for child in entry.children:  # a task with nothing below it: what comes after it stands beside it
        if child in names:
            head = names[child][: -len(_last(names[child]))].rstrip(".")
            if _node_id(next(iter(names)), f"{head}.{entry.display}") in names:
                return f"{head}.{entry.display}"
    return None


def _attempts(
    workflow: str, entries: Sequence[_Entry], named: Mapping[str, _Entry], names: Mapping[str, str]
) -> dict[str, list[Attempt]]:
    """Return the pods of every executor, by the executor's full name.

    Nothing comes after a pod, so it is known by its number and by the time: it is created while its executor is under
    way, the first one at the moment at which the executor begins.
    """
    pods = [entry for entry in entries if re.fullmatch(rf"{_EXECUTOR}\(\d+\)", entry.display)]
    found: dict[str, list[Attempt]] = {}
    executors = [(name, entry) for name, entry in named.items() if _last(name) == _EXECUTOR]
    for name, executor in sorted(executors, key=lambda item: str(item[1].start)):
        ids = [child for child in executor.children if names.get(child, "").startswith(f"{name}(")]
        attempts: list[Attempt] = []
        for node_id in sorted(ids, key=lambda child: _number(names[child])):
            fitting = [pod for pod in pods if pod.display == _last(names[node_id]) and _within(pod, executor, attempts)]
            likely = [pod for pod in fitting if _likely(pod, executor, last=len(attempts) + 1 == len(ids))] or fitting
            states = {pod.state for pod in likely}
            if len(states) == 1:
                pod = min(likely, key=lambda pod: _seconds(pod.end, executor.end))
                pods.remove(pod)
                attempts.append(Attempt(node_id, pod.state, pod.start, pod.running, pod.end))
            else:  # several began at the same second: which of them waits cannot be told
                state = "RUNNING" if states else executor.state
                attempts.append(Attempt(node_id, state, executor.start, None, executor.end))
        found[name] = attempts
    return found


def _within(pod: _Entry, executor: _Entry, before: Sequence[Attempt]) -> bool:
    if pod.start is None or executor.start is None:
        return True
    if not before:
        return pod.start == executor.start
    earliest = before[-1].end or before[-1].created or executor.start
    return pod.start >= earliest and (executor.end is None or pod.start <= executor.end)


def _likely(pod: _Entry, executor: _Entry, last: bool) -> bool:
    """Return whether a pod's state goes with that of the executor."""
    if not last:
        return pod.state == "FAILED"
    return pod.state == executor.state or (executor.state == "RUNNING" and pod.state in ("PENDING", "FAILED"))


def _seconds(moment: datetime | None, other: datetime | None) -> float:
    return abs((moment - other).total_seconds()) if moment and other else 0.0


def _number(name: str) -> int:
    attempt = _ATTEMPT.search(name)
    return int(attempt[1]) if attempt else 0


def _parts(name: str) -> list[str]:
    """Return the keys of tasks, and the numbers of iterations, on the way to a node."""
    parts: list[str] = []
    for segment in re.split(r"\.(?!onExit)", name)[2:]:  # after the workflow and "root"
        iteration = _ITERATION.search(segment)
        base = segment.partition("(")[0]
        if iteration:
            parts.append(iteration[1])
        elif base not in (_EXECUTOR, *_PLUMBING) and not base.endswith(_EXIT_HOOK):
            parts.append(base)
    return parts


def _step(name: str) -> Step | None:
    """Return where a node stands in the pipeline; None for one that is only plumbing."""
    last = _last(name).partition("(")[0]
    parts = _parts(name)
    if not parts or last in (_EXECUTOR, *_PLUMBING) or last.endswith((_DRIVER, _EXIT_HOOK)):
        return None
    return tuple(parts)


def _iterations(names: Iterable[str]) -> dict[Step, int]:
    found: dict[Step, set[str]] = {}
    for name in names:
        if _ITERATION.search(_last(name)):
            *loop, number = _parts(name)
            found.setdefault(tuple(loop), set()).add(number)
    return {loop: len(numbers) for loop, numbers in found.items()}
