"""Whether a saved model's configuration would run code of its own, or needs code that is not here.

Keras looks classes up by name, and Keras 2 imports the modules that a file names and calls the functions of TensorFlow
that it names. So everything named is looked at before Keras sees the file.
"""

import importlib.util
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import keras
from google.protobuf.message import DecodeError
from tensorflow.core.framework.node_def_pb2 import NodeDef

from graftwork.artifacts.code import REGISTERED, CustomCode
from graftwork.base_models.conversion.keras2_functions import FUNCTIONS, OPERATIONS
from graftwork.errors import UserError

_COMPILED = ("compile_config", "training_config")
_INNER = ("layer", "forward_layer", "backward_layer", "cell")
_OURS = {"keras", "tf_keras", *(["keras_hub"] if importlib.util.find_spec("keras_hub") else [])}
_ACTIVATIONS = {name for name in dir(keras.activations) if not name.startswith("_")} - {
    "deserialize",
    "get",
    "serialize",
}
_NAMED_FUNCTIONS = {"TFOpLambda", "SlicingOpLambda"}
_METHODS = {"ClassMethod", "InstanceMethod", "InstanceProperty"}
"""Layers of Keras 2 that call what they name."""
_SIZES = ("units", "filters", "input_dim", "output_dim")
_LARGE = 100_000
_LARGEST_INPUT = 2**31


def check(config: Any, known: Collection[str], registered: Collection[str], code: CustomCode) -> None:
    """Raise a UserError if building a model from its configuration would run code out of the file, or cannot be done.

    Args:
        config: What Keras saved, from JSON.
        known: Names of Keras's own classes.
        registered: Names under which the Keras that opens the file has classes and functions of others.
        code: What may run.

    Raises:
        UserError: Lambda layers, other code, or classes that are not here; names all of them.
    """
    lambdas = {f"{_name(item)} (Lambda)" for item in _objects(config) if "Lambda" in _names(item)}
    found = [*sorted(lambdas), *sorted(set(_functions(config, registered)))]
    if found and not code.trusted:
        facts = {"code": ", ".join(found)}
        next = [
            "if you trust whoever made the file:  --trust-code",
            "or open it where it was made, put what the code does into layers of Keras, and save it again",
        ]
        raise UserError("the base model contains Python code, which is not run", facts, next)
    lacking = sorted(set(_without_counterpart(config)))
    if lacking:
        instead = "open it where it was made, put layers of Keras in their place, and save it again"
        raise UserError("the base model uses what Keras 3 does not have", {"missing": ", ".join(lacking)}, instead)
    here = {*known, *(_last(name) for name in registered)}
    # Older configurations do not say that a class is Keras's own.
    missing = {kind for kind, module in layers(config) if not _is_ours(module) and kind not in here}
    missing |= set(_foreign_classes(config, registered))
    if missing:
        facts = {"classes": ", ".join(sorted(missing))}
        next = [
            f"pass what has them, a module or a .py file:  --custom-objects NAME  ({REGISTERED})",
            "or save the part before them:  keras.Model(model.input, model.get_layer(...).output).save(...)",
        ]
        raise UserError("the base model needs classes that are not here", facts, next)
    files = [str(item["config"]["vocabulary"]) for item in _objects(config) if _reads_vocabulary(item)]
    if files:
        facts = {"files": ", ".join(files)}
        raise UserError("the base model reads other files", facts, "save it where they are, with what is in them")


def check_sizes(config: Any, sides: Collection[int]) -> None:
    """Raise a UserError for layers so large that they cannot be those whose weights are in the file.

    Keras makes the layers before it reads the weights; a configuration of a few bytes can ask for all memory.

    Args:
        config: What Keras saved.
        sides: Every length that a side of one of the weights has.
    """
    for item in _objects(config):
        settings = item.get("config")
        if not isinstance(settings, Mapping):
            continue
        for name in _SIZES:
            size = settings.get(name)
            if isinstance(size, int) and size > _LARGE and size not in sides:
                raise _too_large(item, f"{name} {size:,}")
        shape = settings.get("batch_shape") or settings.get("batch_input_shape") or []
        values = 1
        for side in shape if isinstance(shape, list) else []:
            values *= side if isinstance(side, int) else 1
        if values > _LARGEST_INPUT:
            raise _too_large(item, f"input {shape}")


def registered(saved_by: str) -> set[str]:
    """Return the names of all classes and functions that are registered with the Keras that opens a file."""
    import tf_keras

    # What Keras 2 opens is rebuilt in Keras 3: it looks only at its own.
    return set((keras if saved_by.startswith("Keras 3") else tf_keras).saving.get_custom_objects())


def layers(config: Any) -> Iterator[tuple[str, Any]]:
    """Yield class and module of every layer and inner model of a configuration, the outermost model included."""
    if not isinstance(config, dict) or not isinstance(config.get("config"), (dict, list)):
        return
    inner = config["config"] if isinstance(config["config"], dict) else {"layers": config["config"]}
    yield _last(str(config.get("class_name", ""))), config.get("module")
    for layer in inner.get("layers") or []:
        yield from layers(layer)
    for key in _INNER:
        yield from layers(inner.get(key))


def _functions(value: Any, registered: Collection[str]) -> Iterator[str]:
    """Yield every function that is neither an activation of Keras nor registered: any other may do anything."""
    for item in _objects(value):
        name, module = str(item.get("config")), item.get("module")
        if item["class_name"] == "__lambda__":
            yield "a lambda"
        elif item["class_name"] == "function" and not {name, item.get("registered_name")} & set(registered):
            of_keras = module is None or module == "builtins" or (_is_ours(module) and "activations" in module)
            if name not in _ACTIVATIONS or not of_keras:
                yield f"{module or ''}.{name}".lstrip(".")


def _foreign_classes(value: Any, registered: Collection[str]) -> Iterator[str]:
    """Yield the class of every object, initializers and the like too, that is of another module than Keras's."""
    for item in _objects(value):
        module = item.get("module")
        if not isinstance(module, str) or _is_ours(module) or item["class_name"] == "function":
            continue
        if not {item.get("registered_name"), item["class_name"]} & set(registered):
            yield _last(str(item["class_name"]))


def _without_counterpart(value: Any) -> Iterator[str]:
    """Yield every function of TensorFlow that a file of Keras 2 names and that is not among those that are known.

    Keras 2 calls some of them while it opens the file: whatever is not known to compute only must not get so far.
    """
    for item in _objects(value):
        names, settings = _names(item), item.get("config")
        settings = settings if isinstance(settings, Mapping) else {}
        if names & _METHODS:
            yield str(item["class_name"])
        if names & _NAMED_FUNCTIONS and str(settings.get("function")).removeprefix("compat.v1.") not in FUNCTIONS:
            yield f"tf.{settings.get('function')}"
        if "TensorFlowOpLayer" in names:
            operation = _operation(settings.get("node_def"))
            if operation not in OPERATIONS:
                yield f"tf.raw_ops.{operation}"


def _operation(node: Any) -> str:
    """Return the operation of a node as Keras 2 keeps it: a mapping, or a message as text."""
    if isinstance(node, Mapping):
        return str(node.get("op"))
    try:
        return str(NodeDef.FromString(str(node).encode()).op)
    except DecodeError:
        return "a node that cannot be read"


def _reads_vocabulary(item: Mapping[str, Any]) -> bool:
    return isinstance(item.get("config"), Mapping) and isinstance(item["config"].get("vocabulary"), str)


def _names(item: Mapping[str, Any]) -> set[str]:
    """Return every name by which Keras might look an object's class up, without packages."""
    return {_last(str(item.get(key))) for key in ("class_name", "registered_name")}


def _name(item: Mapping[str, Any]) -> str:
    settings = item.get("config")
    return str((settings.get("name") if isinstance(settings, Mapping) else None) or item.get("name") or "one")


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _objects(item)
    elif isinstance(value, dict):
        if "class_name" in value:
            yield value
        for key, item in value.items():
            if key not in _COMPILED:
                yield from _objects(item)


def _too_large(item: Mapping[str, Any], what: str) -> UserError:
    facts = {"layer": f"{item['class_name']}, {what}", "in the file": "no weights of that size"}
    return UserError("the base model's layers do not fit the weights in its file", facts, "do not use this file")


def _is_ours(module: Any) -> bool:
    return isinstance(module, str) and module.split(".")[0] in _OURS


def _last(name: str) -> str:
    """Return a registered name without its package."""
    return name.rpartition(">")[2]
