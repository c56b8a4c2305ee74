"""Which network of keras.applications a model is, told by its layers and not by their names.

What is compared are the layers with weights: their kind, the shapes of their weights, strides, dilation, epsilon, and
their depth: how many convolutions lie on the longest path from the input to them. Renaming, cutting, a new head and
nesting leave all of these as they are, and so does another order of parallel branches. Depth tells a VGG13 from a VGG16
with three layers missing, and the first half of a U-Net from a VGG.

The networks are in `table`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from graftwork.base_models.architectures.table import Level, Network, Shape, networks
from graftwork.networks.graph import Node, nested_calls
from graftwork.networks.layers import has_weights

_EVIDENCE = 7
"""So many convolutions make a network known. A VGG's first six are also those of many a small network."""
_HEAD = 0.5
"""So many convolutions, as a share of those found, may follow behind a network that was cut."""
_UNBRANCHED = 0.75
"""Share of the convolutions down to a depth that a model has to have. A cut loses branches of its last block only."""


@dataclass(frozen=True)
class Recognised:
    """What a model was recognised as.

    Attributes:
        names: As in keras.applications, the one of which most is there first. A network that was cut early may be
            several.
        found: How many of the first one's convolutional layers the model has.
        total: How many the first one has.
    """

    names: tuple[str, ...]
    found: int
    total: int

    def __str__(self) -> str:
        """As in "MobileNetV2 (all 52 layers)"; only layers that convolve are counted."""
        *others, last = self.names
        names = f"{', '.join(others)} or {last}" if others else last
        return f"{names} ({f'all {self.total}' if self.complete else f'{self.found} of {self.total}'} layers)"

    @property
    def complete(self) -> bool:
        """Whether all of it is there."""
        return self.found == self.total


def recognise(model: keras.Model) -> Recognised | None:
    """Return which network of keras.applications a model is, or was before it was cut and given another top.

    Args:
        model: Functional or Sequential; models inside it are looked into. Its layers must be those of the network from
            the first convolution on, down to where it was cut; a head may come behind.

    Returns:
        None if it is none of them, has other input channels, or so little of it is left that it could be anything.
    """
    levels = levels_of(model)
    found = {id(network): _explained(levels, network) for network in networks()}
    most = max(found.values())
    if most < _EVIDENCE:
        return None
    best = [network for network in networks() if found[id(network)] == most]
    best.sort(key=lambda network: network.convolutions)
    others = sum(level.convolutions.total() for level in levels) - most
    if most < best[0].convolutions and others > _HEAD * most:
        return None  # another network that begins like this one
    return Recognised(tuple(dict.fromkeys(network.name for network in best)), most, best[0].convolutions)


def levels_of(model: keras.Model) -> list[Level]:
    """Return a model's layers with weights by their depth; a layer that is called twice counts where it comes first."""
    depths = {id(tensor): 0 for tensor in model.inputs}
    levels = [Level(Counter(), Counter())]
    met = set()
    for node in nested_calls(model):
        depth = max(depths[id(tensor)] for tensor in node.inputs)
        if has_weights(node.layer) and not isinstance(node.layer, keras.layers.Normalization):
            convolves = _convolves(node)
            depth += convolves
            if id(node.layer) not in met:
                met.add(id(node.layer))
                levels += [Level(Counter(), Counter()) for _ in range(depth + 1 - len(levels))]
                (levels[depth].convolutions if convolves else levels[depth].others)[describe(node.layer)] += 1
        depths |= {id(tensor): depth for tensor in node.outputs}
    return levels


def describe(layer: Any) -> str:
    """Return a layer in one line: its class, the shapes of its weights, what else tells it from others like it.

    For example "Conv2D 3x3x3x64 64 /2" for a stride of 2, "*2" for a dilation, "BatchNormalization 64 64 64 64 e0.001".
    """
    parts = [type(layer).__name__, *(_text(tuple(weight.shape)) for weight in layer.weights)]
    for sign, sizes in (("/", getattr(layer, "strides", 1)), ("*", getattr(layer, "dilation_rate", 1))):
        sides = list(sizes) if isinstance(sizes, (tuple, list)) else [sizes]
        if set(sides) != {1}:
            parts.append(sign + "x".join(map(str, sides if len(set(sides)) > 1 else sides[:1])))
    if hasattr(layer, "epsilon"):
        parts.append(f"e{layer.epsilon:.4g}")
    return " ".join(parts)


def _convolves(node: Node) -> bool:
    dense = isinstance(node.layer, keras.layers.Dense) and len(node.inputs[0].shape) == 4
    return hasattr(node.layer, "kernel_size") or dense


def _explained(levels: Sequence[Level], network: Network) -> int:
    """Return how many convolutions of a model are a network's, from its input on down to the first that is not.

    What follows the last of them may be a head's.
    """
    found = possible = 0
    for level, known in zip(levels, network.levels, strict=False):
        if not level.convolutions <= known.convolutions:
            break
        found += level.convolutions.total()
        possible += known.convolutions.total()
        if not level.others <= known.others:
            break
    return found if found >= _UNBRANCHED * possible else 0


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"
