"""From the bytes of an image file to the pixels a network sees.

The same three functions run when data is prepared, when features are extracted, when a model is trained and inside the
exported SavedModel, so training and serving cannot disagree.
"""

import tensorflow as tf

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
"""What `decode` opens, by the names Pillow gives them. Of an animation, the first frame."""

_STORED_RATIO = 1.15


def stored_size_for(input_size: int) -> int:
    """Return the shorter side, in pixels, at which images for a network of this input size are stored."""
    return round(_STORED_RATIO * input_size)


def decode(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decode one image file.

    Args:
        image_bytes: string, scalar. One of FORMATS; an EXIF orientation is not applied, an alpha channel is dropped.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no image.
    """
    image = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
    return tf.ensure_shape(image, (None, None, 3))


def shrink(image: tf.Tensor, shorter_side: int) -> tf.Tensor:
    """Scale an image down, keeping its proportions, until its shorter side has the given length.

    Args:
        image: uint8 (height, width, 3).
        shorter_side: In pixels. An image that is not larger is returned as it is.

    Returns:
        uint8 (height, width, 3).
    """
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    shorter = tf.minimum(height, width)

    def scaled() -> tf.Tensor:
        factor = shorter_side / shorter
        size = tf.stack([tf.cast(tf.round(tf.cast(side, tf.float64) * factor), tf.int32) for side in (height, width)])
        return tf.cast(tf.round(tf.image.resize(image, size, antialias=True)), tf.uint8)

    return tf.cond(shorter > shorter_side, scaled, lambda: image)


def resize(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Stretch an image to the size a network takes.

    Args:
        image: uint8 (height, width, 3).
        size: (height, width) in pixels.

    Returns:
        float32 (*size, 3), values in [0, 255].
    """
    return tf.ensure_shape(tf.image.resize(image, size, antialias=True), (*size, 3))


def pixels(image_bytes: tf.Tensor, size: tuple[int, int], stored_size: int) -> tf.Tensor:
    """Decode one image file, shrink it as prepared data is shrunk, and stretch it to the network's size.

    Args:
        image_bytes: string, scalar.
        size: (height, width) in pixels.
        stored_size: The shorter side at which prepared data is stored, in pixels.

    Returns:
        float32 (*size, 3), values in [0, 255].
    """
    return resize(shrink(decode(image_bytes), stored_size), size)
