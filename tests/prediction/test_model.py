"""A finished model in Python, and what it says about images."""

import gc
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import graftwork
from graftwork.errors import UserError

from commands import graftwork as command
from conftest import CLASSES
from fake_buckets import fake_buckets
from images_on_disk import write_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return sorted(write_photos(tmp_path_factory.mktemp("model") / "photos", count=40).rglob("*.png"))


@pytest.fixture(scope="module")
def model(classifier: Path) -> graftwork.Model:
    return graftwork.open_model(classifier)


def test_it_answers_as_it_is_served(model: graftwork.Model, photos: list[Path]) -> None:
    served = tf.saved_model.load(str(model.path)).signatures["serving_default"]
    said = served(image_bytes=tf.constant([file.read_bytes() for file in photos]))
    predictions = model.predict(photos)
    assert [prediction.image for prediction in predictions] == [str(file) for file in photos]
    assert [prediction.label for prediction in predictions] == [label.decode() for label in said["label"].numpy()]
    rows = [list(prediction.probabilities.values()) for prediction in predictions if prediction.probabilities]
    np.testing.assert_allclose(rows, said["probabilities"], atol=1e-5)
    np.testing.assert_allclose([prediction.score for prediction in predictions], said["score"], atol=1e-5)
    assert all(list(prediction.probabilities or {}) == CLASSES for prediction in predictions)


def test_paths_and_bytes_are_the_same_image(model: graftwork.Model, photos: list[Path]) -> None:
    by_path, by_name, by_bytes = model.predict([photos[0], str(photos[0]), photos[0].read_bytes()])
    assert by_path == by_name
    assert by_bytes.image == "image 3"
    # Where an image stands in a batch changes the last digit.
    assert by_bytes.probabilities == pytest.approx(by_path.probabilities, abs=1e-6)


def test_one_image_alone_is_a_list_of_one(model: graftwork.Model, photos: list[Path]) -> None:
    for image in (photos[0], str(photos[0]), photos[0].read_bytes()):
        assert [prediction.label for prediction in model.predict(image)] == [model.predict([image])[0].label]
    assert model.predict([]) == []


def test_a_bad_image_fails_alone(model: graftwork.Model, photos: list[Path]) -> None:
    missing, good, broken = model.predict(["missing.png", photos[0], b"no image"])
    assert (missing.error, missing.label, missing.probabilities) == ("No such file or directory", "", None)
    assert (good.error, good.label in CLASSES) == ("", True)
    assert broken.error.startswith("not an image")


def test_the_command_prints_what_it_says(model: graftwork.Model, photos: list[Path]) -> None:
    done = command("predict", model.path, *photos[:3], "--json")
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    for line, prediction in zip(printed, model.predict(photos[:3]), strict=True):
        assert list(line) == ["image", "label", "score", "probabilities"]
        assert (line["image"], line["label"]) == (prediction.image, prediction.label)
        assert line["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-5)


def test_the_keras_model_is_the_same_network_and_can_be_trained(classifier: Path, photos: list[Path]) -> None:
    import keras

    network = graftwork.open_model(classifier).keras
    assert isinstance(network, keras.Model)
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 24, 24, 3)).astype(np.float32)
    served = tf.saved_model.load(str(classifier)).signatures["predict_pixels"](pixels=tf.constant(pixels))
    np.testing.assert_allclose(network.predict(pixels, verbose=0), served["probabilities"], atol=1e-5)
    before = [weight.copy() for weight in network.get_weights()]
    network.compile("sgd", "sparse_categorical_crossentropy")
    network.fit(pixels, np.array([0, 1, 2, 0]), verbose=0)
    assert any(not np.array_equal(old, new) for old, new in zip(before, network.get_weights(), strict=True))


def test_it_says_what_it_is(model: graftwork.Model, classifier: Path) -> None:
    assert model.classes == CLASSES
    assert model.metadata["input_size"] == [24, 24]
    assert model.path == classifier
    assert repr(model) == f"<Model {classifier}: 3 classes, 24 x 24 pixels>"


def test_a_copy_out_of_a_bucket_lasts_as_long_as_the_model(classifier: Path, photos: list[Path]) -> None:
    with fake_buckets():
        from graftwork import storage

        for file in classifier.rglob("*"):
            if file.is_file():
                storage.upload(file, f"gs://shelf/model/{file.relative_to(classifier)}")
        opened = graftwork.open_model("gs://shelf/model")
    copy = opened.path
    assert opened.uri == "gs://shelf/model"
    assert opened.predict(photos[0])[0].label in CLASSES
    assert copy.is_dir()
    del opened
    gc.collect()
    assert not copy.exists()


@pytest.mark.parametrize("trouble", ["nothing there", "a base"])
def test_what_is_no_classifier_is_said(trouble: str, classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no model" if trouble == "nothing there" else "head"):
        graftwork.open_model(tmp_path / "nothing" if trouble == "nothing there" else classifier.parent / "base")
