"""Files that hold weights and no architecture: which networks they fit, and such a network with the weights inside.

Three layouts are read: the legacy one of Keras 1 and 2 (`save_weights("x.h5")`), where layers have their names; that of
Keras 2.12 and 2.13 and that of all later ones (`save_weights("x.weights.h5")`), where they are numbered by class. A
network that was saved inside another model, with a head behind it, is taken out of it.
"""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from graftwork.artifacts.model import leaf_layers
from graftwork.base_models.applications import require_known
from graftwork.base_models.hdf5 import text
from graftwork.base_models.structure import CLASSES, FLAT, Network, Shape, networks
from graftwork.errors import UserError

_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
_NUMBER = re.compile(r"_(\d+)$")
_SHRINK = 32
"""Pixels to a side of the input for each of the last feature map, in networks that flatten it."""
_STD = (0.229, 0.224, 0.225)
"""Standard deviations of ImageNet's training images, of pixels in [0, 1]."""
_OLD_RESNET = re.compile(r"(res|bn)(\d)([a-z])_branch(1|2[abc])")
"""Names in the ResNet50 of Keras 1.0 to 2.2, as in "res2a_branch2b"."""
_OLD_EPSILON = 1e-3


@dataclass(frozen=True)
class Fit:
    """How a network has to be built to have weights of given shapes.

    Attributes:
        network: Which.
        classes: Of its top; None without a top.
        flat: Values of the last feature map; 0 where its top does not depend on it.
    """

    network: Network
    classes: int | None = None
    flat: int = 0

    @property
    def shapes(self) -> Counter[Shape]:
        """The shapes of its weights."""
        if self.classes is None:
            return self.network.shapes
        sizes = {CLASSES: self.classes, FLAT: self.flat}
        top = [[size if isinstance(size, int) else sizes[size] for size in shape] for shape in self.network.top]
        return self.network.shapes + Counter(map(tuple, top))


@dataclass(frozen=True)
class _Saved:
    """The weights of one layer in a file.

    Attributes:
        name: The layer's name, or "" in a layout that keeps none.
        arrays: In the layer's own order.
    """

    name: str
    arrays: tuple[h5py.Dataset, ...]

    @property
    def shapes(self) -> list[Shape]:
        return [tuple(array.shape) for array in self.arrays]


def is_weights_file(path: Path) -> bool:
    """Return whether a file is HDF5 with weights of Keras and without an architecture."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    with h5py.File(path) as file:
        return "model_config" not in file.attrs and (_has_names(file) or bool(_numbered_layers(file)))


def shapes_in(path: Path) -> list[Shape]:
    """Return the shapes of the weights in a file, without those of an optimizer; the arrays are not read."""
    with h5py.File(path) as file:
        return [shape for layer in _all_layers(file) for shape in layer.shapes]


def matching(shapes: Sequence[Shape]) -> list[str]:
    """Return the networks of keras.applications whose weights, with or without their top, have exactly these shapes."""
    return list(dict.fromkeys(fit.network.name for fit in _fits(shapes)))


def build(name: str, shapes: Sequence[Shape]) -> keras.Model:
    """Build a network of keras.applications so that its weights have given shapes.

    Args:
        name: As in keras.applications.
        shapes: Of the weights, in any order. They decide on top or no top, the number of classes, the width of a
            MobileNet, and the input size of a network whose top depends on it; else the size is the network's own.

    Returns:
        The network with random weights, for RGB images.

    Raises:
        UserError: There is no such network, or it has no such weights.
    """
    require_known(name, "the architecture does not exist", {"architecture": name})
    fit = next((fit for fit in _fits(shapes) if fit.network.name == name), None)
    if fit is None:
        raise _does_not_fit(name, shapes)
    network = fit.network
    top = {"include_top": False} if fit.classes is None else {"classes": fit.classes}
    size = _size(fit)
    constructor = getattr(keras.applications, name)
    return constructor(weights=None, input_shape=(size, size, 3), **top, **network.options)


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
        _require_tensorflow_order(file)
        saved = _all_layers(file)
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


# What fits


def _fits(shapes: Sequence[Shape]) -> Iterator[Fit]:
    wanted = Counter(shapes)
    for network in networks():
        if network.shapes <= wanted:
            yield from (fit for fit in _candidates(network, wanted - network.shapes) if fit.shapes == wanted)


def _candidates(network: Network, rest: Counter[Shape]) -> Iterator[Fit]:
    """Yield a network without its top, and with each top that the shapes left over may stand for."""
    yield Fit(network)
    classes = {shape[0] for shape in rest if len(shape) == 1}
    depends = any(FLAT in shape for shape in network.top)
    flat = {shape[0] for shape in rest if len(shape) == 2} if depends else {0}
    for fit in itertools.starmap(Fit, itertools.product([network], sorted(classes), sorted(flat))):
        if not depends or _size(fit):
            yield fit


def _size(fit: Fit) -> int:
    """Return the input size that a network is built at, 0 if its top fits no square one."""
    if not fit.flat:
        return fit.network.size
    channels = max(shape[0] for shape in fit.network.shapes if len(shape) == 1)
    side = round((fit.flat / channels) ** 0.5)
    if side * side * channels != fit.flat:
        return 0
    return fit.network.size if side == fit.network.size // _SHRINK else side * _SHRINK


def _does_not_fit(name: str, shapes: Sequence[Shape]) -> UserError:
    wanted = Counter(shapes)
    nearest = min(
        (fit for network in networks() if network.name == name for fit in _candidates(network, wanted)),
        key=lambda fit: ((wanted - fit.shapes) + (fit.shapes - wanted)).total(),
        default=None,
    )
    facts = {"architecture": name}
    if nearest is not None:
        facts["only in the file"] = _first(wanted - nearest.shapes)
        facts[f"only in {name}"] = _first(nearest.shapes - wanted)
    fitting = matching(shapes)
    facts["architectures that fit"] = ", ".join(fitting) or "none of keras.applications"
    advice = f"pass  {fitting[0]}  as the architecture" if fitting else "save the whole model: model.save(...)"
    return UserError("the weights do not fit the architecture", facts, advice)


def _first(shapes: Counter[Shape]) -> str:
    count = shapes.total()
    shown = ", ".join(str(shape) for shape in itertools.islice(shapes.elements(), 3))
    return (f"{shown} and {count - 3} more" if count > 3 else shown) or "nothing"


# Which layer each saved one belongs to


Pairs = list[tuple[keras.layers.Layer, _Saved]]


def _pairs(file: h5py.File, model: keras.Model) -> Pairs | None:
    """Return every layer of a model that has weights with its weights in the file; None if they do not correspond."""
    if _has_names(file):
        pairs = _by_name(list(_named_layers(file)), [layer for layer in leaf_layers(model) if layer.weights])
        return pairs if pairs is not None and _is_fitting(pairs) else None
    saved, layers = _numbered_layers(file), _numbered_in(model)
    for found in (saved, _without_outer(saved)):
        if {kind: len(same) for kind, same in found.items()} == {kind: len(same) for kind, same in layers.items()}:
            pairs = [pair for kind in layers for pair in zip(layers[kind], found[kind], strict=True)]
            if _is_fitting(pairs):
                return pairs
    return None


def _by_name(saved: list[_Saved], layers: list[keras.layers.Layer]) -> Pairs | None:
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


def _is_old_resnet(saved: Sequence[_Saved]) -> bool:
    return any(_OLD_RESNET.fullmatch(layer.name) for layer in saved)


def _name_of_today(name: str) -> str:
    parts = _OLD_RESNET.fullmatch(name)
    if parts is None:
        return {"conv1": "conv1_conv", "bn_conv1": "conv1_bn", "fc1000": "predictions"}.get(name, name)
    kind, stage, block, branch = parts.groups()
    number = {"1": 0, "2a": 1, "2b": 2, "2c": 3}[branch]
    return f"conv{stage}_block{ord(block) - ord('a') + 1}_{number}_{'conv' if kind == 'res' else 'bn'}"


def _numbered_in(model: keras.Model) -> dict[str, list[Any]]:
    """Return a model's layers with weights by their class, with the keys of `_numbered_layers`."""
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


def _without_outer(saved: Mapping[str, list[_Saved]]) -> dict[str, list[_Saved]]:
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


# What is in a file


def _has_names(file: h5py.File) -> bool:
    return "layer_names" in file.attrs or "layer_names0" in file.attrs


def _require_tensorflow_order(file: h5py.File) -> None:
    backend = file.attrs.get("backend", "")
    if (backend.decode() if isinstance(backend, bytes) else backend) == "theano":
        next = "open it in the Keras that it was made with, with the TensorFlow backend, and save the whole model"
        raise UserError("the weights are for Theano, whose convolutions run the other way round", next=next)


def _all_layers(file: h5py.File) -> list[_Saved]:
    if _has_names(file):
        return list(_named_layers(file))
    return [layer for layers in _numbered_layers(file).values() for layer in layers]


def _named_layers(file: h5py.File) -> Iterator[_Saved]:
    """Yield the layers of the legacy layout, those of models inside one by one."""
    for name in _attribute(file, "layer_names"):
        group = file[name]
        weights = _attribute(group, "weight_names")
        missing = [weight for weight in weights if weight not in group]
        if missing:
            raise UserError("weights are missing in the file", {"missing": ", ".join(missing[:3])}, "copy it again")
        owners: dict[str, list[h5py.Dataset]] = defaultdict(list)
        for weight in weights:
            owners[weight.rpartition("/")[0]].append(group[weight])
        if len(owners) == 1:
            yield _Saved(name, tuple(*owners.values()))
        else:
            yield from (_Saved(owner.rpartition("/")[2], tuple(arrays)) for owner, arrays in owners.items())


def _attribute(group: h5py.Group, name: str) -> list[str]:
    """Return a list of names; Keras splits a long one into several attributes."""
    parts = [name] if name in group.attrs else []
    for number in itertools.count():
        if f"{name}{number}" not in group.attrs:
            break
        parts.append(f"{name}{number}")
    values = itertools.chain.from_iterable(group.attrs[part] for part in parts)
    return [text(value) for value in values]


def _numbered_layers(group: h5py.Group) -> dict[str, list[_Saved]]:
    """Return the layers of the newer layouts by their class, in the order of their numbers.

    The class of a layer of a model inside has that model in front, as in "sequential.1/batchnormalization".
    """
    found: dict[str, list[_Saved]] = {}
    inside: Mapping[str, Any] = next((group[name] for name in _CONTAINERS if name in group), {})
    for kind, children in _by_class(inside).items():
        for place, child in enumerate(children):
            weights = child.get("vars", {})
            if len(weights):
                arrays = tuple(weights[number] for number in sorted(weights, key=int))
                found.setdefault(kind, []).append(_Saved("", arrays))
            for inner, layers in _numbered_layers(child).items():
                found[f"{kind}.{place}/{inner}"] = layers
    return found


def _by_class(groups: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return those that have weights somewhere; Keras numbers the others too."""
    by_class: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    for name, group in groups.items():
        if len(group.get("vars", {})) or _numbered_layers(group):
            number = _NUMBER.search(name)
            by_class[_NUMBER.sub("", name).replace("_", "")].append((int(number[1]) if number else 0, group))
    return {kind: [group for _, group in sorted(found, key=lambda pair: pair[0])] for kind, found in by_class.items()}
