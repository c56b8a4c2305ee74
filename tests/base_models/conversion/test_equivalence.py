"""What the comparison of a converted model with the saved one finds out, and what it lets pass."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from graftwork.base_models.conversion.equivalence import require_finite_weights, require_same_outputs
from graftwork.errors import UserError, in_one_line


@pytest.fixture
def model() -> keras.Model:
    pixels = keras.Input((8, 8, 3))
    return keras.Model(pixels, keras.layers.Conv2D(2, 3, name="conv")(pixels))


class TestLessPrecision:
    def test_what_overflows_in_the_original_says_nothing(self, model: keras.Model) -> None:
        overflows = lambda batch: tf.where(batch[:, 1:7, 1:7, :2] > 100, np.inf, model(batch))  # noqa: E731
        assert require_same_outputs(overflows, model, 0.01) == 0
        with pytest.raises(UserError, match=r"difference +inf[\s\S]*allowed +1e-05"):
            require_same_outputs(overflows, model)

    def test_an_original_that_always_overflows_proves_nothing(self, model: keras.Model) -> None:
        with pytest.raises(UserError, match=r"difference +inf"):
            require_same_outputs(lambda batch: model(batch) * np.inf, model, 0.01)

    def test_the_new_model_may_not_overflow(self, model: keras.Model) -> None:
        pixels = keras.Input((8, 8, 3))
        overflowing = keras.Model(pixels, model(pixels) * keras.ops.exp(keras.ops.max(pixels)))
        with pytest.raises(UserError, match=r"difference +inf"):
            require_same_outputs(model, overflowing, 0.01)

    def test_the_tolerance_is_named(self, model: keras.Model) -> None:
        assert 0.005 < require_same_outputs(lambda batch: model(batch) * 1.009, model, 0.01) < 0.01
        with pytest.raises(UserError, match=r"allowed +0\.01"):
            require_same_outputs(lambda batch: model(batch) * 1.02, model, 0.01)


class TestNumbers:
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_layers_with_other_weights_are_named(self, model: keras.Model, value: float) -> None:
        require_finite_weights(model)
        model.get_layer("conv").bias.assign([0.0, value])
        with pytest.raises(UserError, match=r"weights are not numbers[\s\S]*layers +conv"):
            require_finite_weights(model)

    def test_layers_inside_models_and_wrappers(self) -> None:
        inner = keras.Sequential([keras.Input((8, 3)), keras.layers.Dense(2, name="dense")], name="inner")
        pixels = keras.Input((8, 8, 3))
        model = keras.Model(pixels, keras.layers.TimeDistributed(inner, name="rows")(pixels))
        require_finite_weights(model)
        inner.layers[0].kernel.assign(np.full((3, 2), np.nan))
        with pytest.raises(UserError, match=r"layers +rows"):
            require_finite_weights(model)


def test_what_another_package_says_fits_into_one_line() -> None:
    said = in_one_line(ValueError("Exception\n\n\x1b[1mbold\x1b[0m   words" + " and so on" * 100))
    assert said.startswith("Exception bold words and so on")
    assert len(said) == 300
