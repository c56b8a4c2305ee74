"""What a user names, and which model that is: a folder, the output of a run, or a registry for its champion."""

from pathlib import Path

from graftwork import storage
from graftwork.errors import UserError
from graftwork.registry import stores
from graftwork.registry.registry import Registry
from graftwork.registry.state import FILE


def model_uri(model: str) -> str:
    """Return where the model is that a user names.

    Args:
        model: A model folder, the output of a run, or a model in a registry for its champion: a path or gs:// URI.

    Raises:
        UserError: There is no model, or it is one in a registry and has no champion.
    """
    place = model.rstrip("/") if storage.is_remote(model) else str(Path(model).resolve())
    if storage.stat(storage.join(place, FILE)) is not None or stores.store(place).versions():
        return Registry(storage.parent(place), place.rpartition("/")[2]).champion()
    for place in (storage.join(model, "model"), model):  # first of a run's output
        if storage.stat(storage.join(place, stores.WHOLE)) is not None:
            return place
    expected = "the output of a run, a model folder, or REGISTRY/NAME for the champion of a model"
    raise UserError("there is no model", {"given": model, "expected": expected})
