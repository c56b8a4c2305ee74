"""A configuration of Keras 1 in Keras 2's words.

What Keras 1 calls "th", channels-first, becomes channels-last: shapes and axes are turned, and whatever learnt on
flattened maps is remembered, so that `weights` can reorder its rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graftwork.errors import UserError

MODELS = {"Model": "Functional", "Container": "Functional", "Sequential": "Sequential"}
CONVOLUTIONS = {
    "Convolution2D": "Conv2D",
    "AtrousConvolution2D": "Conv2D",
    "Deconvolution2D": "Conv2DTranspose",
    "SeparableConvolution2D": "SeparableConv2D",
}
_MERGES = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum", "concat": "Concatenate"}
_POOLING = {"MaxPooling2D", "AveragePooling2D", "GlobalMaxPooling2D", "GlobalAveragePooling2D"}
_RESIZING = {"Cropping2D", "UpSampling2D", "ZeroPadding2D"}
_ANY_ORDER = {"Activation", "ActivityRegularization", "Dropout", "ELU", "Flatten", "GaussianDropout", "GaussianNoise"}
_ANY_ORDER |= {"LeakyReLU", "ThresholdedReLU"}
"""Layers that treat all features alike, whatever their order."""
TURNED = {"BatchNormalization", "Dense", "PReLU"}
"""Layers whose weights can be put into another order of the features that they take."""
_KNOWN = {*CONVOLUTIONS, *_POOLING, *_RESIZING, *_ANY_ORDER, *TURNED}
_KNOWN |= {"InputLayer", "Permute", "Reshape", "SpatialDropout2D"}
_FORMATTED = {*CONVOLUTIONS, *_POOLING, *_RESIZING, "Flatten", "SpatialDropout2D"}
"""Layers that take a data_format in Keras 2, which would otherwise come from the user's own settings of Keras."""
_ACTIVATIONS = {"elu", "hard_sigmoid", "linear", "relu", "sigmoid", "softmax", "softplus", "softsign", "tanh"}
_CONSTRAINTS = {"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"}
_SAME = (
    "activation alpha cropping depth_multiplier dims epsilon l1 l2 momentum name pool_size size strides theta trainable"
)
_SETTINGS = {
    **{word: word for word in _SAME.split()},
    "atrous_rate": "dilation_rate",
    "bias": "use_bias",
    "border_mode": "padding",
    "nb_filter": "filters",
    "output_dim": "units",
    "p": "rate",
    "sigma": "stddev",
    "subsample": "strides",
    "target_shape": "target_shape",
}
"""Keras 1's words -> Keras 2's. Initialisers are not among them: the weights come from the file."""
_PARTS = {"W": "kernel", "b": "bias"}
_PARTS |= {word: word for word in ("activity", "beta", "depthwise", "gamma", "pointwise")}
"""What regularisers and constraints are for, as Keras 1's word -> Keras 2's."""
_LAST = {0: 0, 1: 3, 2: 1, 3: 2}
"""Axes of channels-first maps, as axes of channels-last ones."""
_KERNEL_LAST = {0: 3, 1: 2, 2: 0, 3: 1}
"""Axes of channels-first kernels (out, in, rows, columns), as axes of (rows, columns, in, out)."""
_CODE = "Python code, which is not run"
_DROPPED = ("Highway", "MaxoutDense", "ParametricSoftplus", "SReLU", "TimeDistributedDense")


@dataclass(frozen=True)
class Tensor:
    """What passes between layers: its rank, and the Flatten whose channels-first order it still has."""

    rank: int
    flatten: str | None = None


@dataclass
class Layer:
    """A layer or model in Keras 2's words, `entry`, with what is needed to give it its weights."""

    kind: str
    old: Mapping[str, Any]
    entry: dict[str, Any]
    given: Tensor
    inside: "list[Layer]" = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.entry["config"]["name"])

    @property
    def label(self) -> str:
        """Its name and class, for messages."""
        return f"{self.name} ({self.kind})"

    @property
    def counts(self) -> tuple[int, int]:
        """How many weights it has that are trained, and how many that are not."""
        trained, others = {"BatchNormalization": (2, 2), "PReLU": (1, 0)}.get(self.kind, (0, 0))
        if self.kind in CONVOLUTIONS or self.kind == "Dense":
            trained = (2 if self.kind == "SeparableConvolution2D" else 1) + bool(self.old.get("bias", True))
        return (trained, others) if self.old.get("trainable", True) else (0, trained + others)


@dataclass
class Network:
    """The whole model: how its maps are laid out, and which layers cannot be translated, as label -> why."""

    channels_first: bool
    refused: dict[str, str] = field(default_factory=dict)

    def shape(self, shape: Sequence[int | None]) -> list[int | None]:
        """Return the shape that a tensor has now."""
        if not self.channels_first or len(shape) != 4:
            return list(shape)
        batch, channels, rows, columns = shape
        return [batch, rows, columns, channels]

    def axis(self, axis: int, rank: int) -> int:
        """Return what an axis of a tensor is now."""
        return _LAST[axis % 4] if self.channels_first and rank == 4 else axis


def translation(config: Mapping[str, Any]) -> tuple[Layer, Network]:
    """Return a whole model in Keras 2's words.

    Raises:
        UserError: It has layers that cannot be translated; names all of them and says why.
    """
    orderings = dict(_orderings(config))
    network = Network("th" in orderings)
    if len(orderings) > 1:
        facts = {f"dim_ordering {ordering!r}": layer for ordering, layer in sorted(orderings.items())}
        raise UserError("the base model has layers with channels first and layers with channels last", facts)
    root, _ = _model(config, "model", [], network)
    refuse(network.refused)
    return root, network


def _orderings(config: Any) -> Iterator[tuple[str, str]]:
    """Yield the dim_ordering of every layer that has one, with the layer's name."""
    if isinstance(config, dict):
        if "dim_ordering" in config:
            yield str(config["dim_ordering"]), str(config.get("name"))
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _orderings(value)


def refuse(layers: Mapping[str, str]) -> None:
    """Raise a UserError if there are layers that cannot be translated, label -> why."""
    if layers:
        next = "open it with Keras 1 where it was made, and save the part of it before these layers"
        raise UserError("the base model has layers of Keras 1 that cannot be translated", layers, next)


def leaves(layer: Layer) -> Iterator[Layer]:
    """Yield the layers of a model, those of the models inside it instead of the inner models."""
    if layer.kind not in MODELS:
        yield layer
    for inside in layer.inside:
        yield from leaves(inside)


def _model(item: Mapping[str, Any], name: str, given: list[Tensor], network: Network) -> tuple[Layer, list[Tensor]]:
    """Return a model and what comes out of it."""
    kind, config = item["class_name"], item["config"]
    if kind == "Sequential":
        layers, outputs = _sequence(config, given, network)
        new: dict[str, Any] = {"name": item.get("name") or name}
    else:
        layers, outputs = _graph(config, network)
        new = {"name": config["name"], **{key: config[key] for key in ("input_layers", "output_layers")}}
    new["layers"] = [layer.entry for layer in layers]
    model = Layer(kind, {}, {"class_name": MODELS[kind], "config": new}, given[0] if given else Tensor(0), layers)
    for output in outputs:
        if output.flatten:
            network.refused[f"{output.flatten} (Flatten)"] = (
                "what it returns, channels first, leaves the model as it is"
            )
    return model, outputs


def _sequence(
    items: Sequence[Mapping[str, Any]], given: list[Tensor], network: Network
) -> tuple[list[Layer], list[Tensor]]:
    layers = []
    for number, item in enumerate(items):
        layer, given = _layer(item, f"{str(item['class_name']).lower()}_{number}", given, network)
        if number == 0 and "batch_input_shape" in layer.old:
            layer.entry["config"]["batch_input_shape"] = network.shape(layer.old["batch_input_shape"])
        layers.append(layer)
    return layers, given


def _graph(config: Mapping[str, Any], network: Network) -> tuple[list[Layer], list[Tensor]]:
    layers = []
    tensors: dict[tuple[str, int], Tensor] = {}  # by layer and number of its output
    for item in config["layers"]:  # the earliest first
        sources = next((call for call in _calls(item) if all(source in tensors for source in call)), [])
        layer, outputs = _layer(item, item["name"], [tensors[source] for source in sources], network)
        layer.entry |= {"name": item["name"], "inbound_nodes": item["inbound_nodes"]}
        layers.append(layer)
        tensors |= {(item["name"], number): output for number, output in enumerate(outputs)}
    for layer, item in zip(layers, config["layers"], strict=True):
        if len({tensors[source].flatten for call in _calls(item) for source in call if source in tensors}) > 1:
            network.refused[layer.label] = "it takes flattened maps, channels first, and other features"
    return layers, [tensors[name, number] for name, _, number in config["output_layers"]]


def _calls(item: Mapping[str, Any]) -> list[list[tuple[str, int]]]:
    """Return what a layer takes in each of its calls, as layer and number of the output."""
    return [[(source[0], source[2]) for source in call] for call in item["inbound_nodes"]]


def _layer(item: Mapping[str, Any], name: str, given: list[Tensor], network: Network) -> tuple[Layer, list[Tensor]]:
    """Return a layer or inner model and what comes out of it, given what goes in."""
    kind, old = str(item["class_name"]), item["config"]
    if kind in MODELS:
        layer, outputs = _model(item, name, given, network)
    else:
        taken = given[0] if given else Tensor(len(old.get("batch_input_shape") or (None, None)))
        entry = {"class_name": _class_name(kind, old), "config": {"name": old.get("name", name)}}
        layer = Layer(kind, old, entry, taken)
        outputs = [_output(layer, network)]
        why = _refusal(kind, old, taken, network)
        if why:
            network.refused[layer.label] = why
        else:
            layer.entry["config"] |= _config(kind, old, taken, network)
    flattened = next((tensor.flatten for tensor in given if tensor.flatten), None)
    if flattened and kind not in _ANY_ORDER | TURNED and layer.label not in network.refused:
        network.refused[layer.label] = f"it takes what {flattened} flattened channels first, in this order"
    return layer, outputs


def _class_name(kind: str, old: Mapping[str, Any]) -> str:
    return _MERGES.get(str(old.get("mode")), kind) if kind == "Merge" else CONVOLUTIONS.get(kind, kind)


def _output(layer: Layer, network: Network) -> Tensor:
    if layer.kind == "Flatten":
        return Tensor(2, layer.name if network.channels_first and layer.given.rank == 4 else layer.given.flatten)
    if layer.kind.startswith("Global"):
        return Tensor(2)
    if layer.kind == "Reshape":
        return Tensor(1 + len(layer.old["target_shape"]))
    if layer.kind not in _KNOWN | {"Merge"}:
        return Tensor(0)  # not known, and refused
    return Tensor(layer.given.rank, None if layer.kind == "Dense" else layer.given.flatten)


def _refusal(kind: str, old: Mapping[str, Any], given: Tensor, network: Network) -> str | None:
    """Return why a layer cannot be translated; None if it can."""
    if kind == "Merge":
        if "layers" in old:
            return "it starts branches that have inputs of their own"
        if old.get("mode_type", "raw") != "raw":
            return _CODE
        return None if old["mode"] in _MERGES else f"mode {old['mode']!r} is not translated"
    if kind == "Lambda":
        return _CODE
    if kind in _DROPPED:
        return "Keras has dropped this layer"
    if kind not in _KNOWN:
        return "not one of Keras 1's layers for images, which are translated"
    if old.get("activation", "linear") not in _ACTIVATIONS:
        return f"activation {old['activation']!r} is no part of Keras 1"
    if old.get("border_mode") == "full":
        return "border_mode 'full' is what Theano alone had"
    if kind == "BatchNormalization" and old.get("mode", 0) != 0:
        return f"mode {old['mode']} normalises with the batch or the image at hand, not with what was learnt"
    if network.channels_first:
        if kind in ("Dense", "Permute") and given.rank == 4:
            return "it works on the axes of maps with channels first"
        if kind == "Reshape" and (given.rank == 4 or len(old["target_shape"]) == 3):
            return "it makes or takes maps with channels first"
    return None


def _config(kind: str, old: Mapping[str, Any], given: Tensor, network: Network) -> dict[str, Any]:
    new = {_SETTINGS[key]: value for key, value in old.items() if key in _SETTINGS}
    for key, value in old.items():
        part, _, what = key.rpartition("_")
        if value and part in _PARTS and what in ("regularizer", "constraint"):
            on_first = network.channels_first and kind in CONVOLUTIONS and part in ("W", "depthwise", "pointwise")
            translate = _regularizer if what == "regularizer" else _constraint
            new[f"{_PARTS[part]}_{what}"] = translate(value, _KERNEL_LAST if on_first else {})
    if "nb_row" in old:
        new["kernel_size"] = [old["nb_row"], old["nb_col"]]
    if kind in _FORMATTED:
        new["data_format"] = "channels_last"
    return new | _SPECIAL.get(kind, _nothing)(old, given, network)


def _regularizer(old: Mapping[str, Any], axes: Mapping[int, int]) -> dict[str, Any] | None:
    """Return a penalty; None for one that Keras has dropped: the model's answers do not depend on it."""
    return {"class_name": "L1L2", "config": {key: old[key] for key in ("l1", "l2")}} if "l1" in old else None


def _constraint(old: Mapping[str, Any], axes: Mapping[int, int]) -> dict[str, Any] | None:
    """Return a constraint; None for one of the user's own: the model's answers do not depend on it."""
    if old["name"] not in _CONSTRAINTS:
        return None
    names = {"m": "max_value", "low": "min_value", "high": "max_value", "rate": "rate"}
    new = {names[key]: value for key, value in old.items() if key in names}
    if "axis" in old:
        axis = old["axis"]
        new["axis"] = [axes.get(one, one) for one in axis] if isinstance(axis, list) else axes.get(axis, axis)
    return {"class_name": old["name"], "config": new}


def _nothing(old: Mapping[str, Any], given: Tensor, network: Network) -> dict[str, Any]:
    return {}


def _input(old: Mapping[str, Any], given: Tensor, network: Network) -> dict[str, Any]:
    return {"batch_input_shape": network.shape(old["batch_input_shape"])}


def _normalization(old: Mapping[str, Any], given: Tensor, network: Network) -> dict[str, Any]:
    return {"axis": network.axis(old["axis"], given.rank)}


def _merge(old: Mapping[str, Any], given: Tensor, network: Network) -> dict[str, Any]:
    return {"axis": network.axis(old["concat_axis"], given.rank)} if old["mode"] == "concat" else {}


def _padding(old: Mapping[str, Any], given: Tensor, network: Network) -> dict[str, Any]:
    padding = old["padding"]
    if isinstance(padding, dict):
        padding = [padding.get(f"{side}_pad", 0) for side in ("top", "bottom", "left", "right")]
    if len(padding) == 2:
        padding = [padding[0], padding[0], padding[1], padding[1]]
    return {"padding": [padding[:2], padding[2:]]}


_SPECIAL: dict[str, Callable[[Mapping[str, Any], Tensor, Network], dict[str, Any]]] = {
    "BatchNormalization": _normalization,
    "InputLayer": _input,
    "Merge": _merge,
    "ZeroPadding2D": _padding,
}
