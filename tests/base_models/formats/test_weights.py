"""Files with weights only: which networks they fit, and the networks that they are put into."""

from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tf_keras

from graftwork.base_models.formats.weights.fitting import build, matching
from graftwork.base_models.formats.weights.layouts import is_weights_file, shapes_in
from graftwork.base_models.formats.weights.open import open_weights
from graftwork.errors import UserError

from keras2.write_models import with_weights_that_matter

applications = keras.applications
PIXELS = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)


def mobilenet(library: object = tf_keras, **options: object) -> keras.Model:
    settings = {"alpha": 0.35, "include_top": False, "weights": None, **options}
    return library.applications.MobileNetV2((32, 32, 3), **settings)


def with_head(base: keras.Model, library: object = tf_keras) -> keras.Model:
    layers = library.layers
    return library.Sequential(
        [library.Input((32, 32, 3)), base, layers.GlobalAveragePooling2D(), layers.Dropout(0.1), layers.Dense(5)]
    )


def compiled(model: keras.Model) -> keras.Model:
    """Give a model an optimizer with weights of its own."""
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def answers(model: keras.Model, pixels: np.ndarray = PIXELS) -> np.ndarray:
    return np.asarray(model(pixels, training=False))


def shapes(model: keras.Model) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in model.weights]


def fails(call: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(UserError) as error:
        call(*arguments)
    return str(error.value)


class TestLayouts:
    def test_keras_2_legacy(self, tmp_path: Path) -> None:
        model = with_weights_that_matter(mobilenet())
        self.opens(model, tmp_path / "x.h5")

    def test_keras_2_15(self, tmp_path: Path) -> None:
        model = with_weights_that_matter(mobilenet())
        self.opens(model, tmp_path / "x.weights.h5")

    def test_keras_2_13(self, tmp_path: Path) -> None:
        # Its layers lie in a group of another name, and are numbered with gaps.
        model = with_weights_that_matter(mobilenet())
        model.save_weights(tmp_path / "x.weights.h5")
        with h5py.File(tmp_path / "x.weights.h5", "a") as file:
            file.move("layers", "_layer_checkpoint_dependencies")
            group = file["_layer_checkpoint_dependencies"]
            group.move("conv2d_34", "conv2d_134")
        self.answers_alike(model, tmp_path / "x.weights.h5")

    def test_keras_3(self, tmp_path: Path) -> None:
        model = with_weights_that_matter(mobilenet(keras))
        self.opens(model, tmp_path / "x.weights.h5")

    def test_with_classes_and_optimizer(self, tmp_path: Path) -> None:
        model = with_weights_that_matter(compiled(mobilenet(keras, include_top=True, classes=5)))
        self.opens(model, tmp_path / "x.weights.h5", include_top=True, classes=5)

    @pytest.mark.parametrize("name", ["x.h5", "x.weights.h5"])
    def test_inside_another_model_of_keras_2(self, tmp_path: Path, name: str) -> None:
        base = mobilenet()
        base.trainable = False
        model = with_weights_that_matter(compiled(with_head(base)))
        model.layers[-1].activation = tf_keras.activations.softmax  # as keras.applications has it
        self.opens(model, tmp_path / name, include_top=True, classes=5)

    def test_inside_another_model_of_keras_3(self, tmp_path: Path) -> None:
        model = with_weights_that_matter(compiled(with_head(mobilenet(keras), keras)))
        model.layers[-1].activation = keras.activations.softmax
        self.opens(model, tmp_path / "x.weights.h5", include_top=True, classes=5)

    def opens(self, model: keras.Model, path: Path, **options: object) -> None:
        model.save_weights(path)
        assert is_weights_file(path)
        assert matching(shapes_in(path)) == ["MobileNetV2"]
        self.answers_alike(model, path, **options)

    def answers_alike(self, model: keras.Model, path: Path, **options: object) -> None:
        opened = open_weights(path, "MobileNetV2")
        assert opened.input_shape == (None, 224, 224, 3)
        small = mobilenet(keras, **options)
        small.set_weights(opened.get_weights())
        expected = answers(model)
        np.testing.assert_allclose(answers(small), expected, atol=1e-5 * np.abs(expected).max())


def test_the_resnet50_of_old_keras(tmp_path: Path) -> None:
    model = with_weights_that_matter(old_resnet50())
    model.save_weights(tmp_path / "x.h5")
    opened = open_weights(tmp_path / "x.h5", "ResNet50")
    pixels = np.random.default_rng(0).uniform(-1, 1, (1, 224, 224, 3)).astype(np.float32)
    expected = answers(model, pixels)
    np.testing.assert_allclose(answers(opened, pixels), expected, atol=1e-5 * np.abs(expected).max())


def old_resnet50() -> keras.Model:
    """ResNet50 without top as Keras 2.0 to 2.2 built it: other names, another epsilon, shortcuts after their blocks."""
    layers = tf_keras.layers

    def normalised(maps: object, filters: int, kernel: int, strides: int, name: str) -> object:
        padding = "same" if kernel == 3 else "valid"
        maps = layers.Conv2D(filters, kernel, strides=strides, padding=padding, name=f"res{name}")(maps)
        return layers.BatchNormalization(name=f"bn{name}")(maps)

    pixels = tf_keras.Input((224, 224, 3))
    maps = layers.Conv2D(64, 7, strides=2, name="conv1")(layers.ZeroPadding2D(3)(pixels))
    maps = layers.ReLU()(layers.BatchNormalization(name="bn_conv1")(maps))
    maps = layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(1)(maps))
    for stage, blocks in zip((2, 3, 4, 5), ("abc", "abcd", "abcdef", "abc"), strict=True):
        width = 16 * 2**stage
        for block in blocks:
            strides, name = (2 if block == "a" and stage > 2 else 1), f"{stage}{block}_branch"
            inner = layers.ReLU()(normalised(maps, width, 1, strides, f"{name}2a"))
            inner = layers.ReLU()(normalised(inner, width, 3, 1, f"{name}2b"))
            inner = normalised(inner, 4 * width, 1, 1, f"{name}2c")
            maps = normalised(maps, 4 * width, 1, strides, f"{name}1") if block == "a" else maps
            maps = layers.ReLU()(layers.Add()([inner, maps]))
    return tf_keras.Model(pixels, maps)


def test_the_imagenet_statistics_of_an_efficientnet_are_deviations(tmp_path: Path) -> None:
    model = applications.EfficientNetB0(weights=None, include_top=False, input_shape=(224, 224, 3))
    norm = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    std = np.array([0.229, 0.224, 0.225], np.float32)
    norm.load_own_variables({"0": np.array([0.485, 0.456, 0.406]), "1": std, "2": np.array(0)})
    model.save_weights(tmp_path / "x.weights.h5")
    opened = open_weights(tmp_path / "x.weights.h5", "EfficientNetB0")
    before = keras.Model(opened.input, opened.layers[2].output)
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 224, 224, 3)).astype(np.float32)
    expected = applications.imagenet_utils.preprocess_input(pixels.copy(), mode="torch")
    np.testing.assert_allclose(before(pixels), expected, atol=1e-5)


class TestIsWeightsFile:
    def test_a_whole_model_is_none(self, tmp_path: Path) -> None:
        mobilenet().save(tmp_path / "model.h5")
        assert not is_weights_file(tmp_path / "model.h5")

    def test_other_hdf5_and_other_files_are_none(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "data.h5", "w") as file:
            file["images"] = np.zeros((2, 2))
        (tmp_path / "text.h5").write_text("weights")
        assert not is_weights_file(tmp_path / "data.h5")
        assert not is_weights_file(tmp_path / "text.h5")
        assert not is_weights_file(tmp_path)


class TestMatching:
    def test_widths_and_tops(self) -> None:
        assert matching(shapes(applications.MobileNet(weights=None, alpha=0.25, classes=3))) == ["MobileNet"]
        assert matching(shapes(applications.MobileNetV3Small(weights=None, minimalistic=True))) == ["MobileNetV3Small"]

    def test_near_misses_are_none(self) -> None:
        exact = shapes(mobilenet(keras))
        assert matching(exact) == ["MobileNetV2"]
        assert matching(exact[:-1]) == []
        assert matching([*exact, (5,)]) == []
        assert matching([(3, 3, 1, 16), *exact[1:]]) == []


class TestBuild:
    @pytest.mark.parametrize("options", [{"include_top": False}, {"classes": 5}])
    def test_with_and_without_top(self, options: dict[str, object]) -> None:
        wanted = shapes(applications.MobileNetV2(weights=None, alpha=0.5, **options))
        model = build("MobileNetV2", list(reversed(wanted)))
        assert shapes(model) == wanted
        assert model.input_shape == (None, 224, 224, 3)

    @pytest.mark.parametrize(("size", "expected"), [(64, 64), (100, 96)])
    def test_the_size_that_the_top_needs(self, size: int, expected: int) -> None:
        wanted = shapes(applications.VGG16(weights=None, input_shape=(size, size, 3), classes=2))
        model = build("VGG16", wanted)
        assert model.input_shape == (None, expected, expected, 3)
        assert shapes(model) == wanted

    def test_another_network_names_what_differs_and_what_fits(self) -> None:
        said = fails(build, "MobileNet", shapes(mobilenet(keras)))
        assert "the weights do not fit the architecture" in said
        assert "only in the file" in said
        assert "only in MobileNet" in said
        assert "MobileNetV2" in said

    def test_a_misspelt_network_names_the_nearest(self) -> None:
        assert "did you mean MobileNetV2" in fails(build, "MobilNetV2", shapes(mobilenet(keras)))


class TestDamaged:
    def test_a_weight_is_missing(self, tmp_path: Path) -> None:
        mobilenet().save_weights(tmp_path / "x.h5")
        with h5py.File(tmp_path / "x.h5", "a") as file:
            del file["Conv1/Conv1/kernel:0"]
        assert "Conv1/kernel:0" in fails(open_weights, tmp_path / "x.h5", "MobileNetV2")

    def test_a_weight_is_missing_in_the_newer_layout(self, tmp_path: Path) -> None:
        mobilenet(keras).save_weights(tmp_path / "x.weights.h5")
        with h5py.File(tmp_path / "x.weights.h5", "a") as file:
            del file["layers/conv2d_1/vars/0"]
        assert "only in MobileNetV2" in fails(open_weights, tmp_path / "x.weights.h5", "MobileNetV2")

    def test_layers_in_another_order_are_not_mixed_up(self, tmp_path: Path) -> None:
        mobilenet().save_weights(tmp_path / "x.h5")
        with h5py.File(tmp_path / "x.h5", "a") as file:
            names = [f"layer{number}" for number in range(len(file.attrs["layer_names"]))]
            for old, new in zip(file.attrs["layer_names"], names, strict=True):
                file.move(old, new)
            file.attrs["layer_names"] = [*names[:20], *reversed(names[20:])]
        assert "another order" in fails(open_weights, tmp_path / "x.h5", "MobileNetV2")

    def test_weights_for_theano_are_refused(self, tmp_path: Path) -> None:
        mobilenet().save_weights(tmp_path / "x.h5")
        with h5py.File(tmp_path / "x.h5", "a") as file:
            file.attrs["backend"] = "theano"
        assert "Theano" in fails(open_weights, tmp_path / "x.h5", "MobileNetV2")
