"""The features contract: what the frozen part of a network says about every image, computed once.

features.json                which base, which layer, which images
<split>-features.npy         float32 or float16 (n, ...)
<split>-labels.npy           int32 (n,)
<split>-keys.npy             S64 (n,), the images' SHA-256
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graftwork.artifacts import arrays
from graftwork.artifacts.folder import not_an_artifact, read_description, write_description
from graftwork.data.shards import WHOLE, Shard, incomplete
from graftwork.reporting.metering import Profile
from graftwork.storage import whole

SCHEMA = "graftwork.features/1"
DESCRIPTION = "features.json"
SPLITS = ("train", "validation")
"""The test split is not among them: only the evaluation reads it."""
DTYPES = ("float32", "float16")
"""Of the features; "dtype" in features.json, float32 where it says nothing."""
_LABELS, _KEYS = np.dtype(np.int32), np.dtype("S64")
_CHUNK_BYTES = 16 * 2**20

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]
"""features (m, d), labels (m,), keys (m,) of m images."""


@dataclass(frozen=True)
class Split:
    """The features of one split, on disk, in as many parts as there are shards.

    Attributes:
        parts: float32 or float16 (n, ...) each, memory-mapped.
        labels: int32 (n,), of all parts.
        key_parts: S64 (n,) each, memory-mapped.
    """

    parts: tuple[np.memmap, ...]
    labels: np.ndarray
    key_parts: tuple[np.memmap, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one image's features, as in (1280,)."""
        return self.parts[0].shape[1:]

    @property
    def keys(self) -> np.ndarray:
        """The images' SHA-256 in hexadecimal, S64 (n,), read into memory."""
        return np.concatenate(self.key_parts)

    @property
    def chunk_rows(self) -> int:
        """How many rows `chunks` reads at a time: a few MiB worth."""
        return max(1, _CHUNK_BYTES // max(1, int(np.prod(self.row_shape)) * np.dtype(np.float32).itemsize))

    def chunks(self, order: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield all rows as float32, chunk by chunk, with labels; the chunks do not depend on the number of parts.

        The rows are read from the files, not through the memory maps, whose pages would count as this process's memory.

        Args:
            order: Which chunk comes when, a permutation; None reads from first to last.
        """
        rows = self.chunk_rows
        starts = range(0, len(self), rows)
        for number in range(len(starts)) if order is None else order:
            start = starts[number]
            stop = min(start + rows, len(self))
            yield self._read(start, stop), self.labels[start:stop]

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """Return single rows by their numbers, in the dtype they are stored in.

        They are read from the files, not through the memory maps, whose pages would count as this process's memory.

        Args:
            numbers: int (m,), in any order.

        Returns:
            (m, ...).
        """
        values = np.empty((len(numbers), *self.row_shape), self.parts[0].dtype)
        first = 0
        for part in self.parts:
            with Path(part.filename).open("rb", buffering=0) as file:  # type: ignore[arg-type]
                for place in np.flatnonzero((first <= numbers) & (numbers < first + len(part))):
                    values[place] = _row(file.fileno(), part, int(numbers[place]) - first)
            first += len(part)
        return values

    def _read(self, start: int, stop: int) -> np.ndarray:
        read, first = [], 0
        for part in self.parts:
            low, high = max(start - first, 0), min(stop - first, len(part))
            if low < high:
                read.append(_rows(part, low, high))
            first += len(part)
        rows = read[0] if len(read) == 1 else np.concatenate(read)
        return rows.astype(np.float32, copy=False)


def _row(file: int, part: np.memmap, row: int) -> np.ndarray:
    size = int(np.prod(part.shape[1:])) * part.dtype.itemsize
    return np.frombuffer(os.pread(file, size, part.offset + row * size), part.dtype).reshape(part.shape[1:])


def _rows(part: np.memmap, start: int, stop: int) -> np.ndarray:
    items = int(np.prod(part.shape[1:]))
    offset = part.offset + start * items * part.dtype.itemsize
    read = np.fromfile(part.filename, part.dtype, (stop - start) * items, offset=offset)  # type: ignore[arg-type]
    return read.reshape(stop - start, *part.shape[1:])


@dataclass(frozen=True)
class Features:
    """The features of a data set on disk: one artifact, or the shards of one.

    Attributes:
        path: The folder, of the first shard.
        description: What features.json says; "base" and "images" are the fingerprints of what they were made from.
        splits: train and validation.
        profiles: How the extraction of each shard went, as far as it was written down.
    """

    path: Path
    description: dict[str, Any]
    splits: dict[str, Split]
    profiles: list[Profile]

    @property
    def classes(self) -> list[str]:
        """Class names; a label is an index into them."""
        return list(self.description["classes"])

    @property
    def shard(self) -> Shard:
        """Which share of the images these are."""
        return Shard.parse(self.description.get("shard", str(WHOLE)))


def write(
    path: str | os.PathLike[str],
    description: Mapping[str, Any],
    sizes: Mapping[str, int],
    row_shape: tuple[int, ...],
    batches: Mapping[str, Iterable[Batch]],
    profile: Callable[[], Profile] | None = None,
) -> Features:
    """Write a features artifact, batch by batch.

    Args:
        path: The folder to make; it appears when it is whole.
        description: What features.json shall say: "base", "images", "classes", "stored_size"; of a share "shard"; of
            features that are not float32 "dtype".
        sizes: The number of images of each split.
        row_shape: Shape of one image's features, as in (1280,).
        batches: The features of each split, in order.
        profile: Called when all is written; returns how the step went.

    Returns:
        What was written, be it one shard of several.

    Raises:
        ValueError: A split's batches hold more or fewer images than announced.
    """
    dtype = str(description.get("dtype", DTYPES[0]))
    with whole.folder(path) as folder:
        for split in SPLITS:
            written = arrays.write(_layouts(folder, split, sizes[split], row_shape, dtype), batches[split])
            if written != sizes[split]:
                raise ValueError(f"{split}: {written} rows of features for {sizes[split]} images")
        described = {"schema": SCHEMA, **description, "splits": dict(sizes), "shape": row_shape}
        write_description(folder / DESCRIPTION, described, profile)
    return _read_one(path)


def read(path: str | os.PathLike[str], *others: str | os.PathLike[str]) -> Features:
    """Open a features artifact, or all shards of one; the arrays are memory-mapped.

    Raises:
        UserError: It is not one, or an array is missing, cut off or of another shape; names the file. Or the shards
            are not all there, or not of one data set and one base.
    """
    shards = sorted(map(_read_one, (path, *others)), key=lambda features: features.shard.number)
    first = shards[0]
    if why := incomplete([features.shard for features in shards]):
        raise not_an_artifact("features", first.path / DESCRIPTION, why)
    for other in shards:
        for entry in ("base", "images", "feature_layer", "shape", "dtype"):
            if other.description.get(entry) != first.description.get(entry):
                why = f'its "{entry}" is another than that of {first.path}'
                raise not_an_artifact("features", other.path / DESCRIPTION, why)
    splits = {
        split: Split(
            parts=tuple(part for features in shards for part in features.splits[split].parts),
            labels=np.concatenate([features.splits[split].labels for features in shards]),
            key_parts=tuple(part for features in shards for part in features.splits[split].key_parts),
        )
        for split in SPLITS
    }
    return Features(first.path, first.description, splits, [profile for shard in shards for profile in shard.profiles])


def _read_one(path: str | os.PathLike[str]) -> Features:
    folder = Path(path)
    description = read_description(folder, DESCRIPTION, SCHEMA)
    for entry in ("base", "images", "classes", "stored_size", "splits", "shape"):
        if entry not in description:
            raise not_an_artifact("features", folder / DESCRIPTION, f'the entry "{entry}" is missing')
    dtype = description.get("dtype", DTYPES[0])
    if dtype not in DTYPES:
        why = f'its "dtype" is {dtype!r}, expected {" or ".join(DTYPES)}'
        raise not_an_artifact("features", folder / DESCRIPTION, why)
    splits = {}
    for split in SPLITS:
        layouts = _layouts(folder, split, description["splits"].get(split), tuple(description["shape"]), dtype)
        rows, labels, keys = (arrays.read("features", file, layout) for file, layout in layouts.items())
        splits[split] = Split((rows,), np.array(labels), (keys,))
    return Features(folder, description, splits, [description["profile"]] if "profile" in description else [])


def _layouts(folder: Path, split: str, size: int, row_shape: tuple[int, ...], dtype: str) -> dict[Path, arrays.Layout]:
    layouts = {
        "features": ((size, *row_shape), np.dtype(dtype)),
        "labels": ((size,), _LABELS),
        "keys": ((size,), _KEYS),
    }
    return {folder / f"{split}-{name}.npy": layout for name, layout in layouts.items()}
