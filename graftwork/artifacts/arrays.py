"""Arrays with a row per image, in .npy files that are written and checked without being held in memory."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from graftwork.artifacts.folder import not_an_artifact

Layout = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape, the number of images first, and dtype."""


def write(files: Mapping[Path, Layout], batches: Iterable[tuple[np.ndarray, ...]]) -> int:
    """Write several arrays side by side, batch by batch.

    The rows go to the files, not through memory maps, whose pages would count as this process's memory.

    Args:
        files: The arrays to write, and what each of them will be.
        batches: The next rows of every array, in the order of `files`.

    Returns:
        How many rows were written; the files are whole only if it is the number announced.
    """
    written = 0
    with ExitStack() as stack:
        opened = [stack.enter_context(path.open("wb")) for path in files]
        for file, (shape, dtype) in zip(opened, files.values(), strict=True):
            header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        for batch in batches:
            for file, (_, dtype), rows in zip(opened, files.values(), batch, strict=True):
                file.write(np.ascontiguousarray(rows, dtype).tobytes())
            written += len(batch[0])
    return written


def read(kind: str, path: Path, layout: Layout) -> np.memmap:
    """Open one array, memory-mapped.

    Args:
        kind: Of the artifact it belongs to, for messages.
        path: The file.
        layout: What it has to be.

    Raises:
        UserError: It is missing, cut off, or something else; names the file.
    """
    try:
        array = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        raise not_an_artifact(kind, path, "the file is missing") from None
    except (OSError, ValueError) as error:
        raise not_an_artifact(kind, path, str(error)) from None
    shape, dtype = layout
    if array.shape != shape or array.dtype != dtype:
        found, expected = f"{array.dtype} {array.shape}", f"{dtype} {shape}"
        raise not_an_artifact(kind, path, f"it holds {found}, expected {expected}")
    return array
