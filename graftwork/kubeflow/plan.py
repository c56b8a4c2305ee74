"""What a pipeline is going to do, by its compiled specification: its steps, in order, and what its loops go over."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, TypeGuard

from graftwork.kubeflow.nodes import Step

_CHANNEL = "pipelinechannel--"


@dataclass(frozen=True)
class Loop:
    """A loop around a step.

    Attributes:
        items: What it goes over, where that stands in the pipeline; () where it does not.
        over: The pipeline's parameter, or the step and its output, that it goes over, as in "find-champion-starts".
    """

    items: tuple[Any, ...]
    over: str


@dataclass(frozen=True)
class Planned:
    """A step of a pipeline.

    Attributes:
        place: Where it stands, without numbers of iterations.
        name: As in fine_tune.
        tries: How often it is tried at most.
        loops: Those around it, from the outermost.
        last: Whether it is done at the end, however the run has gone.
    """

    place: Step
    name: str
    tries: int
    loops: tuple[Loop, ...]
    last: bool = False

    def label(self, step: Step, counts: Mapping[Step, int], known: Mapping[str, Any]) -> str:
        """Return what to call one task of this step: its name, and which of a loop's items it is for.

        Args:
            step: Where the task stands.
            counts: How many iterations each loop has.
            known: Values of parameters and outputs that loops go over, each a list.
        """
        parts = []
        numbered = [(step[:depth], int(part)) for depth, part in enumerate(step) if part.isdecimal()]
        for loop, (place, number) in zip(self.loops, numbered, strict=True):
            items, count = loop.items or known.get(loop.over) or (), counts.get(place, 1)
            item = items[number] if number < len(items) else None
            if _names_itself(item):
                parts.append(item.strip("{}"))
            elif count > 1:
                parts.append(str(number + 1))
        return f"{self.name} ({', '.join(parts)})" if parts else self.name


def place_of(step: Step) -> Step:
    """Return where a task stands without the numbers of iterations."""
    return tuple(part for part in step if not part.isdecimal())


def planned(spec: Mapping[str, Any]) -> list[Planned]:
    """Return the steps of a pipeline, in an order in which they can run.

    Args:
        spec: A compiled pipeline, with or without its platform's part, as the API gives it.
    """
    pipeline = spec.get("pipeline_spec") or spec.get("pipelineSpec") or spec
    return list(_steps(pipeline, pipeline["root"]["dag"], (), ()))


def tasks(spec: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every task of a compiled pipeline, in whatever DAG it stands, by its key."""
    for component in (spec["root"], *spec["components"].values()):
        yield from component.get("dag", {}).get("tasks", {}).items()


def _steps(
    pipeline: Mapping[str, Any], dag: Mapping[str, Any], above: Step, loops: tuple[Loop, ...]
) -> Iterator[Planned]:
    inside = dag["tasks"]
    order = TopologicalSorter({key: sorted(task.get("dependentTasks", ())) for key, task in sorted(inside.items())})
    for key in order.static_order():
        task = inside[key]
        component = pipeline["components"][task["componentRef"]["name"]]
        place = (*above, key)
        if "dag" not in component:
            tries = 1 + int(task.get("retryPolicy", {}).get("maxRetryCount", 0))
            yield Planned(place, step_name(key), tries, loops, "strategy" in task.get("triggerPolicy", {}))
        else:
            loop = _loop(task)
            yield from _steps(pipeline, component["dag"], place, (*loops, loop) if loop else loops)


def step_name(key: str) -> str:
    """Return the step behind a task's key: KFP numbers a step's second use."""
    return re.sub(r"-\d+$", "", key).replace("-", "_")


def _loop(task: Mapping[str, Any]) -> Loop | None:
    if "parameterIterator" not in task:
        return None
    items = task["parameterIterator"]["items"]
    return Loop(tuple(json.loads(items.get("raw", "[]"))), items.get("inputParameter", "").removeprefix(_CHANNEL))


def _names_itself(item: Any) -> TypeGuard[str]:
    """Return whether an item tells a person which it is; a share of the work, as in "2/4", is better counted."""
    return isinstance(item, str) and bool(item) and not re.fullmatch(r"\d+/\d+", item)
