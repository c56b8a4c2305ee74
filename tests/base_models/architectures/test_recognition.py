"""Networks of keras.applications are recognised by what they are made of, and others are not."""

import keras
import pytest
import tf_keras

from graftwork.base_models.architectures.recognition import recognise
from graftwork.base_models.conversion.layer_names import LayerNames
from graftwork.base_models.formats.keras2.convert import convert
from graftwork.demo import efficientnet_lite0

from small_networks import with_other_names

layers, applications = keras.layers, keras.applications


def mobilenet(size: int = 32, **options: object) -> keras.Model:
    settings = {"alpha": 0.35, "include_top": False, "weights": None, **options}
    return with_other_names(applications.MobileNetV2(input_shape=(size, size, 3), **settings))


def vgg16(**options: object) -> keras.Model:
    return with_other_names(applications.VGG16(weights=None, **{"include_top": False, **options}))


def plain(widths: list[int], channels: int = 3) -> keras.Model:
    """Convolutions of 3 x 3 pixels with biases, one behind the other, as VGG has them."""
    convolutions = [layers.Conv2D(width, 3, padding="same", activation="relu") for width in widths]
    return keras.Sequential([keras.Input((32, 32, channels)), *convolutions])


def names(model: keras.Model) -> tuple[str, ...]:
    found = recognise(model)
    return found.names if found else ()


class TestKnown:
    def test_with_other_names(self) -> None:
        found = recognise(mobilenet())
        assert found is not None
        assert (found.names, found.found, found.total, found.complete) == (("MobileNetV2",), 52, 52, True)

    def test_with_its_classifier(self) -> None:
        assert names(mobilenet(include_top=True, classes=7)) == ("MobileNetV2",)

    def test_with_another_head(self) -> None:
        base = mobilenet()
        maps = layers.Conv2D(64, 3, activation="relu")(layers.UpSampling2D(4)(base.output))
        pooled = layers.BatchNormalization()(layers.GlobalAveragePooling2D()(maps))
        found = recognise(keras.Model(base.input, layers.Dense(4)(layers.Dense(32)(pooled))))
        assert found is not None
        assert found.complete

    def test_inside_another_model_behind_augmentation_and_preprocessing(self) -> None:
        front = [keras.Input((32, 32, 3)), layers.RandomFlip(), layers.Normalization(mean=[1] * 3, variance=[2] * 3)]
        model = keras.Sequential([*front, mobilenet(), layers.GlobalMaxPooling2D(), layers.Dense(3)])
        assert names(keras.Sequential([keras.Input((32, 32, 3)), model])) == ("MobileNetV2",)

    def test_inside_a_functional_model_called_twice(self) -> None:
        base = mobilenet()
        one, two = keras.Input((32, 32, 3)), keras.Input((32, 32, 3))
        apart = layers.Subtract()([base(one), base(two)])
        found = recognise(keras.Model([one, two], layers.Dense(1)(layers.Flatten()(apart))))
        assert found is not None
        assert (found.names, found.found) == (("MobileNetV2",), 52)

    def test_cut_in_the_middle(self) -> None:
        base = mobilenet()
        found = recognise(keras.Model(base.input, base.layers[len(base.layers) // 2].output))
        assert found is not None
        assert found.names == ("MobileNetV2",)
        assert not found.complete
        assert 0.3 < found.found / found.total < 0.7

    def test_cut_so_early_that_it_may_be_two(self) -> None:
        base = applications.VGG19(weights=None, include_top=False)
        found = recognise(keras.Model(base.input, base.get_layer("block3_conv3").output))
        assert found is not None
        assert (found.names, found.found, found.total) == (("VGG16", "VGG19"), 7, 13)

    def test_the_smaller_one_is_not_mistaken_for_the_larger(self) -> None:
        assert names(vgg16()) == ("VGG16",)
        assert names(with_other_names(applications.VGG19(weights=None, include_top=False))) == ("VGG19",)

    def test_out_of_keras_2(self) -> None:
        saved = tf_keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, include_top=False)
        assert names(with_other_names(convert(saved, LayerNames()))) == ("MobileNetV2",)

    def test_with_the_epsilon_of_old_keras(self) -> None:
        base = with_other_names(applications.ResNet50(weights=None, include_top=False))
        assert names(base) == ("ResNet50",)
        for layer in base.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.epsilon = 1e-3
        assert names(base) == ("ResNet50",)

    def test_without_its_preprocessing(self) -> None:
        model = applications.MobileNetV3Small(weights=None, include_top=False, include_preprocessing=False)
        assert names(with_other_names(model)) == ("MobileNetV3Small",)


class TestUnknown:
    def test_a_single_convolution_that_vgg_has_too(self) -> None:
        assert recognise(plain([64])) is None

    def test_the_first_half_of_a_u_net(self) -> None:
        assert recognise(plain([64, 64, 128, 128, 256, 256, 512, 512])) is None

    def test_another_network_that_begins_like_one(self) -> None:
        # EfficientNet-Lite0's first ten convolutions are MobileNetV2's.
        assert recognise(efficientnet_lite0.build()) is None

    def test_a_vgg13(self) -> None:
        assert recognise(plain([64, 64, 128, 128, 256, 256, 512, 512, 512, 512])) is None

    def test_grey_images(self) -> None:
        pixels = keras.Input((32, 32, 1))
        assert recognise(plain([64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512], channels=1)) is None
        colour = layers.Conv2D(3, 1)(pixels)
        assert recognise(keras.Model(pixels, mobilenet()(colour))) is None

    @pytest.mark.parametrize("setting", ["epsilon", "strides"])
    def test_a_network_of_the_same_weights_that_computes_otherwise(self, setting: str) -> None:
        # As MobileNetV2 is in PyTorch, whose pixels are preprocessed otherwise.
        base = mobilenet()
        for layer in base.layers:
            if setting == "epsilon" and isinstance(layer, layers.BatchNormalization):
                layer.epsilon = 1e-5
            if setting == "strides" and isinstance(layer, layers.DepthwiseConv2D):
                layer.strides = (1, 1)
        assert recognise(base) is None

    def test_squeeze_and_excitation_put_into_it(self) -> None:
        first, *others = [layers.Conv2D(width, 3, padding="same") for width in (64, 64, 128, 128, 256, 256, 256, 512)]
        pixels = keras.Input((32, 32, 3))
        maps = first(pixels)
        for convolution in others:
            gate = layers.Dense(maps.shape[-1], activation="sigmoid")(layers.GlobalAveragePooling2D()(maps))
            maps = convolution(layers.Multiply()([maps, layers.Reshape((1, 1, -1))(gate)]))
        assert recognise(keras.Model(pixels, maps)) is None

    def test_a_network_without_convolutions(self) -> None:
        assert recognise(keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(4)])) is None
