"""A network as a person sees it: blocks of layers, each at one resolution."""

from dataclasses import dataclass
from typing import Any

import keras

from graftwork.networks.graph import bottlenecks, nested_calls
from graftwork.networks.layers import has_weights, leaf_layers


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
    nodes = nested_calls(model)
    places = bottlenecks(nodes, model.outputs[0])
    for node in nodes:
        pending += [layer for layer in leaf_layers(node.layer) if id(layer) not in counted]
        counted |= {id(layer) for layer in leaf_layers(node.layer)}
        if id(node) not in places:
            continue
        output = tuple(node.outputs[0].shape[1:])
        weighted = [layer for layer in [*merged, *pending] if has_weights(layer)]
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


def _parameters(layers: list[Any]) -> int:
    return sum(layer.count_params() for layer in layers)
