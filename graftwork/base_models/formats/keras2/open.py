"""Open a model of Keras 2 and make it one of Keras 3."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from graftwork.artifacts.code import NO_CODE, CustomCode
from graftwork.base_models.architectures.applications import LAYERS
from graftwork.base_models.conversion import channels_first
from graftwork.base_models.conversion.equivalence import require_finite_weights, require_same_outputs
from graftwork.base_models.conversion.layer_names import LayerNames
from graftwork.base_models.formats.keras1.open import is_keras1, open_keras1
from graftwork.base_models.formats.keras2.convert import convert, layers_of
from graftwork.base_models.formats.keras2.precision import compute_in_float32
from graftwork.base_models.opened import Conversion, OpenedModel
from graftwork.errors import UserError

_FUNCTIONS = {"TFOpLambda", "SlicingOpLambda", "ClassMethod", "TensorFlowOpLayer"}
"""Layers that stand for a TensorFlow function."""
_LOSSES = {"AddLoss", "AddMetric"}
"""Layers for training alone: no output depends on them."""
_MODELS = {"Functional", "Sequential", "Model"}


def classes_of_keras2() -> set[str]:
    """Return the class names of the layers, cells and models that Keras 2 has."""
    import tf_keras

    public = {name for name in dir(tf_keras.layers) if name[0].isupper()}
    # A SavedModel names those too that no user makes, as ConvLSTMCell.
    inner = {
        kind.__name__
        for kind in _subclasses(tf_keras.layers.Layer)
        if kind.__module__.startswith("tf_keras.src.layers.")
    }
    return public | inner | _FUNCTIONS | _LOSSES | _MODELS | LAYERS.keys()


def _subclasses(kind: Any) -> Iterator[Any]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def open_keras2(path: Path, code: CustomCode = NO_CODE) -> OpenedModel:
    """Open a model that Keras 2 saved, whatever the format.

    Whoever calls this has looked at the configuration: tf_keras runs the code that it finds.

    Returns:
        The model in Keras 3, which answers the same; what changed; the names that had to, as new name -> old name.

    Raises:
        UserError: It has no graph of layers, uses what Keras 3 does not have, has weights that are no numbers, or the
            comparison fails.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved: Any = _load(path, code)
        if not getattr(saved, "_is_graph_network", False):
            facts = {"found": f"{type(saved).__name__}, whose layers are called by Python code that is not in the file"}
            next = "save it as a functional model:  keras.Model(inputs, outputs).save(...)"
            raise UserError("the base model has no graph of layers", facts, next)
        names = LayerNames()
        precision, tolerance = compute_in_float32(saved)
        converted, changes = convert(saved, names), (*_changes(saved), *precision)
        ask: Callable[[Any], Any] = lambda batch: saved(batch, training=False)  # noqa: E731
        if channels_first.is_channels_first(converted):
            converted, ask = channels_first.to_channels_last(converted), channels_first.run_channels_first(saved)
            changes = (*changes, channels_first.CHANGE)
        require_finite_weights(converted)  # else the comparison fails, and does not say why
        difference = require_same_outputs(ask, converted, tolerance)
    conversion = Conversion(changes, difference, tolerance=tolerance)
    return OpenedModel(converted, conversion=conversion, renamed=names.changed)


def _load(path: Path, code: CustomCode) -> Any:
    import tf_keras
    from tf_keras.src.applications import convnext, inception_resnet_v2

    if is_keras1(path):
        return open_keras1(path)
    modules = (convnext, inception_resnet_v2)
    own = {name: kind for module in modules for name, kind in vars(module).items() if name in LAYERS}
    # A class that was not registered when the model was saved is in the file by its name alone.
    registered = {name.rpartition(">")[2]: kind for name, kind in tf_keras.saving.get_custom_objects().items()}
    classes = classes_of_keras2()
    custom = {name: kind for name, kind in registered.items() if name not in classes} | own
    return tf_keras.models.load_model(str(path), custom, compile=False, safe_mode=not code.trusted)


def _changes(saved: Any) -> tuple[str, ...]:
    changes = []
    if type(saved).__name__ == "Sequential":
        changes.append("Sequential to functional")
    functions = {id(layer) for layer in layers_of(saved) if type(layer).__name__ in _FUNCTIONS}
    losses = [layer for layer in saved.submodules if type(layer).__name__ in _LOSSES]
    if functions:
        changes.append(f"{len(functions)} TensorFlow functions to operations of Keras")
    if losses:
        changes.append("what computes losses and metrics left out")
    return tuple(changes)
