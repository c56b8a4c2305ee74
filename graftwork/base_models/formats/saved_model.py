"""SavedModels: folders that hold layers of Keras 2, or nothing but functions."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graftwork.base_models.formats.keras2.open import open_keras2
from graftwork.base_models.formats.kind import Kind
from graftwork.base_models.formats.saved_model_function import open_function
from graftwork.base_models.opened import OpenedModel, Request
from graftwork.base_models.safety.operations import SAVED_MODEL, check_saved_model, parsed
from graftwork.errors import UserError

_KERAS_METADATA = "keras_metadata.pb"
_METRIC = "_tf_keras_metric"
_VARIABLES = ("VarHandleOp", "VariableV2")


def is_saved_model(path: Path) -> bool:
    """Return whether a folder is a SavedModel."""
    return (path / SAVED_MODEL).is_file()


def _is_subclassed(path: Path) -> bool:
    """Return whether a SavedModel of Keras 2 holds a model whose layers are called by Python code, not by a graph."""
    root: dict[str, Any] = next((config for node, config in _nodes(path) if node.node_path == "root"), {})
    return root.get("is_graph_network") is False and root.get("class_name") != "Sequential"


def tensorflow_version(path: Path) -> str:
    """Return what wrote a SavedModel, as in "TensorFlow 2.15.1".

    Raises:
        UserError: Files of it are missing.
    """
    _require_variables(path)
    graphs = _read(path).meta_graphs
    return f"TensorFlow {graphs[0].meta_info_def.tensorflow_version}" if graphs else ""


def configurations(path: Path) -> Iterator[Any]:
    """Yield what Keras 2 saved of each layer and model that it would make; nothing if there is only a function to open.

    Of metrics only the configuration, because their classes are no layers.
    """
    if _is_subclassed(path):
        return
    for node, config in _nodes(path):
        if "class_name" in config:  # whatever kind of layer it is said to be, Keras makes it from that
            yield config.get("config") if node.identifier == _METRIC else config


def _open_saved_model(path: Path, request: Request, saved_by: str) -> OpenedModel:
    if _is_subclassed(path):
        why = "its layers are called by Python code that is not in the SavedModel (a subclassed model of Keras 2)"
        return open_function(path, request, frozen=why)
    if next(configurations(path), None) is None:
        return open_function(path, request)
    return open_keras2(path, request.code)


def _nodes(path: Path) -> Iterator[tuple[Any, Any]]:
    file = path / _KERAS_METADATA
    if not file.is_file():
        return
    from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

    for node in SavedMetadata.FromString(file.read_bytes()).nodes:
        yield node, json.loads(node.metadata)


def _read(path: Path) -> Any:
    return parsed((path / SAVED_MODEL).read_bytes())


def _require_variables(path: Path) -> None:
    folder = path / "variables"
    if not folder.is_dir() and not _has_variables(path):
        return  # a function of constants
    if not (folder / "variables.index").is_file():
        raise _not_whole("variables/variables.index")
    totals = {int(file.name.rpartition("-of-")[2]) for file in folder.glob("variables.data-?????-of-?????")}
    shards = [folder / f"variables.data-{number:05d}-of-{total:05d}" for total in totals for number in range(total)]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing or not shards:
        raise _not_whole(", ".join(missing) or "variables/variables.data-...")


def _has_variables(path: Path) -> bool:
    for graph in (meta_graph.graph_def for meta_graph in _read(path).meta_graphs):
        nodes = itertools.chain(graph.node, *(function.node_def for function in graph.library.function))
        if any(node.op in _VARIABLES for node in nodes):
            return True
    return False


def _not_whole(missing: str) -> UserError:
    return UserError("the SavedModel is not whole", {"missing": missing}, "copy the whole folder")


KIND = Kind(
    "SavedModel",
    is_saved_model,
    _open_saved_model,
    saved_by=tensorflow_version,
    check=check_saved_model,
    configurations=configurations,
)
