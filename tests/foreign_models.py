"""Models that were saved elsewhere: with classes of their own, or without layers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

SWIRL = """
import keras

@keras.saving.register_keras_serializable("shop")
class {name}(keras.layers.Layer):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        return inputs * self.factor

    def get_config(self):
        return {{**super().get_config(), "factor": self.factor}}
"""
WRITE = """
layers = keras.layers
pixels = keras.Input((16, 16, 3))
keras.Model(pixels, layers.Conv2D(4, 3)({name}(3.0)(layers.Rescaling(1 / 255)(pixels)))).save({path!r})
"""


def saved_elsewhere(tmp_path: Path, name: str) -> tuple[Path, Path]:
    """Save a model with a class of its own in another process; return the model and the file with the class."""
    source, file = tmp_path / f"{name}.py", tmp_path / "model.keras"
    source.write_text(SWIRL.format(name=name))
    program = source.read_text() + WRITE.format(name=name, path=str(file))
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return file, source


PIXELS = np.random.default_rng(0).uniform(0, 255, (3, 24, 24, 3)).astype(np.float32)


class FeatureVector(tf.Module):
    """As TF-Hub's feature vectors are: images of any size, a switch for training, no signature."""

    def __init__(self) -> None:
        super().__init__()
        random = np.random.default_rng(1)
        self.kernel = tf.Variable(random.normal(0, 0.2, (3, 3, 3, 6)).astype(np.float32), name="kernel")
        self.mean = tf.Variable(np.full(6, 0.1, np.float32), trainable=False, name="mean")

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None, 3], name="inputs"),
            tf.TensorSpec([], tf.bool, name="training"),
        ]
    )
    def __call__(self, inputs: tf.Tensor, training: tf.Tensor) -> tf.Tensor:
        maps = tf.nn.relu(tf.nn.conv2d(inputs / 255.0, self.kernel, 2, "SAME") - self.mean)
        pooled = tf.reduce_mean(maps, axis=[1, 2])
        return tf.where(training, pooled * 0.0, pooled)


def feature_vector(path: Path) -> np.ndarray:
    module = FeatureVector()
    tf.saved_model.save(module, str(path))
    return module(PIXELS, tf.constant(False)).numpy()
