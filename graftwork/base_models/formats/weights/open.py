"""A network of keras.applications with the weights of a file.

A network that was saved inside another model, with a head behind it, is taken out of it.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from graftwork.base_models.formats.kind import Kind
from graftwork.base_models.formats.weights.fitting import build, matching
from graftwork.base_models.formats.weights.layouts import (
    SavedLayer,
    all_layers,
    has_names,
    is_weights_file,
    named_layers,
    numbered_layers,
    require_tensorflow_order,
    shapes_in,
)
from graftwork.base_models.opened import OpenedModel, Request
from graftwork.base_models.safety.files import check_hdf5
from graftwork.errors import UserError
from graftwork.networks.layers import leaf_layers

_STD = (0.229, 0.224, 0.225)
"""Standard deviations of ImageNet's training images, of pixels in [0, 1]."""
_OLD_RESNET = re.compile(r"(res|bn)(\d)([a-z])_branch(1|2[abc])")
"""Names in the ResNet50 of Keras 1.0 to 2.2, as in "res2a_branch2b"."""
_OLD_EPSILON = 1e-3


def open_weights(path: Path, architecture: str) -> keras.Model:
    """Build a network of keras.applications with the weights of a file.

    Every weight of the file goes into one of the network, and every weight of the network comes from the file.

    Args:
        path: See `is_weights_file`.
        architecture: Name of the network.

    Raises:
        UserError: There is no such network, it does not fit the file, or the file's layers are in an order that is not
            the network's.
    """
    with h5py.File(path) as file:
        require_tensorflow_order(file)
        saved = all_layers(file)
        model = build(architecture, [shape for layer in saved for shape in layer.shapes])
        pairs = _pairs(file, model)
        if pairs is None:
            facts = {"architecture": architecture, "layers with weights": len(saved)}
            next = "save the whole model where it was made:  model.save(...)"
            raise UserError("the weights lie in the file in another order than the architecture's layers", facts, next)
        for layer, source in pairs:
            arrays = _as_trained(layer, [array[()] for array in source.arrays])
            layer.load_own_variables({str(number): array for number, array in enumerate(arrays)})
        if _is_old_resnet(saved):
            for layer in leaf_layers(model):
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.epsilon = _OLD_EPSILON
    return model


Pairs = list[tuple[keras.layers.Layer, SavedLayer]]


def _pairs(file: h5py.File, model: keras.Model) -> Pairs | None:
    """Return every layer of a model that has weights with its weights in the file; None if they do not correspond."""
    if has_names(file):
        pairs = _by_name(list(named_layers(file)), [layer for layer in leaf_layers(model) if layer.weights])
        return pairs if pairs is not None and _is_fitting(pairs) else None
    saved, layers = numbered_layers(file), _numbered_in(model)
    for found in (saved, _without_outer(saved)):
        if {kind: len(same) for kind, same in found.items()} == {kind: len(same) for kind, same in layers.items()}:
            pairs = [pair for kind in layers for pair in zip(layers[kind], found[kind], strict=True)]
            if _is_fitting(pairs):
                return pairs
    return None


def _by_name(saved: list[SavedLayer], layers: list[keras.layers.Layer]) -> Pairs | None:
    """Pair layers by their names, or by their order where the file has other names."""
    if len(saved) != len(layers):
        return None
    named = {_name_of_today(layer.name) if _is_old_resnet(saved) else layer.name: layer for layer in saved}
    if set(named) == {layer.name for layer in layers}:
        return [(layer, named[layer.name]) for layer in layers]
    # A Normalization, which counts, has nothing to train: of a model inside, it is saved last.
    saved = sorted(saved, key=lambda layer: () in layer.shapes)
    layers = sorted(layers, key=lambda layer: isinstance(layer, keras.layers.Normalization))
    return list(zip(layers, saved, strict=True))


def _is_fitting(pairs: Pairs) -> bool:
    return all([tuple(weight.shape) for weight in layer.weights] == saved.shapes for layer, saved in pairs)


def _is_old_resnet(saved: Sequence[SavedLayer]) -> bool:
    return any(_OLD_RESNET.fullmatch(layer.name) for layer in saved)


def _name_of_today(name: str) -> str:
    parts = _OLD_RESNET.fullmatch(name)
    if parts is None:
        return {"conv1": "conv1_conv", "bn_conv1": "conv1_bn", "fc1000": "predictions"}.get(name, name)
    kind, stage, block, branch = parts.groups()
    number = {"1": 0, "2a": 1, "2b": 2, "2c": 3}[branch]
    return f"conv{stage}_block{ord(block) - ord('a') + 1}_{number}_{'conv' if kind == 'res' else 'bn'}"


def _numbered_in(model: keras.Model) -> dict[str, list[Any]]:
    """Return a model's layers with weights by their class, with the keys of `numbered_layers`."""
    by_class: dict[str, list[Any]] = defaultdict(list)
    for layer in model.layers:
        if layer.weights:
            by_class[type(layer).__name__.lower()].append(layer)
    found: dict[str, list[Any]] = {}
    for kind, layers in by_class.items():
        for place, layer in enumerate(layers):
            if isinstance(layer, keras.Model):
                found |= {f"{kind}.{place}/{inner}": same for inner, same in _numbered_in(layer).items()}
            else:
                found.setdefault(kind, []).append(layer)
    return found


def _without_outer(saved: Mapping[str, list[SavedLayer]]) -> dict[str, list[SavedLayer]]:
    """Return the layers as they are numbered where the largest model inside stands alone, with those behind it last."""
    inside: Counter[str] = Counter()
    for kind, layers in saved.items():
        if "/" in kind:
            inside[kind.partition("/")[0]] += len(layers)
    if not inside:
        return dict(saved)
    prefix = f"{inside.most_common(1)[0][0]}/"
    found = {kind.removeprefix(prefix): layers for kind, layers in saved.items() if kind.startswith(prefix)}
    for kind, layers in saved.items():
        if not kind.startswith(prefix):
            found[kind] = [*found.get(kind, []), *layers]
    return found


def _as_trained(layer: keras.layers.Layer, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Return a layer's weights as the network was trained with them.

    The EfficientNets' ImageNet weights hold standard deviations where the layer expects variances. Keras makes up for
    that with a further Rescaling, but in networks that are built with their ImageNet weights only.
    """
    if isinstance(layer, keras.layers.Normalization) and np.allclose(arrays[1], _STD):
        return [arrays[0], np.square(arrays[1]), *arrays[2:]]
    return arrays


def _open_weights(path: Path, request: Request, saved_by: str) -> OpenedModel:
    if request.architecture:
        return OpenedModel(open_weights(path, request.architecture))
    fitting = matching(shapes_in(path))
    facts = {"architectures that fit": ", ".join(fitting) or "none of keras.applications"}
    advice = f"pass the one it is:  --architecture {fitting[0]}" if fitting else "save the whole model: model.save(...)"
    raise UserError("the base model's file holds weights only, no architecture", facts, advice)


KIND = Kind("weights only", is_weights_file, _open_weights, check=check_hdf5)
