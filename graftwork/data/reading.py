"""An image of a source as bytes that a model can be asked about."""

import tensorflow as tf

from graftwork.data import imaging
from graftwork.data.sources import Row


def readable(row: Row) -> tuple[bytes, str]:
    """Return the bytes of a row's image, and ""; where it cannot be read or decoded b"", and why."""
    try:
        content = row.read()
        imaging.decode(content)  # one bad image would otherwise fail its whole batch
    except OSError as error:
        return b"", error.strerror or "not found"
    except tf.errors.InvalidArgumentError:
        return b"", f"not an image; expected {', '.join(imaging.FORMATS)}"
    return content, ""
