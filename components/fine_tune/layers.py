"""Which layers of a base are trained on, and which stay as they are."""

import keras

from graftwork.config import Layers
from graftwork.errors import UserError
from graftwork.networks.layers import leaf_layers

PARTS = {"all": 1, "half": 2, "third": 3}
"""Into how many parts the layers are divided, of which the last is trained."""
_NEVER_TRAINED = (keras.layers.BatchNormalization, keras.layers.Normalization)


def trainable_layers(backbone: keras.Model) -> list[keras.Layer]:
    """Return the layers of a backbone that have weights to train, first to last.

    Layers of models inside it count one by one. Batch normalisation does not count: with its statistics taken from few
    new images a trained base forgets what it knows, so it stays in inference mode.
    """
    return [layer for layer in leaf_layers(backbone) if layer.weights and not isinstance(layer, _NEVER_TRAINED)]


def count_of(layers: Layers, total: int) -> int:
    """Return how many layers are meant, of so many; shares are rounded up."""
    return -(-total // PARTS[layers]) if isinstance(layers, str) else layers


def unfreeze_last(backbone: keras.Model, layers: Layers) -> int:
    """Freeze a backbone except for its last layers.

    Args:
        backbone: Changed in place.
        layers: How many of its trainable layers, or "all", "half" or "third" of them (rounded up).

    Returns:
        How many layers are trained.

    Raises:
        UserError: There are fewer.
    """
    candidates = trainable_layers(backbone)
    count = count_of(layers, len(candidates))
    if count > len(candidates):
        raise UserError(
            f"fine_tune.layers is {count}, more than the base has",
            {"layers with weights": f"{len(candidates)}, batch normalisation not counted"},
            next=f"give at most {len(candidates)}, or: --set fine_tune.layers=all",
        )
    backbone.trainable = True  # for the models inside; Keras freezes what lies in a frozen model
    chosen = {id(layer) for layer in candidates[len(candidates) - count :]}
    for layer in leaf_layers(backbone):
        layer.trainable = id(layer) in chosen
        for inner in layer._flatten_layers(include_self=False):  # of layers that are blocks
            if isinstance(inner, _NEVER_TRAINED):
                inner.trainable = False
    return count
