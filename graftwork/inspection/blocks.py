"""A network as a person sees it: blocks of layers, each at one resolution."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras

from graftwork.artifacts.model import leaf_layers
from graftwork.networks.graph import Node, bottlenecks, calls


@dataclass(frozen=True)
class Block:
    """A stretch of a network between two places where a single tensor passes.

    Attributes:
        last: The layer it ends with, where the network could be cut.
        layers: How many layers with weights it has.
        parameters: How many numbers they hold.
        output: Shape of what comes out, without the batch: (height, width, channels), (tokens, d) or (d,).
    """

    last: str
    layers: int
    parameters: int
    output: tuple[int | None, ...]


def blocks(model: keras.Model) -> list[Block]:
    """Divide a network into blocks: what has the same resolution belongs together.

    Layers without weights at a new resolution, such as padding and pooling, belong to what follows.

    Args:
        model: Functional or sequential. A model that is called inside counts as its layers.
    """
    found: list[Block] = []
    pending: list[Any] = []  # layers since the last place to cut, each once
    merged: list[Any] = []
    counted: set[int] = set()
    for node, is_place in _places(model):
        pending += [layer for layer in leaf_layers(node.layer) if id(layer) not in counted]
        counted |= {id(layer) for layer in leaf_layers(node.layer)}
        if not is_place:
            continue
        output = tuple(node.outputs[0].shape[1:])
        weighted = [layer for layer in [*merged, *pending] if getattr(layer, "weights", None)]
        if found and output[:-1] == found[-1].output[:-1] and len(output) == len(found[-1].output):
            last = found.pop()
            parameters = last.parameters + _parameters(weighted)
            found.append(Block(str(node.layer.name), last.layers + len(weighted), parameters, output))
        elif weighted:
            found.append(Block(str(node.layer.name), len(weighted), _parameters(weighted), output))
        else:
            merged += pending
            pending = []
            continue
        merged, pending = [], []
    return found


def _places(model: keras.Model) -> Iterator[tuple[Node, bool]]:
    """Yield the calls of a network, those of inner models that everything passes through in their place, and whether a
    single tensor passes behind each."""
    functional = keras.Model(model.inputs, model.outputs)
    nodes = calls(functional)
    single = bottlenecks(nodes, {id(model.outputs[0])})
    for node in nodes:
        if not node.inputs:
            continue
        if isinstance(node.layer, keras.Model) and id(node) in single:
            yield from _places(node.layer)
        else:
            yield node, id(node) in single


def _parameters(layers: list[Any]) -> int:
    return sum(layer.count_params() for layer in layers)
