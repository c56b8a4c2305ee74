"""How weights lie in a file that holds no architecture.

Three layouts are read: the legacy one of Keras 1 and 2 (`save_weights("x.h5")`), where layers have their names; that of
Keras 2.12 and 2.13 and that of all later ones (`save_weights("x.weights.h5")`), where they are numbered by class.
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from graftwork.base_models.architectures.table import Shape
from graftwork.base_models.formats.hdf5 import is_hdf5, text
from graftwork.errors import UserError

_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
_NUMBER = re.compile(r"_(\d+)$")


@dataclass(frozen=True)
class SavedLayer:
    """The weights of one layer in a file.

    Attributes:
        name: The layer's name, or "" in a layout that keeps none.
        arrays: In the layer's own order.
    """

    name: str
    arrays: tuple[h5py.Dataset, ...]

    @property
    def shapes(self) -> list[Shape]:
        """Their shapes."""
        return [tuple(array.shape) for array in self.arrays]


def is_weights_file(path: Path) -> bool:
    """Return whether a file is HDF5 with weights of Keras and without an architecture."""
    if not is_hdf5(path):
        return False
    with h5py.File(path) as file:
        return "model_config" not in file.attrs and (has_names(file) or bool(numbered_layers(file)))


def shapes_in(path: Path) -> list[Shape]:
    """Return the shapes of the weights in a file, without those of an optimizer; the arrays are not read."""
    with h5py.File(path) as file:
        return [shape for layer in all_layers(file) for shape in layer.shapes]


def has_names(file: h5py.File) -> bool:
    """Return whether a file has the legacy layout, where layers have their names."""
    return "layer_names" in file.attrs or "layer_names0" in file.attrs


def require_tensorflow_order(file: h5py.File) -> None:
    """Raise a UserError for weights of Theano, whose convolutions run the other way round."""
    if text(file.attrs.get("backend", "")) == "theano":
        next = "open it in the Keras that it was made with, with the TensorFlow backend, and save the whole model"
        raise UserError("the weights are for Theano, whose convolutions run the other way round", next=next)


def all_layers(file: h5py.File) -> list[SavedLayer]:
    """Return the layers that have weights in a file, in whichever layout."""
    if has_names(file):
        return list(named_layers(file))
    return [layer for layers in numbered_layers(file).values() for layer in layers]


def named_layers(file: h5py.File) -> Iterator[SavedLayer]:
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
            yield SavedLayer(name, tuple(*owners.values()))
        else:
            yield from (SavedLayer(owner.rpartition("/")[2], tuple(arrays)) for owner, arrays in owners.items())


def _attribute(group: h5py.Group, name: str) -> list[str]:
    """Return a list of names; Keras splits a long one into several attributes."""
    parts = itertools.takewhile(group.attrs.__contains__, (f"{name}{number}" for number in itertools.count()))
    whole = group.attrs.get(name, [])
    return [text(value) for value in itertools.chain(whole, *(group.attrs[part] for part in parts))]


def numbered_layers(group: h5py.Group) -> dict[str, list[SavedLayer]]:
    """Return the layers of the newer layouts by their class, in the order of their numbers.

    The class of a layer of a model inside has that model in front, as in "sequential.1/batchnormalization".
    """
    found: dict[str, list[SavedLayer]] = {}
    inside: Mapping[str, Any] = next((group[name] for name in _CONTAINERS if name in group), {})
    for kind, children in _by_class(inside).items():
        for place, child in enumerate(children):
            weights = child.get("vars", {})
            if len(weights):
                arrays = tuple(weights[number] for number in sorted(weights, key=int))
                found.setdefault(kind, []).append(SavedLayer("", arrays))
            for inner, layers in numbered_layers(child).items():
                found[f"{kind}.{place}/{inner}"] = layers
    return found


def _by_class(groups: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return those that have weights somewhere; Keras numbers the others too."""
    by_class: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    for name, group in groups.items():
        if len(group.get("vars", {})) or numbered_layers(group):
            number = _NUMBER.search(name)
            by_class[_NUMBER.sub("", name).replace("_", "")].append((int(number[1]) if number else 0, group))
    return {kind: [group for _, group in sorted(found, key=lambda pair: pair[0])] for kind, found in by_class.items()}
