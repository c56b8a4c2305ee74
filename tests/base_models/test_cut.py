"""Where networks are cut."""

import keras
import numpy as np
import pytest

from graftwork.base_models.cut import cut
from graftwork.base_models.opened import OpenedModel
from graftwork.errors import UserError

from small_networks import network_with

layers = keras.layers


def opened(model: keras.Model) -> OpenedModel:
    return OpenedModel(model, "model.keras", "Keras archive", "")


class TestCut:
    def test_the_last_feature_map_before_pooling(self) -> None:
        model = network_with(layers.GlobalAveragePooling2D(), layers.Dense(4, activation="softmax"))
        assert cut(opened(model), "auto")[1] == "join"

    def test_squeeze_and_excitation_inside_a_block_is_no_end(self) -> None:
        model = network_with(layers.Conv2D(6, 3, name="last"), layers.Flatten(), layers.Dense(4))
        base, name = cut(opened(model), "auto")
        assert (name, base.output_shape) == ("last", (None, 6, 6, 6))

    def test_a_convolutional_classifier_after_pooling_is_not_cut_behind(self) -> None:
        # As MobileNetV3 does it: pooled to 1 x 1, classified by a convolution, flattened.
        top = [layers.GlobalAveragePooling2D(keepdims=True), layers.Conv2D(4, 1, name="classes"), layers.Flatten()]
        assert cut(opened(network_with(*top)), "auto")[1] == "join"

    def test_a_model_without_top_is_cut_at_its_end(self) -> None:
        assert cut(opened(network_with(layers.Conv2D(6, 3, name="last"))), "auto")[1] == "last"

    def test_a_base_inside_a_sequential(self) -> None:
        inner = network_with()
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
        base, name = cut(opened(network_with(*top)), "penultimate")
        assert (name, base.output_shape) == ("fc2", (None, 7))

    def test_any_layer_by_name(self) -> None:
        base, name = cut(opened(network_with(layers.Flatten(), layers.Dense(4))), "stem")
        assert (name, base.output_shape) == ("stem", (None, 8, 8, 8))

    def test_a_layer_of_a_model_inside_by_name(self) -> None:
        inner = network_with()
        inner.name = "inner"
        model = keras.Sequential([keras.Input((16, 16, 3)), inner, layers.Flatten(), layers.Dense(4)])
        base, name = cut(opened(model), "block")
        assert (name, base.output_shape) == ("block", (None, 8, 8, 8))
        image = np.random.default_rng(0).uniform(0, 1, (1, 16, 16, 3)).astype(np.float32)
        expected = keras.Model(inner.input, inner.get_layer("block").output)(image)
        np.testing.assert_allclose(base(image), expected, atol=1e-6)

    @pytest.mark.parametrize(("feature_layer", "expected"), [("auto", "join"), ("penultimate", "fc")])
    def test_a_whole_classifier_inside_another_model(self, feature_layer: str, expected: str) -> None:
        inner = network_with(
            layers.GlobalAveragePooling2D(), layers.Dense(7, name="fc"), layers.Dense(4, name="classes")
        )
        model = keras.Sequential([keras.Input((16, 16, 3)), layers.Rescaling(1 / 255), inner])
        assert cut(opened(model), feature_layer)[1] == expected

    def test_a_model_inside_that_is_nothing_but_the_classifier(self) -> None:
        inputs = keras.Input((8,))
        head = keras.Model(inputs, layers.Dense(4, name="classes")(inputs), name="head")
        model = network_with(layers.Flatten(name="flat"), layers.Dense(8, name="fc"), head)
        assert cut(opened(model), "penultimate")[1] == "fc"

    def test_an_unknown_layer_names_the_nearest(self) -> None:
        with pytest.raises(UserError, match=r"no layer named 'joint'[\s\S]*did you mean join"):
            cut(opened(network_with()), "joint")
