"""Opening whatever a base model was given as. A further kind of file is a further entry in KINDS."""

import difflib
import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras

from graftwork.artifacts.model import BACKBONE, KERAS_MODEL, leaf_layers
from graftwork.errors import UserError

EXPECTED = "a .keras or .h5 file (a path or gs:// URI), or the name of a keras.applications model"
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class OpenedModel:
    """A base model as it was saved.

    Attributes:
        model: Functional or Sequential.
        uri: What the user gave.
        kind: What it is, for people.
        sha256: Of the file, "" for a keras.applications model.
    """

    model: keras.Model
    uri: str
    kind: str
    sha256: str

    @property
    def summary(self) -> str:
        """The model in one line."""
        layers, parameters = len(leaf_layers(self.model)), self.model.count_params()
        return f"{self.uri} ({self.kind}, {layers} layers, {parameters:,} parameters)"


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: For people.
        recognise: Whether a path is of this kind, from its content.
        open: Load it.
    """

    name: str
    recognise: Callable[[Path], bool]
    open: Callable[[Path], keras.Model]


def open_file(path: Path, uri: str) -> OpenedModel:
    """Open a base model from a local file.

    Args:
        path: The file.
        uri: What the user gave, for messages.

    Raises:
        UserError: The file is no model this package opens, or Keras refuses it.
    """
    kind = next((kind for kind in KINDS if kind.recognise(path)), None)
    if kind is None:
        raise UserError("the base model is of no known kind", {"model": uri, "expected": EXPECTED})
    try:
        model = kind.open(path)
    except UserError as error:
        raise UserError(error.problem, {"model": f"{uri} ({kind.name})", **error.facts}, error.next) from None
    except Exception as error:  # Keras raises whatever the file leads to
        reason = " ".join(str(error).split())
        facts = {"model": f"{uri} ({kind.name})", "Keras": keras.__version__, "reason": reason[:300]}
        raise UserError("Keras cannot open the base model", facts, next=f"expected {EXPECTED}") from error
    if not isinstance(model, (keras.Sequential, keras.models.Model)) or not getattr(model, "inputs", None):
        facts = {"model": f"{uri} ({kind.name})", "found": type(model).__name__}
        raise UserError(
            "the base model has no graph of layers", facts, next="expected a Functional or Sequential model"
        )
    return OpenedModel(model, uri, kind.name, _sha256(path))


def open_application(name: str, input_size: int | None) -> OpenedModel:
    """Build a keras.applications model with its ImageNet weights, without its classifier.

    Args:
        name: As in keras.applications, for example "MobileNetV2".
        input_size: Height and width in pixels; None for the model's own.

    Raises:
        UserError: There is no such model, or its weights cannot be fetched.
    """
    known = application_names()
    if name not in known:
        lower = {other.lower(): other for other in known}
        close = [lower[match] for match in difflib.get_close_matches(name.lower(), lower, n=3)]
        next = f"did you mean {' or '.join(close)}?" if close else f"the names are {', '.join(known)}"
        raise UserError("the base model does not exist", {"base_model": name, "expected": EXPECTED}, next)
    constructor = getattr(keras.applications, name)
    size = input_size or constructor(weights=None).input_shape[1]
    try:
        model = constructor(weights="imagenet", include_top=False, input_shape=(size, size, 3))
    except ValueError as error:
        facts = {"model": name, "input_size": size, "reason": " ".join(str(error).split())[:300]}
        raise UserError("keras.applications refuses to build the base model", facts) from error
    except Exception as error:  # the download raises what urllib raises
        facts = {"model": f"keras.applications {name}", "reason": " ".join(str(error).split())[:300]}
        advice = ["check the network, or put the weights into ~/.keras/models,", "or give a saved model file instead"]
        raise UserError("the weights of the base model cannot be fetched", facts, advice) from error
    return OpenedModel(model, name, f"keras.applications, Keras {keras.__version__}", "")


def application_names() -> list[str]:
    """Return the names of the models in keras.applications."""
    return [name for name, value in vars(keras.applications).items() if name[0].isupper() and callable(value)]


def _is_keras_archive(path: Path) -> bool:
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return "config.json" in archive.namelist()


def _open_keras_archive(path: Path) -> keras.Model:
    with zipfile.ZipFile(path) as archive:
        saved_by = json.loads(archive.read("metadata.json")).get("keras_version", "")
    if saved_by.startswith("2."):
        raise UserError(
            "the base model was saved by Keras 2, which Keras 3 cannot open",
            {"saved by": f"Keras {saved_by}"},
            next="rebuild it in Keras 3, load its weights, and save it again as .keras",
        )
    # Safe mode refuses Lambda layers, which would run code from the file. Keras wants the suffix to know the format.
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _is_hdf5(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8) == _HDF5_SIGNATURE


def _open_hdf5(path: Path) -> keras.Model:
    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise UserError(
                "the base model's file holds weights only, no architecture",
                next="save the whole model, with model.save, not save_weights",
            )
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _is_saved_model(path: Path) -> bool:
    return (path / "saved_model.pb").is_file()


def _refuse_saved_model(path: Path) -> keras.Model:
    inside = path / KERAS_MODEL
    if inside.is_file():
        next = f"give the Keras model inside it, {inside}, with feature_layer={BACKBONE} to leave its head out"
    else:
        next = 'save the Keras model as .keras: model.save("name.keras")'
    raise UserError("a SavedModel folder cannot be a base model", next=next)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


KINDS = (
    Kind("Keras archive", _is_keras_archive, _open_keras_archive),
    Kind("HDF5", _is_hdf5, _open_hdf5),
    Kind("SavedModel", _is_saved_model, _refuse_saved_model),
)
