"""Open a model of Keras 2 and make it one of Keras 3."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from graftwork.artifacts.code import NO_CODE, Code
from graftwork.components.load_base_model import channels
from graftwork.components.load_base_model.keras1.open import is_keras1, open_keras1
from graftwork.components.load_base_model.keras2.convert import convert
from graftwork.components.load_base_model.names import Names
from graftwork.components.load_base_model.opened import Conversion, OpenedModel
from graftwork.components.load_base_model.proof import prove
from graftwork.errors import UserError

_FUNCTIONS = {"TFOpLambda", "SlicingOpLambda", "ClassMethod", "TensorFlowOpLayer"}
"""Layers that stand for a TensorFlow function."""
_MODELS = {"Functional", "Sequential", "Model"}


def known() -> set[str]:
    """Return the class names of the layers and models that Keras 2 has."""
    import tf_keras

    here = {name for name in dir(tf_keras.layers) if name[0].isupper()}
    return here | _FUNCTIONS | _MODELS


def open_keras2(path: Path, code: Code = NO_CODE) -> OpenedModel:
    """Open a model that Keras 2 saved, whatever the format.

    Whoever calls this has looked at the configuration: tf_keras runs the code that it finds.

    Returns:
        The model in Keras 3, proven to answer the same; what changed; the names that had to, as new name -> old name.

    Raises:
        UserError: It has no graph of layers, uses what Keras 3 does not have, or the proof fails.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved: Any = _load(path, code)
        if not getattr(saved, "_is_graph_network", False):
            facts = {"found": f"{type(saved).__name__}, whose layers are called by Python code that is not in the file"}
            next = "save it as a functional model:  keras.Model(inputs, outputs).save(...)"
            raise UserError("the base model has no graph of layers", facts, next)
        names = Names()
        converted, changes = convert(saved, names), _changes(saved)
        ask: Callable[[Any], Any] = lambda batch: saved(batch, training=False)  # noqa: E731
        if channels.is_channels_first(converted):
            converted, ask = channels.channels_last(converted), channels.run_channels_first(saved)
            changes = (*changes, channels.CHANGE)
        difference = prove(ask, converted)
    return OpenedModel(converted, conversion=Conversion(changes, difference), renamed=names.changed)


def _load(path: Path, code: Code) -> Any:
    import tf_keras

    if path.is_file() and is_keras1(path):
        return open_keras1(path)
    return tf_keras.models.load_model(str(path), compile=False, safe_mode=not code.trusted)


def _changes(saved: Any) -> tuple[str, ...]:
    changes = []
    if type(saved).__name__ == "Sequential":
        changes.append("Sequential to functional")
    functions = [layer.name for layer in saved.submodules if type(layer).__name__ in _FUNCTIONS]
    if functions:
        changes.append(f"{len(functions)} TensorFlow functions to operations of Keras")
    return tuple(changes)
