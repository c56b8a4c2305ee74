"""The model contract: one folder that serves without Keras and trains on with it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from graftwork.artifacts import model
from graftwork.data import imaging
from graftwork.errors import UserError

from conftest import CLASSES, coloured_squares

SERVE_WITHOUT_KERAS = """
import json, pathlib, sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        barred = name.split(".")[0] in ("keras", "tf_keras", "graftwork")
        return None if barred else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
files = [path.read_bytes() for path in sorted(pathlib.Path(sys.argv[2]).iterdir())]
answer = loaded.signatures["serving_default"](image_bytes=tf.constant(files))
print(json.dumps({"label": [label.decode() for label in answer["label"].numpy()],
                  "score": answer["score"].numpy().tolist(),
                  "probabilities": answer["probabilities"].numpy().tolist()}))
assert not any(name.split(".")[0] in ("keras", "tf_keras", "graftwork") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    keras.utils.set_random_seed(3)
    pixels = keras.Input((24, 24, 3))
    features = keras.layers.Rescaling(1 / 255)(pixels)
    features = keras.layers.Conv2D(8, 3, activation="relu")(features)
    features = keras.layers.BatchNormalization()(features)
    backbone = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(features), name=model.BACKBONE)
    inputs = keras.Input((8,))
    head = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs), name=model.HEAD)
    return model.classifier(backbone, head)


@pytest.fixture(scope="module")
def folder(classifier: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model"
    model.write(path, classifier, "classifier", {"classes": CLASSES, "stored_size": 28})
    return path


def test_it_serves_raw_bytes_where_neither_keras_nor_graftwork_can_be_imported(
    classifier: keras.Model, folder: Path, tmp_path: Path
) -> None:
    batch = []
    for number, (pixels, _) in enumerate(coloured_squares(6, seed=5, size=60)):
        file = tf.io.encode_jpeg(pixels) if number % 2 else tf.io.encode_png(pixels)
        (tmp_path / f"{number}.img").write_bytes(file.numpy())
        batch.append(imaging.pixels(file, (24, 24), 28))
    expected = classifier.predict(np.stack(batch), verbose=0)
    command = [sys.executable, "-c", SERVE_WITHOUT_KERAS, str(folder), str(tmp_path)]
    served = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    np.testing.assert_allclose(served["probabilities"], expected, atol=1e-6)
    np.testing.assert_allclose(served["score"], expected.max(axis=1), atol=1e-6)
    assert served["label"] == [CLASSES[best] for best in expected.argmax(axis=1)]


def test_every_signature_answers(folder: Path) -> None:
    signatures = tf.saved_model.load(str(folder)).signatures
    assert set(signatures) == {"serving_default", "embed", "predict_pixels"}
    file = tf.io.encode_png(next(coloured_squares(1))[0])
    assert signatures["embed"](image_bytes=tf.stack([file, file]))["features"].shape == (2, 8)
    probabilities = signatures["predict_pixels"](pixels=tf.zeros([4, 24, 24, 3]))["probabilities"]
    np.testing.assert_allclose(tf.reduce_sum(probabilities, axis=1), np.ones(4), atol=1e-6)


def test_the_keras_model_predicts_the_same_and_trains_on(classifier: keras.Model, folder: Path) -> None:
    reloaded = model.read(folder).keras_model()
    pixels = np.random.default_rng(0).uniform(0, 255, (8, 24, 24, 3)).astype(np.float32)
    np.testing.assert_allclose(
        reloaded.predict(pixels, verbose=0), classifier.predict(pixels, verbose=0), atol=1e-6, rtol=0
    )
    before = [weight.copy() for weight in reloaded.get_weights()]
    reloaded.compile("sgd", "sparse_categorical_crossentropy")
    reloaded.fit(pixels, np.arange(8) % 3, verbose=0)
    assert any(not np.array_equal(old, new) for old, new in zip(before, reloaded.get_weights(), strict=True))


def test_the_serving_graph_sees_the_pixels_that_prepared_data_has(folder: Path) -> None:
    # A photograph larger than the stored size: training sees it shrunk and stored, serving sees the original.
    original = tf.io.encode_jpeg(next(coloured_squares(1, size=301))[0])
    stored = tf.io.encode_png(imaging.decode_shrunk(original, 28))
    np.testing.assert_array_equal(imaging.pixels(original, (24, 24), 28), imaging.pixels(stored, (24, 24), 28))
    answer = tf.saved_model.load(str(folder)).signatures["serving_default"](image_bytes=tf.stack([original, stored]))
    np.testing.assert_allclose(answer["probabilities"][0], answer["probabilities"][1], atol=1e-6)


@pytest.mark.parametrize(
    "part", ["saved_model.pb", "variables/variables.index", "assets.extra/model.keras", "assets.extra/graftwork.json"]
)
def test_a_missing_part_is_named(folder: Path, tmp_path: Path, part: str) -> None:
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / part).unlink()
    with pytest.raises(UserError, match=part):
        model.read(tmp_path / "model")


def test_another_schema_version_is_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    description = tmp_path / "model" / model.DESCRIPTION
    description.write_text(description.read_text().replace(model.SCHEMA, "graftwork.model/99"))
    with pytest.raises(UserError, match=r"graftwork.model/99.*expected 'graftwork.model/1'"):
        model.read(tmp_path / "model")


def test_a_damaged_keras_model_is_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / model.KERAS_MODEL).write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(UserError, match=r"model\.keras"):
        model.read(tmp_path / "model").keras_model()


def test_nothing_remains_of_a_model_that_could_not_be_written(classifier: keras.Model, tmp_path: Path) -> None:
    unserializable = {"classes": CLASSES, "stored_size": 28, "training": object()}
    with pytest.raises(TypeError):
        model.write(tmp_path / "model", classifier, "classifier", unserializable)
    assert list(tmp_path.iterdir()) == []
