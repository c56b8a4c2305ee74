"""The function of a SavedModel that has no layers of Keras, as a model of one layer.

The function is traced again for one size of images and in inference mode, and wrapped in a layer that has its variables
(see artifacts.saved_function).
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from graftwork.artifacts.saved_function import SavedFunction, load
from graftwork.base_models.conversion.equivalence import require_same_outputs
from graftwork.base_models.opened import AUTO, TOLERANCE, Conversion, OpenedModel, Request
from graftwork.errors import UserError, in_one_line

_FEATURES = ("default", "feature_vector", "features", "embedding")
"""Names of the output to take where there are several; the first is TF-Hub's."""
_CALL = "__call__"
_SAME = (_CALL, "serve")
"""Names under which models usually have the function of their signature once more."""
_PIXELS = (tf.float32, tf.float16, tf.bfloat16, tf.float64, tf.uint8)
"""Types of images: the function is given float32 and casts."""

_Function = Callable[[tf.Tensor], tf.Tensor]
"""From a batch of images, float32, to one output, float32."""


def open_function(path: Path, request: Request, frozen: str = "") -> OpenedModel:
    """Make a model of one layer from the function of a SavedModel.

    Args:
        path: The folder. Whoever calls this has looked at its operations.
        request: `input_size` for a function that takes images of any size; `feature_layer` for the name of an output,
            or of a signature and its output, as in "serving_default/features".
        frozen: Why it shall not be trained, "" to find out whether it can be.

    Raises:
        UserError: It has no function from one image, several outputs none of which is named in the request, or a
            function that answers differently each time or cannot be saved in another model.
    """
    loaded = load(path)
    endpoints = _endpoints(loaded)
    named, _, wanted = request.feature_layer.rpartition("/")
    chosen = next((endpoint for endpoint in endpoints if endpoint.name == named), None)
    endpoint = chosen or endpoints[0]
    size = _size(endpoint, request)
    call, output = _one_output(endpoint, size, wanted if chosen else request.feature_layer)
    _require_one_answer(endpoint, call, size)
    frozen = frozen or _why_frozen(call, size)
    layer = _layer(endpoint, call, size, frozen, loaded)
    pixels = keras.Input(size, name="pixels")
    model = keras.Model(pixels, layer(pixels), name="base")
    how = f"its function {endpoint.name}{f', output {output},' if output else ''} used as one layer"
    others = [other.name for other in endpoints if other.name not in (endpoint.name, *_SAME)]
    if others and not chosen:
        how += f" (and not {', '.join(others)}; feature_layer={others[0]}/OUTPUT would take that)"
    difference = require_same_outputs(lambda batch: call(tf.constant(batch)), model)
    feature_layer = request.feature_layer if chosen else output or layer.name
    return OpenedModel(model, conversion=Conversion((), difference, how), frozen=frozen, feature_layer=feature_layer)


@dataclass(frozen=True)
class Endpoint:
    """A function of a SavedModel that takes one batch of images.

    Attributes:
        name: Of the signature, or __call__.
        function: From a batch of images to a tensor or tensors.
        image: What it takes: (n, height, width, channels), each None where any will do.
    """

    name: str
    function: Callable[[tf.Tensor], Any]
    image: tf.TensorSpec


def _endpoints(loaded: Any) -> list[Endpoint]:
    """Return the functions that take one batch of images, those first that take batches of any size."""
    inputs: dict[str, list[Any]] = {}
    found = []
    for name, signature in _signatures(loaded):
        keywords = signature.structured_input_signature[1]
        inputs[name] = list(keywords.values())
        if len(keywords) == 1 and _is_image(*inputs[name]):
            found.append(Endpoint(name, _by_keyword(signature, *keywords), inputs[name][0]))
    for concrete in getattr(getattr(loaded, _CALL, None), "concrete_functions", []):
        args, kwargs = concrete.structured_input_signature
        inputs.setdefault(_CALL, [*args, *kwargs.values()])
        if args and _is_image(args[0]) and _is_inference(args, kwargs):
            rest = [False if _is_switch(arg) else arg for arg in args[1:]]
            found.append(Endpoint(_CALL, functools.partial(_called, loaded, rest, dict(kwargs)), args[0]))
    if not found:
        facts = {name: ", ".join(map(_in_words, taken)) or "takes nothing" for name, taken in inputs.items()}
        raise UserError(
            "the SavedModel has no function that takes one batch of images",
            {**(facts or {"functions": "none"}), "expected": "float32 (n, height, width, 3)"},
            "give the model that takes pixels, not files or features",
        )
    return sorted(found, key=lambda endpoint: endpoint.image.shape[0] is not None)


def _signatures(loaded: Any) -> list[tuple[str, Any]]:
    """Return the signatures by name, the one that is served by default first."""
    found: Mapping[str, Any] = getattr(loaded, "signatures", {})
    return sorted(found.items(), key=lambda entry: (entry[0] != "serving_default", entry[0]))


def _by_keyword(signature: Any, keyword: str) -> Callable[[tf.Tensor], Any]:
    return lambda pixels: signature(**{keyword: pixels})


def _called(loaded: Any, rest: Sequence[Any], keywords: Mapping[str, Any], pixels: tf.Tensor) -> Any:
    return loaded(pixels, *rest, **keywords)


def _is_inference(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Return whether a function, besides images, takes nothing that has to be chosen, and was not traced to train."""
    rest = [*args[1:], *kwargs.values()]
    plain = all(_is_switch(arg) or arg is None or isinstance(arg, (bool, int, float)) for arg in rest)
    return plain and not any(arg is True for arg in rest) and not any(map(_is_switch, kwargs.values()))


def _is_switch(arg: Any) -> bool:
    return isinstance(arg, tf.TensorSpec) and arg.dtype == tf.bool


def _is_image(spec: Any) -> bool:
    if not isinstance(spec, tf.TensorSpec) or spec.dtype not in _PIXELS or spec.shape.rank != 4:
        return False
    return spec.shape[-1] in (1, 3, None)


def _in_words(spec: Any) -> str:
    tensor = isinstance(spec, (tf.TensorSpec, tf.Tensor)) and spec.shape.rank
    return f"{spec.dtype.name} {tuple(spec.shape)}" if tensor else str(spec)


def _size(endpoint: Endpoint, request: Request) -> tuple[int, int, int]:
    """Return (height, width, channels) of the images that the function shall take."""
    asked = request.input_size
    batch, height, width, channels = endpoint.image.shape
    facts = {"function": endpoint.name, "its input": _in_words(endpoint.image)}
    if batch is not None:
        raise UserError("the SavedModel takes batches of one size only", facts, "export it with a free batch size")
    if asked and any(side not in (None, asked) for side in (height, width)):
        facts["asked for"] = f"input_size={asked}"
        raise UserError("a SavedModel without layers cannot change its input size", facts, "leave input_size out")
    height, width = height or asked, width or asked
    if not height or not width:
        next = "pass the size to use: --set input_size=224"
        raise UserError("the base model takes images of any size", facts, next)
    return int(height), int(width), int(channels or 3)


def _one_output(endpoint: Endpoint, size: Sequence[int], wanted: str) -> tuple[_Function, str]:
    """Return the function with the one output that is wanted, and the name of that output, "" if it has none."""
    dtype = endpoint.image.dtype

    def answer(pixels: tf.Tensor) -> Any:
        return endpoint.function(tf.cast(pixels, dtype))

    traced = tf.function(answer).get_concrete_function(tf.TensorSpec([None, *size], tf.float32)).structured_outputs
    if _is_features(traced):
        return (lambda pixels: tf.cast(answer(pixels), tf.float32)), ""
    outputs = _by_name(traced)
    usable = {str(key): key for key, spec in outputs.items() if _is_features(spec)}
    names = [wanted] if wanted != AUTO else [*usable] if len(usable) == 1 else [n for n in _FEATURES if n in usable]
    if not names or names[0] not in usable:
        facts = {"function": endpoint.name}
        facts |= {f"output {key}": _in_words(spec) for key, spec in sorted(outputs.items())}
        problem = "the SavedModel has several outputs" if wanted == AUTO else f"the SavedModel has no output {wanted!r}"
        if not usable:
            problem = "the SavedModel has no output that could be features"
        raise UserError(problem, facts, f"pass one of them: --set feature_layer={min(usable, default='NAME')}")
    key = usable[names[0]]
    return (lambda pixels: tf.cast(answer(pixels)[key], tf.float32)), names[0]


def _by_name(outputs: Any) -> dict[Any, Any]:
    if isinstance(outputs, (tf.TensorSpec, tf.Tensor)):
        return {"": outputs}
    return dict(outputs) if isinstance(outputs, Mapping) else dict(enumerate(outputs))


def _is_features(spec: Any) -> bool:
    tensor = isinstance(spec, (tf.TensorSpec, tf.Tensor))
    return tensor and spec.dtype.is_floating and spec.shape.rank in (2, 3, 4)


def _require_one_answer(endpoint: Endpoint, call: _Function, size: Sequence[int]) -> None:
    """Raise a UserError if the same images get another answer the second time."""
    first, second = (call(_pixels(size)).numpy() for _ in range(2))
    largest = np.abs(first).max(initial=0.0, where=np.isfinite(first))
    if not np.allclose(first, second, rtol=0, atol=TOLERANCE * (largest or 1.0), equal_nan=True):
        facts = {"function": endpoint.name, "asked": "twice, with the same images"}
        next = [
            'if it is a model of Keras with random layers, save it whole:  model.save("name.keras")',
            "or export a function that takes no random numbers and changes nothing in itself",
        ]
        raise UserError("the SavedModel's function answers differently each time", facts, next)


def _layer(endpoint: Endpoint, call: _Function, size: Sequence[int], frozen: str, loaded: Any) -> SavedFunction:
    try:
        return SavedFunction.from_function(call, size, frozen, "saved_function", loaded)
    except ValueError as error:
        facts = {"function": endpoint.name, "reason": error}
        raise UserError("the SavedModel's function cannot be saved in another model", facts) from None


def _pixels(size: Sequence[int]) -> tf.Tensor:
    return tf.random.stateless_uniform((2, *size), seed=(0, 0), maxval=255.0)


def _why_frozen(call: _Function, size: Sequence[int]) -> str:
    """Return why a function cannot be trained, "" if it can: by trying to differentiate it."""
    with tf.GradientTape() as tape:
        output = call(_pixels(size))
    variables = tape.watched_variables()
    if not variables:
        return "none of the SavedModel's variables can be trained"
    try:
        gradients = tape.gradient(output, variables)
    except (LookupError, ValueError, tf.errors.OpError) as error:
        return f"the SavedModel's function cannot be differentiated: {in_one_line(error)}"
    if all(gradient is None for gradient in gradients):
        return "the SavedModel's function cannot be differentiated with respect to its variables"
    return ""
