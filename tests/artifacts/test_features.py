"""The features contract: arrays on disk that come back as they were written, or an error that names the file."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graftwork.artifacts import features
from graftwork.errors import UserError

from conftest import every_row

DESCRIPTION = {"base": "b", "images": "i", "classes": ["a", "b"], "stored_size": 28, "source": "s"}


def arrays(sizes: dict[str, int], row: tuple[int, ...], seed: int = 0) -> dict[str, tuple[np.ndarray, ...]]:
    random = np.random.default_rng(seed)
    return {
        split: (
            random.normal(size=(size, *row)).astype(np.float32),
            random.integers(0, 2, size).astype(np.int32),
            np.array([random.bytes(32).hex() for _ in range(size)], dtype="S64"),
        )
        for split, size in sizes.items()
    }


def in_batches(content: tuple[np.ndarray, ...], size: int) -> Iterator[features.Batch]:
    for start in range(0, len(content[0]), size):
        rows, labels, keys = (array[start : start + size] for array in content)
        yield rows, labels, keys


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("features") / "features"
    sizes = {"train": 20, "validation": 6}
    content = arrays(sizes, (5,))
    features.write(path, DESCRIPTION, sizes, (5,), {split: in_batches(content[split], 4) for split in content})
    return path


@settings(max_examples=25, deadline=None)
@given(
    train=st.integers(1, 40),
    validation=st.integers(1, 9),
    row=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    batch=st.integers(1, 11),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, train: int, validation: int, row: list[int], batch: int
) -> None:
    path = tmp_path_factory.mktemp("round-trip") / "features"
    sizes, shape = {"train": train, "validation": validation}, tuple(row)
    content = arrays(sizes, shape)
    features.write(path, DESCRIPTION, sizes, shape, {split: in_batches(content[split], batch) for split in content})
    read = features.read(path)
    for split in sizes:
        np.testing.assert_array_equal(every_row(read.splits[split]), content[split][0])
        np.testing.assert_array_equal(read.splits[split].labels, content[split][1])
        np.testing.assert_array_equal(read.splits[split].keys, content[split][2])


def test_chunks_hold_every_row_once_in_any_order(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_CHUNK_BYTES", 3 * 5 * 4)  # three rows of five floats
    split = features.read(written).splits["train"]
    chunks = list(split.chunks())
    assert len(chunks) == 7
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in chunks]), every_row(split))
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in chunks]), split.labels)
    backwards = list(split.chunks(np.arange(7)[::-1]))
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in backwards[::-1]]), every_row(split))


@settings(max_examples=25, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 19), min_size=1, max_size=30),
    dtype=st.sampled_from(features.DTYPES),
    cut=st.integers(0, 20),
)
def test_single_rows_are_read_by_their_numbers_from_any_shard(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], dtype: str, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    content = arrays({"train": 20, "validation": 0}, (2, 3))
    paths = []
    for number, part in enumerate((slice(0, cut), slice(cut, 20)), start=1):
        sizes = {"train": len(content["train"][0][part]), "validation": 0}
        rows = {"train": tuple(array[part] for array in content["train"]), "validation": content["validation"]}
        described = {**DESCRIPTION, "dtype": dtype, "shard": f"{number}/2"}
        batches = {split: in_batches(rows[split], 7) for split in rows}
        paths.append(features.write(folder / str(number), described, sizes, (2, 3), batches).path)
    split = features.read(*paths).splits["train"]
    found = split.rows(np.array(numbers))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, content["train"][0].astype(dtype)[numbers])
    assert all(rows.dtype == np.float32 for rows, _ in split.chunks())


def test_an_unknown_dtype_is_refused(written: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(written, tmp_path / "copy")
    file = copy / features.DESCRIPTION
    file.write_text(file.read_text().replace('"shape"', '"dtype": "int8", "shape"'))
    with pytest.raises(UserError, match="expected float32 or float16"):
        features.read(copy)


def test_fewer_rows_than_announced_leave_nothing_behind(tmp_path: Path) -> None:
    sizes = {"train": 20, "validation": 6}
    content = arrays({"train": 19, "validation": 6}, (5,))
    with pytest.raises(ValueError, match="train: 19 rows of features for 20 images"):
        features.write(tmp_path / "f", DESCRIPTION, sizes, (5,), {s: in_batches(content[s], 4) for s in content})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["train-features.npy", "validation-labels.npy", "train-keys.npy", "features.json"])
@pytest.mark.parametrize("damage", ["missing", "cut off", "something else"])
def test_a_file_that_is_not_what_it_claims_is_named(written: Path, tmp_path: Path, name: str, damage: str) -> None:
    shutil.copytree(written, tmp_path / "features")
    file = tmp_path / "features" / name
    if damage == "missing":
        file.unlink()
    elif damage == "cut off":
        file.write_bytes(file.read_bytes()[:-7])
    else:
        np.save(file.with_suffix(".npy"), np.zeros((2, 2)))
        if file.suffix == ".json":
            file.write_text('{"schema": "graftwork.images/1"}')
    with pytest.raises(UserError, match=name):
        features.read(tmp_path / "features")
