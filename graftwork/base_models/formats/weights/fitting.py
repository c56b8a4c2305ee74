"""Which networks of keras.applications have weights of given shapes, and how they have to be built for that."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras

from graftwork.base_models.architectures.applications import require_known
from graftwork.base_models.architectures.table import CLASSES, FLAT, Network, Shape, networks
from graftwork.errors import UserError

_SHRINK = 32
"""Pixels to a side of the input for each of the last feature map, in networks that flatten it."""


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
