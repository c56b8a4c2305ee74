"""Models of Keras 2 open in Keras 3, answer the same, and can be used as a base."""

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from graftwork.artifacts import model as model_artifact
from graftwork.artifacts.code import CustomCode
from graftwork.base_models.conversion.equivalence import require_same_outputs
from graftwork.base_models.open import open_file
from graftwork.base_models.opened import OpenedModel, Request
from graftwork.components.load_base_model.load import load_base_model
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

    def test_of_keras_3_inside_other_layers(self, tmp_path: Path) -> None:
        pixels = keras.Input((16, 16, 3))
        encoder = keras.Sequential([keras.Input((16, 3)), keras.layers.Dense(4, name="a b")], name="_inner")
        rows = keras.layers.TimeDistributed(encoder)(pixels)
        rows = keras.layers.RNN([keras.layers.LSTMCell(3, name="c:d")], name="rnn")(
            keras.layers.Reshape((16, 64))(rows)
        )
        model = keras.Model(pixels, keras.layers.Dense(2)(rows))
        model.save(tmp_path / "model.keras")
        base = load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", "none", feature_layer="rnn")
        assert set(base.description["renamed"].values()) == {"_inner", "a b", "c:d"}
        image = np.random.default_rng(0).uniform(0, 1, (1, 16, 16, 3)).astype(np.float32)
        features = keras.Model(model.input, rows)(image)
        np.testing.assert_allclose(base.keras_model()(image), features, atol=1e-6)


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
        ("ThresholdedReLU", {"theta": 0.7}),
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


@pytest.mark.parametrize("format", FORMATS)
class TestHalfPrecision:
    """In half precision the answers to pixels in [0, 255] often overflow: it becomes float32."""

    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
    def test_mixed_is_compared_in_float32(self, tmp_path: Path, policy: str, format: str) -> None:
        pixels = tf_keras.Input((24, 24, 3))
        maps = layers.Normalization(mean=[120.0] * 3, variance=[3000.0] * 3, dtype=policy)(pixels)
        maps = layers.BatchNormalization(dtype=policy)(layers.Conv2D(8, 3, dtype=policy)(maps))
        flat = layers.GlobalAveragePooling2D(dtype=policy)(tf.nn.relu(maps * 2.0))
        model = tf_keras.Model(pixels, layers.Dense(3, dtype="float32")(flat))
        model.save(tmp_path / f"model.{format}")
        found = opened(tmp_path / f"model.{format}")
        assert found.conversion is not None
        assert f"{policy} to float32" in found.conversion.changes
        assert found.conversion.tolerance == 1e-5
        assert {layer.compute_dtype for layer in found.model.layers} == {"float32"}
        image = np.random.default_rng(0).uniform(0, 255, (2, 24, 24, 3)).astype(np.float32)
        answer = np.asarray(model(image))
        np.testing.assert_allclose(found.model(image), answer, atol=0.02 * np.abs(answer).max())

    def test_its_base_trains_and_serves(self, tmp_path: Path, format: str) -> None:
        pixels = tf_keras.Input((24, 24, 3), dtype="float16")
        maps = layers.Conv2D(8, 3, dtype="float16", activation="relu")(pixels)
        flat = layers.GlobalAveragePooling2D(dtype="float16")(maps)
        tf_keras.Model(pixels, layers.Dense(3, dtype="float16")(flat)).save(tmp_path / f"model.{format}")
        base = load_base_model(str(tmp_path / f"model.{format}"), tmp_path / "base", "rescale-0-1")
        assert base.description["conversion"]["changes"] == ["float16 to float32"]
        assert 1e-3 < base.description["conversion"]["tolerance"] < 0.02
        image = np.random.default_rng(0).uniform(0, 255, (2, 24, 24, 3)).astype(np.float32)
        model = base.keras_model()
        served = tf.saved_model.load(str(base.path)).signatures["embed_pixels"](pixels=tf.constant(image))["features"]
        np.testing.assert_allclose(served, model(image), atol=1e-5)
        before = model.get_weights()
        model.compile("adam", "mse")
        model.fit(image, np.ones((2, 8)), verbose=0)
        assert all(np.isfinite(weight).all() for weight in model.get_weights())
        assert any((old != new).any() for old, new in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("format", FORMATS)
class TestInside:
    """Layers, models and cells that layers are made of."""

    def test_a_model_in_a_wrapper(self, tmp_path: Path, format: str) -> None:
        pixels = tf_keras.Input((16, 16, 3))
        encoder = tf_keras.Sequential(
            [tf_keras.Input((8, 16, 3)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Conv2D(4, 3)]
        )
        maps = layers.TimeDistributed(encoder)(layers.Reshape((2, 8, 16, 3))(pixels))
        model = tf_keras.Model(pixels, layers.Dense(2)(layers.Flatten()(maps)))
        for weight in encoder.weights:
            weight.assign(np.random.default_rng(0).uniform(0.5, 1, weight.shape))
        model.save(tmp_path / f"model.{format}")
        image = np.random.default_rng(1).normal(size=(2, 16, 16, 3)).astype(np.float32)
        answer = np.asarray(model(image))
        np.testing.assert_allclose(
            opened(tmp_path / f"model.{format}").model(image), answer, atol=1e-5 * np.abs(answer).max()
        )

    def test_cells_of_convolutions(self, tmp_path: Path, format: str) -> None:
        pixels = tf_keras.Input((8, 8, 3))
        maps = layers.ConvLSTM2D(2, 3)(layers.Reshape((2, 4, 8, 3))(pixels))
        tf_keras.Model(pixels, maps).save(tmp_path / f"model.{format}")
        assert opened(tmp_path / f"model.{format}").conversion is not None

    def test_names(self, tmp_path: Path, format: str) -> None:
        pixels = tf_keras.Input((16, 16, 3))
        rows = layers.TimeDistributed(layers.Dense(4, name="in/side"), name="rows")(pixels)
        model = tf_keras.Model(pixels, layers.Dense(2)(layers.Conv2D(2, 3)(rows)))
        model.save(tmp_path / f"model.{format}")
        base = load_base_model(str(tmp_path / f"model.{format}"), tmp_path / "base", "none")
        assert base.description["renamed"] == {"in_side": "in/side"}

    def test_what_is_missing_is_named(self, tmp_path: Path, format: str) -> None:
        pixels = tf_keras.Input((16, 16, 3))
        tf_keras.Model(pixels, layers.TimeDistributed(layers.LocallyConnected1D(2, 3))(pixels)).save(
            tmp_path / f"model.{format}"
        )
        with pytest.raises(UserError, match=r"missing +LocallyConnected1D"):
            opened(tmp_path / f"model.{format}")


@pytest.mark.parametrize("format", ["h5", "keras", pytest.param("saved_model", marks=pytest.mark.slow)])
def test_cells_of_recurrent_layers(tmp_path: Path, format: str) -> None:
    rows = tf_keras.Input((8, 24))
    states = layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], return_sequences=True)(rows)
    states = layers.Bidirectional(layers.LSTM(2), backward_layer=layers.GRU(2, go_backwards=True))(states)
    model = tf_keras.Model(rows, states)
    model.save(tmp_path / f"model.{format}")
    given = np.random.default_rng(1).normal(size=(2, 8, 24)).astype(np.float32)
    np.testing.assert_allclose(opened(tmp_path / f"model.{format}").model(given), model(given), atol=1e-5)


@pytest.mark.parametrize("format", FORMATS)
def test_losses_inside_are_left_out(tmp_path: Path, format: str) -> None:
    pixels = tf_keras.Input((16, 16, 3))
    maps = layers.Conv2D(4, 3)(pixels)
    model = tf_keras.Model(pixels, layers.Dense(2)(layers.Flatten()(maps)))
    model.add_loss(tf.reduce_mean(tf.square(maps)))
    model.add_metric(tf.reduce_mean(maps), name="mean")
    model.save(tmp_path / f"model.{format}")
    found = opened(tmp_path / f"model.{format}")
    assert found.conversion is not None
    assert found.conversion.changes == ("what computes losses and metrics left out",)
    assert [type(layer).__name__ for layer in found.model.layers] == ["InputLayer", "Conv2D", "Flatten", "Dense"]


class TestSubclassOfFunctional:
    """Its configuration is a graph, but its class may compute something else."""

    def saved(self, folder: Path, name: str, format: str, body: str) -> tuple[Path, CustomCode]:
        text = f"import tf_keras\n\nclass {name}(tf_keras.Model):\n    {body}\n"
        made: dict[str, Any] = {"__name__": "__main__"}
        exec(text, made)
        pixels = tf_keras.Input((16, 16, 3))
        made[name](pixels, layers.Conv2D(2, 3)(pixels)).save(folder / f"model.{format}")
        source = text.replace("class", "@tf_keras.saving.register_keras_serializable()\nclass")
        return folder / f"model.{format}", CustomCode(source=source)

    @pytest.mark.parametrize("format", ["h5", "keras"])
    def test_its_class_is_needed(self, tmp_path: Path, format: str) -> None:
        body = "def train_step(self, data): return super().train_step(data)"
        path, code = self.saved(tmp_path, f"Trained{format}", format, body)
        with pytest.raises(
            UserError, match=f"classes that are not here[\\s\\S]*Trained{format}[\\s\\S]*custom-objects"
        ):
            opened(path)
        assert open_file(path, Request(str(path), code=code)).conversion is not None

    @pytest.mark.parametrize("format", ["h5", "keras"])
    def test_a_class_that_computes_something_else_is_found_out(self, tmp_path: Path, format: str) -> None:
        body = "def call(self, x, training=None): return super().call(x, training) + 1.0"
        path, code = self.saved(tmp_path, f"Shifted{format}", format, body)
        with pytest.raises(UserError, match="does not answer as the saved one"):
            open_file(path, Request(str(path), code=code))


@pytest.mark.parametrize("format", FORMATS)
def test_weights_that_are_no_numbers(tmp_path: Path, format: str) -> None:
    model = tf_keras.Sequential([tf_keras.Input((8, 8, 3)), layers.Conv2D(2, 3, name="diverged")])
    model.layers[0].bias.assign([0.0, np.nan])
    model.save(tmp_path / f"model.{format}")
    with pytest.raises(UserError, match=r"not numbers[\s\S]*diverged"):
        opened(tmp_path / f"model.{format}")


def test_an_lstm_on_rows_keeps_its_size(tmp_path: Path) -> None:
    pixels = tf_keras.Input((16, 16, 3))
    states = layers.LSTM(4)(layers.TimeDistributed(layers.Flatten())(pixels))
    tf_keras.Model(pixels, layers.Dense(2)(states)).save(tmp_path / "model.h5")
    with pytest.raises(UserError, match=r"cannot be rebuilt at 24 x 24[\s\S]*why") as error:
        load_base_model(str(tmp_path / "model.h5"), tmp_path / "base", "none", input_size=24)
    assert "\x1b" not in str(error.value)


class TestProof:
    def test_another_weight_is_found_out(self) -> None:
        pixels = keras.Input((8, 8, 3))
        model = keras.Model(pixels, keras.layers.Conv2D(2, 3, name="conv")(pixels))
        assert require_same_outputs(lambda batch: model(batch, training=False), model) == 0
        other = keras.models.clone_model(model)
        other.set_weights([weight + 1e-4 for weight in model.get_weights()])
        with pytest.raises(UserError, match="does not answer as the saved one"):
            require_same_outputs(lambda batch: model(batch, training=False), other)


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
            weights = file["model_weights"]
            name = next(name for name in weights if name.startswith("dense"))  # numbered, where others came before
            del weights[name][name]
        assert "the base model is damaged" in self.fails(tmp_path / "model.h5")

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
