"""Mild changes to training images that leave what they show the same; repeatable for a seed."""

import math

import tensorflow as tf

_SHIFT = 0.06  # share of height and width
_TURN = math.radians(8)
_ZOOM = 0.1
_BRIGHTNESS = 0.1  # share of the full range
_CONTRAST = 0.15


def augment(pixels: tf.Tensor, seed: tf.Tensor, flip: bool) -> tf.Tensor:
    """Shift, turn, zoom, brighten and change the contrast of each image a little.

    Geometry is one projective transform, so pixels are interpolated once; what comes in from outside repeats the edge.

    Args:
        pixels: float32 (n, height, width, 3) in [0, 255].
        seed: int (2,); the same seed makes the same changes.
        flip: Also mirror half of the images left and right.

    Returns:
        float32 (n, height, width, 3) in [0, 255].
    """
    count, shape = tf.shape(pixels)[0], tf.shape(pixels)[1:3]
    height, width = tf.cast(shape[0], tf.float32), tf.cast(shape[1], tf.float32)

    def uniform(number: int, limit: float) -> tf.Tensor:
        own = tf.random.experimental.stateless_fold_in(seed, number)
        return tf.random.stateless_uniform([count], own, -limit, limit)

    angle, zoom = uniform(0, _TURN), 1.0 + uniform(1, _ZOOM)
    down, right = uniform(2, _SHIFT) * height, uniform(3, _SHIFT) * width
    mirror = tf.where(uniform(4, 1.0) < 0.0, -1.0, 1.0) if flip else tf.ones([count])
    # Output (x, y) is taken from input (a x + b y + c, d x + e y + f), around the centre of the image.
    a, b = tf.cos(angle) * zoom * mirror, -tf.sin(angle) * zoom
    d, e = tf.sin(angle) * zoom * mirror, tf.cos(angle) * zoom
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    c = middle_x - a * middle_x - b * middle_y + right
    f = middle_y - d * middle_x - e * middle_y + down
    zero = tf.zeros([count])
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=tf.stack([a, b, c, d, e, f, zero, zero], axis=1),
        output_shape=shape,
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    contrast, brightness = 1.0 + uniform(5, _CONTRAST), 255.0 * uniform(6, _BRIGHTNESS)
    mean = tf.reduce_mean(moved, axis=[1, 2, 3], keepdims=True)
    toned = (moved - mean) * contrast[:, None, None, None] + mean + brightness[:, None, None, None]
    return tf.ensure_shape(tf.clip_by_value(toned, 0.0, 255.0), pixels.shape)
