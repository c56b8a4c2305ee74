"""What the pixels need is found by what a model does to them before its first weights, and never guessed."""

from collections.abc import Callable

import keras
import numpy as np
import pytest

from graftwork.artifacts.saved_function import SavedFunction
from graftwork.base_models.opened import OpenedModel
from graftwork.base_models.preprocessing import find_preprocessing
from graftwork.config import ScaleOffset
from graftwork.errors import UserError

layers, ops = keras.layers, keras.ops

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
CAFFE_MEAN = np.array([103.939, 116.779, 123.68], np.float32)

Front = Callable[[keras.KerasTensor], keras.KerasTensor]


def opened(model: keras.Model) -> OpenedModel:
    return OpenedModel(model, "model.keras", "Keras archive", "")


def found(model: keras.Model) -> str | ScaleOffset:
    return find_preprocessing(opened(model), None)[0]


def how(model: keras.Model) -> str:
    return find_preprocessing(opened(model), None)[1]


def looked_at(model: keras.Model) -> str:
    """Return what an error says of a model whose preprocessing is not known."""
    with pytest.raises(UserError, match="preprocessing is not known") as raised:
        find_preprocessing(opened(model), None)
    return raised.value.facts["looked at"]


def behind(front: Front, **input: object) -> keras.Model:
    """A convolution behind something that is done to the pixels."""
    pixels = keras.Input((16, 16, 3), **input)
    return keras.Model(pixels, layers.Conv2D(4, 1)(front(pixels)))


def mobilenet() -> keras.Model:
    return keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, weights=None)


def sequential(*stack: keras.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((32, 32, 3)), *stack])


def test_what_the_user_says_counts() -> None:
    given = ScaleOffset(scale=2.0, offset=1.0)
    assert find_preprocessing(opened(behind(layers.Rescaling(1 / 255))), given) == (given, "given")


def test_never_guessed() -> None:
    with pytest.raises(UserError) as raised:
        find_preprocessing(opened(behind(lambda pixels: pixels)), None)
    message = str(raised.value)
    assert "model.keras (Keras archive, " in message
    assert "rescale-0-1, rescale-pm1, imagenet-caffe, imagenet-torch" in message


class TestInside:
    """Arithmetic in front that makes of [0, 255] what networks are trained on."""

    @pytest.mark.parametrize(
        "front",
        [
            layers.Rescaling(1 / 255),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Rescaling(1 / 128, offset=-1),
            layers.Normalization(mean=MEAN * 255, variance=(STD * 255) ** 2),
            lambda pixels: pixels / 127.5 - 1.0,
            lambda pixels: 1 - pixels / 255,
            lambda pixels: ops.clip(pixels, 0, 255) / 255,
            lambda pixels: (pixels / 255 - MEAN) / STD,
            lambda pixels: pixels - CAFFE_MEAN,
            lambda pixels: pixels[..., ::-1] - CAFFE_MEAN,
            lambda pixels: ops.image.rgb_to_grayscale(pixels) / 255,
            lambda pixels: layers.Rescaling(1 / 255)(layers.ZeroPadding2D()(pixels)),
            lambda pixels: layers.Rescaling(1 / 255)(layers.Resizing(8, 8)(pixels)),
            lambda pixels: layers.Reshape((1, 1, -1))(layers.Flatten()(pixels / 255)),
        ],
    )
    def test_found(self, front: Front) -> None:
        assert found(behind(front)) == "none"

    def test_the_layer_that_does_it_is_named(self) -> None:
        front = [layers.RandomFlip(), layers.Rescaling(1.0), layers.Rescaling(1 / 255, name="scale")]
        assert how(sequential(*front, mobilenet())) == "inside the model (Rescaling layer 'scale')"

    @pytest.mark.parametrize("size", [(None, None, 3), (16, 16, 1)])
    def test_for_images_of_any_size_and_grey_ones(self, size: tuple[int | None, ...]) -> None:
        pixels = keras.Input(size)
        assert found(keras.Model(pixels, layers.Conv2D(4, 1)(pixels / 255))) == "none"

    @pytest.mark.parametrize("dtype", ["uint8", "float16"])
    def test_for_pixels_of_another_type(self, dtype: str) -> None:
        assert found(behind(layers.Rescaling(1 / 255), dtype=dtype)) == "none"

    def test_for_batches_of_one_size(self) -> None:
        pixels = keras.Input(batch_shape=(4, 16, 16, 3))
        assert found(keras.Model(pixels, layers.Conv2D(4, 1)(pixels / 255))) == "none"

    def test_in_a_model_in_front(self) -> None:
        front = keras.Sequential([layers.RandomFlip(), layers.Rescaling(1 / 127.5, offset=-1)])
        assert found(sequential(front, mobilenet())) == "none"

    def test_at_the_beginning_of_a_model_inside(self) -> None:
        inner = sequential(layers.Rescaling(1 / 255), layers.Conv2D(4, 3))
        assert found(sequential(keras.Sequential([layers.RandomFlip()]), inner)) == "none"

    def test_in_parts_outside_and_inside_a_model(self) -> None:
        inner = sequential(layers.Rescaling(2.0, offset=-1), layers.Conv2D(4, 3))
        assert found(sequential(layers.Rescaling(1 / 255), inner)) == "none"

    def test_on_every_path(self) -> None:
        def both(pixels: keras.KerasTensor) -> keras.KerasTensor:
            return layers.Concatenate()([pixels / 255, pixels / 127.5 - 1])

        assert found(behind(both)) == "none"

    def test_whatever_the_network_behind_it_is(self) -> None:
        # It was trained on what the layer makes, whatever keras.applications would put there.
        assert found(sequential(layers.Rescaling(1 / 255), mobilenet())) == "none"


class TestPixelsIn01:
    """Arithmetic in front that makes of [0, 1] what networks are trained on."""

    @pytest.mark.parametrize(
        "front",
        [
            layers.Rescaling(2.0, offset=-1.0),
            layers.Rescaling(255.0),
            layers.Normalization(mean=MEAN, variance=STD**2),
            lambda pixels: pixels - 0.5,
            lambda pixels: 1 - pixels,
            lambda pixels: ops.clip(pixels, 0, 1),
            lambda pixels: (pixels * 255)[..., ::-1] - CAFFE_MEAN,
        ],
    )
    def test_found(self, front: Front) -> None:
        assert found(behind(front)) == "rescale-0-1"

    def test_said(self) -> None:
        expected = "inside the model (Rescaling layer 'scale'), which takes pixels in [0, 1]"
        assert how(behind(layers.Rescaling(2.0, offset=-1.0, name="scale"))) == expected

    def test_not_for_whole_numbers(self) -> None:
        assert "-1 to 509" in looked_at(behind(layers.Rescaling(2.0, offset=-1.0), dtype="uint8"))


class TestNotKnown:
    """Arithmetic in front that does not tell what it is for."""

    @pytest.mark.parametrize(
        "front",
        [
            layers.Rescaling(0.5),
            layers.Rescaling(2.0),
            layers.Rescaling(1 / 65535),
            layers.Add(name="twice"),
            lambda pixels: (pixels + 1) / 2,
            lambda pixels: pixels * 0.0,
            lambda pixels: pixels[..., ::-1],
            lambda pixels: pixels * 255 / 255,
            lambda pixels: layers.Concatenate()([pixels, pixels / 255]),
            lambda pixels: layers.Multiply()([pixels, layers.AveragePooling2D(1)(pixels)]),
            lambda pixels: (pixels - ops.mean(pixels, axis=(1, 2, 3), keepdims=True)) / ops.std(pixels),
        ],
    )
    def test_refused(self, front: Front) -> None:
        model = behind((lambda pixels: front([pixels, pixels])) if isinstance(front, layers.Add) else front)
        assert "arithmetic inside the model" in looked_at(model)

    def test_what_it_does_is_said(self) -> None:
        said = looked_at(behind(layers.Rescaling(0.5, name="half")))
        assert said.startswith("arithmetic inside the model (Rescaling layer 'half'): it makes 0 to 127.5")

    def test_though_the_network_behind_it_is(self) -> None:
        # Turned by the model and once more by imagenet-caffe, the colours would be wrong again.
        turned = keras.Input((32, 32, 3))
        model = keras.applications.VGG16(weights=None, include_top=False)
        assert "GetItem" in looked_at(keras.Model(turned, model(turned[..., ::-1])))


class TestNotInside:
    """What changes no pixels, or comes behind the first weights."""

    @pytest.mark.parametrize(
        "front",
        [
            layers.Rescaling(1.0),
            layers.ZeroPadding2D(2),
            layers.GaussianNoise(0.1),
            layers.Normalization(mean=[0.0] * 3, variance=[1.0] * 3),
            layers.BatchNormalization(),
            lambda pixels: pixels + 0.0,
            lambda pixels: layers.Concatenate()([pixels, ops.zeros_like(pixels) + 3.0]),
            lambda pixels: layers.RandomBrightness(0.5)(pixels, training=True),
            lambda pixels: layers.Multiply()([pixels, layers.Conv2D(3, 1, activation="sigmoid")(pixels)]),
        ],
    )
    def test_nothing_is_found(self, front: Front) -> None:
        assert "no known architecture" in looked_at(behind(front))

    def test_augmentation_in_front_is_passed_through(self) -> None:
        front = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomContrast(0.2)])
        assert found(sequential(front, mobilenet())) == "rescale-pm1"

    @pytest.mark.parametrize("trainable", [True, False])
    def test_behind_weights_that_are_frozen_or_not(self, trainable: bool) -> None:
        model = behind(lambda pixels: layers.Rescaling(1 / 255)(layers.Conv2D(4, 3)(pixels)))
        model.trainable = trainable
        assert "no known architecture" in looked_at(model)

    def test_a_frozen_network_is_still_known(self) -> None:
        base = mobilenet()
        base.trainable = False
        known = ("rescale-pm1", "known for MobileNetV2 (all 52 layers)")
        assert find_preprocessing(opened(base), None) == known
        assert find_preprocessing(opened(sequential(base, layers.GlobalAveragePooling2D())), None) == known

    def test_a_function_of_constants_counts_as_weights(self) -> None:
        layer = SavedFunction.from_function(lambda pixels: pixels / 255, (16, 16, 3), "constants", "function")
        pixels = keras.Input((16, 16, 3))
        assert "no known architecture" in looked_at(keras.Model(pixels, layer(pixels)))
