"""The families of keras.applications, each with the preprocessing that its ImageNet weights were trained with."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import keras

from graftwork.base_models.architectures.recognition import levels_of
from graftwork.base_models.architectures.table import Level, networks
from graftwork.config import ScaleOffset
from graftwork.networks.layers import leaf_layers


@dataclass(frozen=True)
class Family:
    """A family of networks in keras.applications.

    Attributes:
        name: For people.
        preprocessing: What the pixels need that go into its first convolution.
        networks: Its members.
        markers: Names of layers that this family has and no other has together; empty if it is not known by them.
        plain: Whether its structure is so plain that other networks have it too, trained with another preprocessing.
    """

    name: str
    preprocessing: str | ScaleOffset
    networks: frozenset[str]
    markers: frozenset[str] = frozenset()
    plain: bool = False


def _family(
    name: str, preprocessing: str | ScaleOffset, networks: str, markers: str = "", plain: bool = False
) -> Family:
    return Family(name, preprocessing, frozenset(networks.split()), frozenset(markers.split()), plain)


FAMILIES = (
    _family("VGG", "imagenet-caffe", "VGG16 VGG19", "block1_conv1 block1_pool block5_conv3", plain=True),
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


def families_of(names: tuple[str, ...]) -> tuple[Family, ...]:
    """Return the families that networks of keras.applications belong to."""
    return tuple(family for family in FAMILIES if not family.networks.isdisjoint(names))


def preprocessing_of(names: tuple[str, ...]) -> str | ScaleOffset | None:
    """Return what networks of keras.applications need before their first convolution; None if not all need the same."""
    first, *others = [family.preprocessing for family in families_of(names)]
    return first if all(other == first for other in others) else None


def known_by_names(model: keras.Model) -> Family | None:
    """Return the family that gave its layers their names, for networks of a width that is in no table.

    Names alone say little: other libraries' networks are ported under them too. So its first convolution, with what
    normalises it, has to be the family's in all but width.
    """
    names = {layer.name for layer in leaf_layers(model)}
    family = next((family for family in FAMILIES if family.markers and family.markers <= names), None)
    if family is None or model.inputs[0].shape[-1] != 3:
        return None
    begins = _kinds(levels_of(model))
    return family if any(begins == _kinds(own.levels) for own in networks() if own.name in family.networks) else None


def _kinds(levels: Sequence[Level]) -> list[Counter[str]]:
    """Return the layers down to the first convolution, and those before the second, without their widths."""
    return [
        Counter(_without_widths(layer) for layer in (level.convolutions + level.others).elements())
        for level in levels[:2]
    ]


def _without_widths(described: str) -> str:
    """Return the description of a layer without numbers of channels: "Conv2D 3x3x3x64 64 /2" as "Conv2D 3x3 - /2"."""
    parts = [part.split("x") if part[0].isdigit() else [part, "", ""] for part in described.split()]
    return " ".join("x".join(part[:-2]) or "-" for part in parts)
