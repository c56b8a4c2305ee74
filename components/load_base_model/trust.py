"""Whether a saved model's configuration would run code of its own, or needs code that is not here."""

import importlib.util
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from graftwork.artifacts.code import REGISTERED, Code
from graftwork.errors import UserError

_COMPILED = ("compile_config", "training_config")
_INNER = ("layer", "forward_layer", "backward_layer", "cell")
_OURS = {"keras", "tf_keras", "builtins", *(["keras_hub"] if importlib.util.find_spec("keras_hub") else [])}
_OPERATIONS = {
    "EagerPyFunc": "calls Python",
    "MatchingFiles": "lists files",
    "PyFunc": "calls Python",
    "PyFuncStateless": "calls Python",
    "ReadFile": "reads files",
    "WriteFile": "writes files",
}
"""TensorFlow operations that reach out of the model."""


@dataclass(frozen=True)
class Entry:
    """A layer in a configuration."""

    kind: str
    name: str
    module: str | None

    @property
    def is_keras(self) -> bool:
        """Whether the configuration says that it is Keras's own; older ones do not say."""
        return _is_ours(self.module)


def check(config: Any, known: Collection[str], code: Code) -> None:
    """Raise a UserError if building a model from its configuration would run code out of the file, or cannot be done.

    Args:
        config: What Keras saved, from JSON.
        known: Names of the classes and functions that are here, those that the user's code registers included.
        code: What may run.

    Raises:
        UserError: Lambda layers, other code, or classes that are not here; names all of them.
    """
    lambdas = [f"{entry.name} (Lambda)" for entry in layers(config) if entry.kind == "Lambda"]
    found = [*lambdas, *sorted(set(_functions(config, known)))]
    if found and not code.trusted:
        facts = {"code": ", ".join(found)}
        next = [
            "if you trust whoever made the file:  --trust-code",
            "or open it where it was made, put what the code does into layers of Keras, and save it again",
        ]
        raise UserError("the base model contains Python code, which is not run", facts, next)
    missing = {entry.kind for entry in layers(config) if not entry.is_keras and entry.kind not in known}
    missing |= set(_strangers(config)) - registered()
    if missing:
        facts = {"classes": ", ".join(sorted(missing))}
        next = [
            f"pass what has them, a module or a .py file:  --custom-objects NAME  ({REGISTERED})",
            "or save the part before them:  keras.Model(model.input, model.get_layer(...).output).save(...)",
        ]
        raise UserError("the base model needs classes that are not here", facts, next)


def check_operations(operations: Collection[str], code: Code) -> None:
    """Raise a UserError if TensorFlow operations in a file reach out of it, unless the user trusts it."""
    found = [f"{name} ({_OPERATIONS[name]})" for name in sorted(operations) if name in _OPERATIONS]
    if found and not code.trusted:
        next = "if you trust whoever made it:  --trust-code"
        raise UserError("the SavedModel does more than compute", {"operations": ", ".join(found)}, next)


def registered() -> set[str]:
    """Return the names, without packages, of the classes and functions that are registered with Keras 2 or 3."""
    import tf_keras

    return {_last(name) for keras_ in (keras, tf_keras) for name in keras_.saving.get_custom_objects()}


def layers(config: Any) -> Iterator[Entry]:
    """Yield every layer and inner model of a configuration, the outermost model included."""
    if not isinstance(config, dict) or not isinstance(config.get("config"), (dict, list)):
        return
    inner = config["config"] if isinstance(config["config"], dict) else {"layers": config["config"]}
    kind = str(config.get("class_name", "")).rpartition(">")[2]
    yield Entry(kind, str(inner.get("name") or config.get("name") or kind), config.get("module"))
    for layer in inner.get("layers") or []:
        yield from layers(layer)
    for key in _INNER:
        yield from layers(inner.get(key))


def _functions(value: Any, known: Collection[str]) -> Iterator[str]:
    """Yield every function that is neither an activation of Keras nor registered: any other may do anything."""
    for item in _objects(value):
        name = str(item.get("config"))
        if item["class_name"] == "__lambda__":
            yield "a lambda"
        elif item["class_name"] == "function" and not hasattr(keras.activations, name) and _last(name) not in known:
            yield f"{item.get('module') or ''}.{name}".lstrip(".")


def _strangers(value: Any) -> Iterator[str]:
    """Yield the class of every object, initializers and the like too, that is of another module than Keras's."""
    for item in _objects(value):
        module = item.get("module")
        if isinstance(module, str) and not _is_ours(module) and item["class_name"] != "function":
            yield _last(str(item["class_name"]))


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


def _is_ours(module: str | None) -> bool:
    return module is not None and module.split(".")[0] in _OURS


def _last(name: str) -> str:
    """Return a registered name without its package."""
    return name.rpartition(">")[2]
