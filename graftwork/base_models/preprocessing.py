"""What the pixels need before they go into a base model: found inside it, or known from its architecture.

What a model does to its pixels itself is found by running it down to its first layers with weights, on images of one
colour. Where [0, 255] becomes numbers that networks are trained on, all preprocessing is inside. Where [0, 1] does and
[0, 255] goes far beyond, the model was trained on pixels that had been divided by 255 before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from graftwork.artifacts.saved_function import SavedFunction
from graftwork.base_models.architectures.families import families_of, known_by_names, preprocessing_of
from graftwork.base_models.architectures.recognition import recognise
from graftwork.base_models.opened import OpenedModel
from graftwork.config import PREPROCESSING_NAMES, ScaleOffset
from graftwork.errors import UserError
from graftwork.networks.graph import Node, calls, has_graph
from graftwork.networks.layers import has_weights, leaf_layers

_GREYS = (0.0, 0.2, 1.0, 51.0, 255.0)
"""Both ranges, [0, 1] and [0, 255], with what lies at a fifth of them, to see whether the arithmetic is linear."""
_COLOUR = (50.0, 100.0, 200.0)
_ANY_SIZE = 64


@dataclass(frozen=True)
class _Values:
    """What images of one colour become at a place in a model.

    Attributes:
        channels: Of the pixels, 1 or 3.
        black, fifth_of_1, one, fifth_of_255, white: float (n,), of _GREYS, where black and white differ; the others
            are no pixels: padding, positions.
        colour: float (n,), of _COLOUR.
    """

    channels: int
    black: np.ndarray
    fifth_of_1: np.ndarray
    one: np.ndarray
    fifth_of_255: np.ndarray
    white: np.ndarray
    colour: np.ndarray

    @property
    def constant(self) -> bool:
        """Whether all images become the same."""
        return self.black.size == 0

    @property
    def finite(self) -> bool:
        """Whether black and white become numbers."""
        return bool(np.isfinite([self.black, self.white]).all())

    @property
    def grey_unchanged(self) -> bool:
        """Whether grey pixels are what they were."""
        rows = (self.black, self.fifth_of_1, self.one, self.fifth_of_255, self.white)
        alike = [np.allclose(row, grey, rtol=4e-3, atol=1e-3) for row, grey in zip(rows, _GREYS, strict=True)]
        return not self.constant and all(alike)

    @property
    def unchanged(self) -> bool:
        """Whether all pixels are, with their channels in the same order; some may be missing, or appear twice."""
        expected = np.resize(_COLOUR[: self.channels], self.colour.size)
        return self.grey_unchanged and np.allclose(self.colour, expected, rtol=4e-3)


def find_preprocessing(opened: OpenedModel, given: str | ScaleOffset | None) -> tuple[str | ScaleOffset, str]:
    """Return the preprocessing that has to be put before a base model, and how it was found.

    Args:
        opened: The model as it was saved, with its top, if it has one.
        given: What the user said, None to find it.

    Raises:
        UserError: It is neither given, nor inside the model, nor known.
    """
    if given is not None:
        return given, "given"
    if opened.preprocessing is not None:
        return opened.preprocessing
    inside = _inside(opened)
    if inside is not None:
        return inside
    recognised = recognise(opened.model)
    preprocessing = preprocessing_of(recognised.names) if recognised else None
    if recognised and preprocessing is not None:
        plain = any(family.plain for family in families_of(recognised.names))
        condition = ", if its weights are those of keras.applications" if plain else ""
        return preprocessing, f"known for {recognised}{condition}"
    named = known_by_names(opened.model)
    if named is not None:
        return named.preprocessing, f"known for {named.name} (by the names of its layers)"
    raise _not_known(
        opened, "layers and their names (no known architecture), Rescaling/Normalization layers or arithmetic (none)"
    )


def _not_known(opened: OpenedModel, looked_at: str) -> UserError:
    return UserError(
        "the base model's preprocessing is not known",
        {"model": opened.summary, "looked at": looked_at},
        next=[
            f"pass --preprocessing with one of: {', '.join(PREPROCESSING_NAMES)}",
            "or  preprocessing: {scale: ..., offset: ...}  in the configuration",
        ],
    )


def _inside(opened: OpenedModel) -> tuple[str, str] | None:
    """Return what pixels need before what a model does to them itself, down to its first layers with weights.

    Args:
        opened: Takes one image.

    Returns:
        The preprocessing, and how it was found; None if the model leaves pixels as they are.

    Raises:
        UserError: It cannot be told from what the model does.
    """
    pixels = _images(opened.model)
    steps: list[tuple[Any, list[np.ndarray]]] = []
    ends: list[np.ndarray] = []
    for layer, values in _front(opened.model, [pixels]):
        if layer is None:
            ends += values
        else:
            steps.append((layer, values))
    if not ends:
        return None
    channels = pixels.shape[-1]
    arrived = _values(ends, channels)
    passed = [(layer, _values(values, channels)) for layer, values in steps]
    changed = [layer for layer, values in passed if not values.constant and not values.grey_unchanged]
    if not changed and arrived.unchanged:
        return None
    layer = next(iter(changed or [layer for layer, values in passed if not values.unchanged]))
    where, needed = f"inside the model ({type(layer).__name__} layer {layer.name!r})", _needed(arrived)
    if needed is None:
        raise _not_known(opened, f"arithmetic {where}: {_in_words(arrived)}")
    return needed, f"{where}, which takes pixels in [0, 1]" if needed == "rescale-0-1" else where


def _images(model: keras.Model) -> np.ndarray:
    """Return images of one colour each; float32 (6, 1, height, width, 3 or 1), of _GREYS and _COLOUR."""
    batch, height, width, channels = model.inputs[0].shape
    colours = np.array([*([grey] * 3 for grey in _GREYS), _COLOUR], np.float32)[:, None, None, None, :channels]
    shape = (len(colours), batch or 1, height or _ANY_SIZE, width or _ANY_SIZE, channels)
    return np.broadcast_to(colours, shape)


def _front(model: keras.Model, images: Sequence[np.ndarray]) -> Iterator[tuple[Any, list[np.ndarray]]]:
    """Run the part of a model that comes before its first layers with weights.

    Args:
        model: Functional or Sequential; models inside it are looked into.
        images: For each of its inputs, (6, n, ...).

    Yields:
        Each layer of that part with what comes out of it, and None with what goes on into a layer with weights.
    """
    reached = {id(tensor): tensor for tensor in model.inputs}
    nodes: list[Node] = []
    for node in calls(model):
        if any(id(tensor) in reached for tensor in node.inputs):
            nodes.append(node)
            if all(id(tensor) in reached for tensor in node.inputs) and not _has_weights(node.layer):
                reached |= {id(tensor): tensor for tensor in node.outputs}
    values = dict(zip(reached, _run(keras.Model(model.inputs, list(reached.values())), images), strict=True))
    for node in nodes:
        given = [values[id(tensor)] for tensor in node.inputs if id(tensor) in values]
        if has_graph(node.layer) and len(given) == len(node.inputs):
            yield from _front(node.layer, given)
        elif id(node.outputs[0]) in values:
            yield node.layer, [values[id(tensor)] for tensor in node.outputs]
        else:
            yield None, given


def _has_weights(layer: Any) -> bool:
    """Return whether a layer, frozen or not, belongs to the network and not to what prepares its pixels."""
    return any(
        isinstance(leaf, SavedFunction)  # which may hold its weights as constants
        or (has_weights(leaf) and not isinstance(leaf, keras.layers.Normalization))
        for leaf in leaf_layers(layer)
    )


def _run(model: keras.Model, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the outputs, float32 (6, n, ...) each, of a model in inference mode."""
    answers = [keras.tree.flatten(model(list(given), training=False)) for given in zip(*images, strict=True)]
    return [np.stack([np.asarray(output, np.float32) for output in outputs]) for outputs in zip(*answers, strict=True)]


def _values(arrays: Sequence[np.ndarray], channels: int) -> _Values:
    """Put together what images became at several places; each (6, n, ...)."""
    rows = np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)
    return _Values(channels, *rows[:, rows[0] != rows[len(_GREYS) - 1]])


def _needed(values: _Values) -> str | None:
    """Return the preprocessing with which a network would be given numbers as networks are; None if that is unclear.

    Of [0, 1] more is asked than of [0, 255]: numbers around zero, or a whole range. Twice the pixels could as well be
    meant for pixels in [-1, 1].
    """
    if values.constant or not values.finite or values.grey_unchanged:
        return None
    low, high, width = _range(values.black, values.white)
    around_zero, from_zero, caffe = _conventions(low, high, width)
    if _linear(values.black, values.fifth_of_255, values.white) and np.all(around_zero | from_zero | caffe):
        return "none"
    low, high, width = _range(values.black, values.one)
    around_zero, _, caffe = _conventions(low, high, width)
    around_zero &= width > 0.9
    to_1 = (np.abs(low) < 0.01) & (np.abs(high - 1) < 0.01)
    to_255 = (np.abs(low) < 1) & (np.abs(high - 255) < 1)
    if _linear(values.black, values.fifth_of_1, values.one) and np.all(around_zero | to_1 | to_255 | caffe):
        return "rescale-0-1"
    return None


def _range(black: np.ndarray, white: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the lowest, the highest and the difference."""
    low, high = np.minimum(black, white), np.maximum(black, white)
    return low, high, high - low


def _conventions(low: np.ndarray, high: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which numbers are normalised around zero, scaled only, and pixels less their mean as Caffe has them.

    Around zero is [-1, 1], and what is divided by a standard deviation: [-3, 3] or so, wider for dark images.
    """
    straddles = (low <= -0.05 * width) & (high >= 0.05 * width)
    around_zero = straddles & (width > 0.5) & (width < 20)
    from_zero = (np.minimum(np.abs(low), np.abs(high)) < 0.05 * width) & (width > 0.5) & (width < 5)
    caffe = (low < -10) & (high > 10) & (width > 200) & (width < 300)
    return around_zero, from_zero, caffe


def _linear(low: np.ndarray, fifth: np.ndarray, high: np.ndarray) -> bool:
    return bool(np.all(np.abs(low + 0.2 * (high - low) - fifth) <= 0.01 * np.abs(high - low)))


def _in_words(values: _Values) -> str:
    if values.constant or not values.finite:
        return "it makes nothing that can be compared of images of one colour"
    if values.grey_unchanged:
        return "it leaves the range of pixels as it is"
    return f"it makes {values.black[0]:.4g} to {values.white[0]:.4g} of pixels in [0, 255], which fits no convention"
