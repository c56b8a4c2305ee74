"""The three recipes, as tutorials write them: everything in arrays, `fit` on the whole network.

Each function loads the images and the saved network itself, trains, and returns how to evaluate.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from . import arrays, networks
from .contestants import FINE_RATE, HEAD_RATE
from .inputs import Inputs
from .processes import Evaluate

_BATCH = 32


def feature_extraction(inputs: Inputs, scratch: Path, epochs: int) -> Evaluate:
    """Frozen base, GlobalAveragePooling2D, Dense(256, relu), softmax; Adam 1e-4.

    `training` is left unspecified when the base is called, as the recipe does. Batch normalisation still uses its
    moving statistics, because Keras runs a frozen one in inference mode.
    """
    keras.utils.set_random_seed(inputs.seed)
    base = networks.base(inputs.network, inputs.keras_file)
    base.trainable = False
    pixels = keras.Input(base.input_shape[1:])
    model = keras.Model(pixels, _new_head(base(pixels)))
    return _fit(model, inputs, HEAD_RATE, epochs)


def fine_tuning(inputs: Inputs, scratch: Path, epochs: int, freeze_others: bool) -> Evaluate:
    """The last five layers and a new head; Adam 1e-5.

    Args:
        inputs: Images and network.
        scratch: Not used.
        epochs: Passes over the training images.
        freeze_others: As written, the recipe sets `trainable = True` on the last layers of a network of which all are
            trainable already, so everything trains. With this, the others are frozen first. Layers are counted as
            graftwork counts them, so that both train the same ones: `layers[-5:]` of VGG16 also counts its pools.
    """
    keras.utils.set_random_seed(inputs.seed)
    base = networks.base(inputs.network, inputs.keras_file)
    if freeze_others:
        first = base.layers.index(networks.last_layers(base, 5)[0])
        for layer in base.layers[:first]:
            layer.trainable = False
    for layer in base.layers[-5:]:
        layer.trainable = True
    return _fit(keras.Model(base.input, _new_head(base.output)), inputs, FINE_RATE, epochs)


def replacing_the_top(inputs: Inputs, scratch: Path, epochs: int) -> Evaluate:
    """A network saved with its classifier: Dense(256, relu) and softmax on `layers[-2].output`, the rest frozen.

    That output is flat in both networks, so there is nothing to pool.
    """
    keras.utils.set_random_seed(inputs.seed)
    network = networks.whole(inputs.keras_file)
    for layer in network.layers:
        layer.trainable = False
    return _fit(keras.Model(network.input, _dense(network.layers[-2].output)), inputs, HEAD_RATE, epochs)


def _new_head(features: keras.KerasTensor) -> keras.KerasTensor:
    return _dense(keras.layers.GlobalAveragePooling2D()(features))


def _dense(features: keras.KerasTensor) -> keras.KerasTensor:
    hidden = keras.layers.Dense(256, activation="relu")(features)
    return keras.layers.Dense(networks.CLASSES, activation="softmax")(hidden)


def _fit(model: keras.Model, inputs: Inputs, rate: float, epochs: int) -> Evaluate:
    x_train, y_train = _arrays(inputs, "train", model)
    x_validation, y_validation = _arrays(inputs, "validation", model)
    model.compile(optimizer=keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        x_train,
        y_train,
        validation_data=(x_validation, y_validation),
        epochs=epochs,
        batch_size=_BATCH,
        verbose=0,
    )

    def evaluate() -> dict[str, Any]:
        x_test, y_test = _arrays(inputs, "test", model)
        return networks.score(model.predict(x_test, verbose=0), y_test)

    return evaluate


def _arrays(inputs: Inputs, split: str, model: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = arrays.load(inputs.images, split, model.input_shape[1])
    return networks.preprocess(inputs.network, pixels), labels
