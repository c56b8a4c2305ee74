"""What pipelines are given: parameters, which are settings.

KFP reads a pipeline's interface off the signature and the docstring of a function. `pipeline` makes both, for a
function that takes all parameters as one object.
"""

import functools
import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from kfp import dsl

from graftwork.config import REQUIRED, ClusterConfig, Config, Parameter, RetrainingConfig, parameter

OF_RETRAINING = ("registry", "name", "gate", "drift", *RetrainingConfig.model_fields)
"""Settings that only retraining takes."""
_NO_PARAMETERS = ("output", "sweep", "retraining", "cluster", "steps")
"""What is for this machine alone, fixed at compile time, or a group that is no parameter as a whole."""
COMMON = tuple(
    name
    for name in (*Config.model_fields, *ClusterConfig.model_fields)
    if name not in (*_NO_PARAMETERS, *OF_RETRAINING)
)
"""Settings that every pipeline takes."""
_SHARDS = ("ingest_shards", "extract_shards")


class Inputs(SimpleNamespace):
    """The parameters of a pipeline that is being built, each as an attribute: not values yet, but KFP's stand-ins.

    Attributes:
        one_shard: Whether the pipeline has no loops over shards; it does all work in one, whatever it is given.
    """

    one_shard: bool

    def of(self, step: Any) -> dict[str, Any]:
        """Return those parameters that a step takes under the same names."""
        return {name: value for name, value in vars(self).items() if name in step.component_spec.inputs}


def pipeline(name: str, display_name: str, /, **own: Parameter) -> Callable[[Callable[[Inputs], Any]], Any]:
    """Decorate a function that builds a pipeline: it becomes one, with the parameters all have and its own.

    The same without loops over shards is what its `in_one_shard()` returns.

    Args:
        name: Of the pipeline.
        display_name: The same for people.
        own: More parameters.
    """
    named = {**{name: parameter(name) for name in COMMON}, **own}
    parameters = sorted(named.items(), key=lambda item: item[1].default is not REQUIRED)

    def decorate(build: Callable[[Inputs], Any]) -> Any:
        made: Any = _pipeline(name, display_name, dict(parameters), build, one_shard=False)
        made.in_one_shard = functools.partial(_pipeline, name, display_name, dict(parameters), build, one_shard=True)
        return made

    return decorate


def _pipeline(
    name: str, display_name: str, parameters: dict[str, Parameter], build: Callable[[Inputs], Any], one_shard: bool
) -> Any:
    """Return a KFP pipeline: what `build` makes of parameters, with their signature and docstring."""

    def function(*values: Any) -> Any:
        given = dict(zip(parameters, values, strict=True)) | (dict.fromkeys(_SHARDS, 1) if one_shard else {})
        return build(Inputs(one_shard=one_shard, **given))

    def means(key: str) -> str:
        unread = one_shard and key in _SHARDS
        return "Here one, whatever is given: this file has no loop over shards." if unread else parameters[key].means

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature(
        [inspect.Parameter(key, kind, default=each.default, annotation=each.type) for key, each in parameters.items()],
        return_annotation=inspect.signature(build).return_annotation,
    )
    described = "\n".join(f"    {key}: {means(key)}" for key in parameters)
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__name__ = build.__name__
    summary, returns, results = (inspect.getdoc(build) or "").partition("\n\nReturns:\n")
    function.__doc__ = f"{summary}\n\nArgs:\n{described}{returns}{results}"
    return dsl.pipeline(name=name, display_name=display_name)(function)
