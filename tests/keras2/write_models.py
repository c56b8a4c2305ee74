"""Write models as people saved them with Keras 2, in each of its formats, with inputs and outputs to compare.

    python write_models.py FOLDER

Writes with tf_keras where it is installed, else with TensorFlow's own Keras: of tensorflow-cpu==2.15.1 in a virtual
environment of its own, that is Keras 2.15.

For each model NAME: NAME.h5, NAME.keras, NAME.saved_model/, NAME.weights.h5, NAME.legacy.h5 (weights only, as Keras
wrote them until 2.11), and NAME.npz with the arrays `pixels` and `output0`, `output1` and so on, in inference mode. Of
those in FUNCTIONS, which have no graph of layers, NAME.saved_model/ and NAME.npz alone.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

try:
    import tf_keras as keras
except ImportError:
    from tensorflow import keras

layers = keras.layers


def mobilenet() -> keras.Model:
    """DepthwiseConv2D, which Keras 3 refuses in HDF5, and the classifier that people leave in."""
    return keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None, classes=10)


def shared_and_nested() -> keras.Model:
    """A residual network: a block used twice, a model inside the model, two outputs."""
    pixels = keras.Input((32, 32, 3), name="image")
    stem = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Activation("relu", name="act"),
        ],
        name="stem",
    )
    block_in = keras.Input((16, 16, 8))
    inner = layers.Conv2D(8, 3, padding="same", name="conv")(block_in)
    inner = layers.LeakyReLU(0.2, name="leaky")(inner)
    block = keras.Model(block_in, layers.Add(name="add")([block_in, inner]), name="block")
    shared = layers.SeparableConv2D(8, 3, padding="same", name="shared")
    maps = block(block(stem(pixels)))
    maps = layers.Concatenate(name="concat")([shared(maps), shared(layers.ReLU(6.0, name="relu6")(maps))])
    flat = layers.GlobalAveragePooling2D(name="pool")(maps)
    flat = layers.Dropout(0.3, name="dropout")(flat)
    return keras.Model(
        pixels,
        [layers.Dense(4, activation="softmax", name="kind")(flat), layers.Dense(1, name="age")(flat)],
        name="two_headed",
    )


def sequential() -> keras.Model:
    """Preprocessing inside, augmentation in front, the input shape on the first layer, and an optimizer."""
    model = keras.Sequential(
        [
            layers.RandomFlip("horizontal", input_shape=(40, 40, 3)),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(6, 5, activation="swish", kernel_regularizer="l2"),
            layers.MaxPooling2D(),
            layers.Conv2D(12, 3, activation=tf.nn.relu6),
            layers.Flatten(),
            layers.Dense(16, activation="gelu"),
            layers.Dense(3, activation="softmax"),
        ],
        name="from_2021",
    )
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.train_on_batch(np.zeros((2, 40, 40, 3), "float32"), np.eye(3, dtype="float32")[:2])
    return model


def operators() -> keras.Model:
    """TensorFlow functions and operators between layers, as squeeze-and-excitation is often written."""
    pixels = keras.Input((24, 24, 3))
    scaled = pixels / 255.0 - tf.constant([0.485, 0.456, 0.406])
    maps = layers.Conv2D(8, 3, padding="same", name="conv")(scaled)
    squeezed = tf.reduce_mean(maps, axis=[1, 2], keepdims=True)
    gate = tf.nn.sigmoid(layers.Conv2D(8, 1, name="gate")(squeezed))
    maps = tf.nn.relu(maps * gate)
    maps = tf.concat([maps, tf.image.resize(maps[:, ::2, ::2], (24, 24))], axis=-1)
    return keras.Model(pixels, layers.Dense(5, name="top")(tf.reduce_max(maps, axis=(1, 2))), name="gated")


class Subclassed(keras.Model):
    """Layers that are called by Python code, which no file holds."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = layers.Conv2D(6, 3, strides=2, activation="relu")
        self.norm = layers.BatchNormalization()
        self.top = layers.Dense(4)

    def call(self, pixels: tf.Tensor, training: bool = False) -> tf.Tensor:
        maps = self.norm(self.conv(pixels / 255.0), training=training)
        return self.top(tf.reduce_mean(maps, axis=[1, 2]))


class Module(tf.Module):
    """As TF-Hub's feature vectors are: no layers, no signature, images of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(np.random.default_rng(2).normal(0, 0.2, (3, 3, 3, 6)).astype("float32"))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3])])
    def __call__(self, pixels: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(pixels / 255.0, self.kernel, 2, "SAME")), axis=[1, 2])


MODELS = {
    "mobilenet": mobilenet,
    "shared_and_nested": shared_and_nested,
    "sequential": sequential,
    "operators": operators,
}
FUNCTIONS = {"subclassed": Subclassed, "module": Module}


def with_weights_that_matter(model: keras.Model) -> keras.Model:
    """Move what a fresh model leaves at zero or one, so that a lost statistic or bias shows."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        if "moving_variance" in weight.name or "gamma" in weight.name:
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
        elif weight.shape.rank == 1:
            weight.assign(random.normal(0, 0.2, weight.shape))
    return model


def write(name: str, folder: Path) -> None:
    """Write one of the models in each format."""
    keras.utils.set_random_seed(0)
    model = with_weights_that_matter(MODELS[name]())
    pixels = _pixels(model.input_shape[1:])
    outputs = model(pixels, training=False)
    model.save(folder / f"{name}.h5")
    model.save(folder / f"{name}.keras")
    model.save(folder / f"{name}.saved_model", save_format="tf")
    model.save_weights(folder / f"{name}.weights.h5")
    model.save_weights(folder / f"{name}.legacy.h5")
    _record(folder / f"{name}.npz", pixels, outputs)


def write_function(name: str, folder: Path) -> None:
    """Write one of those without a graph of layers."""
    keras.utils.set_random_seed(0)
    model = FUNCTIONS[name]()
    pixels = _pixels((24, 24, 3))
    outputs = model(pixels)
    save = keras.models.save_model if isinstance(model, keras.Model) else tf.saved_model.save
    save(model, str(folder / f"{name}.saved_model"))
    _record(folder / f"{name}.npz", pixels, outputs)


def _pixels(shape: tuple) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (4, *shape)).astype("float32")


def _record(path: Path, pixels: np.ndarray, outputs: object) -> None:
    outputs = {f"output{number}": output.numpy() for number, output in enumerate(tf.nest.flatten(outputs))}
    np.savez(path, pixels=pixels, **outputs)


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        write(name, Path(sys.argv[1]))
    for name in FUNCTIONS:
        write_function(name, Path(sys.argv[1]))
