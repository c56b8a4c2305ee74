"""Opening saved models, finding where to cut them and how to preprocess for them."""

from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tf_keras

from graftwork.base_models.architectures.applications import application_names
from graftwork.base_models.cut import cut
from graftwork.base_models.open import open_file
from graftwork.base_models.opened import OpenedModel, Request
from graftwork.components.load_base_model.load import load_base_model
from graftwork.config import ScaleOffset
from graftwork.errors import UserError

layers = keras.layers


def opened(model: keras.Model) -> OpenedModel:
    return OpenedModel(model, "model.keras", "Keras archive", "")


def network(*top: keras.Layer, size: int = 16) -> keras.Model:
    """A convolution and a residual block with squeeze and excitation, then a top."""
    pixels = keras.Input((size, size, 3))
    maps = layers.Conv2D(8, 3, strides=2, padding="same", name="stem")(pixels)
    branch = layers.Conv2D(8, 3, padding="same", name="block")(maps)
    squeezed = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(branch)
    branch = layers.Multiply(name="excite")([branch, layers.Conv2D(8, 1, activation="sigmoid")(squeezed)])
    outputs = layers.Add(name="join")([maps, branch])
    for layer in top:
        outputs = layer(outputs)
    return keras.Model(pixels, outputs)


class TestCut:
    def test_the_last_feature_map_before_pooling(self) -> None:
        model = network(layers.GlobalAveragePooling2D(), layers.Dense(4, activation="softmax"))
        assert cut(opened(model), "auto")[1] == "join"

    def test_squeeze_and_excitation_inside_a_block_is_no_end(self) -> None:
        model = network(layers.Conv2D(6, 3, name="last"), layers.Flatten(), layers.Dense(4))
        base, name = cut(opened(model), "auto")
        assert (name, base.output_shape) == ("last", (None, 6, 6, 6))

    def test_a_convolutional_classifier_after_pooling_is_not_cut_behind(self) -> None:
        # As MobileNetV3 does it: pooled to 1 x 1, classified by a convolution, flattened.
        top = [layers.GlobalAveragePooling2D(keepdims=True), layers.Conv2D(4, 1, name="classes"), layers.Flatten()]
        assert cut(opened(network(*top)), "auto")[1] == "join"

    def test_a_model_without_top_is_cut_at_its_end(self) -> None:
        assert cut(opened(network(layers.Conv2D(6, 3, name="last"))), "auto")[1] == "last"

    def test_a_base_inside_a_sequential(self) -> None:
        inner = network()
        inner.name = "inner"
        model = keras.Sequential([keras.Input((16, 16, 3)), layers.Rescaling(1 / 255), inner, layers.Flatten()])
        model.add(layers.Dense(4))
        base, name = cut(opened(model), "auto")
        assert (name, base.output_shape) == ("inner", (None, 8, 8, 8))

    def test_a_network_without_maps_is_cut_before_its_classifier(self) -> None:
        stack = [keras.Input((8, 8, 3)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(7, name="flat")]
        model = keras.Sequential([*stack, layers.Dropout(0.5, name="drop"), layers.Dense(4, activation="softmax")])
        assert cut(opened(model), "auto")[1] == "drop"

    def test_the_stem_of_a_transformer_is_no_feature(self) -> None:
        pixels = keras.Input((16, 16, 3))
        patches = layers.Reshape((16, 8))(layers.Conv2D(8, 4, strides=4, name="patches")(pixels))
        tokens = layers.Add()([patches, layers.MultiHeadAttention(2, 4)(patches, patches)])
        pooled = layers.GlobalAveragePooling1D(name="pooled")(layers.LayerNormalization()(tokens))
        model = keras.Model(pixels, layers.Dense(4)(pooled))
        assert cut(opened(model), "auto")[1] == "pooled"

    def test_penultimate_is_the_input_of_the_classifier(self) -> None:
        top = [layers.Flatten(), layers.Dense(9, name="fc1"), layers.Dense(7, name="fc2"), layers.Dense(4)]
        base, name = cut(opened(network(*top)), "penultimate")
        assert (name, base.output_shape) == ("fc2", (None, 7))

    def test_any_layer_by_name(self) -> None:
        base, name = cut(opened(network(layers.Flatten(), layers.Dense(4))), "stem")
        assert (name, base.output_shape) == ("stem", (None, 8, 8, 8))

    def test_a_layer_of_a_model_inside_by_name(self) -> None:
        inner = network()
        inner.name = "inner"
        model = keras.Sequential([keras.Input((16, 16, 3)), inner, layers.Flatten(), layers.Dense(4)])
        base, name = cut(opened(model), "block")
        assert (name, base.output_shape) == ("block", (None, 8, 8, 8))
        image = np.random.default_rng(0).uniform(0, 1, (1, 16, 16, 3)).astype(np.float32)
        expected = keras.Model(inner.input, inner.get_layer("block").output)(image)
        np.testing.assert_allclose(base(image), expected, atol=1e-6)

    @pytest.mark.parametrize(("feature_layer", "expected"), [("auto", "join"), ("penultimate", "fc")])
    def test_a_whole_classifier_inside_another_model(self, feature_layer: str, expected: str) -> None:
        inner = network(layers.GlobalAveragePooling2D(), layers.Dense(7, name="fc"), layers.Dense(4, name="classes"))
        model = keras.Sequential([keras.Input((16, 16, 3)), layers.Rescaling(1 / 255), inner])
        assert cut(opened(model), feature_layer)[1] == expected

    def test_a_model_inside_that_is_nothing_but_the_classifier(self) -> None:
        inputs = keras.Input((8,))
        head = keras.Model(inputs, layers.Dense(4, name="classes")(inputs), name="head")
        model = network(layers.Flatten(name="flat"), layers.Dense(8, name="fc"), head)
        assert cut(opened(model), "penultimate")[1] == "fc"

    def test_an_unknown_layer_names_the_nearest(self) -> None:
        with pytest.raises(UserError, match=r"no layer named 'joint'[\s\S]*did you mean join"):
            cut(opened(network()), "joint")


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("none", lambda pixels: pixels),
        ("rescale-0-1", lambda pixels: pixels / 255),
        ("rescale-pm1", lambda pixels: keras.applications.imagenet_utils.preprocess_input(pixels, mode="tf")),
        ("imagenet-caffe", lambda pixels: keras.applications.imagenet_utils.preprocess_input(pixels, mode="caffe")),
        ("imagenet-torch", lambda pixels: keras.applications.imagenet_utils.preprocess_input(pixels, mode="torch")),
        (ScaleOffset(scale=2.0, offset=(1.0, 2.0, 3.0)), lambda pixels: pixels * 2.0 + np.array([1.0, 2.0, 3.0])),
    ],
)
def test_preprocessing_is_what_its_name_says(tmp_path: Path, name: str | ScaleOffset, reference: object) -> None:
    pixels = keras.Input((4, 4, 3))
    identity = keras.Model(pixels, layers.DepthwiseConv2D(1, depthwise_initializer="ones", name="same")(pixels))
    identity.save(tmp_path / "identity.keras")
    base = load_base_model(str(tmp_path / "identity.keras"), tmp_path / "base", preprocessing=name)
    image = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3)).astype(np.float32)
    expected = reference(image.copy()).mean(axis=(1, 2))  # type: ignore[operator]
    np.testing.assert_allclose(base.keras_model()(image), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_saved_file_becomes_a_base_with_its_weights(tmp_path: Path, suffix: str) -> None:
    model = network(layers.GlobalAveragePooling2D(), layers.Dense(4, activation="softmax"))
    file = tmp_path / f"model.{suffix}"
    model.save(file)
    base = load_base_model(str(file), tmp_path / "base", preprocessing="none")
    image = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    expected = keras.Model(model.inputs[0], model.get_layer("join").output)(image)
    np.testing.assert_allclose(base.keras_model()(image), np.mean(expected, axis=(1, 2)), rtol=1e-5)
    assert base.description["base"]["uri"] == str(file)
    assert len(base.description["base"]["sha256"]) == 64


class TestInputSize:
    def test_the_same_weights_at_another_size(self, base_file: Path, tmp_path: Path) -> None:
        small = load_base_model(str(base_file), tmp_path / "small").keras_model()
        large = load_base_model(str(base_file), tmp_path / "large", input_size=48)
        assert large.input_size == (48, 48)
        assert large.stored_size == 55
        for weight, other in zip(small.get_weights(), large.keras_model().get_weights(), strict=True):
            np.testing.assert_array_equal(weight, other)

    def test_models_inside_follow(self, tmp_path: Path) -> None:
        inner = keras.applications.MobileNetV2(alpha=0.35, input_shape=(64, 64, 3), include_top=False, weights=None)
        model = keras.Sequential([keras.Input((64, 64, 3)), inner, layers.GlobalAveragePooling2D(), layers.Dense(3)])
        model.save(tmp_path / "model.keras")
        base = load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", input_size=96)
        assert base.keras_model()(np.zeros((1, 96, 96, 3), np.float32)).shape == (1, 1280)

    def test_a_base_that_ends_flat_cannot_change_its_size(self, tmp_path: Path) -> None:
        network(layers.Flatten(), layers.Dense(7, name="fc"), layers.Dense(4)).save(tmp_path / "model.keras")
        with pytest.raises(UserError, match=r"cannot be rebuilt at 32 x 32 pixels[\s\S]*16 x 16[\s\S]*input_size"):
            load_base_model(
                str(tmp_path / "model.keras"), tmp_path / "base", "none", input_size=32, feature_layer="penultimate"
            )
        assert not (tmp_path / "base").exists()

    def test_a_base_for_images_of_any_size_needs_one(self, tmp_path: Path) -> None:
        pixels = keras.Input((None, None, 3))
        keras.Model(pixels, layers.Conv2D(4, 3)(pixels)).save(tmp_path / "model.keras")
        with pytest.raises(UserError, match=r"takes images of any size[\s\S]*input_size="):
            load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", "none")
        assert load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", "none", 32).input_size == (32, 32)


class TestGrey:
    """A base that sees one channel is given the luma of the pixels."""

    @staticmethod
    def saved(tmp_path: Path) -> keras.Model:
        model = keras.Sequential(
            [keras.Input((16, 16, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(2)]
        )
        model.save(tmp_path / "model.keras")
        return model

    def test_grey_images_look_the_same_to_it(self, tmp_path: Path) -> None:
        model = self.saved(tmp_path)
        base = load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", "rescale-0-1")
        grey = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 1)).astype(np.float32)
        expected = np.mean(keras.Model(model.inputs, model.layers[0].output)(grey / 255), axis=(1, 2))
        np.testing.assert_allclose(base.keras_model()(np.repeat(grey, 3, axis=-1)), expected, atol=1e-4)

    def test_a_preprocessing_for_colours_is_refused(self, tmp_path: Path) -> None:
        self.saved(tmp_path)
        with pytest.raises(UserError, match=r"for colours[\s\S]*one channel"):
            load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", "imagenet-torch")

    def test_at_another_size(self, tmp_path: Path) -> None:
        self.saved(tmp_path)
        base = load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", "none", input_size=24)
        assert base.input_size == (24, 24)


class TestApplications:
    def test_by_name_with_weights_from_the_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # Where Keras keeps what it has fetched; random weights stand in for those of ImageNet.
        monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path / "keras"))
        source = keras.applications.MobileNetV2(include_top=False, input_shape=(96, 96, 3), weights=None)
        cache = tmp_path / "keras" / "models"
        cache.mkdir(parents=True)
        file = cache / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_96_no_top.h5"
        source.save_weights(str(file.with_suffix(".weights.h5")))
        file.with_suffix(".weights.h5").rename(file)
        with h5py.File(file) as saved:
            legacy = "layer_names" in saved.attrs
        if not legacy:
            _save_legacy_weights(source, file)
        base = load_base_model("MobileNetV2", tmp_path / "base", input_size=96)
        assert base.input_size == (96, 96)
        assert base.description["preprocessing"]["value"] == "rescale-pm1"
        image = np.random.default_rng(0).uniform(0, 255, (1, 96, 96, 3)).astype(np.float32)
        expected = np.mean(source(image / 127.5 - 1), axis=(1, 2))
        np.testing.assert_allclose(base.keras_model()(image), expected, rtol=1e-3, atol=1e-5)

    def test_an_unknown_name_lists_the_known_ones(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"does not exist[\s\S]*MobileNetV2"):
            load_base_model("NoSuchNet", tmp_path / "base")
        assert {"VGG16", "ResNet50", "EfficientNetB0"} <= set(application_names())

    def test_a_misspelt_name_is_answered_with_the_nearest(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="did you mean ResNet50"):
            load_base_model("resnet-50", tmp_path / "base")


def _save_legacy_weights(model: keras.Model, file: Path) -> None:
    """Write weights in the layout of the files that keras.applications fetches."""
    with h5py.File(file, "w") as saved:
        saved.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        saved.attrs["backend"], saved.attrs["keras_version"] = b"tensorflow", b"2.0.0"
        for layer in model.layers:
            group = saved.create_group(layer.name)
            names = [f"{layer.name}/{number}".encode() for number in range(len(layer.weights))]
            group.attrs["weight_names"] = names
            for name, weight in zip(names, layer.get_weights(), strict=True):
                group[name.decode()] = weight


class TestWhatCannotBeOpened:
    def test_a_path_that_does_not_exist(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"the base model does not exist[\s\S]*missing\.keras"):
            load_base_model(str(tmp_path / "missing.keras"), tmp_path / "base")

    def test_a_file_of_no_known_kind(self, tmp_path: Path) -> None:
        (tmp_path / "model.keras").write_bytes(b"no model at all")
        with pytest.raises(UserError, match=r"no saved Keras model[\s\S]*a damaged \.keras file"):
            load_base_model(str(tmp_path / "model.keras"), tmp_path / "base")

    def test_weights_without_architecture(self, tmp_path: Path) -> None:
        network().save_weights(tmp_path / "model.weights.h5")
        with pytest.raises(UserError, match="holds weights only"):
            load_base_model(str(tmp_path / "model.weights.h5"), tmp_path / "base")

    def test_a_truncated_archive(self, base_file: Path, tmp_path: Path) -> None:
        (tmp_path / "model.keras").write_bytes(base_file.read_bytes()[:2000])
        with pytest.raises(UserError, match=r"no saved Keras model[\s\S]*a zip archive that ends too early"):
            load_base_model(str(tmp_path / "model.keras"), tmp_path / "base")

    def test_the_keras_model_inside_a_finished_folder_opens_too(self, base_file: Path, tmp_path: Path) -> None:
        finished = load_base_model(str(base_file), tmp_path / "finished")
        inside = finished.path / "assets.extra" / "model.keras"
        again = load_base_model(str(inside), tmp_path / "base")
        image = np.random.default_rng(0).uniform(0, 255, (1, 24, 24, 3)).astype(np.float32)
        np.testing.assert_allclose(again.keras_model()(image), finished.keras_model()(image), atol=1e-5)

    def test_a_lambda_layer_is_not_run(self, tmp_path: Path) -> None:
        pixels = keras.Input((16, 16, 3))
        model = keras.Model(pixels, layers.Conv2D(4, 3)(layers.Lambda(lambda x: x / 255)(pixels)))
        model.save(tmp_path / "model.keras")
        with pytest.raises(UserError, match=r"contains Python code[\s\S]*lambda.* \(Lambda\)"):
            load_base_model(str(tmp_path / "model.keras"), tmp_path / "base")

    @pytest.mark.parametrize("shape", [(10,), (16, 16, 4), (16, 16, 16, 3)])
    def test_a_model_whose_input_is_no_image(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        values = keras.Input(shape)
        keras.Model(values, layers.Dense(2)(layers.Flatten()(values))).save(tmp_path / "model.keras")
        with pytest.raises(UserError, match=r"input is not an image[\s\S]*expected +one input of shape"):
            load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", "none")
        assert not (tmp_path / "base").exists()


class TestHdf5OfKeras3:
    """Keras does not open every HDF5 file that it writes."""

    def test_operations_between_layers(self, tmp_path: Path) -> None:
        pixels = keras.Input((16, 16, 3))
        maps = layers.Conv2D(4, 3)(pixels / 127.5 - 1.0)
        model = keras.Model(pixels, layers.Dense(2)(layers.GlobalAveragePooling2D()(maps + 3.0)))
        model.save(tmp_path / "model.h5")
        found = open_file(tmp_path / "model.h5", Request("model.h5")).model
        image = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 3)).astype(np.float32)
        np.testing.assert_allclose(found(image), model(image), atol=1e-6)

    @pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras 3", "keras 2"])
    def test_layers_that_keras_applications_has_for_itself(self, tmp_path: Path, library: Any) -> None:
        model = library.applications.ConvNeXtTiny(input_shape=(32, 32, 3), include_top=False, weights=None)
        model.save(tmp_path / "model.h5")
        found = open_file(tmp_path / "model.h5", Request("model.h5")).model
        image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
        expected = np.asarray(model(image, training=False))
        np.testing.assert_allclose(found(image, training=False), expected, atol=1e-5 * np.abs(expected).max())
