"""A network as a person sees it."""

import keras
import pytest

from graftwork.inspection.blocks import blocks

layers = keras.layers


class TestBlocks:
    @pytest.mark.parametrize("name", ["VGG16", "ResNet50", "MobileNetV2", "EfficientNetB0", "InceptionV3"])
    def test_they_hold_every_parameter_once(self, name: str) -> None:
        model = getattr(keras.applications, name)(weights=None)
        found = blocks(model)
        assert sum(block.parameters for block in found) == model.count_params()
        assert len(found) <= 9
        assert found[-1].output == (1000,)

    def test_one_for_each_resolution(self) -> None:
        ends = [block.last for block in blocks(keras.applications.VGG16(weights=None))]
        convolutions = ["block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"]
        assert ends == [*convolutions, "predictions"]

    def test_models_inside_are_opened_up(self) -> None:
        base = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, weights=None)
        model = keras.Sequential([keras.Input((32, 32, 3)), base, layers.GlobalAveragePooling2D(), layers.Dense(2)])
        found = blocks(model)
        assert sum(block.parameters for block in found) == model.count_params()
        assert "out_relu" in [block.last for block in found]
