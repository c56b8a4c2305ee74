"""The log of a step of a run, and where a result from the cache comes from: the log of the run that made it."""

import itertools
from typing import Any

from graftwork.kubeflow.connection import Kubeflow
from graftwork.kubeflow.following import Follower
from graftwork.kubeflow.logs import NoLogError, Reader
from graftwork.kubeflow.nodes import Node, workflow_of
from graftwork.kubeflow.plan import step_name

FIRST_STEP = "fingerprint_source"
_LOOKED_AT = 50
"""So many earlier runs are looked at."""


def node_of(run: Any, step: str) -> Node | None:
    """Return the task of a step that has succeeded in a run; None if there is none."""
    tasks = workflow_of(run).tasks.items()
    return next((node for place, node in tasks if step_name(place[-1]) == step and node.state == "SUCCEEDED"), None)


def log_of(kubeflow: Kubeflow, run: Any, node: Node) -> Reader:
    """Return what is known from the log of a step that has run.

    Raises:
        NoLogError: It is gone, or cannot be read through this address.
    """
    follower = Follower(kubeflow, run.run_id, node.attempts[-1].node_id, lambda _: None, over=True)
    reader = follower.finish()
    if follower.problem:
        raise follower.problem
    return reader


def made_by(kubeflow: Kubeflow, run: Any, step: str) -> Any | None:
    """Return the run that made what a step of this one took from the cache; None where it cannot be told.

    The cache goes by what a step is given. A run of the same version with the same parameters, whose first step has
    found the same data and base model, has given its steps the same.

    Raises:
        UserError: The server refuses, or the connection is lost.
    """
    found = _found(kubeflow, run)
    if not found or not run.pipeline_version_reference:
        return None
    client = kubeflow.client
    scope = {"experiment_id": run.experiment_id, "sort_by": "created_at desc"}
    for other in itertools.islice(kubeflow.every(client.list_runs, "runs", **scope), _LOOKED_AT):
        if other.created_at >= run.created_at or not _same_job(run, other):
            continue
        whole = kubeflow.run(other.run_id)  # a list does not tell of tasks
        node = node_of(whole, step)
        if node and not node.cached and _found(kubeflow, whole) == found:
            return whole
    return None


def _same_job(run: Any, other: Any) -> bool:
    version = other.pipeline_version_reference
    return bool(
        version
        and version.pipeline_version_id == run.pipeline_version_reference.pipeline_version_id
        and parameters_of(other) == parameters_of(run)
    )


def parameters_of(run: Any) -> dict[str, Any]:
    """Return the pipeline's parameters of a run, or of a recurring one."""
    return dict((run.runtime_config and run.runtime_config.parameters) or {})


def _found(kubeflow: Kubeflow, run: Any) -> dict[str, Any]:
    """Return what a run's first step has said that it has found, {} if it has not."""
    node = node_of(run, FIRST_STEP)
    if node is None or node.cached:
        return {}
    try:
        return log_of(kubeflow, run, node).results
    except NoLogError:
        return {}
