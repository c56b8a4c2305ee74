"""Whole models of Keras 1 (HDF5, 2016 to early 2017) as models of tf_keras.

The configuration is put into Keras 2's words, the weights into its layouts. What Keras 1 calls "th", channels-first,
becomes channels-last: shapes, axes and kernels are turned, and so are the rows of whatever learnt on flattened maps.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from graftwork.errors import UserError

_ONLY_KERAS_1 = {"border_mode", "dim_ordering", "input_dtype", "nb_filter", "W_regularizer"}
_MODELS = {"Model": "Functional", "Container": "Functional", "Sequential": "Sequential"}
_CONVOLUTIONS = {
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
_TURNED = {"BatchNormalization", "Dense", "PReLU"}
"""Layers whose weights can be put into another order of the features that they take."""
_KNOWN = {*_CONVOLUTIONS, *_POOLING, *_RESIZING, *_ANY_ORDER, *_TURNED}
_KNOWN |= {"InputLayer", "Permute", "Reshape", "SpatialDropout2D"}
_FORMATTED = {*_CONVOLUTIONS, *_POOLING, *_RESIZING, "Flatten", "SpatialDropout2D"}
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
class _Tensor:
    """What passes between layers: its rank, and the Flatten whose channels-first order it still has."""

    rank: int
    flatten: str | None = None


@dataclass
class _Layer:
    """A layer or model in Keras 2's words, `entry`, with what is needed to give it its weights."""

    kind: str
    old: Mapping[str, Any]
    entry: dict[str, Any]
    given: _Tensor
    inside: "list[_Layer]" = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.entry["config"]["name"])

    @property
    def label(self) -> str:
        return f"{self.name} ({self.kind})"

    @property
    def counts(self) -> tuple[int, int]:
        """How many weights it has that are trained, and how many that are not."""
        trained, others = {"BatchNormalization": (2, 2), "PReLU": (1, 0)}.get(self.kind, (0, 0))
        if self.kind in _CONVOLUTIONS or self.kind == "Dense":
            trained = (2 if self.kind == "SeparableConvolution2D" else 1) + bool(self.old.get("bias", True))
        return (trained, others) if self.old.get("trainable", True) else (0, trained + others)


@dataclass
class _Network:
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


def is_keras1(path: Path) -> bool:
    """Return whether a file is a whole model that Keras 1 saved, by its version or, without one, by its configuration.

    Args:
        path: Any file or folder.
    """
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            return False
        version = _text(file.attrs.get("keras_version", ""))
        return version.startswith("1.") if version else _is_spelt_so(json.loads(_text(file.attrs["model_config"])))


def translated(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's configuration of Keras 1 as one of Keras 2, channels-last.

    Args:
        config: From the file's `model_config`.

    Raises:
        UserError: It has layers that cannot be translated; names all of them and says why.
    """
    return _translation(config)[0].entry


def open_keras1(path: Path) -> Any:
    """Open a whole model that Keras 1 saved.

    Nothing in the file is run: a layer made of code is refused.

    Returns:
        A model of tf_keras that answers the same. It takes and gives maps channels-last, whatever the file says.

    Raises:
        UserError: It has layers that cannot be translated (names all of them and says why), or weights that do not fit.
    """
    import tf_keras

    with h5py.File(path) as file:
        root, network = _translation(json.loads(_text(file.attrs["model_config"])))
        theano = _is_theano(file)
        _read_weights(file["model_weights"], root)
    for layer in _leaves(root):
        layer.weights = _arranged(layer, network.channels_first, theano)
        if layer.kind == "PReLU":  # which axes share a slope is told by the slopes alone
            slopes = layer.weights[0].shape
            layer.entry["config"]["shared_axes"] = [axis for axis, size in enumerate(slopes, 1) if size == 1]
    model: Any = tf_keras.models.model_from_config(root.entry)
    pairs = list(_built(root, model))
    _refuse({layer.label: why for layer, _, built in pairs if (why := _differs(layer, built, network, theano))})
    for layer, parent, built in pairs:
        _give_weights(layer, parent, built)
    return model


def _is_spelt_so(config: Any) -> bool:
    if isinstance(config, dict):
        return bool(_ONLY_KERAS_1 & config.keys()) or any(map(_is_spelt_so, config.values()))
    return isinstance(config, list) and any(map(_is_spelt_so, config))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


# The configuration


def _translation(config: Mapping[str, Any]) -> tuple[_Layer, _Network]:
    orderings = dict(_orderings(config))
    network = _Network("th" in orderings)
    if len(orderings) > 1:
        facts = {f"dim_ordering {ordering!r}": layer for ordering, layer in sorted(orderings.items())}
        raise UserError("the base model has layers with channels first and layers with channels last", facts)
    root, _ = _model(config, "model", [], network)
    _refuse(network.refused)
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


def _refuse(layers: Mapping[str, str]) -> None:
    if layers:
        next = "open it with Keras 1 where it was made, and save the part of it before these layers"
        raise UserError("the base model has layers of Keras 1 that cannot be translated", layers, next)


def _model(item: Mapping[str, Any], name: str, given: list[_Tensor], network: _Network) -> tuple[_Layer, list[_Tensor]]:
    """Return a model and what comes out of it."""
    kind, config = item["class_name"], item["config"]
    if kind == "Sequential":
        layers, outputs = _sequence(config, given, network)
        new: dict[str, Any] = {"name": item.get("name") or name}
    else:
        layers, outputs = _graph(config, network)
        new = {"name": config["name"], **{key: config[key] for key in ("input_layers", "output_layers")}}
    new["layers"] = [layer.entry for layer in layers]
    model = _Layer(kind, {}, {"class_name": _MODELS[kind], "config": new}, given[0] if given else _Tensor(0), layers)
    for output in outputs:
        if output.flatten:
            network.refused[f"{output.flatten} (Flatten)"] = (
                "what it returns, channels first, leaves the model as it is"
            )
    return model, outputs


def _sequence(
    items: Sequence[Mapping[str, Any]], given: list[_Tensor], network: _Network
) -> tuple[list[_Layer], list[_Tensor]]:
    layers = []
    for number, item in enumerate(items):
        layer, given = _layer(item, f"{str(item['class_name']).lower()}_{number}", given, network)
        if number == 0 and "batch_input_shape" in layer.old:
            layer.entry["config"]["batch_input_shape"] = network.shape(layer.old["batch_input_shape"])
        layers.append(layer)
    return layers, given


def _graph(config: Mapping[str, Any], network: _Network) -> tuple[list[_Layer], list[_Tensor]]:
    layers = []
    tensors: dict[tuple[str, int], _Tensor] = {}  # by layer and number of its output
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


def _layer(item: Mapping[str, Any], name: str, given: list[_Tensor], network: _Network) -> tuple[_Layer, list[_Tensor]]:
    """Return a layer or inner model and what comes out of it, given what goes in."""
    kind, old = str(item["class_name"]), item["config"]
    if kind in _MODELS:
        layer, outputs = _model(item, name, given, network)
    else:
        taken = given[0] if given else _Tensor(len(old.get("batch_input_shape") or (None, None)))
        entry = {"class_name": _class_name(kind, old), "config": {"name": old.get("name", name)}}
        layer = _Layer(kind, old, entry, taken)
        outputs = [_output(layer, network)]
        why = _refusal(kind, old, taken, network)
        if why:
            network.refused[layer.label] = why
        else:
            layer.entry["config"] |= _config(kind, old, taken, network)
    flattened = next((tensor.flatten for tensor in given if tensor.flatten), None)
    if flattened and kind not in _ANY_ORDER | _TURNED and layer.label not in network.refused:
        network.refused[layer.label] = f"it takes what {flattened} flattened channels first, in this order"
    return layer, outputs


def _class_name(kind: str, old: Mapping[str, Any]) -> str:
    return _MERGES.get(str(old.get("mode")), kind) if kind == "Merge" else _CONVOLUTIONS.get(kind, kind)


def _output(layer: _Layer, network: _Network) -> _Tensor:
    if layer.kind == "Flatten":
        return _Tensor(2, layer.name if network.channels_first and layer.given.rank == 4 else layer.given.flatten)
    if layer.kind.startswith("Global"):
        return _Tensor(2)
    if layer.kind == "Reshape":
        return _Tensor(1 + len(layer.old["target_shape"]))
    if layer.kind not in _KNOWN | {"Merge"}:
        return _Tensor(0)  # not known, and refused
    return _Tensor(layer.given.rank, None if layer.kind == "Dense" else layer.given.flatten)


def _refusal(kind: str, old: Mapping[str, Any], given: _Tensor, network: _Network) -> str | None:
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


def _config(kind: str, old: Mapping[str, Any], given: _Tensor, network: _Network) -> dict[str, Any]:
    new = {_SETTINGS[key]: value for key, value in old.items() if key in _SETTINGS}
    for key, value in old.items():
        part, _, what = key.rpartition("_")
        if value and part in _PARTS and what in ("regularizer", "constraint"):
            on_first = network.channels_first and kind in _CONVOLUTIONS and part in ("W", "depthwise", "pointwise")
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


def _nothing(old: Mapping[str, Any], given: _Tensor, network: _Network) -> dict[str, Any]:
    return {}


def _input(old: Mapping[str, Any], given: _Tensor, network: _Network) -> dict[str, Any]:
    return {"batch_input_shape": network.shape(old["batch_input_shape"])}


def _normalization(old: Mapping[str, Any], given: _Tensor, network: _Network) -> dict[str, Any]:
    return {"axis": network.axis(old["axis"], given.rank)}


def _merge(old: Mapping[str, Any], given: _Tensor, network: _Network) -> dict[str, Any]:
    return {"axis": network.axis(old["concat_axis"], given.rank)} if old["mode"] == "concat" else {}


def _padding(old: Mapping[str, Any], given: _Tensor, network: _Network) -> dict[str, Any]:
    padding = old["padding"]
    if isinstance(padding, dict):
        padding = [padding.get(f"{side}_pad", 0) for side in ("top", "bottom", "left", "right")]
    if len(padding) == 2:
        padding = [padding[0], padding[0], padding[1], padding[1]]
    return {"padding": [padding[:2], padding[2:]]}


_SPECIAL: dict[str, Callable[[Mapping[str, Any], _Tensor, _Network], dict[str, Any]]] = {
    "BatchNormalization": _normalization,
    "InputLayer": _input,
    "Merge": _merge,
    "ZeroPadding2D": _padding,
}


# The weights


def _is_theano(file: Any) -> bool:
    """Return whether Theano computed the model: its names of weights lack the ":0" that TensorFlow's have."""
    if "backend" in file.attrs:
        return _text(file.attrs["backend"]) == "theano"
    group = file["model_weights"]
    names = [_text(name) for layer in group.values() for name in layer.attrs.get("weight_names", [])]
    return not any(re.search(r":\d+$", name) for name in names)


def _read_weights(group: Any, root: _Layer) -> None:
    """Give every layer its weights as they are in the file: Keras 1 goes by their order, as its names may repeat."""
    names = [_text(name) for name in group.attrs["layer_names"]]
    if len(names) != len(root.inside):
        facts: dict[str, object] = {"layers": len(root.inside), "layers whose weights are in the file": len(names)}
        raise UserError("the base model's weights do not fit its layers", facts)
    for name, layer in zip(names, root.inside, strict=True):
        found = [_text(weight) for weight in group[name].attrs["weight_names"]] if name in group else []
        missing = [weight for weight in found if weight not in group[name]]
        leaves = list(_leaves(layer))
        expected = sum(sum(leaf.counts) for leaf in leaves)
        if missing or len(found) != expected:
            facts = {
                "layer": layer.label,
                "weights": expected,
                "in the file": ", ".join(weight for weight in found if weight not in missing) or "none",
            }
            raise UserError("the base model's file lacks weights", facts, "copy or download it again")
        weights = iter([group[name][weight][()] for weight in found])
        for trained in (True, False):  # of a model inside, first all that are trained
            for leaf in leaves:
                leaf.weights += [next(weights) for _ in range(leaf.counts[0 if trained else 1])]


def _leaves(layer: _Layer) -> Iterator[_Layer]:
    if layer.kind not in _MODELS:
        yield layer
    for inside in layer.inside:
        yield from _leaves(inside)


def _arranged(layer: _Layer, channels_first: bool, theano: bool) -> list[np.ndarray]:
    """Return a layer's weights in the layout that Keras 2 has for channels-last maps."""
    weights = list(layer.weights)
    if layer.kind == "PReLU" and channels_first and layer.given.rank == 4:
        return [weights[0].transpose(1, 2, 0)]
    if layer.kind not in _CONVOLUTIONS:
        return weights
    for number in range(2 if layer.kind == "SeparableConvolution2D" else 1):
        kernel = weights[number].transpose(2, 3, 1, 0) if channels_first else weights[number]
        kernel = kernel[::-1, ::-1] if theano else kernel  # Theano convolves, TensorFlow correlates
        weights[number] = kernel.transpose(0, 1, 3, 2) if layer.kind == "Deconvolution2D" else kernel
    return weights


def _built(model: _Layer, built: Any) -> Iterator[tuple[_Layer, Any, Any]]:
    """Yield every layer, the built model that it is in, and the built layer."""
    for layer in model.inside:
        inner = built.get_layer(layer.name)
        if layer.kind in _MODELS:
            yield from _built(layer, inner)
        else:
            yield layer, built, inner


def _give_weights(layer: _Layer, parent: Any, built: Any) -> None:
    weights = layer.weights
    if layer.given.flatten and layer.kind in _TURNED:
        rows, columns, channels = parent.get_layer(layer.given.flatten).input_shape[1:]
        order = np.arange(rows * columns * channels).reshape(channels, rows, columns).transpose(1, 2, 0).ravel()
        turned = 1 if layer.kind == "Dense" else len(weights)  # not its bias
        weights = [
            weight[order] if number < turned and len(weight) == len(order) else weight
            for number, weight in enumerate(weights)
        ]
    expected, found = [tuple(weight.shape) for weight in built.weights], [weight.shape for weight in weights]
    if found != expected:
        facts = {"layer": layer.label, "in the file": found, "expected": expected}
        raise UserError("the base model's weights do not fit its layers", facts)
    built.set_weights(weights)


def _differs(layer: _Layer, built: Any, network: _Network, theano: bool) -> str | None:
    """Return why a layer would answer differently now; None if it does not."""
    if layer.kind == "Deconvolution2D":
        was = network.shape(layer.old["output_shape"])[1:3]
        if was != list(built.output_shape[1:3]):
            return f"it made maps of {was} pixels, and would make some of {list(built.output_shape[1:3])} now"
    if theano and layer.old.get("border_mode") == "same":
        at = built.get_output_shape_at if layer.kind == "Deconvolution2D" else built.get_input_shape_at
        sizes = {tuple(at(call)[1:3]) for call in range(len(built._inbound_nodes))}
        if any(_borders(layer.old, size) for size in sizes):
            return "at these sizes Theano laid the border of 'same' in another way"
    return None


def _borders(old: Mapping[str, Any], size: tuple[int | None, ...]) -> bool:
    """Return whether Theano and TensorFlow put different borders before the first row or column of 'same'."""
    pooling = "pool_size" in old
    windows = old["pool_size"] if pooling else (old["nb_row"], old["nb_col"])
    strides = old["strides"] if pooling else old["subsample"]
    for side, window, stride, rate in zip(size, windows, strides, old.get("atrous_rate", (1, 1)), strict=True):
        reach = (window - 1) * rate + 1
        theano = reach // 2
        if pooling:
            theano = reach - 2 if reach > 2 and reach % 2 else reach - 1
        tensorflow = (reach - 1) // 2 if stride == 1 else -1  # of maps of any size, in steps: now this, now that
        if side is not None:
            tensorflow = max((-(-side // stride) - 1) * stride + reach - side, 0) // 2
        if theano != tensorflow:
            return True
    return False
