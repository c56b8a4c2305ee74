"""How well images fit what a network recorded in training: evidence for a preprocessing that needs no labels.

Batch normalisation keeps the mean and the variance that its inputs had over the training images. Pixels preprocessed in
the same way give much the same ones; preprocessed in another way they give others, in the first layers by orders of
magnitude.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from graftwork.networks.layers import leaf_layers

_SMALLEST = 1e-12


@dataclass(frozen=True)
class Moments:
    """What goes into the channels of a normalisation layer, image by image.

    Attributes:
        mean: float (n, channels), over the positions of each image.
        square: float (n, channels), the mean of the squares.
        recorded_mean: float (channels,), of training.
        recorded_variance: float (channels,), of training.
    """

    mean: np.ndarray
    square: np.ndarray
    recorded_mean: np.ndarray
    recorded_variance: np.ndarray

    def divergence(self, weights: np.ndarray) -> np.ndarray:
        """Return the mean over channels of the divergence of the images from training, in nats.

        Kullback and Leibler's, of normal distributions with these means and variances.

        Args:
            weights: float (m, n), m ways to weigh the images; rows sum to 1.

        Returns:
            float (m,).
        """
        mean = weights @ self.mean
        variance = np.maximum(weights @ self.square - mean**2, _SMALLEST)
        ratio = variance / self.recorded_variance
        shift = (mean - self.recorded_mean) ** 2 / self.recorded_variance
        return np.asarray(0.5 * (ratio + shift - 1 - np.log(ratio)).mean(axis=1))


def normalisations(model: keras.Model) -> list[Any]:
    """Return the layers of a model that recorded statistics in training."""
    found = [layer for layer in leaf_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    return [layer for layer in found if not np.allclose(layer.moving_mean, 0)]  # a fresh one has recorded nothing


def with_moments(model: keras.Model, layers: Sequence[Any]) -> Callable[[tf.Tensor], tuple[tf.Tensor, list[tf.Tensor]]]:
    """Return a function that calls a model in inference mode and says what went into some of its layers.

    Returns:
        From pixels (n, height, width, channels) to the output, and float (2, n, channels) of each layer, at its first
        call: mean and mean square over positions.
    """

    def run(pixels: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with _listening(layers) as heard:
            output = model(pixels, training=False)
        return output, [_moments(layer, heard[id(layer)]) for layer in layers]

    return run


def gathered(layers: Sequence[Any], batches: Sequence[Sequence[np.ndarray]]) -> list[Moments]:
    """Put together what `with_moments` said batch by batch."""
    moments = []
    for layer, parts in zip(layers, zip(*batches, strict=True), strict=True):
        mean, square = np.concatenate(parts, axis=1).astype(np.float64)
        recorded = np.asarray(layer.moving_variance, np.float64) + layer.epsilon
        moments.append(Moments(mean, square, np.asarray(layer.moving_mean, np.float64), recorded))
    return moments


def divergences(moments: Sequence[Moments], seed: int, resamples: int = 200) -> np.ndarray:
    """Return how far images are from training: the geometric mean over layers, of all images and of resamples of them.

    Layers count alike, however far off single ones are: what saturates behind the first looks as usual again.

    Returns:
        float (1 + resamples,), in nats; the first is of the images as they are, the others are bootstrap resamples,
        the same for the same seed and number of images.
    """
    images = len(moments[0].mean)
    drawn = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=resamples) / images
    weights = np.concatenate([np.full((1, images), 1 / images), drawn])
    logarithms = [np.log(np.maximum(layer.divergence(weights), _SMALLEST)) for layer in moments]
    return np.asarray(np.exp(np.mean(logarithms, axis=0)))


@contextmanager
def _listening(layers: Sequence[Any]) -> Iterator[dict[int, tf.Tensor]]:
    """Yield what layers are first called with while the block runs, by their ids, wherever in a model they are."""
    heard: dict[int, tf.Tensor] = {}

    def noting(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(inputs: tf.Tensor, *args: Any, **kwargs: Any) -> Any:
            heard.setdefault(id(layer), inputs)
            return call(inputs, *args, **kwargs)

        return noted

    for layer in layers:
        object.__setattr__(layer, "call", noting(layer, layer.call))
    try:
        yield heard
    finally:
        for layer in layers:
            object.__delattr__(layer, "call")


def _moments(layer: Any, tensor: tf.Tensor) -> tf.Tensor:
    axis = layer.axis % len(tensor.shape)
    others = [number for number in range(1, len(tensor.shape)) if number != axis]
    values = tf.cast(tensor, tf.float32)
    return tf.stack([tf.reduce_mean(values, others), tf.reduce_mean(tf.square(values), others)])
