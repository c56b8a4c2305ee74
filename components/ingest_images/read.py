"""One image of the source: read, then checked, decoded and, if it is large, shrunk."""

import hashlib
import io
import warnings
from dataclasses import replace

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from graftwork.artifacts.ingested import Row
from graftwork.data import imaging, sources

_MOST_PIXELS = 2**27  # a small file can hold an image that fills the memory
_COMPRESSION = 1  # zlib's fastest: the files become a tenth larger, and large images take half as long in all
_NO_SIZE = (0, 0)


Content = tuple[Row, bytes]
"""A row of the source with the bytes of its image; none if the row's reason says why it cannot be used."""


def read(row: sources.Row) -> Content:
    """Read one image. This is where files are waited for."""
    known = Row(row.source, row.label, row.split, row.group)
    if row.label is None:
        return replace(known, reason="no label"), b""
    try:
        return known, row.read()
    except (FileNotFoundError, NotADirectoryError):
        return replace(known, reason="not found"), b""
    except OSError as error:
        return replace(known, reason=f"cannot be read: {error.strerror or error}"), b""


def fit(content: Content, stored_size: int) -> Content:
    """Check one image and make it fit to be stored. This is where processors work.

    Args:
        content: As `read` returns it.
        stored_size: In pixels. An image whose shorter side is larger is shrunk and stored as PNG, without loss, so
            that a model that shrinks the original in the same way sees the same pixels. Others keep their bytes.

    Returns:
        The row and the image to store; or the row with the reason why it cannot be used, and b"".
    """
    row, image = content
    if row.reason:
        return content
    reason, size = _header(image)
    if reason:
        return replace(row, reason=reason), b""
    try:
        stored, (height, width) = _fitted(image, size, stored_size)
    except tf.errors.InvalidArgumentError as error:
        return replace(row, reason=f"cannot be decoded: {_first_sentence(error)}"), b""
    return replace(row, key=hashlib.sha256(image).hexdigest(), height=height, width=width), stored


def _fitted(image: bytes, stated: tuple[int, int], stored_size: int) -> tuple[bytes, tuple[int, int]]:
    """Return what to store of an image whose header states a size, and the true height and width of that."""
    tensor = tf.constant(np.array(image, dtype=object))  # of bytes as they are it takes milliseconds
    if min(stated) <= stored_size:
        height, width = imaging.size_of(tensor)
        if min(height, width) <= stored_size:  # of an animation's size, Pillow and TensorFlow think differently
            return image, (height, width)
    shrunk = imaging.decode_shrunk(tensor, stored_size)
    height, width, _ = shrunk.shape
    return bytes(tf.io.encode_png(shrunk, compression=_COMPRESSION).numpy()), (height, width)


def _header(content: bytes) -> tuple[str, tuple[int, int]]:
    """Return why the header of an image rules it out, "" if it does not, and the size that it states."""
    if not content:
        return "an empty file", _NO_SIZE
    try:
        # Pillow warns of large images; they are judged below.
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content)) as image:
            kind, (width, height) = image.format, image.size
    except UnidentifiedImageError:
        return "not an image", _NO_SIZE
    except Image.DecompressionBombError:
        return f"more than {_MOST_PIXELS:,} pixels", _NO_SIZE
    except Exception as error:  # Pillow's readers raise whatever damaged headers lead to
        return f"a damaged image: {error}", _NO_SIZE
    if kind not in imaging.FORMATS:
        return f"{kind} images are not supported, only {', '.join(imaging.FORMATS)}", _NO_SIZE
    if width * height > _MOST_PIXELS:
        return f"more than {_MOST_PIXELS:,} pixels: {width} x {height}", _NO_SIZE
    return "", (width, height)


def _first_sentence(error: tf.errors.InvalidArgumentError) -> str:
    text = " ".join(error.message.split())
    return text.rpartition("}}")[2].strip().split(". ")[0].split(" [Op:")[0][:120]
