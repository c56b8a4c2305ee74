"""Opening whatever a base model was given as. A further kind of file is a further entry in KINDS."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras

from graftwork.artifacts.model import BACKBONE, KERAS_MODEL
from graftwork.components.load_base_model import archives, strangers, trust
from graftwork.components.load_base_model.keras2.open import known, open_keras2
from graftwork.components.load_base_model.names import exportable
from graftwork.components.load_base_model.opened import EXPECTED, Conversion, OpenedModel
from graftwork.errors import UserError

_KERAS_NODES = {"_tf_keras_layer", "_tf_keras_model", "_tf_keras_sequential", "_tf_keras_network"}
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

Loaded = tuple[keras.Model, Conversion | None, dict[str, str]]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: For people.
        recognise: Whether a path is of this kind, from its content.
        saved_by: What saved it, as in "Keras 2.15.0"; "" if that is not known.
        configurations: What Keras saved of the model's structure.
        open: Load it, given what saved it: the model in Keras 3, how it was converted, and what was renamed.
    """

    name: str
    recognise: Callable[[Path], bool]
    saved_by: Callable[[Path], str]
    configurations: Callable[[Path], Iterator[Any]]
    open: Callable[[Path, str], Loaded]


def open_file(path: Path, uri: str) -> OpenedModel:
    """Open a base model from a local file or folder.

    Args:
        path: The file or folder.
        uri: What the user gave, for messages.

    Raises:
        UserError: It is no model that this package opens, would run code, or is damaged; or it was converted, and the
            proof that it still is the same model failed.
    """
    kind = next((kind for kind in KINDS if kind.recognise(path)), None)
    if kind is None:
        found, next_ = strangers.looks_like(path)
        facts = {"model": uri, "looks like": found, "expected": EXPECTED}
        raise UserError("the base model is no saved Keras model", facts, next_)
    title = kind.name
    try:
        saved_by = kind.saved_by(path)
        title = ", ".join(filter(None, (kind.name, saved_by)))
        classes = known()
        for configuration in kind.configurations(path):
            trust.check(configuration, classes)
        model, conversion, renamed = kind.open(path, saved_by)
    except UserError as error:
        raise UserError(error.problem, {"model": f"{uri} ({title})", **error.facts}, error.next) from None
    except Exception as error:  # Keras raises whatever the file leads to
        reason = " ".join(str(error).split())
        facts = {"model": f"{uri} ({title})", "Keras": keras.__version__, "reason": reason[:300]}
        raise UserError("Keras cannot open the base model", facts, next=f"expected {EXPECTED}") from error
    return OpenedModel(model, uri, title, _sha256(path), conversion, renamed)


def _open_either(path: Path, saved_by: str) -> Loaded:
    if not saved_by.startswith("Keras 3"):
        return open_keras2(path)
    # Safe mode refuses Lambda layers, which would run code from the file. Keras wants the suffix to know the format.
    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        found = {"found": type(model).__name__}
        raise UserError("the base model has no graph of layers", found, "expected a Functional or Sequential model")
    model, renamed = exportable(model)
    return model, None, renamed


def _is_archive(path: Path) -> bool:
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return "config.json" in archive.namelist()


def _archive_version(path: Path) -> str:
    archives.check(path)
    with zipfile.ZipFile(path) as archive:
        return f"Keras {json.loads(archive.read('metadata.json')).get('keras_version', '')}".strip()


def _archive_configurations(path: Path) -> Iterator[Any]:
    with zipfile.ZipFile(path) as archive:
        yield json.loads(archive.read("config.json"))


def _is_hdf5(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8) == _HDF5_SIGNATURE


def _hdf5_attribute(path: Path, name: str) -> str:
    with h5py.File(path) as file:
        value = file.attrs.get(name, "")
    return value.decode() if isinstance(value, bytes) else str(value)


def _hdf5_version(path: Path) -> str:
    return f"Keras {_hdf5_attribute(path, 'keras_version')}".strip()


def _hdf5_configurations(path: Path) -> Iterator[Any]:
    text = _hdf5_attribute(path, "model_config")
    if not text:
        raise UserError(
            "the base model's file holds weights only, no architecture",
            next="save the whole model, with model.save, not save_weights",
        )
    yield json.loads(text)


def _is_saved_model(path: Path) -> bool:
    return (path / "saved_model.pb").is_file()


def _saved_model_version(path: Path) -> str:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    _require_variables(path)
    graphs = SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs
    return f"TensorFlow {graphs[0].meta_info_def.tensorflow_version}" if graphs else ""


def _saved_model_configurations(path: Path) -> Iterator[Any]:
    """Yield what Keras 2 saved of each layer and model in a SavedModel."""
    if (path / KERAS_MODEL).is_file():
        next = (
            f"give the Keras model inside it, {path / KERAS_MODEL}, and feature_layer={BACKBONE} to leave its head out"
        )
        raise UserError("a model that graftwork made cannot be a base model yet", next=next)
    metadata = path / "keras_metadata.pb"
    if not metadata.is_file():
        next = 'save the Keras model as .keras: model.save("name.keras")'
        raise UserError("the SavedModel has no layers of Keras in it, functions only", next=next)
    from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

    for node in SavedMetadata.FromString(metadata.read_bytes()).nodes:
        if node.identifier in _KERAS_NODES:
            yield json.loads(node.metadata)


def _require_variables(path: Path) -> None:
    folder = path / "variables"
    if not (folder / "variables.index").is_file():
        raise UserError(
            "the SavedModel is not whole", {"missing": "variables/variables.index"}, "copy the whole folder"
        )
    totals = {int(file.name.rpartition("-of-")[2]) for file in folder.glob("variables.data-?????-of-?????")}
    shards = [folder / f"variables.data-{number:05d}-of-{total:05d}" for total in totals for number in range(total)]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing or not shards:
        facts = {"missing": ", ".join(missing) or "variables/variables.data-..."}
        raise UserError("the SavedModel is not whole", facts, "copy the whole folder")


def _sha256(path: Path) -> str:
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for inside in sorted(entry for entry in path.rglob("*") if entry.is_file()):
        digest.update(f"{inside.relative_to(path)} {_sha256(inside)}\n".encode())
    return digest.hexdigest()


KINDS = (
    Kind("Keras archive", _is_archive, _archive_version, _archive_configurations, _open_either),
    Kind("HDF5", _is_hdf5, _hdf5_version, _hdf5_configurations, _open_either),
    Kind("SavedModel", _is_saved_model, _saved_model_version, _saved_model_configurations, _open_either),
)
