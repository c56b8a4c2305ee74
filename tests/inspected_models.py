"""A small saved model to inspect, and images to inspect it with."""

from pathlib import Path

import keras
import tensorflow as tf

from graftwork.base_models.opened import Request
from graftwork.inspection.describe import Description, describe

from conftest import CLASSES, coloured_squares

layers = keras.layers


def network(tmp_path: Path, *first: keras.Layer) -> Path:
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [
            keras.Input((24, 24, 3)),
            *first,
            layers.Conv2D(8, 3, activation="relu", name="one"),
            layers.MaxPooling2D(name="pool"),
            layers.Conv2D(16, 3, activation="relu", name="two"),
            layers.Flatten(),
            layers.Dense(3, name="top"),
        ]
    )
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def described(file: Path) -> Description:
    return describe(Request(str(file)), None)


def photos_in(folder: Path) -> Path:
    """Write thirty images of each class, in folders."""
    for number, (pixels, label) in enumerate(coloured_squares(90, seed=4)):
        path = folder / CLASSES[label] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(tf.io.encode_png(pixels).numpy())
    return folder
