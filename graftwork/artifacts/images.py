"""The images contract: labelled images in three splits, as sharded TFRecord files.

    dataset.json                           what is here: classes, counts, where it came from, its fingerprint
    {train,validation,test}-00000-of-00007.tfrecord
    rejected.csv                           what of the source was left out, and why

Records are in the order of their keys, which are content hashes: a random order that is the same every time, so a
reader needs only a small buffer to shuffle well.
"""

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import tensorflow as tf

from graftwork.artifacts.folder import not_an_artifact, read_description, require_file, write_description
from graftwork.data import imaging
from graftwork.data.shards import WHOLE, Shard
from graftwork.reporting.metering import Profile
from graftwork.storage import whole

SCHEMA = "graftwork.images/1"
SPLITS = ("train", "validation", "test")
DESCRIPTION = "dataset.json"
REJECTED = "rejected.csv"
_IMAGES_PER_SHARD = 1024
_OPEN_FILES = 4
_FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/label": tf.io.FixedLenFeature([], tf.int64),
    "image/key": tf.io.FixedLenFeature([], tf.string),
    "image/source": tf.io.FixedLenFeature([], tf.string),
}


@dataclass(frozen=True)
class Record:
    """One image: its encoded bytes, its class as an index, the SHA-256 of its original bytes, where it came from."""

    encoded: bytes
    label: int
    key: str
    source: str


@dataclass(frozen=True)
class File:
    """One TFRecord file: which image of the split is its first, counted from 0, and how many it holds."""

    path: Path
    first: int
    images: int


@dataclass(frozen=True)
class Images:
    """An images artifact on disk, checked; its records are read only when asked for.

    Attributes:
        path: The folder.
        classes: Names; a record's label is an index into them.
        counts: Images of each split and class.
        source: Where the images came from.
        source_fingerprint: What the source held when it was read.
        fingerprint: SHA-256 of every key, label and split and of the image policy: equal fingerprints, equal data.
        stored_size: Shorter side in pixels that no stored image exceeds.
        rejected: How many images of the source were left out.
        duplicates: How many were the same bytes as another one, of which one was kept.
        shape: (height, width) of the stored images if all have the same, in pixels; None if not, or if nobody looked.
        profile: How each step went that made this, by the step's name; empty if nobody measured.
        files: The TFRecord files of each split, in the order of their records.
    """

    path: Path
    classes: list[str]
    counts: dict[str, dict[str, int]]
    source: str
    source_fingerprint: str
    fingerprint: str
    split_policy: dict[str, Any]
    stored_size: int
    rejected: int
    duplicates: int
    shape: tuple[int, int] | None
    profile: dict[str, Profile]
    files: dict[str, list[File]]

    def size(self, split: str, shard: Shard = WHOLE) -> int:
        """Return the number of images in a split, or in a share of it."""
        return sum(file.images for file in self._share(split, shard))

    def dataset(self, split: str, shuffle_seed: int | None = None, shard: Shard = WHOLE) -> tf.data.Dataset:
        """Return the records of a split as they are read, a bounded number at a time.

        Args:
            split: One of SPLITS.
            shuffle_seed: Order files and records anew in every pass, repeatably for a seed (and for the global seed of
                TensorFlow, if one is set); None keeps the order.
            shard: A share of the split: a stretch of its files, perhaps none.

        Returns:
            Elements are dictionaries of scalars: encoded (string), label (int64), key (string), source (string).
        """
        records = self._in_order(split, shuffle_seed, shard, lambda path, rows: tf.data.TFRecordDataset(path))
        return records.map(_parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def order(self, split: str, shuffle_seed: int | None = None, shard: Shard = WHOLE) -> tf.data.Dataset:
        """Return which record `dataset` yields when, in every pass; reads nothing.

        Args:
            split: One of SPLITS.
            shuffle_seed: As of `dataset`.
            shard: As of `dataset`.

        Returns:
            Elements are int64 scalars: the position of the record in the split, over all its files in the order on
            disk, counted from 0.
        """
        return self._in_order(split, shuffle_seed, shard, lambda path, rows: tf.data.Dataset.range(rows[0], rows[1]))

    def batches(
        self,
        split: str,
        size: tuple[int, int],
        batch_size: int,
        shuffle_seed: int | None = None,
        shard: Shard = WHOLE,
    ) -> tf.data.Dataset:
        """Return the images of a split as a network takes them, decoded on all cores and ahead of time.

        Args:
            split: One of SPLITS.
            size: (height, width) of the network's input, in pixels.
            batch_size: Images in a batch; the last one may have fewer.
            shuffle_seed: As of `dataset`, and the order is the same.
            shard: As of `dataset`.

        Returns:
            Elements are pixels float32 (n, *size, 3) in [0, 255], labels int64 (n,) and keys string (n,). How many
            batches there are is known.
        """
        parallel = {"num_parallel_calls": tf.data.AUTOTUNE, "deterministic": True}
        records = self._in_order(split, shuffle_seed, shard, lambda path, rows: tf.data.TFRecordDataset(path))
        shape = self.shape

        def decoded(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            record = _parse(serialized)
            if shape is None:
                image = imaging.pixels(record["encoded"], size, self.stored_size)
            else:  # no stored image is larger than the stored size
                image = tf.ensure_shape(imaging.decode(record["encoded"]), (*shape, 3))
            return image, record["label"], record["key"]

        batches = records.map(decoded, **parallel).batch(batch_size)
        if shape is not None:  # one call that stretches many images takes half as long as many calls
            batches = batches.map(lambda image, label, key: (imaging.resize(image, size), label, key), **parallel)
        # Keras must know the number of batches: it finds the end of a data set of unknown length by running into it,
        # and that counts as a further step of the optimizer.
        steps = -(-self.size(split, shard) // batch_size)
        return batches.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(2)

    def _in_order(
        self, split: str, shuffle_seed: int | None, shard: Shard, elements: Callable[..., tf.data.Dataset]
    ) -> tf.data.Dataset:
        """Return the elements of a split's files in the one order that a seed stands for.

        Args:
            split: One of SPLITS.
            shuffle_seed: As of `dataset`.
            shard: As of `dataset`.
            elements: From the path of a file (string) and the positions of its first record and of the one behind its
                last (int64 (2,)) to its elements, one per record.
        """
        share = self._share(split, shard)
        paths = tf.constant([str(file.path) for file in share], tf.string, shape=[len(share)])
        rows = [(file.first, file.first + file.images) for file in share]
        files = tf.data.Dataset.from_tensor_slices((paths, tf.constant(rows, tf.int64, shape=[len(share), 2])))
        if shuffle_seed is None:
            return files.interleave(elements, cycle_length=1)
        shuffled = files.shuffle(max(1, len(share)), seed=shuffle_seed, reshuffle_each_iteration=True)
        # Files hold records in the order of their content hashes, which is random: few need to be open to mix well.
        mixed = shuffled.interleave(elements, cycle_length=_OPEN_FILES)
        return mixed.shuffle(_IMAGES_PER_SHARD, seed=shuffle_seed, reshuffle_each_iteration=True)

    def _share(self, split: str, shard: Shard) -> list[File]:
        return [self.files[split][number] for number in shard.block(len(self.files[split]))]

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split in the order on disk."""
        for element in self.dataset(split).as_numpy_iterator():
            yield Record(element["encoded"], int(element["label"]), element["key"].decode(), element["source"].decode())


def write(
    path: str | os.PathLike[str],
    *,
    classes: list[str],
    records: Mapping[str, Iterable[Record]],
    sizes: Mapping[str, int],
    rejected: Iterable[tuple[str, str]],
    duplicates: int,
    source: str,
    source_fingerprint: str,
    split_policy: dict[str, Any],
    stored_size: int,
    shape: tuple[int, int] | None = None,
    profile: Callable[[], dict[str, Profile]] | None = None,
) -> Images:
    """Write an images artifact.

    Args:
        path: The folder to make; it appears when it is whole.
        classes: Names, in the order of the labels.
        records: The images of each split, in the order of their keys; read once, one at a time.
        sizes: The number of images of each split.
        rejected: Source and reason of what was left out.
        duplicates: How many images were left out because the same bytes are there already.
        source: Where the images came from.
        source_fingerprint: What the source held.
        split_policy: How the splits were made, to be shown.
        stored_size: Shorter side in pixels that no stored image exceeds.
        shape: (height, width) of the images if all have the same, in pixels.
        profile: Called when all images are written; returns how each step went that made them, by the step's name.

    Returns:
        The artifact, as `read` returns it.
    """
    fingerprint = hashlib.sha256(f"{SCHEMA} {stored_size} {classes}".encode())
    counts: dict[str, dict[str, int]] = {}
    shards: dict[str, list[dict[str, Any]]] = {}
    with whole.folder(path) as folder:
        for split in SPLITS:
            count = Counter[int]()
            shards[split] = list(_write_shards(folder, split, iter(records[split]), sizes[split], count, fingerprint))
            counts[split] = {name: count[label] for label, name in enumerate(classes)}
        rejections = 0
        with (folder / REJECTED).open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["source", "reason"])
            for row in rejected:
                table.writerow(row)
                rejections += 1
        description = {
            "schema": SCHEMA,
            "classes": classes,
            "counts": counts,
            "source": source,
            "source_fingerprint": source_fingerprint,
            "fingerprint": fingerprint.hexdigest(),
            "split_policy": split_policy,
            "image_policy": {"stored_size": stored_size},
            "shape": shape,
            "rejected": rejections,
            "duplicates": duplicates,
            "shards": shards,
        }
        write_description(folder / DESCRIPTION, description, profile)
    return read(path)


def read(path: str | os.PathLike[str]) -> Images:
    """Open an images artifact.

    Raises:
        UserError: It is not one, or a shard is missing or cut off; names the file.
    """
    folder = Path(path)
    description = read_description(folder, DESCRIPTION, SCHEMA)
    try:
        files = {split: _files(folder, description["shards"][split]) for split in SPLITS}
        return Images(
            path=folder,
            classes=[str(name) for name in description["classes"]],
            counts={split: dict(description["counts"][split]) for split in SPLITS},
            source=description["source"],
            source_fingerprint=description["source_fingerprint"],
            fingerprint=description["fingerprint"],
            split_policy=dict(description["split_policy"]),
            stored_size=int(description["image_policy"]["stored_size"]),
            rejected=int(description["rejected"]),
            duplicates=int(description["duplicates"]),
            shape=_shape(description.get("shape")),
            profile=dict(description.get("profile", {})),
            files=files,
        )
    except (KeyError, TypeError, ValueError) as error:
        why = f"an entry is missing or of the wrong type: {error}"
        raise not_an_artifact("images", folder / DESCRIPTION, why) from None


def _write_shards(
    folder: Path, split: str, records: Iterator[Record], size: int, count: Counter[int], fingerprint: Any
) -> Iterator[dict[str, Any]]:
    total = max(1, -(-size // _IMAGES_PER_SHARD))
    for number in range(total):
        file = folder / f"{split}-{number:05d}-of-{total:05d}.tfrecord"
        written = 0
        with tf.io.TFRecordWriter(str(file)) as writer:
            for record in islice(records, _IMAGES_PER_SHARD):
                writer.write(_example(record))
                fingerprint.update(f"{split} {record.key} {record.label}\n".encode())
                count[record.label] += 1
                written += 1
        yield {"file": file.name, "images": written, "bytes": file.stat().st_size}


def _example(record: Record) -> bytes:
    def bytes_feature(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = {
        "image/encoded": bytes_feature(record.encoded),
        "image/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[record.label])),
        "image/key": bytes_feature(record.key.encode()),
        "image/source": bytes_feature(record.source.encode()),
    }
    return bytes(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def _parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    parsed = tf.io.parse_single_example(serialized, _FEATURES)
    return {name.removeprefix("image/"): value for name, value in parsed.items()}


def _shape(entry: Sequence[int] | None) -> tuple[int, int] | None:
    return (int(entry[0]), int(entry[1])) if entry else None


def _files(folder: Path, entries: Iterable[Mapping[str, Any]]) -> list[File]:
    """Return the files of a split, each checked."""
    files, first = [], 0
    for entry in entries:
        file = File(folder / entry["file"], first, int(entry["images"]))
        require_file("images", file.path, int(entry["bytes"]))
        files.append(file)
        first += file.images
    return files
