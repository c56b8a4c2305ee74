"""The features contract: what the frozen part of a network says about every image, computed once.

features.json                which base, which layer, which images
<split>-features.npy         float32 (n, d)
<split>-labels.npy           int32 (n,)
<split>-keys.npy             S64 (n,), the images' SHA-256
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from graftwork.artifacts import arrays
from graftwork.artifacts.folder import not_an_artifact, read_description, write_json, written_whole

SCHEMA = "graftwork.features/1"
DESCRIPTION = "features.json"
SPLITS = ("train", "validation")
"""The test split is not among them: only the evaluation reads it."""
_DTYPES = {"features": np.dtype(np.float32), "labels": np.dtype(np.int32), "keys": np.dtype("S64")}
_CHUNK_BYTES = 16 * 2**20

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]
"""features (m, d), labels (m,), keys (m,) of m images."""


@dataclass(frozen=True)
class Split:
    """The features of one split, on disk.

    Attributes:
        features: float32 (n, ...), memory-mapped.
        labels: int32 (n,).
        keys: S64 (n,), memory-mapped.
    """

    features: np.memmap
    labels: np.ndarray
    keys: np.memmap

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def chunk_rows(self) -> int:
        """How many rows `chunks` reads at a time: a few MiB worth."""
        return max(1, _CHUNK_BYTES // max(1, self.features[:1].nbytes))

    def chunks(self, order: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield all rows, chunk by chunk, with their labels.

        The rows are read from the file, not through the memory map, whose pages would count as this process's memory.

        Args:
            order: Which chunk comes when, a permutation; None reads from first to last.
        """
        rows = self.chunk_rows
        starts = range(0, len(self), rows)
        with Path(self.features.filename).open("rb") as file:  # type: ignore[arg-type]
            for number in range(len(starts)) if order is None else order:
                start = starts[number]
                stop = min(start + rows, len(self))
                yield self._read(file, start, stop), self.labels[start:stop]

    def _read(self, file: BinaryIO, start: int, stop: int) -> np.ndarray:
        row = self.features.shape[1:]
        items = int(np.prod(row))
        file.seek(self.features.offset + start * items * self.features.dtype.itemsize)
        return np.fromfile(file, self.features.dtype, (stop - start) * items).reshape(stop - start, *row)


@dataclass(frozen=True)
class Features:
    """A features artifact on disk.

    Attributes:
        path: The folder.
        description: What features.json says; "base" and "images" are the fingerprints of what they were made from.
        splits: train and validation.
    """

    path: Path
    description: dict[str, Any]
    splits: dict[str, Split]

    @property
    def classes(self) -> list[str]:
        """Class names; a label is an index into them."""
        return list(self.description["classes"])


def write(
    path: str | os.PathLike[str],
    description: Mapping[str, Any],
    sizes: Mapping[str, int],
    row_shape: tuple[int, ...],
    batches: Mapping[str, Iterable[Batch]],
) -> Features:
    """Write a features artifact, batch by batch.

    Args:
        path: The folder to make; it appears when it is whole.
        description: What features.json shall say: "base", "images", "classes", "stored_size".
        sizes: The number of images of each split.
        row_shape: Shape of one image's features, as in (1280,).
        batches: The features of each split, in order.

    Returns:
        The artifact, as `read` returns it.

    Raises:
        ValueError: A split's batches hold more or fewer images than announced.
    """
    with written_whole(path) as folder:
        for split in SPLITS:
            written = arrays.write(_layouts(folder, split, sizes[split], row_shape), batches[split])
            if written != sizes[split]:
                raise ValueError(f"{split}: {written} rows of features for {sizes[split]} images")
        write_json(folder / DESCRIPTION, {"schema": SCHEMA, **description, "splits": dict(sizes), "shape": row_shape})
    return read(path)


def read(path: str | os.PathLike[str]) -> Features:
    """Open a features artifact; the arrays are memory-mapped.

    Raises:
        UserError: It is not one, or an array is missing, cut off or of another shape; names the file.
    """
    folder = Path(path)
    description = read_description(folder, DESCRIPTION, SCHEMA)
    for entry in ("base", "images", "classes", "stored_size", "splits", "shape"):
        if entry not in description:
            raise not_an_artifact("features", folder / DESCRIPTION, f'the entry "{entry}" is missing')
    splits = {}
    for split in SPLITS:
        layouts = _layouts(folder, split, description["splits"].get(split), tuple(description["shape"]))
        rows, labels, keys = (arrays.read("features", file, layout) for file, layout in layouts.items())
        splits[split] = Split(rows, np.array(labels), keys)
    return Features(folder, description, splits)


def _layouts(folder: Path, split: str, size: int, row_shape: tuple[int, ...]) -> dict[Path, arrays.Layout]:
    shapes = {"features": (size, *row_shape), "labels": (size,), "keys": (size,)}
    return {folder / f"{split}-{name}.npy": (shape, _DTYPES[name]) for name, shape in shapes.items()}
