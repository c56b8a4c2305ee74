"""Settings as parameters of pipelines: what they are called there, what stands for nothing, and how they are read.

KFP has no null, and hands a mapping over as it is. So what is not given is 0 or "", a group is one parameter, and the
defaults inside it are those of the code that runs.
"""

import contextlib
import inspect
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

import yaml

from graftwork.config.base import Settings
from graftwork.config.cluster import ClusterConfig
from graftwork.config.loading import validated
from graftwork.config.settings import Config, Precision, Preprocessing, RetrainingConfig, ScaleOffset, meaning
from graftwork.errors import UserError

ON_CLUSTERS = ("accelerator", "accelerators", "node_selector", "tolerations", "cpu", "memory")
"""Parameters of pipelines that say nothing to a run on one machine."""
REQUIRED = inspect.Parameter.empty
"""The default of a parameter that must be given."""

_NOT_GIVEN: Mapping[str, Any] = {"preprocessing": "", "input_size": 0, "stored_size": 0}
"""Settings that may be None, and what stands for it."""
_SPREAD: Mapping[str, type[Settings]] = {"retraining": RetrainingConfig, "cluster": ClusterConfig}
"""Groups of which each setting is a parameter of its own."""
_NEEDED = ("data", "base_model", "registry", "name")
"""Parameters without a default. A configuration may leave out the last two: only retraining has these parameters."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a pipeline.

    Attributes:
        type: A type that KFP knows.
        means: For the people who fill it in.
        default: REQUIRED where it must be given.
    """

    type: type
    means: str
    default: Any = REQUIRED


def parameter(name: str) -> Parameter:
    """Return the parameter of a pipeline that is a setting: said as its field says it, as far as KFP can.

    Args:
        name: That of the setting; without its group for those of `retraining` and `cluster`.
    """
    default = as_parameters(Config(data="-", base_model="-"), [name])[name]
    kind = type(default)
    group = next((f"{key}." for key, settings in _SPREAD.items() if name in settings.model_fields), "")
    means = meaning(group + name)
    if kind is dict and not group:
        settings = Config.model_fields[name].annotation
        return Parameter(dict, f"{means.rstrip('.')}; see graftwork.config.{getattr(settings, '__name__', '')}.", {})
    means = means.replace("not given", str(_NOT_GIVEN.get(name, "")) or "empty")
    return Parameter(kind, means, REQUIRED if name in _NEEDED else default)


def as_parameters(config: Config, names: Collection[str]) -> dict[str, Any]:
    """Return the pipeline parameters that mean this configuration.

    Args:
        config: Everything the user has set.
        names: The parameters that the pipeline has.
    """
    # What is left out is no parameter: what a pipeline of somebody else calls so means something else.
    given = {**_NOT_GIVEN, **config.model_dump(exclude_none=True, exclude={"output", "sweep"}, mode="json")}
    given["cluster"].pop("steps")  # fixed when a pipeline is compiled
    for group in _SPREAD:
        given |= given.pop(group)
    if not isinstance(given["preprocessing"], str):
        given["preprocessing"] = json.dumps(given["preprocessing"])
    given |= {"grid": config.sweep.points(), "accelerators": str(config.cluster.accelerators)}
    return {name: value for name, value in given.items() if name in names}


def parse_point(text: str) -> dict[str, Any]:
    """Read a point of a sweep, as in {layers: 5, learning_rate: 0.001}; "" has no settings of its own.

    Raises:
        UserError: It is no mapping.
    """
    try:
        point = yaml.safe_load(text) or {}
    except yaml.YAMLError:
        point = None
    if not isinstance(point, dict):
        raise UserError(f"{text!r} is not a point of a sweep", {"expected": "{layers: 5, learning_rate: 0.001}"})
    return point


def parse_preprocessing(value: str | ScaleOffset | Mapping[str, Any] | None) -> str | ScaleOffset | None:
    """Read the pipeline parameter "preprocessing": a name, a JSON mapping with scale and offset, or "" for None.

    Raises:
        UserError: It is something else.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.lstrip().startswith("{"):
        with contextlib.suppress(json.JSONDecodeError):
            value = json.loads(value)
    return validated(_Preprocessing, {"preprocessing": value}, "the parameter preprocessing").preprocessing


class _Preprocessing(Settings):
    preprocessing: Preprocessing


def parse_precision(text: str) -> Precision:
    """Check a precision that came as a pipeline's parameter.

    Raises:
        UserError: It is none.
    """
    if text not in get_args(Precision):
        raise UserError(f"the precision is {text!r}", {"expected": " or ".join(get_args(Precision))})
    return cast(Precision, text)
