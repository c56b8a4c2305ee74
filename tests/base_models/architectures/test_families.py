"""Every architecture of keras.applications opens, with its preprocessing and feature layer found."""

import keras
import numpy as np
import pytest

from graftwork.base_models.architectures.applications import application_names
from graftwork.base_models.architectures.families import FAMILIES, known_by_names
from graftwork.base_models.architectures.recognition import recognise
from graftwork.base_models.architectures.table import networks
from graftwork.base_models.backbone import backbone
from graftwork.base_models.cut import cut
from graftwork.base_models.formats.weights.fitting import matching
from graftwork.base_models.opened import OpenedModel
from graftwork.base_models.preprocessing import find_preprocessing
from graftwork.config import ScaleOffset
from graftwork.errors import UserError
from graftwork.networks.layers import leaf_layers

from architectures.expected import PREPROCESSING, built, each_network
from small_networks import with_other_names

applications = keras.applications


def opened(model: keras.Model) -> OpenedModel:
    return OpenedModel(model, "model.keras", "Keras archive", "")


def test_every_network_is_in_one_family_and_in_the_table() -> None:
    members = [name for family in FAMILIES for name in family.networks]
    assert sorted(members) == sorted(application_names())
    assert {network.name for network in networks()} == set(members)


class TestFound:
    def test_by_structure(self) -> None:
        model = applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, include_top=False)
        known = ("rescale-pm1", "known for MobileNetV2 (all 52 layers)")
        assert find_preprocessing(opened(model), None) == known
        assert find_preprocessing(opened(with_other_names(model)), None) == known

    def test_of_what_several_networks_begin_with(self) -> None:
        model = with_other_names(applications.VGG16(weights=None, include_top=False))
        model = keras.Model(model.input, model.layers[9].output)
        assert find_preprocessing(opened(model), None) == (
            "imagenet-caffe",
            "known for VGG16 or VGG19 (7 of 13 layers), if its weights are those of keras.applications",
        )

    def test_by_names_where_the_width_is_unusual(self) -> None:
        model = applications.MobileNetV2((32, 32, 3), alpha=0.1, weights=None, include_top=False)
        known = ("rescale-pm1", "known for MobileNetV2 (by the names of its layers)")
        assert find_preprocessing(opened(model), None) == known
        with pytest.raises(UserError, match="preprocessing is not known"):
            find_preprocessing(opened(with_other_names(model)), None)

    def test_not_by_names_where_the_first_layers_are_of_another_kind(self) -> None:
        # As PyTorch's MobileNetV2 is, ported under the names that Keras gives.
        model = applications.MobileNetV2((32, 32, 3), alpha=0.1, weights=None, include_top=False)
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.epsilon = 1e-5
        with pytest.raises(UserError, match="preprocessing is not known"):
            find_preprocessing(opened(model), None)

    def test_a_vgg_with_batch_normalisation_is_none_of_them(self) -> None:
        model = applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
        normalised = maps = keras.Input((32, 32, 3))
        for layer in model.layers[1:]:
            maps = type(layer).from_config(layer.get_config())(maps)
            if isinstance(layer, keras.layers.Conv2D):
                maps = keras.layers.BatchNormalization()(maps)
        assert known_by_names(model) is not None
        with pytest.raises(UserError, match="preprocessing is not known"):
            find_preprocessing(opened(keras.Model(normalised, maps)), None)

    def test_not_for_grey_images(self) -> None:
        model = applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 1))
        with pytest.raises(UserError, match="preprocessing is not known"):
            find_preprocessing(opened(model), None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ConvNeXtTiny", "imagenet-torch"),
        ("EfficientNetV2B0", "imagenet-torch"),
        ("EfficientNetV2S", ScaleOffset(scale=1 / 128, offset=-1.0)),
        ("MobileNetV3Small", "rescale-pm1"),
    ],
)
def test_networks_built_without_their_preprocessing_get_it_back(name: str, expected: str | ScaleOffset) -> None:
    options = {"weights": None, "include_top": False, "input_shape": (64, 64, 3)}
    whole = getattr(applications, name)(**options)
    without = getattr(applications, name)(include_preprocessing=False, **options)
    without.set_weights(whole.get_weights())
    found, _ = find_preprocessing(opened(with_other_names(without)), None)
    assert found == expected
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    features = np.mean(whole(pixels), axis=(1, 2))
    np.testing.assert_allclose(backbone(without, found)(pixels), features, atol=1e-4 * np.abs(features).max())


@pytest.mark.slow
@each_network
def test_preprocessing_and_feature_layer_are_found(name: str) -> None:
    model = built(name)
    expected = next(value for prefix, value in PREPROCESSING.items() if name.startswith(prefix))
    if name.startswith("ResNet") and name.endswith("V2"):
        expected = "rescale-pm1"
    assert find_preprocessing(opened(model), None)[0] == expected
    base, _ = cut(opened(model), "auto")
    without_top = getattr(applications, name)(weights=None, include_top=False, input_shape=model.input_shape[1:])
    assert base.output_shape == without_top.output_shape
    assert find_preprocessing(opened(without_top), None)[0] == expected
    for either in (model, without_top):
        assert matching([tuple(weight.shape) for weight in either.weights]) == [name]
        names = [layer.name for layer in leaf_layers(either)]
        found = recognise(with_other_names(either))
        for layer, own in zip(leaf_layers(either), names, strict=True):
            layer.name = own
        assert found is not None
        assert (found.names, found.complete) == ((name,), True)
