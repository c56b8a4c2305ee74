"""The least that the arithmetic takes: plain Keras and TensorFlow, nothing written, nothing validated."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from graftwork.artifacts import images
from graftwork.config import Layers
from graftwork.networks.precision import for_training, resolved

from . import networks
from .inputs import Inputs
from .processes import Evaluate

_BATCH = 32


def forward_pass(inputs: Inputs, scratch: Path, epochs: int) -> Evaluate:
    """Decode the training and validation images and run the unmodified base over each once, 64 at a time."""
    base = networks.base(inputs.network, inputs.keras_file)
    pooled = keras.layers.GlobalAveragePooling2D()(base.output)
    _pass(keras.Model(base.input, pooled), inputs, ("train", "validation"))
    return dict


def suffix_training(inputs: Inputs, scratch: Path, epochs: int, layers: Layers, learning_rate: float) -> Evaluate:
    """Decode, one pass through the layers below the trained ones, then the training steps of the rest.

    What crosses from below stays in memory as float32; the arithmetic is in the precision that graftwork chooses here.
    The pass is over the training and validation images, as in the step that it is the floor of. The training steps are
    AdamW's with graftwork's schedule and clipping. No epoch is validated and nothing is saved.
    """
    keras.utils.set_random_seed(inputs.seed)
    base = networks.base(inputs.network, inputs.keras_file)
    trained = networks.last_layers(base, layers)
    crossing = _crossing(base, trained)
    for layer in base.layers:
        layer.trainable = layer in trained
    trunk = keras.Model(base.input, crossing)
    suffix = keras.Model(crossing, _head(base.output, inputs))
    _compute_in(for_training("auto", suffix), suffix)
    _compute_in(resolved("auto"), trunk)
    cached, labels = _pass(trunk, inputs, ("train", "validation"))
    # The validation images come last; the training steps are over those before them.
    count = images.read(inputs.images).size("train")
    _train(suffix, [array[:count] for array in cached], labels[:count], epochs, learning_rate, inputs.seed)

    def evaluate() -> dict[str, Any]:
        tested, answers = _pass(trunk, inputs, ("test",))
        return networks.score(suffix.predict(tested, verbose=0).astype(np.float32), answers)

    return evaluate


def _pass(network: keras.Model, inputs: Inputs, splits: tuple[str, ...]) -> tuple[list[np.ndarray], np.ndarray]:
    """Return what a network says about every image, one array (n, ...) per output, and the labels (n,)."""
    side = network.input_shape[1]

    @tf.function(input_signature=[tf.TensorSpec([None, side, side, 3], tf.float32)], autograph=False)
    def run(pixels: tf.Tensor) -> list[tf.Tensor]:
        outputs = network(networks.preprocess(inputs.network, pixels), training=False)
        return [tf.cast(output, tf.float32) for output in (outputs if isinstance(outputs, list) else [outputs])]

    data = images.read(inputs.images)
    total = sum(data.size(split) for split in splits)
    outputs = [np.empty((total, *output.shape[1:]), np.float32) for output in network.outputs]
    labels = np.empty(total, np.int64)
    start = 0
    for split in splits:
        for pixels, of_some, _ in data.batches(split, (side, side), 64):
            stop = start + len(of_some)
            for array, some in zip(outputs, run(pixels), strict=True):
                array[start:stop] = some.numpy()
            labels[start:stop] = of_some.numpy()
            start = stop
    return outputs, labels


def _compute_in(precision: str, network: keras.Model) -> None:
    """Let convolutions, dense layers and what lies between them compute in a precision, with float32 weights."""
    for layer in network.layers:
        if precision != "float32" and not isinstance(layer, (keras.layers.InputLayer, keras.layers.Rescaling)):
            layer.dtype_policy = f"mixed_{precision}"


def _crossing(base: keras.Model, trained: list[keras.Layer]) -> list[keras.KerasTensor]:
    """Return the tensors that come from layers below every trained one and go into the rest."""
    moving: set[int] = set()
    crossing: dict[int, keras.KerasTensor] = {}
    for layer in base.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        taken = layer.input if isinstance(layer.input, list) else [layer.input]
        if layer in trained or any(id(tensor) in moving for tensor in taken):
            moving.add(id(layer.output))
            crossing |= {id(tensor): tensor for tensor in taken if id(tensor) not in moving}
    return list(crossing.values())


def _head(features: keras.KerasTensor, inputs: Inputs) -> keras.KerasTensor:
    """Put the head that was trained beforehand on top, without its softmax."""
    with np.load(inputs.head_weights) as weights:
        kernel, bias, last_kernel, last_bias = (weights[f"arr_{number}"] for number in range(4))
    hidden = keras.layers.Dense(len(bias), activation="relu")
    last = keras.layers.Dense(len(last_bias))
    logits = last(hidden(keras.layers.GlobalAveragePooling2D()(features)))
    hidden.set_weights([kernel, bias])
    last.set_weights([last_kernel, last_bias])
    return logits


def _train(
    network: keras.Model, rows: list[np.ndarray], labels: np.ndarray, epochs: int, rate: float, seed: int
) -> None:
    steps = epochs * -(-len(labels) // _BATCH)
    warmup = max(1, round(0.1 * steps))
    schedule = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=rate, warmup_steps=warmup)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=1e-4, clipnorm=1.0)
    optimizer.build(network.trainable_variables)
    specs = [tf.TensorSpec([None, *array.shape[1:]], tf.float32) for array in rows]

    @tf.function(input_signature=[specs, tf.TensorSpec([None], tf.int64)], autograph=False)
    def update(batch: list[tf.Tensor], answers: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            logits = tf.cast(network(batch, training=True), tf.float32)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(answers, logits))
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)

    for chosen in _orders(len(labels), epochs, seed):
        update([tf.constant(array[chosen]) for array in rows], tf.constant(labels[chosen]))


def _orders(count: int, epochs: int, seed: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(seed)
    for _ in range(epochs):
        order = random.permutation(count)
        for start in range(0, count, _BATCH):
            yield order[start : start + _BATCH]
