"""Opening whatever a base model was given as. A further kind of file is a further entry in KINDS."""

import dataclasses
import hashlib
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras
import tensorflow as tf
from google.protobuf.message import DecodeError

from graftwork.artifacts.code import NO_CODE, Code
from graftwork.base_models import (
    archives,
    channels,
    hdf5,
    hub,
    keras3_hdf5,
    operations,
    saved_model,
    strangers,
    trust,
    weights,
)
from graftwork.base_models.grafted import in_run, is_grafted, open_grafted
from graftwork.base_models.keras1.open import is_keras1, translated
from graftwork.base_models.keras2.open import known, open_keras2
from graftwork.base_models.names import exportable
from graftwork.base_models.opened import EXPECTED, Conversion, OpenedModel, Request
from graftwork.base_models.proof import prove, require_numbers
from graftwork.errors import UserError, in_one_line

_DAMAGE = (
    OSError,
    EOFError,
    IndexError,
    KeyError,
    UnicodeDecodeError,
    DecodeError,
    json.JSONDecodeError,
    zipfile.BadZipFile,
    tf.errors.DataLossError,
    tf.errors.OutOfRangeError,
)
"""What reading a file raises that is not whole."""


def _nothing(path: Path) -> Iterator[Any]:
    return iter(())


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: For people.
        recognise: Whether a path is of this kind, from its content.
        open: Load it, given what saved it.
        suffix: By which Keras tells the kind; "" where it does not.
        saved_by: What saved it, as in "Keras 2.15.0"; "" if that is not known.
        check: Look through it for harm, before anything is made of it; return every length that a side of one of its
            weights has, as far as that is known.
        configurations: What Keras saved of the model's structure.
    """

    name: str
    recognise: Callable[[Path], bool]
    open: Callable[[Path, Request, str], OpenedModel]
    suffix: str = ""
    saved_by: Callable[[Path], str] = lambda path: ""
    check: Callable[[Path, Code], set[int]] = lambda path, code: set()
    configurations: Callable[[Path], Iterator[Any]] = _nothing


def open_file(path: Path, request: Request) -> OpenedModel:
    """Open a base model from a local file or folder.

    Args:
        path: The file or folder.
        request: What the user asked for.

    Raises:
        UserError: It is no model that this package opens, would run code, or is damaged; or it was converted, and the
            proof that it still is the same model failed.
    """
    path = in_run(path)
    title = f"a {path.suffix} file" if path.suffix else "an unknown kind"
    try:
        kind = _kind(path, request)
        title = kind.name
        request.code.run()
        sides = kind.check(path, request.code)
        saved_by = kind.saved_by(path)
        title = ", ".join(filter(None, (kind.name, saved_by)))
        classes, registered = known(), trust.registered(saved_by)
        for configuration in kind.configurations(path):
            trust.check(configuration, classes, registered, request.code)
            if kind.suffix:
                trust.check_sizes(configuration, sides)
        with tempfile.TemporaryDirectory(prefix="graftwork-") as folder:
            opened = kind.open(_with_suffix(path, kind.suffix, Path(folder)), request, saved_by)
        require_numbers(opened.model)
    except UserError as error:
        if "model" in error.facts:
            raise
        raise UserError(error.problem, {"model": f"{request.uri} ({title})", **error.facts}, error.next) from None
    except Exception as error:  # Keras raises whatever the file leads to
        raise _cannot_be_opened(request.uri, title, error) from error
    code = opened.code or request.code
    return dataclasses.replace(opened, uri=request.uri, kind=title, sha256=_sha256(path), code=code)


def _kind(path: Path, request: Request) -> Kind:
    kind = None
    if path.is_file() or path.is_dir():  # else a pipe or device, which might never end
        kind = next((kind for kind in KINDS if kind.recognise(path)), None)
    if kind is None:
        found, next_ = strangers.looks_like(path)
        facts = {"model": request.uri, "looks like": found, "expected": EXPECTED}
        raise UserError("the base model is no saved Keras model", facts, next_)
    if request.architecture and kind.name != WEIGHTS:
        facts = {"model": f"{request.uri} ({kind.name})", "architecture": request.architecture}
        raise UserError("the base model has its architecture inside", facts, "leave architecture out")
    return kind


def _with_suffix(path: Path, suffix: str, folder: Path) -> Path:
    """Return a path to the same file that ends as Keras wants it."""
    if path.suffix == suffix or not suffix:
        return path
    link = folder / f"model{suffix}"
    link.symlink_to(path.absolute())
    return link


def _cannot_be_opened(uri: str, title: str, error: Exception) -> UserError:
    facts = {"model": f"{uri} ({title})", "Keras": keras.__version__, "reason": in_one_line(error)}
    if isinstance(error, _DAMAGE):
        kind = type(error).__name__
        facts["reason"] = f"the file is not whole ({kind}: {in_one_line(error)})"
        return UserError("the base model is damaged", facts, "copy or download it again")
    next = ['open it where it was made and save it again:  model.save("name.keras")', f"expected {EXPECTED}"]
    return UserError("Keras cannot open the base model", facts, next)


def _open_either(path: Path, request: Request, saved_by: str) -> OpenedModel:
    if not saved_by.startswith("Keras 3"):
        return open_keras2(path, request.code)
    # Safe mode refuses Lambda layers, which would run code from the file. Keras wants the suffix to know the format.
    if hdf5.is_hdf5(path):
        model = keras3_hdf5.load(path, request.code.trusted)
    else:
        model = keras.saving.load_model(path, compile=False, safe_mode=not request.code.trusted)
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        found = {"found": type(model).__name__}
        raise UserError("the base model has no graph of layers", found, "expected a Functional or Sequential model")
    conversion = None
    if channels.is_channels_first(model):
        converted = channels.channels_last(model)
        conversion = Conversion((channels.CHANGE,), prove(channels.run_channels_first(model), converted))
        model = converted
    model, renamed = exportable(model)
    return OpenedModel(model, conversion=conversion, renamed=renamed)


def _open_saved_model(path: Path, request: Request, saved_by: str) -> OpenedModel:
    if next(saved_model.configurations(path), None) is None:
        return saved_model.open_function(path, request)
    if saved_model.is_subclassed(path):
        why = "its layers are called by Python code that is not in the SavedModel (a subclassed model of Keras 2)"
        return saved_model.open_function(path, request, frozen=why)
    return open_keras2(path, request.code)


def _open_weights(path: Path, request: Request, saved_by: str) -> OpenedModel:
    if request.architecture:
        return OpenedModel(weights.open_weights(path, request.architecture))
    fitting = weights.matching(weights.shapes_in(path))
    facts = {"architectures that fit": ", ".join(fitting) or "none of keras.applications"}
    advice = f"pass the one it is:  --architecture {fitting[0]}" if fitting else "save the whole model: model.save(...)"
    raise UserError("the base model's file holds weights only, no architecture", facts, advice)


def _open_preset(path: Path, request: Request, saved_by: str) -> OpenedModel:
    return open_preset(path)


def open_preset(preset: str | Path) -> OpenedModel:
    """Open a KerasHub preset, a folder or a name."""
    model, preprocessing, remark = hub.open_preset(preset)
    return OpenedModel(
        model,
        preprocessing=(preprocessing, f"from the preset ({remark})") if preprocessing is not None else None,
        feature_layer=model.layers[-1].name,  # a backbone is features already
        code=Code(("keras_hub",)) if hub.is_needed(model) else NO_CODE,
    )


def _saved_model_configurations(path: Path) -> Iterator[Any]:
    return iter(()) if saved_model.is_subclassed(path) else saved_model.configurations(path)


def _check_hdf5(path: Path, code: Code) -> set[int]:
    return hdf5.check(path, path.stat().st_size)


def _check_saved_model(path: Path, code: Code) -> set[int]:
    operations.check(path, code)
    return set()


def _archive_configurations(path: Path) -> Iterator[Any]:
    yield archives.configuration(path)


def _is_whole_hdf5(path: Path) -> bool:
    return hdf5.is_hdf5(path) and (bool(_hdf5_attribute(path, "model_config")) or not weights.is_weights_file(path))


def _is_weights(path: Path) -> bool:
    return hdf5.is_hdf5(path) and weights.is_weights_file(path)


def _hdf5_attribute(path: Path, name: str) -> str:
    with h5py.File(path) as file:
        return hdf5.text(file.attrs.get(name, ""))


def _hdf5_version(path: Path) -> str:
    return f"Keras {_hdf5_attribute(path, 'keras_version')}".strip()


def _hdf5_configurations(path: Path) -> Iterator[Any]:
    text = _hdf5_attribute(path, "model_config")
    if not text:
        raise UserError("the HDF5 file holds neither a model nor weights of Keras")
    config = json.loads(text)
    if _hdf5_version(path).startswith("Keras 3"):
        keras3_hdf5.complete(config)
    yield translated(config) if is_keras1(path) else config


def _sha256(path: Path) -> str:
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for inside in sorted(entry for entry in path.rglob("*") if entry.is_file()):
        digest.update(f"{inside.relative_to(path)} {_sha256(inside)}\n".encode())
    return digest.hexdigest()


WEIGHTS = "weights only"
KINDS = (
    Kind("graftwork model", is_grafted, open_grafted, check=_check_saved_model),
    Kind(
        "Keras archive",
        archives.is_archive,
        _open_either,
        ".keras",
        archives.version,
        archives.check,
        _archive_configurations,
    ),
    Kind("HDF5", _is_whole_hdf5, _open_either, ".h5", _hdf5_version, _check_hdf5, _hdf5_configurations),
    Kind(WEIGHTS, _is_weights, _open_weights, check=_check_hdf5),
    Kind(
        "SavedModel",
        saved_model.is_saved_model,
        _open_saved_model,
        saved_by=saved_model.tensorflow_version,
        check=_check_saved_model,
        configurations=_saved_model_configurations,
    ),
    Kind("KerasHub preset", hub.is_preset_folder, _open_preset),
)
