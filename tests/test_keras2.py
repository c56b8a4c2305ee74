"""Models of Keras 2 open in Keras 3, answer the same, and can be used as a base."""

import json
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from graftwork.artifacts import model as model_artifact
from graftwork.components.load_base_model.load import load_base_model
from graftwork.components.load_base_model.open import open_file
from graftwork.components.load_base_model.opened import OpenedModel, Request
from graftwork.components.load_base_model.proof import prove
from graftwork.errors import UserError

from keras2.write_models import MODELS, write

FORMATS = ("h5", "keras", "saved_model")
layers = tf_keras.layers


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every model in every format, see keras2/write_models.py."""
    folder = tmp_path_factory.mktemp("keras2")
    for name in MODELS:
        write(name, folder)
    return folder


def opened(path: Path) -> OpenedModel:
    return open_file(path, Request(str(path)))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", MODELS)
class TestEveryFormat:
    def test_it_answers_as_it_did(self, saved: Path, name: str, format: str) -> None:
        found = opened(saved / f"{name}.{format}")
        assert found.conversion is not None
        assert found.conversion.difference < 1e-5
        before = np.load(saved / f"{name}.npz")
        for number, output in enumerate(tf.nest.flatten(found.model(before["pixels"], training=False))):
            expected = before[f"output{number}"]
            np.testing.assert_allclose(output, expected, rtol=0, atol=1e-5 * np.abs(expected).max())

    def test_it_is_saved_by_keras_3_and_trains(self, saved: Path, name: str, format: str, tmp_path: Path) -> None:
        model = opened(saved / f"{name}.{format}").model
        model.save(tmp_path / "again.keras")
        again = keras.saving.load_model(tmp_path / "again.keras")
        pixels = np.load(saved / f"{name}.npz")["pixels"]
        with tf.GradientTape() as tape:
            outputs = again(pixels, training=True)
            loss = sum(tf.reduce_sum(tf.square(output)) for output in tf.nest.flatten(outputs))
        gradients = tape.gradient(loss, again.trainable_variables)
        assert gradients
        assert all(gradient is not None for gradient in gradients)


def test_a_base_out_of_keras_2_serves_and_says_where_it_comes_from(saved: Path, tmp_path: Path) -> None:
    base = load_base_model(str(saved / "mobilenet.saved_model"), tmp_path / "base")
    assert base.description["preprocessing"] == {
        "value": "rescale-pm1",
        "found": "known for MobileNetV2 (all 52 layers)",
    }
    assert base.description["conversion"]["difference"] < 1e-5
    assert "SavedModel" in base.description["base"]["kind"]
    image = np.random.default_rng(0).uniform(0, 255, (1, 96, 96, 3)).astype(np.float32)
    served = tf.saved_model.load(str(base.path)).signatures["embed_pixels"](pixels=tf.constant(image))["features"]
    np.testing.assert_allclose(served, base.keras_model()(image), atol=1e-5)


def test_a_base_with_augmentation_in_front_serves(saved: Path, tmp_path: Path) -> None:
    base = load_base_model(str(saved / "sequential.keras"), tmp_path / "base")
    image = np.random.default_rng(0).uniform(0, 255, (1, 40, 40, 3)).astype(np.float32)
    served = tf.saved_model.load(str(base.path)).signatures["embed_pixels"](pixels=tf.constant(image))["features"]
    np.testing.assert_allclose(served, base.keras_model()(image, training=False), atol=1e-5)


def test_a_layer_called_twice_stays_one(saved: Path) -> None:
    model = opened(saved / "shared_and_nested.h5").model
    before = tf_keras.models.load_model(saved / "shared_and_nested.h5", compile=False)
    assert model.count_params() == before.count_params()
    assert sorted(layer.name for layer in model.layers) == sorted(layer.name for layer in before.layers)


class TestNames:
    def test_of_keras_2(self, tmp_path: Path) -> None:
        pixels = tf_keras.Input((16, 16, 3))
        maps = layers.Conv2D(4, 3, name="block/conv")(layers.Rescaling(1 / 255)(pixels))
        tf_keras.Model(pixels, layers.Conv2D(2, 3, name="last")(maps)).save(tmp_path / "model.h5")
        base = load_base_model(str(tmp_path / "model.h5"), tmp_path / "base", feature_layer="block/conv")
        assert base.description["renamed"] == {"block_conv": "block/conv"}
        assert base.description["feature_layer"] == "block_conv"

    def test_of_keras_3(self, tmp_path: Path) -> None:
        inner = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(3, 3, name="a b")], name="_inner")
        pixels = keras.Input((16, 16, 3))
        model = keras.Model(pixels, keras.layers.Conv2D(2, 3, name="c:d")(inner(pixels)), name="of two")
        model.save(tmp_path / "model.keras")
        base = load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", "none", feature_layer="c:d")
        assert set(base.description["renamed"].values()) == {"a b", "_inner", "c:d", "of two"}
        image = np.random.default_rng(0).uniform(0, 1, (1, 16, 16, 3)).astype(np.float32)
        np.testing.assert_allclose(base.keras_model()(image), np.mean(model(image), axis=(1, 2)), atol=1e-6)
        assert model_artifact.read(base.path).description["renamed"] == base.description["renamed"]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("Activation", {"activation": "hard_sigmoid"}),
        ("Conv2D", {"filters": 4, "kernel_size": 3, "activation": "hard_sigmoid"}),
        ("SpatialDropout2D", {"rate": 0.2}),
        ("GaussianNoise", {"stddev": 0.1}),
        ("ActivityRegularization", {"l1": 0.1}),
        ("LayerNormalization", {}),
        ("PReLU", {"shared_axes": [1, 2]}),
        ("SeparableConv2D", {"filters": 4, "kernel_size": 3, "depth_multiplier": 2}),
        ("Conv2DTranspose", {"filters": 4, "kernel_size": 3, "strides": 2}),
        ("UpSampling2D", {"size": 2, "interpolation": "bilinear"}),
        ("Cropping2D", {"cropping": 2}),
        ("Permute", {"dims": (2, 1, 3)}),
    ],
)
@pytest.mark.parametrize("format", ["h5", "saved_model"])
def test_layers_that_changed_since(tmp_path: Path, kind: str, arguments: dict[str, object], format: str) -> None:
    model = tf_keras.Sequential([tf_keras.Input((12, 12, 3)), getattr(layers, kind)(**arguments)])
    model.save(tmp_path / f"model.{format}")
    found = opened(tmp_path / f"model.{format}")
    found.model.save(tmp_path / "again.keras")
    pixels = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype(np.float32)
    again = keras.saving.load_model(tmp_path / "again.keras")
    np.testing.assert_allclose(again(pixels), model(pixels), atol=1e-5)


class TestProof:
    def test_another_weight_is_found_out(self) -> None:
        pixels = keras.Input((8, 8, 3))
        model = keras.Model(pixels, keras.layers.Conv2D(2, 3, name="conv")(pixels))
        assert prove(lambda batch: model(batch, training=False), model) == 0
        other = keras.models.clone_model(model)
        other.set_weights([weight + 1e-4 for weight in model.get_weights()])
        with pytest.raises(UserError, match="does not answer as the saved one"):
            prove(lambda batch: model(batch, training=False), other)


class TestRefused:
    def fails(self, path: Path) -> str:
        with pytest.raises(UserError) as error:
            opened(path)
        return str(error.value)

    @pytest.mark.parametrize("format", FORMATS)
    def test_code_is_not_run(self, tmp_path: Path, format: str) -> None:
        pixels = tf_keras.Input((16, 16, 3))
        mark = str(tmp_path / "ran")
        touched = layers.Lambda(lambda x: (open(mark, "w").close(), x)[1], name="sneaky")(pixels)  # noqa: PTH123
        tf_keras.Model(pixels, layers.Conv2D(2, 3)(touched)).save(tmp_path / f"model.{format}")
        Path(mark).unlink()
        assert "sneaky (Lambda)" in self.fails(tmp_path / f"model.{format}")
        assert not Path(mark).exists()

    @pytest.mark.parametrize("format", ["h5", "keras"])
    def test_every_missing_class_is_named(self, tmp_path: Path, format: str) -> None:
        one, two = (type(name, (layers.Layer,), {}) for name in ("Swirl", "Twirl"))
        model = tf_keras.Sequential([tf_keras.Input((16, 16, 3)), one(), layers.Conv2D(2, 3), two()])
        model.save(tmp_path / f"model.{format}")
        said = self.fails(tmp_path / f"model.{format}")
        assert "Swirl, Twirl" in said

    def test_a_function_that_keras_3_lacks_is_named(self, tmp_path: Path) -> None:
        pixels = tf_keras.Input((16, 16, 3))
        tf_keras.Model(pixels, tf.math.lgamma(pixels)).save(tmp_path / "model.h5")
        assert "tf.math.lgamma" in self.fails(tmp_path / "model.h5")

    def test_a_missing_weight(self, saved: Path, tmp_path: Path) -> None:
        (tmp_path / "model.h5").write_bytes((saved / "sequential.h5").read_bytes())
        with h5py.File(tmp_path / "model.h5", "a") as file:
            del file["model_weights"]["dense"]["dense"]
        assert "cannot open the base model" in self.fails(tmp_path / "model.h5")

    def test_missing_shards(self, saved: Path, tmp_path: Path) -> None:
        for file in (saved / "sequential.saved_model").rglob("*"):
            if file.is_file() and ".data-" not in file.name:
                target = tmp_path / "model" / file.relative_to(saved / "sequential.saved_model")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read_bytes())
        assert "the SavedModel is not whole" in self.fails(tmp_path / "model")


class TestStrangers:
    @pytest.mark.parametrize(
        ("name", "content", "expected"),
        [
            ("model.h5", b"", "an empty file"),
            ("model.pt", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "a PyTorch checkpoint"),
            ("model.tflite", b"\x1c\x00\x00\x00TFL3", "a TensorFlow Lite model"),
            ("model.onnx", b"\x08\x07", "an ONNX model"),
            ("model.safetensors", b"\x10\x00\x00\x00\x00\x00\x00\x00{", "a safetensors file"),
            ("model.pkl", b"\x80\x04", "a Python pickle, which is never opened"),
            ("model.json", b'{"class_name": "Model"}', "an architecture without weights"),
            ("model.tar.gz", b"\x1f\x8b", "a packed archive"),
            ("saved_model.pb", b"\x08\x01", "give the SavedModel's folder"),
        ],
    )
    def test_a_file_is_named_for_what_it_looks_like(
        self, tmp_path: Path, name: str, content: bytes, expected: str
    ) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"no saved Keras model[\\s\\S]*{expected}"):
            opened(tmp_path / name)

    def test_a_folder_of_models_names_them(self, saved: Path) -> None:
        with pytest.raises(UserError, match=r"a folder of models[\s\S]*give one of them: .*mobilenet"):
            opened(saved)

    @pytest.mark.parametrize(
        ("member", "content", "expected"),
        [("../outside", b"x", "outside of its own folder"), ("zeros", bytes(64 * 2**20), "unpacks to far more")],
    )
    def test_archives_that_do_harm(self, tmp_path: Path, member: str, content: bytes, expected: str) -> None:
        with zipfile.ZipFile(tmp_path / "model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("config.json", "{}")
            archive.writestr("metadata.json", json.dumps({"keras_version": "3.5.0"}))
            archive.writestr(member, content)
        with pytest.raises(UserError, match=expected):
            opened(tmp_path / "model.keras")
