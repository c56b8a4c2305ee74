"""Activations that Keras 3 has under the same name and with another formula."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("graftwork")
def hard_sigmoid_of_keras_2(x: Any) -> Any:
    """Return clip(0.2 x + 0.5, 0, 1); the slope of Keras 3's is 1/6."""
    return keras.activations.hard_sigmoid(1.2 * x)
