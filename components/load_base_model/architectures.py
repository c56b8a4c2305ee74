"""Which preprocessing a network was trained with: found inside it, or known from its architecture."""

from dataclasses import dataclass

import keras

from graftwork.artifacts.model import leaf_layers
from graftwork.components.load_base_model.cut import calls
from graftwork.components.load_base_model.opened import OpenedModel
from graftwork.components.load_base_model.structure import recognise
from graftwork.config import PREPROCESSING_NAMES, ScaleOffset
from graftwork.errors import UserError


@dataclass(frozen=True)
class Family:
    """A family of networks in keras.applications.

    Attributes:
        name: For people.
        preprocessing: What the pixels need that go into its first convolution.
        networks: Its members.
        markers: Names of layers that this family has and no other has together; empty if it is not known by them.
    """

    name: str
    preprocessing: str | ScaleOffset
    networks: frozenset[str]
    markers: frozenset[str] = frozenset()


def _family(name: str, preprocessing: str | ScaleOffset, networks: str, markers: str = "") -> Family:
    return Family(name, preprocessing, frozenset(networks.split()), frozenset(markers.split()))


FAMILIES = (
    _family("VGG", "imagenet-caffe", "VGG16 VGG19", "block1_conv1 block1_pool block5_conv3"),
    _family(
        "ResNet",
        "imagenet-caffe",
        "ResNet50 ResNet101 ResNet152",
        "conv1_conv conv1_bn conv2_block1_1_conv conv1_pad",
    ),
    _family(
        "ResNetV2",
        "rescale-pm1",
        "ResNet50V2 ResNet101V2 ResNet152V2",
        "conv1_conv conv2_block1_preact_bn post_bn",
    ),
    _family(
        "DenseNet",
        "imagenet-torch",
        "DenseNet121 DenseNet169 DenseNet201",
        "conv1_conv pool2_conv conv5_block1_1_conv",
    ),
    _family("MobileNet", "rescale-pm1", "MobileNet", "conv1 conv_dw_1 conv_pw_13"),
    _family("MobileNetV2", "rescale-pm1", "MobileNetV2", "Conv1 expanded_conv_depthwise block_1_expand"),
    _family("Inception V3", "rescale-pm1", "InceptionV3", "mixed0 mixed10"),
    _family("Inception ResNet V2", "rescale-pm1", "InceptionResNetV2", "mixed_5b conv_7b"),
    _family("Xception", "rescale-pm1", "Xception", "block1_conv1 block2_sepconv1 block14_sepconv2"),
    _family("NASNet", "rescale-pm1", "NASNetMobile NASNetLarge", "stem_conv1 reduction_add_1_stem_1"),
    # Those below preprocess inside, unless they were built with include_preprocessing=False, or cut out behind it.
    _family("MobileNetV3", "rescale-pm1", "MobileNetV3Small MobileNetV3Large"),
    _family("EfficientNet", "imagenet-torch", " ".join(f"EfficientNetB{number}" for number in range(8))),
    _family("EfficientNetV2 B", "imagenet-torch", " ".join(f"EfficientNetV2B{number}" for number in range(4))),
    _family(
        "EfficientNetV2",
        ScaleOffset(scale=1 / 128, offset=-1.0),
        "EfficientNetV2S EfficientNetV2M EfficientNetV2L",
    ),
    _family(
        "ConvNeXt",
        "imagenet-torch",
        "ConvNeXtTiny ConvNeXtSmall ConvNeXtBase ConvNeXtLarge ConvNeXtXLarge",
    ),
)

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
    if opened.preprocessing is not None:
        return opened.preprocessing
    inside = _preprocessing_inside(opened.model)
    if inside:
        return "none", f"inside the model ({inside})"
    recognised = recognise(opened.model)
    preprocessing = preprocessing_of(recognised.names) if recognised else None
    if recognised and preprocessing is not None:
        return preprocessing, f"known for {recognised}"
    named = _known_by_names(opened.model)
    if named is not None:
        return named.preprocessing, f"known for {named.name} (by the names of its layers)"
    raise UserError(
        "the base model's preprocessing is not known",
        {
            "model": opened.summary,
            "looked at": "layers and their names (no known architecture), Rescaling/Normalization layers (none)",
        },
        next=[
            f"pass --preprocessing with one of: {', '.join(PREPROCESSING_NAMES)}",
            "or  preprocessing: {scale: ..., offset: ...}  in the configuration",
        ],
    )


def preprocessing_of(networks: tuple[str, ...]) -> str | ScaleOffset | None:
    """Return what networks of keras.applications need before their first convolution; None if not all need the same."""
    families = [family for family in FAMILIES if not family.networks.isdisjoint(networks)]
    first = families[0].preprocessing
    return first if all(family.preprocessing == first for family in families) else None


def _known_by_names(model: keras.Model) -> Family | None:
    """Return the family that gave its layers their names, for networks of a width that is in no table."""
    names = {layer.name for layer in leaf_layers(model)}
    if model.inputs[0].shape[-1] != 3:
        return None
    return next((family for family in FAMILIES if family.markers and family.markers <= names), None)


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
