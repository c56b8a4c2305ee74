"""From the bytes of an image file to the pixels a network sees.

The same functions run when data is prepared, when features are extracted, when a model is trained and inside the
exported SavedModel, so training and serving cannot disagree.
"""

import functools

import tensorflow as tf

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
"""What `decode` opens, by the names Pillow gives them. Of an animation, the first frame."""

_STORED_RATIO = 1.15
_JPEG_RATIOS = (1, 2, 4, 8)
_JPEG_MARGIN = 1.5
"""How much larger than needed a JPEG file is decoded at least: without it, the worst difference is 3.6 grey levels."""


def stored_size_for(input_size: int) -> int:
    """Return the shorter side, in pixels, at which images for a network of this input size are stored."""
    return round(_STORED_RATIO * input_size)


def size_of(image_bytes: tf.Tensor) -> tuple[int, int]:
    """Return height and width of an image file in pixels; it is decoded in full, to see whether it can be.

    Args:
        image_bytes: As of `decode`; outside of graphs.

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no image.
    """
    height, width, _ = _decode_any(image_bytes).shape
    return height, width


def decode(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decode one image file in full.

    Args:
        image_bytes: string, scalar. One of FORMATS; an EXIF orientation is not applied, an alpha channel is dropped.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no image.
    """
    image_bytes = tf.convert_to_tensor(image_bytes)  # once, of bytes it takes milliseconds
    image = tf.cond(
        tf.io.is_jpeg(image_bytes),
        lambda: _decode_jpeg(image_bytes, ratio=1),
        lambda: _decode_any(image_bytes),
    )
    return tf.ensure_shape(image, (None, None, 3))


def decode_shrunk(image_bytes: tf.Tensor, shorter_side: int) -> tf.Tensor:
    """Decode one image file and scale it down, keeping its proportions, until its shorter side has the given length.

    A JPEG file that is much larger is decoded at a half, a quarter or an eighth of its size, which takes a fraction of
    the time and memory; the rest of the way it is scaled down as any other image. On photographs the result is on
    average 1 grey level away from that of decoding in full, at most 2.

    Args:
        image_bytes: As of `decode`.
        shorter_side: In pixels. An image that is not larger is decoded and nothing else.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no image.
    """
    image_bytes = tf.convert_to_tensor(image_bytes)

    def reduced() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        size = tf.io.extract_jpeg_shape(image_bytes)[:2]
        needed = [ratio * _JPEG_MARGIN * shorter_side for ratio in _JPEG_RATIOS[1:]]
        step = tf.math.count_nonzero(tf.cast(tf.reduce_min(size), tf.float32) >= needed, dtype=tf.int32)
        decoders = [functools.partial(_decode_jpeg, image_bytes, ratio) for ratio in _JPEG_RATIOS]
        return tf.switch_case(step, decoders), size, tf.gather(_JPEG_RATIOS, step)

    def in_full() -> tuple[tf.Tensor, tf.Tensor, int]:
        image = _decode_any(image_bytes)
        return image, tf.shape(image)[:2], 1

    image, size, ratio = tf.cond(tf.io.is_jpeg(image_bytes), reduced, in_full)
    return _shrink(tf.ensure_shape(image, (None, None, 3)), size, ratio, shorter_side)


def _decode_any(image_bytes: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(image_bytes, channels=3, expand_animations=False)


def _decode_jpeg(jpeg: tf.Tensor, ratio: int) -> tf.Tensor:
    # Accurate, as Pillow does it and as the reduced sizes are anyway: the faster way, which decode_image takes, is one
    # grey level too dark in red and blue.
    return tf.io.decode_jpeg(jpeg, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")


def _shrink(image: tf.Tensor, size: tf.Tensor, ratio: tf.Tensor, shorter_side: int) -> tf.Tensor:
    """Scale down an image of which every pixel stands for ratio x ratio pixels of the original.

    Args:
        image: uint8 (ceil(size[0] / ratio), ceil(size[1] / ratio), 3).
        size: int32 (2,), height and width of the original.
        ratio: int32, scalar.
        shorter_side: In pixels. An original that is not larger is returned as it is.

    Returns:
        uint8 (height, width, 3).
    """
    shorter = tf.reduce_min(size)

    def scaled() -> tf.Tensor:
        factor = shorter_side / shorter
        target = tf.cast(tf.round(tf.cast(size, tf.float64) * factor), tf.int32)
        # What tf.image.resize does with antialias, but for the scale: where the ratio does not divide a side, the last
        # pixel stands for fewer than the others, and to stretch it to the width of the others would move the image.
        shrunk = tf.raw_ops.ScaleAndTranslate(
            images=image[tf.newaxis],
            size=target,
            scale=tf.cast(target * ratio, tf.float32) / tf.cast(size, tf.float32),
            translation=tf.zeros([2]),
            kernel_type="triangle",
            antialias=True,
        )
        return tf.cast(tf.round(shrunk[0]), tf.uint8)

    return tf.cond(shorter > shorter_side, scaled, lambda: image)


def resize(images: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Stretch images to the size a network takes.

    Args:
        images: uint8 (height, width, 3), or a batch of them (n, height, width, 3); each comes out the same either way.
        size: (height, width) in pixels.

    Returns:
        float32 (*size, 3) or (n, *size, 3), values in [0, 255].
    """
    height, width = tf.shape(images)[-3], tf.shape(images)[-2]
    # Where nothing shrinks there is nothing to smooth, and the operation that could takes three times as long.
    resized = tf.cond(
        tf.logical_or(height > size[0], width > size[1]),
        lambda: tf.image.resize(images, size, antialias=True),
        lambda: tf.image.resize(images, size),
    )
    return tf.ensure_shape(resized, (*images.shape[:-3], *size, 3))


def pixels(image_bytes: tf.Tensor, size: tuple[int, int], stored_size: int) -> tf.Tensor:
    """Decode one image file, shrink it as prepared data is shrunk, and stretch it to the network's size.

    Args:
        image_bytes: string, scalar.
        size: (height, width) in pixels.
        stored_size: The shorter side at which prepared data is stored, in pixels.

    Returns:
        float32 (*size, 3), values in [0, 255].
    """
    return resize(decode_shrunk(image_bytes, stored_size), size)
