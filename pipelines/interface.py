"""What pipelines are given: parameters, which are settings.

KFP reads a pipeline's interface off the signature and the docstring of a function. `pipeline` makes both, for a
function that takes all parameters as one object.
"""

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


class Inputs(SimpleNamespace):
    """The parameters of a pipeline that is being built, each as an attribute: not values yet, but KFP's stand-ins."""

    def of(self, step: Any) -> dict[str, Any]:
        """Return those parameters that a step takes under the same names."""
        return {name: value for name, value in vars(self).items() if name in step.component_spec.inputs}


def pipeline(name: str, display_name: str, /, **own: Parameter) -> Callable[[Callable[[Inputs], Any]], Any]:
    """Decorate a function that builds a pipeline: it becomes one, with the parameters all have and its own.

    Args:
        name: Of the pipeline.
        display_name: The same for people.
        own: More parameters.
    """
    named = {**{name: parameter(name) for name in COMMON}, **own}
    parameters = sorted(named.items(), key=lambda item: item[1].default is not REQUIRED)

    def decorate(build: Callable[[Inputs], Any]) -> Any:
        def function(*values: Any) -> Any:
            return build(Inputs(**dict(zip((name for name, _ in parameters), values, strict=True))))

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        signature = inspect.Signature(
            [inspect.Parameter(key, kind, default=each.default, annotation=each.type) for key, each in parameters],
            return_annotation=inspect.signature(build).return_annotation,
        )
        described = "\n".join(f"    {key}: {each.means}" for key, each in parameters)
        function.__signature__ = signature  # type: ignore[attr-defined]
        function.__name__ = build.__name__
        summary, returns, results = (inspect.getdoc(build) or "").partition("\n\nReturns:\n")
        function.__doc__ = f"{summary}\n\nArgs:\n{described}{returns}{results}"
        return dsl.pipeline(name=name, display_name=display_name)(function)

    return decorate
