"""Write graftwork/base_models/architectures/architectures.json: what the networks of keras.applications are made of.

    python tests/architectures/write_table.py

Builds each of them without weights, twice, with its top and without; takes about five minutes and 4 GB. To be run again
when Keras has further ones. Each kind of layer is described once, in "layers"; the "levels" of a network hold numbers,
and table.py says what they are.
"""

import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras

from graftwork.base_models.architectures.applications import application_names
from graftwork.base_models.architectures.recognition import describe, levels_of
from graftwork.base_models.architectures.table import CLASSES, FLAT, TABLE
from graftwork.networks.layers import leaf_layers

ANY_CLASSES = 1009
"""A number that is no other size in any network."""

Options = dict[str, Any]

WIDTHS: dict[str, list[Options]] = {
    "MobileNet": [{"alpha": alpha} for alpha in (1.0, 0.75, 0.5, 0.25)],
    "MobileNetV2": [{"alpha": alpha} for alpha in (1.0, 1.4, 1.3, 0.75, 0.5, 0.35)],
    **{
        name: [{"alpha": 1.0}, {"alpha": 0.75}, {"minimalistic": True}]
        for name in ("MobileNetV3Large", "MobileNetV3Small")
    },
}
"""Those for which there are ImageNet weights."""

OLD_EPSILON = {"ResNet50": "e0.001"}
"""The ResNet50 of Keras 1.0 to 2.2 is today's but for the epsilon of its batch normalisation."""


def networks() -> Iterator[tuple[str, Options]]:
    for name in application_names():
        for options in WIDTHS.get(name, [{}]):
            yield name, options


def shapes(model: keras.Model) -> Counter[tuple[int, ...]]:
    return Counter(tuple(weight.shape) for weight in model.weights)


def entry(name: str, options: Options) -> tuple[dict[str, Any], list[list[str]]]:
    """Return a network's entry, and the descriptions of its layers by depth."""
    constructor = getattr(keras.applications, name)
    whole = constructor(weights=None, classes=ANY_CLASSES, **options)
    size = whole.input_shape[1] or 224  # MobileNetV3 takes any
    base = constructor(weights=None, include_top=False, input_shape=(size, size, 3), **options)
    flat = math.prod(base.output_shape[1:])
    variable = {ANY_CLASSES: CLASSES, **({flat: FLAT} if name.startswith("VGG") else {})}
    top = [[variable.get(size, size) for size in shape] for shape in (shapes(whole) - shapes(base)).elements()]
    assert not shapes(base) - shapes(whole)
    levels = [[*level.convolutions.elements(), *level.others.elements()] for level in levels_of(base)]
    levels[0] += [
        describe(layer)
        for layer in leaf_layers(base)
        if isinstance(layer, keras.layers.Normalization) and layer.weights
    ]
    return {"name": name, "options": options, "size": size, "top": top}, levels


def main() -> None:
    numbers: dict[str, int] = {}

    def number(described: str) -> int:
        return numbers.setdefault(described, len(numbers))

    entries = []
    for name, options in networks():
        found, levels = entry(name, options)
        entries.append(found | {"levels": [[number(layer) for layer in level] for level in levels]})
        if name in OLD_EPSILON and not options:
            old = [[layer.replace("e1.001e-05", OLD_EPSILON[name]) for layer in level] for level in levels]
            entries.append(found | {"levels": [[number(layer) for layer in level] for level in old]})
        keras.utils.clear_session()
        print(name, options, len(levels), flush=True)
    lines = [json.dumps(entry, separators=(",", ":")) for entry in entries]
    layers = json.dumps(list(numbers), separators=(",", ":"))
    TABLE.write_text('{"networks":[\n' + ",\n".join(lines) + '\n],\n"layers":' + layers + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
