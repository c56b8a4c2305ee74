"""What pipelines are given: every parameter with its type, its default and what it means, said once for all of them.

KFP reads a pipeline's interface off the signature and the docstring of a function. `pipeline` makes both, for a
function that takes all parameters as one object.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kfp import dsl

from graftwork.pipelines.scheduling import DEFAULTS, Nodes

_REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True)
class Parameter:
    """A parameter of a pipeline.

    Attributes:
        type: A type that KFP knows.
        means: For the people who fill it in.
        default: None needed, where it must be given.
    """

    type: type
    means: str
    default: Any = _REQUIRED


SOURCES = {
    "data": Parameter(
        str, "A folder with one sub-folder per class, or a .csv, .jsonl or .parquet table; a path or gs:// URI."
    ),
    "base_model": Parameter(
        str,
        "A .keras, .h5 or SavedModel (a path or gs:// URI), the name of a keras.applications model, or hub: and that of"
        " a KerasHub preset.",
    ),
}
BASE = {
    "preprocessing": Parameter(
        str, "What the base's pixels need, by name or as JSON with scale and offset; empty to find it.", ""
    ),
    "input_size": Parameter(
        int, "Height and width in pixels at which the base runs; 0 for the size it was saved with.", 0
    ),
    "feature_layer": Parameter(str, 'Where the base is cut: a layer\'s name, "penultimate", or "auto".', "auto"),
    "architecture": Parameter(str, "Of a file with weights only, the name of its keras.applications model.", ""),
    "custom_objects": Parameter(
        str, "A module, or a .py file (a path or gs:// URI), that registers the classes the base needs.", ""
    ),
    "trust_code": Parameter(bool, "Whether Python code in the base's file may run.", False),
}
TRAINING = {
    "stored_size": Parameter(
        int, "Shorter side in pixels to which larger images are shrunk; 0 for 1.15 times the base's input.", 0
    ),
    "prepare": Parameter(dict, "How images become splits, see graftwork.config.PrepareConfig.", {}),
    "head": Parameter(dict, "How the head is trained, see graftwork.config.HeadConfig.", {}),
    "fine_tune": Parameter(
        dict, "How the last layers are trained on, see graftwork.config.FineTuneConfig; layers 0 skips it.", {}
    ),
    "precision": Parameter(
        str,
        'In which the network computes while features are extracted and layers trained: "float32", "bfloat16", or'
        ' "auto" for bfloat16 where the device has it.',
        "auto",
    ),
    "seed": Parameter(int, "Of every random choice.", 0),
}
CLUSTER = {
    "ingest_shards": Parameter(
        int, "Over how many machines the reading of the images fans out.", DEFAULTS.ingest_shards
    ),
    "extract_shards": Parameter(
        int, "Over how many machines the extraction of features fans out.", DEFAULTS.extract_shards
    ),
    "accelerator": Parameter(
        str, "Resource name of the accelerator for the steps that train or extract.", DEFAULTS.accelerator
    ),
    "accelerators": Parameter(
        str, 'How many of it each of those steps gets; "0" for none.', str(DEFAULTS.accelerators)
    ),
    "node_selector": Parameter(
        dict, 'Labels of the nodes for those steps, as in {"pool": "gpu"}.', dict(DEFAULTS.node_selector)
    ),
    "tolerations": Parameter(
        list, "Taints of nodes which those steps tolerate, as Kubernetes writes them.", list(DEFAULTS.tolerations)
    ),
    "cpu": Parameter(str, "CPUs for each of those steps.", DEFAULTS.cpu),
    "memory": Parameter(str, "Memory for each of those steps.", DEFAULTS.memory),
}


class Given:
    """The parameters of a pipeline that is being built, each as an attribute: not values yet, but KFP's stand-ins."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        """Return a parameter."""
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def base(self) -> dict[str, Any]:
        """The parameters of the step load_base_model, by their names there."""
        return {"uri": self.base_model, **{name: self._values[name] for name in BASE}}

    @property
    def nodes(self) -> Nodes:
        """Where the steps that train or extract run."""
        return Nodes(self.accelerator, self.accelerators, self.node_selector, self.tolerations, self.cpu, self.memory)


def pipeline(name: str, display_name: str, /, **own: Parameter) -> Callable[[Callable[[Given], Any]], Any]:
    """Decorate a function that builds a pipeline: it becomes one, with the parameters all have and its own.

    Args:
        name: Of the pipeline.
        display_name: The same for people.
        own: More parameters, or others of the same name.
    """
    named = {**SOURCES, **BASE, **TRAINING, **own, **CLUSTER}
    parameters = sorted(named.items(), key=lambda item: item[1].default is not _REQUIRED)

    def decorate(build: Callable[[Given], Any]) -> Any:
        def function(*values: Any) -> Any:
            return build(Given(dict(zip((name for name, _ in parameters), values, strict=True))))

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
