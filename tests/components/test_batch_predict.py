"""Labels for many images: in a parquet file, in shards, from folders and tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from graftwork.errors import UserError
from graftwork.prediction.batch import Labelled
from graftwork.prediction.model import open_model
from graftwork.registry.registry import Author, Registry

from commands import graftwork
from conftest import CLASSES
from fake_buckets import fake_buckets
from images_on_disk import write_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_photos(tmp_path_factory.mktemp("photos") / "photos", count=100)
    (folder / "blue/broken.png").write_bytes(b"nothing")
    return folder


def test_every_image_has_a_row(classifier: Path, photos: Path, tmp_path: Path) -> None:
    assert open_model(classifier).predict_to(photos, tmp_path / "out.parquet") == Labelled(images=100, unreadable=1)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema.metadata[b"classes"].decode().split("\n") == CLASSES
    frame = table.to_pandas()
    assert list(frame.image) == sorted(frame.image)
    broken = frame[frame.error.notna()]
    assert [Path(image).name for image in broken.image] == ["broken.png"]
    assert broken.label.isna().all()
    readable = frame[frame.error.isna()]
    served = tf.saved_model.load(str(classifier)).signatures["serving_default"]
    said = served(image_bytes=tf.constant([Path(image).read_bytes() for image in readable.image]))
    np.testing.assert_allclose(np.stack(readable.probabilities.tolist()), said["probabilities"], atol=1e-5)
    assert list(readable.label) == [label.decode() for label in said["label"].numpy()]


def test_shards_are_shares_of_the_whole(classifier: Path, photos: Path, tmp_path: Path) -> None:
    model = open_model(classifier)
    model.predict_to(photos, tmp_path / "whole.parquet")
    parts = []
    for number in (1, 2, 3):
        model.predict_to(photos, tmp_path / f"{number}.parquet", f"{number}/3")
        parts.append(pd.read_parquet(tmp_path / f"{number}.parquet"))
    joined = pd.concat(parts).sort_values("image").reset_index(drop=True)
    whole = pd.read_parquet(tmp_path / "whole.parquet")
    assert list(joined.image) == list(whole.image)
    assert list(joined.label) == list(whole.label)


@pytest.mark.parametrize("place", ["run", "version", "registry", "bucket"])
def test_a_model_is_found_wherever_it_is_meant(place: str, classifier: Path, photos: Path, tmp_path: Path) -> None:
    image = str(next((photos / "red").iterdir()))
    (expected,) = open_model(classifier).predict([image])
    with fake_buckets():
        registry = "gs://shelf/models" if place == "bucket" else str(tmp_path / "models")
        opened = Registry(registry, "squares")
        opened.promote(opened.register(classifier, {}, Author("ann")), None, Author("ann"))
        named = {"run": str(classifier.parent), "version": f"{registry}/squares/1"}.get(place, f"{registry}/squares")
        (found,) = open_model(named).predict([image])
    assert found == expected


def test_the_file_says_which_model_it_was(classifier: Path, photos: Path, tmp_path: Path) -> None:
    with fake_buckets():
        for registry in ("gs://shelf/models", str(tmp_path / "models")):
            opened = Registry(registry, "squares")
            opened.promote(opened.register(classifier, {}, Author("ann")), None, Author("ann"))
            open_model(f"{registry}/squares").predict_to(photos / "red", tmp_path / "out.parquet")
            metadata = pq.read_metadata(tmp_path / "out.parquet").metadata
            assert metadata[b"model"].decode() == f"{registry}/squares/1"


@pytest.mark.parametrize("output", ["{folder}", "{file}/labels.parquet", "gs://shelf/labels/"])
def test_a_place_that_cannot_be_written_is_found_before_the_work(output: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wanted = output.format(folder=tmp_path, file=tmp_path / "file")
    done = graftwork("predict", tmp_path / "no-model", "--data", tmp_path / "no-photos", "--output", wanted)
    assert done.returncode == 2
    assert "the file cannot be written" in done.stderr


def test_a_table_needs_no_labels(classifier: Path, photos: Path, tmp_path: Path) -> None:
    files = sorted(photos.rglob("*.png"))[:5]
    pd.DataFrame({"image": [str(file) for file in files] + ["missing.png"]}).to_csv(tmp_path / "t.csv", index=False)
    done = open_model(classifier).predict_to(tmp_path / "t.csv", tmp_path / "out.parquet")
    assert (done.images, done.unreadable) == (5, 1)
    assert "No such file" in pd.read_parquet(tmp_path / "out.parquet").error.iloc[-1]


def test_where_no_image_can_be_read_the_rows_say_so(classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(40):
        (tmp_path / f"photos/{number}.png").write_bytes(b"nothing")
    done = open_model(classifier).predict_to(tmp_path / "photos", tmp_path / "out.parquet")
    assert done == Labelled(images=0, unreadable=40)


@pytest.mark.parametrize("trouble", ["nothing there", "no model", "a base"])
def test_nothing_is_written_where_something_is_wrong(
    trouble: str, classifier: Path, photos: Path, tmp_path: Path
) -> None:
    chosen = {"no model": photos, "a base": classifier.parent / "base"}.get(trouble, classifier)
    data = tmp_path / "nothing" if trouble == "nothing there" else photos
    with pytest.raises(UserError):
        open_model(chosen).predict_to(data, tmp_path / "out.parquet")
    assert list(tmp_path.iterdir()) == []
