"""Every architecture of keras.applications opens, with its preprocessing and feature layer found."""

import keras
import pytest

from graftwork.components.load_base_model.applications import application_names
from graftwork.components.load_base_model.architectures import find_preprocessing
from graftwork.components.load_base_model.cut import cut
from graftwork.components.load_base_model.opened import OpenedModel

# What each family's preprocess_input does. Those that have "none" preprocess inside.
EXPECTED = {
    "ConvNeXt": "none",
    "DenseNet": "imagenet-torch",
    "EfficientNet": "none",
    "InceptionResNetV2": "rescale-pm1",
    "InceptionV3": "rescale-pm1",
    "MobileNetV3": "none",
    "MobileNet": "rescale-pm1",
    "NASNet": "rescale-pm1",
    "ResNet": "imagenet-caffe",
    "VGG": "imagenet-caffe",
    "Xception": "rescale-pm1",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", application_names())
def test_preprocessing_and_feature_layer_are_found(name: str) -> None:
    model = getattr(keras.applications, name)(weights=None)
    opened = OpenedModel(model, name, "keras.applications", "")
    expected = next(value for prefix, value in EXPECTED.items() if name.startswith(prefix))
    if name.startswith("ResNet") and name.endswith("V2"):
        expected = "rescale-pm1"
    assert find_preprocessing(opened, None)[0] == expected
    base, _ = cut(opened, "auto")
    without_top = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=model.input_shape[1:])
    assert base.output_shape == without_top.output_shape
    assert find_preprocessing(OpenedModel(without_top, name, "keras.applications", ""), None)[0] == expected
    keras.utils.clear_session()
