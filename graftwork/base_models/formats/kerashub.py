"""Base models out of KerasHub presets: folders, and names that KerasHub fetches."""

import difflib
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from graftwork.artifacts.code import NO_CODE, CustomCode
from graftwork.base_models.formats.kind import Kind
from graftwork.base_models.opened import OpenedModel
from graftwork.config import ScaleOffset
from graftwork.errors import UserError, in_one_line
from graftwork.networks.layers import is_of_keras, take_weights

_WEIGHTS = ("model.weights.h5", "model.weights.json", "task.weights.h5")


def is_preset_folder(path: Path) -> bool:
    """Return whether a path is a folder that KerasHub's `save_to_preset` wrote."""
    written_by_hub = str(configuration(path).get("registered_name")).startswith("keras_hub>")
    return written_by_hub and any((path / name).is_file() for name in _WEIGHTS)


def configuration(folder: Path) -> dict[str, Any]:
    """Return what a folder's config.json holds, nothing if there is none that can be read."""
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def open_preset(preset: str | Path) -> OpenedModel:
    """Open a KerasHub preset, a folder or a name."""
    model, preprocessing, remark = backbone_of_preset(preset)
    return OpenedModel(
        model,
        preprocessing=(preprocessing, f"from the preset ({remark})") if preprocessing is not None else None,
        feature_layer=model.layers[-1].name,  # a backbone is features already
        # Layers of KerasHub cannot be loaded without it.
        code=NO_CODE if all(map(is_of_keras, model._flatten_layers())) else CustomCode(("keras_hub",)),
    )


def backbone_of_preset(preset: str | Path) -> tuple[keras.Model, ScaleOffset | None, str]:
    """Open the image backbone of a KerasHub preset, without a head.

    Args:
        preset: A folder, or what KerasHub fetches by name, as in "resnet_50_imagenet" or "hf://keras/resnet_50_imagenet".

    Returns:
        A functional model from images (n, height, width, channels), of the size that the preset resizes to, to the last
        feature map (n, h, w, d) or to tokens (n, t, d); what its pixels need, None if the preset does not say; what the
        preset holds, in words.

    Raises:
        UserError: KerasHub is not installed; the preset does not exist, cannot be fetched, is damaged, or is of another
            kind of model.
    """
    hub = _keras_hub(preset)
    _refuse_language(preset)
    try:
        converter = _image_converter(hub, str(preset))
        backbone = hub.models.Backbone.from_preset(str(preset))
    except Exception as error:  # whatever its files or the network lead to
        raise _cannot_be_opened(hub, preset, error) from error
    remark = type(backbone).__name__
    if converter is None:
        return _image_model(preset, backbone, None), None, f"{remark}, without an image converter"
    if converter.image_size:
        remark += f" for {' x '.join(map(str, converter.image_size))} pixels"
    return _image_model(preset, backbone, converter.image_size), _scale_and_offset(converter), remark


def _keras_hub(preset: str | Path) -> Any:
    try:
        import keras_hub
    except ImportError as error:
        facts = {"preset": preset, "reason": error}
        raise UserError("KerasHub is not installed", facts, next='pip install "graftwork[hub]"') from None
    return keras_hub


def _image_converter(hub: Any, preset: str) -> Any:
    """Return what turns images into inputs of the backbone; None if the preset or its kind of backbone has none."""
    try:
        return hub.layers.ImageConverter.from_preset(preset)
    except FileNotFoundError:
        return None
    except ValueError as error:
        if "Unable to find a subclass" in str(error):
            return None
        raise


def _image_model(preset: str | Path, backbone: Any, size: tuple[int, int] | None) -> keras.Model:
    shape = _image_shape(preset, backbone)
    if size is not None and None in shape[:2]:
        shape = (*size, shape[2])
    image = keras.Input(shape, name="image")
    if all(map(is_of_keras, backbone._flatten_layers(include_self=False))):
        # Layers of Keras alone: without the backbone around them, they load where KerasHub is not.
        model = keras.Model(backbone.inputs[0], _features(backbone.output), name=backbone.name)
        sized = keras.models.clone_model(model, input_tensors=image)
        take_weights(sized, model.get_weights())
        return sized
    # Some layers of KerasHub cannot be loaded on their own; their backbones can.
    outputs = backbone(keras.tree.map_structure(lambda _: image, backbone.input))
    return keras.Model(image, _features(outputs), name=f"{backbone.name}_of_images")


def _image_shape(preset: str | Path, backbone: Any) -> tuple[int | None, ...]:
    """Return height, width and channels of the only input of a backbone, the first two None where any will do."""
    shapes = [tuple(tensor.shape) for tensor in backbone.inputs]
    if len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][-1] in (1, 3):
        return shapes[0][1:]
    inputs = ", ".join(f"{tensor.name} {shape}" for tensor, shape in zip(backbone.inputs, shapes, strict=True))
    raise _no_images(preset, type(backbone).__name__, {"its inputs": inputs})


def _features(outputs: Any) -> Any:
    """Return the deepest of a backbone's outputs, which has the most channels; in a pyramid of equals, the last."""
    return max(reversed(keras.tree.flatten(outputs)), key=lambda output: output.shape[-1])


def _scale_and_offset(converter: Any) -> ScaleOffset:
    return ScaleOffset(scale=_numbers(converter.scale, 1.0), offset=_numbers(converter.offset, 0.0))


def _numbers(value: Any, default: float) -> Any:
    """Return one number, or one for each channel."""
    numbers = np.ravel(default if value is None else value).tolist()
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def _refuse_language(preset: str | Path) -> None:
    """Refuse a folder whose backbone has a vocabulary before its weights, often gigabytes, are read."""
    found = configuration(Path(preset))
    if "vocabulary_size" in json.dumps(found):
        raise _no_images(preset, found.get("class_name"), {"it has": "a vocabulary"})


def _no_images(preset: str | Path, kind: Any, facts: dict[str, str]) -> UserError:
    facts = {"preset": f"{preset} ({kind})", **facts, "expected": "one input, images (None, height, width, 3)"}
    return UserError("the KerasHub preset is of no image model", facts, "give the preset of an image backbone")


def _cannot_be_opened(hub: Any, preset: str | Path, error: Exception) -> UserError:
    facts = {"preset": str(preset), "reason": in_one_line(error)}
    if Path(preset).exists():
        return UserError("KerasHub cannot open the preset", facts, "copy or save the folder again")
    if "://" in str(preset) or preset in hub.models.Backbone.presets:
        return UserError(
            "the KerasHub preset cannot be fetched", facts, "check the name and the network, or give a folder"
        )
    close = difflib.get_close_matches(str(preset), hub.models.Backbone.presets, n=3)
    next = f"did you mean {' or '.join(close)}?" if close else "give a folder, or the name of a preset of KerasHub"
    return UserError("there is no such KerasHub preset", {"preset": str(preset)}, next)


KIND = Kind("KerasHub preset", is_preset_folder, lambda path, request, saved_by: open_preset(path))
