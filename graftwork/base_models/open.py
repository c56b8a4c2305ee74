"""Opening whatever a base model was given as.

A further kind of file is a further module in `formats`, named in KINDS.
"""

import dataclasses
import hashlib
import json
import os
import tempfile
import zipfile
from pathlib import Path

import keras
import tensorflow as tf
from google.protobuf.message import DecodeError

from graftwork import storage
from graftwork.base_models.architectures.applications import open_application
from graftwork.base_models.conversion.equivalence import require_finite_weights
from graftwork.base_models.formats import graftwork_model, keras_archive, keras_hdf5, kerashub, saved_model
from graftwork.base_models.formats.graftwork_model import model_in_run
from graftwork.base_models.formats.keras2.open import classes_of_keras2
from graftwork.base_models.formats.kind import Kind
from graftwork.base_models.formats.unknown_files import looks_like
from graftwork.base_models.formats.weights import open as weights
from graftwork.base_models.opened import EXPECTED, OpenedModel, Request
from graftwork.base_models.safety import configuration as safety
from graftwork.config import HUB
from graftwork.errors import UserError, in_one_line

KINDS = (
    graftwork_model.KIND,
    keras_archive.KIND,
    keras_hdf5.KIND,
    weights.KIND,
    saved_model.KIND,
    kerashub.KIND,
)
"""The kinds of files that are opened; the first that recognises a file opens it."""
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


def open_base(request: Request) -> OpenedModel:
    """Open a base model, whatever it was given as.

    Raises:
        UserError: It does not exist, cannot be opened, or takes no image.
    """
    opened = _open(request)
    _require_image_input(opened)
    return opened


def _open(request: Request) -> OpenedModel:
    uri = request.uri
    if uri.startswith(HUB):
        opened = kerashub.open_preset(uri.removeprefix(HUB))
        return dataclasses.replace(opened, uri=uri, kind=kerashub.KIND.name)
    if not storage.is_remote(uri) and not Path(uri).exists():
        if Path(uri).suffix or os.sep in uri:
            raise UserError("the base model does not exist", {"base_model": uri, "expected": EXPECTED})
        return open_application(uri, request.input_size)
    with tempfile.TemporaryDirectory(prefix="graftwork-") as folder:
        return open_file(storage.local_copy(uri, Path(folder)), request)


def _require_image_input(opened: OpenedModel) -> None:
    """Raise a UserError unless the model takes one image, RGB or grey."""
    shapes = [tuple(tensor.shape) for tensor in opened.model.inputs]
    if len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][-1] in (1, 3):
        return
    facts = {
        "model": opened.summary,
        "its input": ", ".join(str(shape) for shape in shapes),
        "expected": "one input of shape (None, height, width, 3), or 1 for grey images",
    }
    raise UserError("the base model's input is not an image", facts, next="give a model trained on images")


def open_file(path: Path, request: Request) -> OpenedModel:
    """Open a base model from a local file or folder.

    Args:
        path: The file or folder.
        request: What the user asked for.

    Raises:
        UserError: It is no model that this package opens, would run code, or is damaged; or it was converted, and the
            check that it still answers the same failed.
    """
    path = model_in_run(path)
    title = f"a {path.suffix} file" if path.suffix else "an unknown kind"
    try:
        kind = _kind(path, request)
        title = kind.name
        request.code.run()
        sides = kind.check(path, request.code)
        saved_by = kind.saved_by(path)
        title = ", ".join(filter(None, (kind.name, saved_by)))
        classes, registered = classes_of_keras2(), safety.registered(saved_by)
        for configuration in kind.configurations(path):
            safety.check(configuration, classes, registered, request.code)
            if kind.suffix:
                safety.check_sizes(configuration, sides)
        with tempfile.TemporaryDirectory(prefix="graftwork-") as folder:
            opened = kind.open(_with_suffix(path, kind.suffix, Path(folder)), request, saved_by)
        require_finite_weights(opened.model)
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
        found, next_ = looks_like(path)
        facts = {"model": request.uri, "looks like": found, "expected": EXPECTED}
        raise UserError("the base model is no saved Keras model", facts, next_)
    if request.architecture and kind is not weights.KIND:
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


def _sha256(path: Path) -> str:
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for inside in sorted(entry for entry in path.rglob("*") if entry.is_file()):
        digest.update(f"{inside.relative_to(path)} {_sha256(inside)}\n".encode())
    return digest.hexdigest()
