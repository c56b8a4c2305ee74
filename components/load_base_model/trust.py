"""Whether a saved model's configuration would run code of its own, or needs code that is not here."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from graftwork.errors import UserError

_COMPILED = ("compile_config", "training_config")
_INNER = ("layer", "forward_layer", "backward_layer", "cell")
_OURS = ("keras", "tf_keras")


@dataclass(frozen=True)
class Entry:
    """A layer in a configuration."""

    kind: str
    name: str
    module: str | None

    @property
    def is_keras(self) -> bool:
        """Whether the configuration says that it is Keras's own; older ones do not say."""
        return self.module is not None and self.module.split(".")[0] in _OURS


def check(config: Any, known: Collection[str]) -> None:
    """Raise a UserError if building a model from its configuration would run code out of the file, or cannot be done.

    Args:
        config: What Keras saved, from JSON.
        known: Class names of the layers and models that are here.

    Raises:
        UserError: Lambda layers, other code, or classes that are not here; names all of them.
    """
    lambdas = [f"{entry.name} (Lambda)" for entry in layers(config) if entry.kind == "Lambda"]
    found = [*lambdas, *sorted(set(_functions(config)))]
    if found:
        facts = {"code": ", ".join(found)}
        next = [
            "open it where it was made, put what the code does into layers of Keras, and save it again,",
            "or cut the model there before the code:  keras.Model(model.input, model.get_layer(...).output)",
        ]
        raise UserError("the base model contains Python code, which is not run", facts, next)
    missing = sorted({entry.kind for entry in layers(config) if not entry.is_keras and entry.kind not in known})
    if missing:
        before = "save the part before them:  keras.Model(model.input, model.get_layer(...).output).save(...)"
        raise UserError("the base model needs classes that are not here", {"classes": ", ".join(missing)}, before)


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


def _functions(value: Any) -> Iterator[str]:
    """Yield every function that is neither an activation of Keras nor absent: what else is named may do anything."""
    if isinstance(value, list):
        for item in value:
            yield from _functions(item)
    elif isinstance(value, dict):
        if value.get("class_name") == "__lambda__":
            yield "a lambda"
        elif value.get("class_name") == "function" and not hasattr(keras.activations, str(value.get("config"))):
            yield f"{value.get('module') or ''}.{value.get('config')}".lstrip(".")
        for key, item in value.items():
            if key not in _COMPILED:
                yield from _functions(item)
