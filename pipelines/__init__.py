"""The DAGs: which step feeds which, on which nodes.

What a step does is in `components`; compiling, in `kubeflow`; running here, in `running`.
"""

import importlib
import warnings
from typing import Any

from graftwork.errors import UserError

NAMES = ("transfer_learning", "sweep", "retraining")


def load(name: str, one_shard: bool = False) -> Any:
    """Return a pipeline by its name.

    Args:
        name: One of NAMES.
        one_shard: Without its loops over shards: the same work by fewer pods, where one shard is enough.

    Raises:
        UserError: There is none of that name.
    """
    if name.replace("-", "_") not in NAMES:
        raise UserError(f"there is no pipeline {name!r}", {"pipelines": ", ".join(NAMES)})
    name = name.replace("-", "_")
    with warnings.catch_warnings(action="ignore"):  # KFP's remarks are for authors of pipelines
        pipeline = getattr(importlib.import_module(f"graftwork.pipelines.{name}"), name)
        return pipeline.in_one_shard() if one_shard else pipeline


def steps(name: str) -> tuple[str, ...]:
    """Return the steps of a pipeline, in the order they run one after another."""
    from graftwork.pipelines import grafting, retraining

    return retraining.STEPS if name.replace("-", "_") == "retraining" else grafting.STEPS


def parameters(pipeline: Any) -> list[str]:
    """Return the names of a pipeline's parameters."""
    return list(pipeline.pipeline_spec.root.input_definitions.parameters)
