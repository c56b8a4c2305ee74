"""Files and folders that are no Keras model: what they look like, and what to do with them."""

import zipfile
from pathlib import Path

from graftwork.base_models.formats.kerashub import configuration

_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_ASK_FOR_KERAS = "give the Keras model it was made from"
_SIGNATURES = (
    (_LEGACY_TORCH, "a PyTorch checkpoint", _ASK_FOR_KERAS),
    (b"\x1f\x8b", "a packed archive", "unpack it, and give what is inside"),
    (b"\x93NUMPY", "a NumPy array", _ASK_FOR_KERAS),
    (b"\xff\xd8\xff", "a JPEG image", "give the model; images are  --data"),
    (b"\x89PNG", "a PNG image", "give the model; images are  --data"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "fetch it:  git lfs pull"),
)


def looks_like(path: Path) -> tuple[str, str]:
    """Return what a path that holds no Keras model looks like, and what to do about it, both in words.

    Reads a few hundred bytes, or the list of a folder or archive.
    """
    return _folder(path) if path.is_dir() else _file(path)


def _file(path: Path) -> tuple[str, str]:
    if not path.is_file():
        return "neither a file nor a folder", "give a file or a folder"
    with path.open("rb") as file:
        head = file.read(512)
    suffix = path.suffix.lower()
    if not head:
        return "an empty file", "copy or download it again"
    if head.startswith(b"PK"):
        return _archive(path)
    for signature, found, advice in _SIGNATURES:
        if head.startswith(signature):
            return found, advice
    if suffix in (".pt", ".pth"):
        return "a PyTorch checkpoint", _ASK_FOR_KERAS
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model", f"it cannot be trained; {_ASK_FOR_KERAS}"
    if suffix == ".onnx" or (head[:1] == b"\x08" and b"onnx" in head.lower()):
        return "an ONNX model", _ASK_FOR_KERAS
    if suffix == ".safetensors" or head[8:10] == b'{"':
        return "a safetensors file, weights only", "save the whole Keras model: model.save(...)"
    if head[:1] == b"\x80" or (head[:1] in b"(c]}" and suffix in (".pkl", ".pickle")):
        return "a Python pickle, which is never opened", 'save the Keras model as one: model.save("name.keras")'
    if head[257:262] == b"ustar":
        return "a packed archive", "unpack it, and give what is inside"
    if suffix == ".pb":
        return "a part of a SavedModel, or a frozen graph", "give the SavedModel's folder"
    if suffix == ".index" or ".data-" in path.name or path.name == "checkpoint":
        return "a TensorFlow checkpoint, weights only", "save the whole model: model.save(...)"
    if head.lstrip()[:1] in (b"{", b"["):
        return "JSON, an architecture without weights", "save the whole model: model.save(...)"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "a web page", "the download led to a page; download the file itself"
    if suffix in (".keras", ".h5", ".hdf5"):
        return f"a damaged {suffix} file", "copy or download it again"
    return "an unknown kind of file", "give a model that Keras saved"


def _archive(path: Path) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return "a zip archive that ends too early", "copy or download it again"
    if any(name.endswith("data.pkl") for name in names):
        return "a PyTorch checkpoint", _ASK_FOR_KERAS
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy archive", _ASK_FOR_KERAS
    if any(name.endswith("saved_model.pb") for name in names):
        return "a packed SavedModel", "unpack it, and give the folder"
    return "a zip archive without a Keras model", "unpack it, and give what is inside"


def _folder(path: Path) -> tuple[str, str]:
    names = sorted(entry.name for entry in path.iterdir())[:1000]
    if {"config.json", "metadata.json", "model.weights.h5"} <= set(names):
        return "an unpacked Keras archive", "pack the files into a zip archive whose name ends in .keras"
    inside = [name for name in names if (path / name / "saved_model.pb").is_file()]
    inside += [name for name in names if name.endswith((".keras", ".h5", ".hdf5"))]
    if inside:
        return "a folder of models", f"give one of them: {', '.join(str(path / name) for name in inside[:5])}"
    if "model_type" in configuration(path):
        return "a Hugging Face model", _ASK_FOR_KERAS
    if not names:
        return "an empty folder", "give the folder that holds saved_model.pb"
    return "a folder without saved_model.pb", f"give the folder that holds it; here are {', '.join(names[:5])}"
