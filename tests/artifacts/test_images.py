"""What reads an images artifact sees its records in one order, whether it reads them or only counts them."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from graftwork.artifacts import images
from graftwork.data import imaging
from graftwork.data.shards import WHOLE, Shard

TRAIN = 5_000  # five files, the last of them shorter


def written(
    folder: Path, records: dict[str, list[images.Record]], shape: tuple[int, int] | None = None
) -> images.Images:
    return images.write(
        folder / "images",
        classes=["even", "odd"],
        records=records,
        sizes={split: len(records[split]) for split in records},
        rejected=[],
        duplicates=0,
        source="nowhere",
        source_fingerprint="0",
        split_policy={},
        stored_size=28,
        shape=shape,
    )


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> images.Images:
    """An artifact whose training images, of a few bytes, fill several files."""
    sizes = {"train": TRAIN, "validation": 3, "test": 0}

    def records(split: str) -> list[images.Record]:
        keys = sorted(hashlib.sha256(f"{split} {number}".encode()).hexdigest() for number in range(sizes[split]))
        return [images.Record(key[:4].encode(), number % 2, key, f"{key}.png") for number, key in enumerate(keys)]

    return written(tmp_path_factory.mktemp("large"), {split: records(split) for split in images.SPLITS})


@pytest.fixture(scope="module")
def on_disk(large: images.Images) -> np.ndarray:
    """The keys of the training images in the order on disk."""
    return np.array(keys_in(large.dataset("train")))


def listed(elements: tf.data.Dataset) -> list[Any]:
    return [element for batch in elements.batch(1024).as_numpy_iterator() for element in batch.tolist()]


def keys_in(records: tf.data.Dataset) -> list[bytes]:
    return listed(records.map(lambda record: record["key"]))


class TestOrder:
    @pytest.mark.parametrize("shard", [WHOLE, Shard(2, 3)], ids=str)
    @pytest.mark.parametrize("seed", [None, 0, 3])
    def test_it_is_that_of_the_records_in_every_pass(
        self, large: images.Images, on_disk: np.ndarray, seed: int | None, shard: Shard
    ) -> None:
        records, order = large.dataset("train", seed, shard), large.order("train", seed, shard)
        passes = []
        for _ in range(3):
            passes.append(listed(order))
            assert keys_in(records) == on_disk[passes[-1]].tolist()
        assert sorted(passes[0]) == sorted(passes[1])
        assert len(passes[0]) == large.size("train", shard)
        assert (passes[0] == passes[1]) == (seed is None)

    def test_passes_may_follow_each_other_in_one(self, large: images.Images, on_disk: np.ndarray) -> None:
        rows = listed(large.order("train", 5).repeat(3))
        assert keys_in(large.dataset("train", 5).repeat(3)) == on_disk[rows].tolist()
        separate = large.order("train", 5)
        assert rows == [row for _ in range(3) for row in listed(separate)]

    def test_it_is_the_same_for_a_seed(self, large: images.Images) -> None:
        def first(seed: int) -> list[int]:
            return listed(large.order("train", seed))

        assert first(1) == first(1) != first(2)

    @pytest.mark.parametrize("split", ["validation", "test"])
    def test_of_few_images_or_none(self, large: images.Images, split: str) -> None:
        rows = listed(large.order(split, 1))
        assert sorted(rows) == list(range(large.size(split)))


class TestBatches:
    @pytest.fixture(scope="class", params=["one shape", "several shapes"])
    def data(self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> images.Images:
        random = np.random.default_rng(0)
        sides = (20, 20) if request.param == "one shape" else (14, 23)
        records = []
        for number in range(23):
            pixels = random.integers(0, 256, (sides[number % 2], 20, 3), np.uint8)
            encoded = tf.io.encode_png(pixels).numpy()
            records.append(images.Record(encoded, number % 2, hashlib.sha256(encoded).hexdigest(), f"{number}.png"))
        shape = (20, 20) if request.param == "one shape" else None
        return written(tmp_path_factory.mktemp("data"), {"train": records, "validation": [], "test": []}, shape)

    @pytest.mark.parametrize("size", [(24, 24), (16, 30)])
    @pytest.mark.parametrize("seed", [None, 4])
    def test_they_are_the_records_as_a_model_serves_them(
        self, data: images.Images, seed: int | None, size: tuple[int, int]
    ) -> None:
        batches, records = data.batches("train", size, 10, seed), data.dataset("train", seed)
        for _ in range(2):
            found, expected = list(batches), list(records)
            assert [len(labels) for _, labels, _ in found] == [10, 10, 3]
            pixels, labels, keys = (tf.concat(parts, axis=0) for parts in zip(*found, strict=True))
            assert pixels.dtype == tf.float32
            np.testing.assert_array_equal(labels, [record["label"] for record in expected])
            np.testing.assert_array_equal(keys, [record["key"] for record in expected])
            served = [imaging.pixels(record["encoded"], size, data.stored_size) for record in expected]
            np.testing.assert_array_equal(pixels, served)

    def test_how_many_there_are_is_known(self, data: images.Images) -> None:
        assert data.batches("train", (24, 24), 10).cardinality() == 3
        assert data.batches("train", (24, 24), 10).element_spec[0].shape.as_list() == [None, 24, 24, 3]
        assert list(data.batches("test", (24, 24), 10)) == []
