"""One image of the source: read, checked, decoded and, if it is large, shrunk. Each is opened once."""

import hashlib
import io
import os
import threading
import warnings
from dataclasses import replace

import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from graftwork import imaging, sources, storage
from graftwork.artifacts.ingested import Row

_DECODING = threading.BoundedSemaphore(os.cpu_count() or 1)
"""Many threads wait for files, but only as many hold a decoded photograph as can work on one."""
_MOST_PIXELS = 2**27  # a small file can hold an image that fills the memory


def read(row: sources.Row, stored_size: int) -> tuple[Row, bytes]:
    """Read one image and make it fit to be stored.

    Args:
        row: Where it is and what it shows.
        stored_size: In pixels. An image whose shorter side is larger is shrunk and stored as PNG, without loss, so
            that a model that shrinks the original in the same way sees the same pixels. Others keep their bytes.

    Returns:
        The row and the image to store; or the row with the reason why it cannot be used, and b"".
    """
    known = Row(row.source, row.label, row.split, row.group)
    if row.label is None:
        return replace(known, reason="no label"), b""
    try:
        content = storage.read(row.source) if row.content is None else row.content
    except (FileNotFoundError, NotADirectoryError):
        return replace(known, reason="not found"), b""
    except OSError as error:
        return replace(known, reason=f"cannot be read: {error.strerror or error}"), b""
    reason = _unfit(content)
    if reason:
        return replace(known, reason=reason), b""
    try:
        with _DECODING:
            encoded = _fitted(content, stored_size)
    except tf.errors.InvalidArgumentError as error:
        return replace(known, reason=f"cannot be decoded: {_first_sentence(error)}"), b""
    return replace(known, key=hashlib.sha256(content).hexdigest()), encoded


def _fitted(content: bytes, stored_size: int) -> bytes:
    pixels = imaging.decode(content)
    if min(pixels.shape[:2]) <= stored_size:
        return content
    return bytes(tf.io.encode_png(imaging.shrink(pixels, stored_size)).numpy())


def _unfit(content: bytes) -> str:
    """Return why the header of an image rules it out, "" if it does not."""
    if not content:
        return "an empty file"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images; they are judged below
            with Image.open(io.BytesIO(content)) as image:
                kind, (width, height) = image.format, image.size
    except UnidentifiedImageError:
        return "not an image"
    except Image.DecompressionBombError:
        return f"more than {_MOST_PIXELS:,} pixels"
    except Exception as error:  # Pillow's readers raise whatever damaged headers lead to
        return f"a damaged image: {error}"
    if kind not in imaging.FORMATS:
        return f"{kind} images are not supported, only {', '.join(imaging.FORMATS)}"
    if width * height > _MOST_PIXELS:
        return f"more than {_MOST_PIXELS:,} pixels: {width} x {height}"
    return ""


def _first_sentence(error: tf.errors.InvalidArgumentError) -> str:
    text = " ".join(error.message.split()).removeprefix("{{function_node __wrapped__DecodeImage_device_")
    return text.rpartition("}}")[2].strip().split(". ")[0].split(" [Op:")[0][:120]
