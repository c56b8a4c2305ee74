"""Which preprocessing a network was trained with: found inside it, or known from its architecture."""

from dataclasses import dataclass

import keras

from graftwork.artifacts.model import leaf_layers
from graftwork.components.load_base_model.cut import calls
from graftwork.components.load_base_model.opened import OpenedModel
from graftwork.config import PREPROCESSING_NAMES, ScaleOffset
from graftwork.errors import UserError


@dataclass(frozen=True)
class Architecture:
    """A family of networks in keras.applications that expects its pixels preprocessed outside.

    Attributes:
        name: For people.
        preprocessing: What its `preprocess_input` does.
        markers: Layers that this family has and no other has together.
    """

    name: str
    preprocessing: str
    markers: frozenset[str]


ARCHITECTURES = (
    Architecture("VGG", "imagenet-caffe", frozenset({"block1_conv1", "block1_pool", "block5_conv3"})),
    Architecture("ResNet", "imagenet-caffe", frozenset({"conv1_conv", "conv1_bn", "conv2_block1_1_conv", "conv1_pad"})),
    Architecture("ResNetV2", "rescale-pm1", frozenset({"conv1_conv", "conv2_block1_preact_bn", "post_bn"})),
    Architecture("DenseNet", "imagenet-torch", frozenset({"conv1_conv", "pool2_conv", "conv5_block1_1_conv"})),
    Architecture("MobileNet", "rescale-pm1", frozenset({"conv1", "conv_dw_1", "conv_pw_13"})),
    Architecture("MobileNetV2", "rescale-pm1", frozenset({"Conv1", "expanded_conv_depthwise", "block_1_expand"})),
    Architecture("Inception V3", "rescale-pm1", frozenset({"mixed0", "mixed10"})),
    Architecture("Inception ResNet V2", "rescale-pm1", frozenset({"mixed_5b", "conv_7b"})),
    Architecture("Xception", "rescale-pm1", frozenset({"block1_conv1", "block2_sepconv1", "block14_sepconv2"})),
    Architecture("NASNet", "rescale-pm1", frozenset({"stem_conv1", "reduction_add_1_stem_1"})),
)
"""Families that preprocess inside themselves (EfficientNet, MobileNetV3, ConvNeXt) need no entry."""

_ARITHMETIC = {"Rescaling", "Normalization", "TrueDivide", "Divide", "Multiply", "Subtract", "Add"}


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
    inside = _preprocessing_inside(opened.model)
    if inside:
        return "none", f"inside the model ({inside})"
    names = {layer.name for layer in leaf_layers(opened.model)}
    for architecture in ARCHITECTURES:
        if architecture.markers <= names:
            return architecture.preprocessing, f"known for {architecture.name}"
    raise UserError(
        "the base model's preprocessing is not known",
        {
            "model": opened.summary,
            "looked at": "layer names (no known architecture), Rescaling/Normalization layers (none)",
        },
        next=[
            f"pass --preprocessing with one of: {', '.join(PREPROCESSING_NAMES)}",
            "or  preprocessing: {scale: ..., offset: ...}  in the configuration",
        ],
    )


def _preprocessing_inside(model: keras.Model) -> str | None:
    """Return the name of a layer that computes on the pixels before the first layer with trainable weights."""
    functional = keras.Model(model.inputs, model.outputs)
    for node in calls(functional):
        layer = node.layer
        if isinstance(layer, keras.Model):
            return _preprocessing_inside(layer)
        if type(layer).__name__ in _ARITHMETIC:
            return f"{type(layer).__name__} layer {layer.name!r}"
        if getattr(layer, "trainable_weights", None):
            return None
    return None
