"""Split a network below its trained layers: what is frozen says the same about an image in every epoch."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from graftwork.networks.graph import Node, calls, unpacked, users
from graftwork.networks.layers import has_weights, leaf_layers

_RANDOM = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
)


@dataclass(frozen=True)
class Split:
    """A network in two parts.

    Attributes:
        trunk: From the input to the tensors that cross the cut; nothing in it is trained.
        suffix: From those tensors to the output. None of the trained layers is outside it.
        cut: Names of the layers whose outputs cross.
    """

    trunk: keras.Model
    suffix: keras.Model
    cut: tuple[str, ...]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the tensors that cross, of one image."""
        return [tuple(tensor.shape[1:]) for tensor in self.trunk.outputs]

    @property
    def trunk_operations(self) -> int:
        """About how many multiplications and additions the trunk's weights stand for, of one image.

        Each weight counts once for every place where it is used: exact for convolutions and dense layers.
        """
        return sum(
            math.prod(size or 1 for size in node.outputs[0].shape[1:-1]) * math.prod(weight.shape)
            for node in calls(self.trunk)
            for weight in getattr(node.layer, "weights", ())
        )


def split(network: keras.Model) -> Split:
    """Split a network at the highest place below every layer that is trained.

    Of every path from the input to the output, the trunk takes all calls before the first trained one. As many tensors
    cross as there are connections between the parts: one in a chain, more where the place lies inside a residual block.

    Random layers such as dropout that stand directly below trained layers go with those: they are for training. Others
    are followed by frozen weights; the trunk runs as in inference, where they do nothing.

    Args:
        network: An unrolled functional model, see `graph.unrolled`.

    Returns:
        Both parts; they share the layers of the network.
    """
    nodes = calls(network)
    trained: set[int] = set()  # ids of the tensors that depend on trained layers
    for node in nodes:
        if _is_trained(node.layer) or any(id(tensor) in trained for tensor in node.inputs):
            trained |= {id(tensor) for tensor in node.outputs}
    trained |= _kept_for_training(nodes, trained)
    needed = [tensor for node in nodes if id(node.outputs[0]) in trained for tensor in node.inputs]
    needed += network.outputs
    crossing = list({id(tensor): tensor for tensor in needed if id(tensor) not in trained}.values())
    trunk = keras.Model(network.inputs[0], crossing, name="trunk")
    suffix = _replayed(nodes, crossing, trained, network.outputs[0])
    return Split(trunk, suffix, tuple(str(tensor._keras_history.operation.name) for tensor in crossing))


def _replayed(nodes: Sequence[Node], crossing: list[Any], trained: Collection[int], output: Any) -> keras.Model:
    """Return the calls that depend on trained layers as a model of what crosses.

    Keras would make one too, but takes every call of a layer that crosses for an input, not that one call alone.
    """
    inputs = [keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype) for tensor in crossing]
    known = {id(tensor): entry for tensor, entry in zip(crossing, inputs, strict=True)}
    for node in nodes:
        if id(node.outputs[0]) in trained:
            args, kwargs = node.arguments.fill_in(known)
            known |= zip(map(id, node.outputs), keras.tree.flatten(node.layer(*args, **kwargs)), strict=True)
    return keras.Model(unpacked(inputs), known[id(output)], name="suffix")


def _is_trained(layer: Any) -> bool:
    return any(bool(getattr(leaf, "trainable_weights", ())) for leaf in leaf_layers(layer))


def _kept_for_training(nodes: list[Node], trained: Collection[int]) -> set[int]:
    """Return the ids of the outputs of random layers, and of what follows them, that only trained layers see."""
    takers = users(nodes)
    movable: set[int] = set()
    for node in reversed(nodes):
        output = id(node.outputs[0])
        above = takers.get(output, [])
        if output in trained or not above or has_weights(node.layer):
            continue
        if all(id(user.outputs[0]) in trained or id(user.outputs[0]) in movable for user in above):
            movable.add(output)
    kept: set[int] = set()
    for node in nodes:
        output = id(node.outputs[0])
        if output in movable and (isinstance(node.layer, _RANDOM) or any(id(tensor) in kept for tensor in node.inputs)):
            kept |= {id(tensor) for tensor in node.outputs}
    return kept
