"""Which Kubeflow Pipelines a pipeline needs: an older one is refused before anything is sent to it."""

import re
from collections.abc import Iterator

from graftwork.errors import UserError
from graftwork.kubeflow.compiling import Compiled
from graftwork.kubeflow.connection import Kubeflow
from graftwork.kubeflow.plan import tasks

Number = tuple[int, int, int]

# From the release notes and the source of Kubeflow Pipelines. Tried was 2.17.
PLACED_AT_RUNTIME: Number = (2, 5, 0)
"""Accelerators, CPUs, memory, node selectors and tolerations as parameters: kubeflow/pipelines#11770."""
GATHERED_FROM_LOOPS: Number = (2, 14, 0)
"""Lists of the artifacts of a loop's iterations (`dsl.Collected`): kubeflow/pipelines#11725."""
FINAL_STATUS: Number = (2, 14, 0)
"""How a run has gone so far, as an input of its last step: kubeflow/pipelines#11953."""
GATHERED_FROM_NAMED_LOOPS: Number = (2, 16, 0)
"""The same of loops with a name, which pipelines of graftwork 0.1 have: kubeflow/pipelines#13239."""


def check(kubeflow: Kubeflow, compiled: Compiled) -> None:
    """Refuse a server that cannot run a pipeline; one that does not tell its version is let through.

    Raises:
        UserError: The server is too old.
    """
    version = parse(kubeflow.tag)
    if version is None:
        return
    since, what = max(needs(compiled), default=((0, 0, 0), ""))
    if version < since:
        facts = {"host": kubeflow.where, "version": _written(version), "needed": f"{_written(since)}, for {what}"}
        next = ["let the platform team update Kubeflow Pipelines"]
        if since == GATHERED_FROM_NAMED_LOOPS and version >= GATHERED_FROM_LOOPS:
            next.insert(0, "compile it again: the loops of graftwork have no names any more")
        raise UserError(f"this Kubeflow is too old for the pipeline {compiled.name}", facts, next)


def needs(compiled: Compiled) -> Iterator[tuple[Number, str]]:
    """Yield the oldest version that can do it, and what, for everything in a pipeline that not every version can do."""
    spec = compiled.documents[0]
    if re.search("(?:nodeSelectorJson|tolerationJson|resource(?:CpuLimit|MemoryLimit|Type):)", compiled.text):
        yield PLACED_AT_RUNTIME, "accelerators, CPUs, memory and nodes as parameters"
    if "taskFinalStatus" in compiled.text:
        yield FINAL_STATUS, "the run's status in its last step"
    for name, task in tasks(spec):
        component = spec["components"][task["componentRef"]["name"]]
        is_loop = "parameterIterator" in task or "artifactIterator" in task
        if is_loop and "artifacts" in component.get("outputDefinitions", {}):
            yield GATHERED_FROM_LOOPS, "artifacts gathered from a loop"
            if task.get("taskInfo", {}).get("name", name) != name:
                yield GATHERED_FROM_NAMED_LOOPS, "artifacts gathered from a loop with a name"


def parse(tag: str | None) -> Number | None:
    """Read what a server calls its version, as in 2.14.0, v2.5 or 2.16.0-rc.1; None for what is no version."""
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?![\w.])", tag or "")
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def _written(version: Number) -> str:
    return ".".join(map(str, version))
