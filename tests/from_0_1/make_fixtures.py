"""Make what users of graftwork 0.1.0 have: registries, compiled pipelines, saved models.

Made by graftwork 0.1.0 at commit c28a515; run with that commit's code:

    python make_fixtures.py FOLDER

FOLDER is where it works, and has to be new: paths in it are written into registries, as they are by users.

    registries/NAME.zip      photos/, base model, custom objects and the registry models/ that `graftwork retrain` left;
                             later/ has photos to add
    registries/NAME.json     "command"; "mtime_ns": of all files, for fingerprints hold the times of files; "photo" and
                             "probabilities": what the champion says about one of the photos
    compiled/PIPELINE.yaml   as `graftwork compile` writes it
    models/NAME.zip          model/, the model folder of `graftwork run`, and answers.npz: "pixels", uint8, and what
                             the Keras model in it says about them, "answers"

Run again it writes other times, IDs of runs and, in their last digits, weights. Nothing else differs.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from PIL import Image

import graftwork
from graftwork.artifacts import model as model_artifact

HERE = Path(__file__).parent
COMMAND = Path(sys.executable).with_name("graftwork")
SIZE = 16
MTIME_NS = 1_700_000_000 * 10**9  # whole seconds: every file system keeps them

Colour = tuple[int, int, int]
COLOURS: dict[str, Colour] = {"blue": (40, 40, 210), "green": (40, 210, 40), "red": (210, 40, 40)}
# Who knows only the others takes this for red or blue: a champion of them has something to learn.
YELLOWED: dict[str, Colour] = {**COLOURS, "green": (210, 210, 40)}

USUAL = {"precision": "float32", "prepare.test_fraction": 0.25, "prepare.validation_fraction": 0.15}
QUICK = {**USUAL, "head.kind": "linear", "fine_tune.epochs": 1, "fine_tune.layers": 1}

LAYERS = '''"""Layers of the shop."""

import keras


@keras.saving.register_keras_serializable("shop")
class Gain(keras.layers.Layer):
    """Multiplies each channel by what it learns."""

    def __init__(self, start=1.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, shape):
        self.gain = self.add_weight(shape=(shape[-1],), initializer=keras.initializers.Constant(self.start))

    def call(self, inputs):
        return inputs * self.gain

    def get_config(self):
        return {**super().get_config(), "start": self.start}
'''


@dataclass(frozen=True)
class Photos:
    """What lies in the folders photos/ and later/."""

    first: int = 90
    later: int = 36
    later_colours: Mapping[str, Colour] = field(default_factory=lambda: COLOURS)
    size: int = SIZE + 4  # larger than the network's input: they are shrunk


@dataclass(frozen=True)
class Made:
    """A base model in a folder, and what has to be set to use it."""

    uri: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def main() -> None:
    """Make everything, in the folder that is named."""
    if graftwork.__version__ != "0.1.0":
        sys.exit(f"this is graftwork {graftwork.__version__}, not 0.1.0")
    work = Path(sys.argv[1]).absolute()
    work.mkdir(parents=True)
    for name in ("registries", "compiled", "models"):
        shutil.rmtree(HERE / name, ignore_errors=True)
        (HERE / name).mkdir()
    write_registry(work / "keras", keras_3, Photos(120, 150, YELLOWED))
    write_registry(work / "saved_model", saved_model, Photos())
    write_registry(work / "grafted", grafted, Photos())
    write_model(work / "hard_sigmoid", keras_2, "graftwork>hard_sigmoid_of_keras_2")
    write_model(work / "saved_function", saved_model_with_a_table, "graftwork.artifacts.saved_function")
    for name in ("transfer_learning", "sweep", "retraining"):
        command(work, "compile", name, "-o", HERE / "compiled" / f"{name}.yaml")


def keras_3(folder: Path) -> Made:
    """A small convolutional network, saved by Keras."""
    keras.utils.set_random_seed(7)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Rescaling(1 / 127.5, -1.0),
            layers.Conv2D(6, 3, name="first"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(8, 3, activation="relu", name="second"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax", name="old_classes"),
        ]
    )
    network.save(folder / "base.keras")
    return Made("base.keras")


class FeatureVector(tf.Module):
    """As TF-Hub's feature vectors are: a function of images of any size, with a switch for training."""

    def __init__(self) -> None:
        super().__init__()
        random = np.random.default_rng(1)
        self.kernel = tf.Variable(random.normal(0, 0.2, (3, 3, 3, 8)).astype(np.float32), name="kernel")
        self.mean = tf.Variable(np.full(8, 0.1, np.float32), trainable=False, name="mean")

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([], tf.bool, name="training")])
    def __call__(self, inputs: tf.Tensor, training: tf.Tensor) -> tf.Tensor:
        maps = tf.nn.relu(tf.nn.conv2d(inputs / 255.0, self.kernel, 2, "SAME") - self.mean)
        pooled = tf.reduce_mean(maps, axis=[1, 2])
        return tf.where(training, pooled * 0.0, pooled)


def saved_model(folder: Path) -> Made:
    """A SavedModel without layers of Keras."""
    tf.saved_model.save(FeatureVector(), str(folder / "base"))
    return Made("base", {"input_size": SIZE, "preprocessing": "none"})


def saved_model_with_a_table(folder: Path) -> Made:
    """The same with a lookup table in it, which is made from a file among its assets."""
    words = folder / "words.txt"
    words.write_text("zero\none\n")
    module, line, number = FeatureVector(), tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    reader = tf.lookup.TextFileInitializer(str(words), tf.string, line, tf.int64, number)
    module.words = tf.lookup.StaticHashTable(reader, -1)

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], name="image")])
    def serve(image: tf.Tensor) -> tf.Tensor:
        return module(image, tf.constant(False)) + tf.cast(module.words.lookup(tf.constant("one")), tf.float32)

    module.serve = serve
    tf.saved_model.save(module, str(folder / "base"), signatures=serve)
    words.unlink()
    return Made("base", {"preprocessing": "none"})


def keras_2(folder: Path) -> Made:
    """A network of Keras 2 with an activation that has another formula in Keras 3."""
    tf_keras.utils.set_random_seed(7)
    layers = tf_keras.layers
    network = tf_keras.Sequential(
        [
            tf_keras.Input((SIZE, SIZE, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(6, 3, activation="hard_sigmoid"),
            layers.Conv2D(8, 3),
            layers.Activation("hard_sigmoid"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    network.save(folder / "base.h5")
    return Made("base.h5")


def grafted(folder: Path) -> Made:
    """A model that graftwork itself has made, with a layer that is neither Keras's nor graftwork's."""
    keras.utils.set_random_seed(7)
    (folder / "shop_layers.py").write_text(LAYERS)
    here: dict[str, Any] = {}
    exec(LAYERS, here)
    layers = keras.layers
    pixels = keras.Input((SIZE, SIZE, 3))
    maps = here["Gain"](2.0)(layers.Conv2D(8, 3, activation="relu")(layers.Rescaling(1 / 255)(pixels)))
    keras.Model(pixels, layers.Conv2D(8, 3, activation="relu")(maps)).save(folder / "first.keras")
    settings = {"custom_objects": "shop_layers.py"}
    ran = ["--data", "photos", "--base-model", "first.keras", "--output", "first"]
    # So large a penalty leaves something to gain by fine-tuning: the champion is no head on a network as it was.
    command(folder, "run", *ran, *assignments({**QUICK, **settings, "head.l2": [0.1], "fine_tune.layers": 0}))
    (folder / "first" / "model").rename(folder / "base")
    return Made("base", {**settings, "head.kind": "kept", "fine_tune.learning_rate": 0.01})


def write_registry(folder: Path, base: Callable[[Path], Made], photos: Photos) -> None:
    """Retrain for the first time in a folder, and pack what is there then."""
    folder.mkdir()
    write_photos(folder / "photos", photos.first, COLOURS, photos.size, seed=1)
    write_photos(folder / "later", photos.later, photos.later_colours, photos.size, seed=2)
    made = base(folder)
    arguments = ["retrain", "--data", "photos", "--base-model", made.uri, "--output", "output"]
    arguments += ["--registry", "models", "--name", "squares", *assignments({**QUICK, **made.settings})]
    set_times(folder)
    command(folder, *arguments)
    photo = min((folder / "photos").rglob("*.png")).relative_to(folder)
    said = json.loads(command(folder, "predict", "models/squares", photo, "--json"))["probabilities"]
    described = {
        "command": " ".join(["graftwork", *arguments]),
        "mtime_ns": MTIME_NS,
        "photo": str(photo),
        "probabilities": said,
    }
    (HERE / "registries" / f"{folder.name}.json").write_text(json.dumps(described, indent=2) + "\n")
    parts = ["photos", "later", "models", *(path.name for path in folder.glob("base*")), "shop_layers.py"]
    pack(HERE / "registries" / f"{folder.name}.zip", folder, parts)


def write_model(folder: Path, base: Callable[[Path], Made], named: str) -> None:
    """Train a classifier in a folder, whose file names what of graftwork it needs, ask it, and pack both."""
    folder.mkdir()
    write_photos(folder / "photos", 90, COLOURS, SIZE + 4, seed=1)
    made = base(folder)
    arguments = ["--data", "photos", "--base-model", made.uri, "--output", "output"]
    command(folder, "run", *arguments, *assignments({**QUICK, **made.settings, "fine_tune.layers": 0}))
    (folder / "output" / "model").rename(folder / "model")
    with zipfile.ZipFile(folder / "model" / model_artifact.KERAS_MODEL) as archive:
        assert named in archive.read("config.json").decode(), named
    random = np.random.default_rng(3)
    pixels = np.stack([pixels_of(random, colour, SIZE) for colour in COLOURS.values()])
    answers = model_artifact.read(folder / "model").keras_model()(pixels.astype(np.float32)).numpy()
    np.savez_compressed(folder / "answers.npz", pixels=pixels, answers=answers)
    pack(HERE / "models" / f"{folder.name}.zip", folder, ["model", "answers.npz"])


def write_photos(folder: Path, count: int, colours: Mapping[str, Colour], size: int, seed: int) -> None:
    """Write photos of squares, one sub-folder per class; the same for a seed."""
    random = np.random.default_rng(seed)
    for number in range(count):
        label = list(colours)[number % len(colours)]
        file = io.BytesIO()
        Image.fromarray(pixels_of(random, colours[label], size)).save(file, "png", optimize=True)
        path = folder / label / f"{seed}-{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.getvalue())


def pixels_of(random: np.random.Generator, colour: Colour, size: int) -> np.ndarray:
    """Return a square of about that colour before a grey ground, with a few grains: little to compress."""
    image = np.full((size, size, 3), random.integers(0, 150), np.int64)
    top, left = random.integers(0, size // 2, 2)
    image[top : top + size // 2, left : left + size // 2] = colour + random.integers(-35, 36, 3)
    rows, columns = random.integers(0, size, (2, 12))
    image[rows, columns] = random.integers(0, 256, (12, 3))
    return image.clip(0, 255).astype(np.uint8)


def assignments(settings: Mapping[str, Any]) -> list[str]:
    """Return settings as the command line takes them."""
    return [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]


def command(folder: Path, *arguments: object) -> str:
    """Run graftwork in a folder, and return what it printed."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("GRAFTWORK_")}
    done = subprocess.run(
        [COMMAND, *map(str, arguments)], cwd=folder, env=env, text=True, stdout=subprocess.PIPE, check=True
    )
    print(done.stdout)
    return done.stdout


def set_times(folder: Path) -> None:
    """Give all files the same time."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, ns=(MTIME_NS, MTIME_NS))


def pack(file: Path, folder: Path, parts: list[str]) -> None:
    """Write an archive of parts of a folder, in which nothing but their content counts."""
    paths = {path for part in parts for path in (folder / part, *(folder / part).rglob("*")) if path.is_file()}
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(paths):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix())
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, path.read_bytes(), compresslevel=9)


if __name__ == "__main__":
    main()
