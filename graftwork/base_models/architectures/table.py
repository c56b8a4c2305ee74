"""What the networks of keras.applications are made of, out of architectures.json.

That is what tests/architectures/write_table.py writes. A layer is described in one line, see `recognition.describe`.
"""

import functools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("architectures.json")
CLASSES, FLAT = "classes", "flat"
"""In the shapes of a top: the number of classes, and the values of the last feature map."""
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense")
"""Dense layers as ConvNeXt has them, on feature maps: a network's own, without its top, has no others."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Level:
    """The layers at one depth, as `describe` has them.

    Attributes:
        convolutions: Those that make the depth.
        others: Those with weights that follow before the next convolution, as normalisation does.
    """

    convolutions: Counter[str]
    others: Counter[str]


@dataclass(frozen=True)
class Network:
    """A network of keras.applications.

    Attributes:
        name: Its constructor.
        options: Arguments of the constructor other than the defaults.
        size: Height and width in pixels that it has by default.
        levels: Its layers without its top, by depth; first those before the first convolution.
        shapes: Of their weights.
        top: Shapes of the weights of its top, with CLASSES and FLAT for what varies.
    """

    name: str
    options: Mapping[str, Any]
    size: int
    levels: tuple[Level, ...]
    shapes: Counter[Shape]
    top: tuple[tuple[int | str, ...], ...]

    @property
    def convolutions(self) -> int:
        """How many convolutional layers it has."""
        return sum(level.convolutions.total() for level in self.levels)


@functools.cache
def networks() -> tuple[Network, ...]:
    """Return every network in the table."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    return tuple(_network(entry, table["layers"]) for entry in table["networks"])


def _network(entry: Mapping[str, Any], layers: Sequence[str]) -> Network:
    levels = [[layers[number] for number in level] for level in entry["levels"]]
    shapes = Counter(shape for level in levels for layer in level for shape in _shapes(layer))
    top = tuple(map(tuple, entry["top"]))
    return Network(entry["name"], entry["options"], entry["size"], tuple(map(_level, levels)), shapes, top)


def _level(layers: Sequence[str]) -> Level:
    convolutions = Counter(layer for layer in layers if layer.split()[0] in _CONVOLUTIONS)
    return Level(convolutions, Counter(layers) - convolutions)


def _shapes(described: str) -> Iterator[Shape]:
    """Yield the shapes of the weights out of a description."""
    for part in described.split()[1:]:
        if part == "scalar":
            yield ()
        elif part[0].isdigit():
            yield tuple(map(int, part.split("x")))
