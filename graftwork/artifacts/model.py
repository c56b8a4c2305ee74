"""The model contract: one folder that is a TensorFlow SavedModel and a trainable Keras model at once.

    saved_model.pb, variables/       loads with tf.saved_model.load or TensorFlow Serving, without Keras
    assets.extra/model.keras         loads with keras.saving.load_model, trains on
    assets.extra/graftwork.json      what it is: classes, sizes, origin, how it was trained
    assets.extra/head.keras          of a base that was a classifier of graftwork before: the head it had
    assets.extra/trained_on.npz      which images it has seen, to prove that others are new to it
    assets.extra/custom_objects.py   of a model with classes of its own: where they are

A base turns images into features, a classifier into probabilities. Decoding, resizing and preprocessing are inside.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import keras
import tensorflow as tf

import graftwork.artifacts.activations  # Keras finds what these two register in files by name
import graftwork.artifacts.saved_function  # noqa: F401
from graftwork._version import __version__
from graftwork.artifacts import code as custom_code
from graftwork.artifacts import model_files
from graftwork.artifacts import trained_on as records
from graftwork.artifacts.code import NO_CODE, CustomCode
from graftwork.artifacts.folder import not_an_artifact, read_description, require_file, write_description
from graftwork.artifacts.trained_on import TrainedOn
from graftwork.data import imaging
from graftwork.networks.layers import is_of_keras, leaf_layers
from graftwork.reporting.metering import Profile
from graftwork.storage import whole

SCHEMA, EXTRAS = model_files.SCHEMA, Path(model_files.EXTRAS)
DESCRIPTION, TRAINED_ON = Path(model_files.DESCRIPTION), Path(model_files.TRAINED_ON)
KERAS_MODEL = EXTRAS / "model.keras"
KEPT_HEAD = EXTRAS / "head.keras"
BACKBONE, BASE, HEAD = "backbone", "base", "head"
"""Names of the layers in a classifier: its backbone, the network inside that, and its head."""

Role = Literal["base", "classifier"]
ORIGIN = ("preprocessing", "feature_layer", "base", "frozen", "conversion", "renamed", "start")
"""Entries of a base's description that stay with every model made from it."""


@dataclass(frozen=True)
class ModelFolder:
    """A model artifact on disk.

    Attributes:
        path: The folder, a SavedModel.
        description: What graftwork.json says.
    """

    path: Path
    description: dict[str, Any]

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) in pixels that the network takes."""
        height, width = self.description["input_size"]
        return int(height), int(width)

    @property
    def stored_size(self) -> int:
        """Shorter side in pixels to which larger images are shrunk first, as in the prepared data."""
        return int(self.description["stored_size"])

    @property
    def fingerprint(self) -> str:
        """What makes a base this base: its origin, its cut, its preprocessing, its size. SHA-256."""
        parts = {entry: self.description[entry] for entry in ("base", "feature_layer", "preprocessing", "input_size")}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def trained_on(self) -> TrainedOn | None:
        """What it was trained on, and what it was made from; None if it does not say.

        Raises:
            UserError: The file is damaged.
        """
        return records.read(self.path / TRAINED_ON)

    @property
    def code(self) -> CustomCode:
        """What has to run before its Keras model can be opened."""
        return custom_code.read(self.path / EXTRAS, self.description.get("code", {}))

    @property
    def suffix(self) -> str:
        """What the names of candidates made from this base end with: "" where it is the only base."""
        start = self.description.get("start", "")
        return f"-{start}" if start else ""

    @property
    def origin(self) -> dict[str, Any]:
        """Where its base comes from: those entries of the description that a model made from it keeps."""
        return {entry: self.description[entry] for entry in ORIGIN if entry in self.description}

    def keras_model(self, code: CustomCode | None = None) -> keras.Model:
        """Load the trainable Keras model: float32 (n, height, width, 3) in [0, 255] to features or probabilities.

        Args:
            code: What may run instead of what the folder itself asks for, where the folder comes from elsewhere.

        Raises:
            UserError: The file is damaged, or code that it needs is not here; names it.
        """
        return self._load(KERAS_MODEL, self.code if code is None else code)

    def kept_head(self) -> keras.Model | None:
        """Load the head that a base had when it was a classifier of graftwork: features to probabilities."""
        return self._load(KEPT_HEAD, NO_CODE) if (self.path / KEPT_HEAD).is_file() else None

    def _load(self, name: Path, code: CustomCode) -> keras.Model:
        file = self.path / name
        code.run()
        try:
            return keras.saving.load_model(file, compile=False, safe_mode=not code.trusted)
        except Exception as error:  # Keras raises whatever the file's damage leads to
            raise not_an_artifact("model", file, f"Keras cannot open it: {error}") from error


def classifier(backbone: keras.Model, head: keras.Model) -> keras.Model:
    """Join a backbone (pixels to features) and a head (features to probabilities) into one model.

    Both stay whole inside it, found again by `get_layer(BACKBONE)` and `get_layer(HEAD)`.
    """
    pixels = keras.Input(backbone.input_shape[1:], name="pixels")
    return keras.Model(pixels, head(backbone(pixels)), name="classifier")


def write(
    path: str | os.PathLike[str],
    model: keras.Model,
    role: Role,
    description: Mapping[str, Any],
    code: CustomCode = NO_CODE,
    kept_head: keras.Model | None = None,
    profile: Callable[[], dict[str, Profile]] | None = None,
    trained_on: TrainedOn | None = None,
) -> ModelFolder:
    """Write a model artifact.

    Args:
        path: The folder to make; it appears when it is whole.
        model: Takes float32 (n, height, width, 3) in [0, 255]. A base returns features (n, d); a classifier, made by
            `classifier`, probabilities (n, classes).
        role: Which of the two it is.
        description: What graftwork.json shall say; "stored_size" is needed, and "classes" for a classifier.
        code: What has to run before the Keras model can be opened.
        kept_head: Of a base that was a classifier before, the head it had.
        profile: Asked, when all else is written, how fast each step went that made this, by the step's name.
        trained_on: What it was trained on, and what it was made from.

    Returns:
        The artifact, as `read` returns it.
    """
    size = tuple(model.input_shape[1:3])
    described = {
        "schema": SCHEMA,
        "role": role,
        "input_size": list(size),
        **description,
        **({"code": code.description()} if code else {}),
        "versions": {name: version(name) for name in ("tensorflow", "keras")} | {"graftwork": __version__},
    }
    with whole.folder(path) as folder:
        signatures = _signatures(model, role, size, int(description["stored_size"]), description.get("classes", []))
        module = _served(model, list(signatures.values()))
        tf.saved_model.save(module, str(folder), signatures=signatures)
        (folder / EXTRAS).mkdir()
        model.save(folder / KERAS_MODEL)
        if code.source:
            (folder / EXTRAS / custom_code.FILE).write_text(code.source, encoding="utf-8")
        if kept_head is not None:
            kept_head.save(folder / KEPT_HEAD)
        if trained_on is not None:
            records.write(folder / TRAINED_ON, trained_on)
        write_description(folder / DESCRIPTION, described, profile)
    return read(path)


def is_model(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder holds a model: where a champion could be, there may be none."""
    return (Path(path) / "saved_model.pb").is_file()


def read(path: str | os.PathLike[str]) -> ModelFolder:
    """Open a model artifact.

    Raises:
        UserError: It is not one, or a part of it is missing; names the file.
    """
    folder = Path(path)
    description = read_description(folder, str(DESCRIPTION), SCHEMA)
    for part in (Path("saved_model.pb"), Path("variables/variables.index"), KERAS_MODEL):
        require_file("model", folder / part)
    for entry in ("role", "input_size", "stored_size", *(["classes"] if description.get("role") != "base" else [])):
        if entry not in description:
            raise not_an_artifact("model", folder / DESCRIPTION, f'the entry "{entry}" is missing')
    return ModelFolder(folder, description)


def candidates(paths: Iterable[str | os.PathLike[str]]) -> dict[str, ModelFolder]:
    """Open the candidates of a run, in whatever order they come; one that comes twice is the same.

    Returns:
        By name, the simplest first: the one of which least was trained.

    Raises:
        UserError: One is no model artifact.
    """

    def trained(folder: ModelFolder) -> tuple[bool, int, str]:
        tuning = folder.description["training"].get("fine_tune")
        return tuning is not None, (tuning or {}).get("trained_parameters", 0), folder.description["candidate"]

    folders = sorted(map(read, paths), key=trained)
    return {folder.description["candidate"]: folder for folder in folders}


def read_classifier(path: str | os.PathLike[str]) -> ModelFolder:
    """Open a model artifact that labels images.

    Raises:
        UserError: It is not one, or a base without a head.
    """
    opened = read(path)
    if opened.description["role"] != "classifier":
        raise model_files.without_head(path)
    return opened


def _served(model: keras.Model, functions: list[Any]) -> tf.Module:
    """Return what to save: the functions, and what they use.

    Of layers of Keras itself that is variables alone, most often. Then the layers are not part of it: with them, a
    SavedModel is twice as large and takes twice as long to write and to load (EfficientNet-Lite0).
    """
    module = tf.Module()
    # Also the states of random layers, which TensorFlow would not find by itself.
    module.states = [variable.value for variable in model.variables]
    module.functions = functions
    handles = {id(state.handle) for state in module.states}
    captured = [tensor for function in functions for tensor, _ in function.graph.captures]
    tables = any(tensor.dtype == tf.resource and id(tensor) not in handles for tensor in captured)
    if tables or not all(map(is_of_keras, leaf_layers(model))):
        module.model = model  # what such layers need besides, lookup tables for one, is found through them
    return module


def _signatures(
    model: keras.Model, role: Role, size: tuple[int, int], stored_size: int, classes: list[str]
) -> dict[str, Any]:
    image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")
    pixels = tf.TensorSpec([None, *size, 3], tf.float32, name="pixels")
    network = model if role == "base" else model.get_layer(BACKBONE)

    # What all signatures share are functions of their own: traced and stored once.
    @tf.function(input_signature=[pixels], autograph=False)
    def backbone(pixels: tf.Tensor) -> tf.Tensor:
        return network(pixels, training=False)

    @tf.function(input_signature=[image_bytes], autograph=False)
    def decoded(image_bytes: tf.Tensor) -> tf.Tensor:
        signature = tf.TensorSpec([*size, 3], tf.float32)
        with tf.device("/CPU:0"):  # where images are decoded for training too; a GPU rounds differently
            return tf.map_fn(
                lambda file: imaging.pixels(file, size, stored_size), image_bytes, fn_output_signature=signature
            )

    @tf.function(input_signature=[image_bytes], autograph=False)
    def embed(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"features": backbone(decoded(image_bytes))}

    if role == "base":

        @tf.function(input_signature=[pixels], autograph=False)
        def embed_pixels(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"features": backbone(pixels)}

        return _concrete({"serving_default": embed, "embed": embed, "embed_pixels": embed_pixels})

    names, head = tf.constant(classes), model.get_layer(HEAD)

    @tf.function(input_signature=[image_bytes], autograph=False)
    def classify(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = head(backbone(decoded(image_bytes)), training=False)
        best = tf.argmax(probabilities, axis=-1)
        score = tf.reduce_max(probabilities, axis=-1)
        return {"probabilities": probabilities, "label": tf.gather(names, best), "score": score}

    @tf.function(input_signature=[pixels], autograph=False)
    def predict_pixels(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": head(backbone(pixels), training=False)}

    return _concrete({"serving_default": classify, "embed": embed, "predict_pixels": predict_pixels})


def _concrete(functions: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    return {name: function.get_concrete_function() for name, function in functions.items()}  # type: ignore[attr-defined]
