"""KerasHub presets open as base models; KerasHub is an optional extra of the package, and among what tests need."""

import subprocess
import sys
from pathlib import Path

import keras
import keras_hub as hub
import numpy as np
import pytest

from graftwork.base_models.formats.kerashub import backbone_of_preset, is_preset_folder
from graftwork.config import ScaleOffset
from graftwork.errors import UserError

_RESNET = {
    "input_conv_filters": [64],
    "input_conv_kernel_sizes": [7],
    "stackwise_num_filters": [64, 64],
    "stackwise_num_blocks": [1, 1],
    "stackwise_num_strides": [1, 2],
    "block_type": "basic_block",
}
_VIT = {"image_shape": (32, 32, 3), "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
_SCALE, _OFFSET = (0.017, 0.0175, 0.0174), (-2.1, -2.0, -1.8)


@pytest.fixture(scope="module")
def presets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small presets: a classifier with its preprocessing, backbones alone, one of words."""
    folder = tmp_path_factory.mktemp("presets")
    models, layers = hub.models, hub.layers
    resnet = models.ResNetBackbone(**_RESNET)
    converter = layers.ResNetImageConverter(image_size=(32, 40), scale=_SCALE, offset=_OFFSET)
    preprocessor = models.ResNetImageClassifierPreprocessor(image_converter=converter)
    models.ResNetImageClassifier(resnet, num_classes=3, preprocessor=preprocessor).save_to_preset(folder / "classifier")
    resnet.save_to_preset(folder / "resnet")
    models.ViTBackbone(**_VIT).save_to_preset(folder / "vit")
    layers.ViTImageConverter(image_size=(32, 32), scale=1 / 127.5, offset=-1.0).save_to_preset(folder / "vit")
    words = {"vocabulary_size": 10, "num_layers": 1, "num_heads": 1, "hidden_dim": 4, "intermediate_dim": 4}
    models.BertBackbone(**words).save_to_preset(folder / "bert")
    return folder


def pixels(model: keras.Model) -> np.ndarray:
    shape = (2, *(side or 32 for side in model.input_shape[1:]))
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def test_a_preset_is_a_folder_that_keras_hub_wrote(presets: Path, tmp_path: Path) -> None:
    assert is_preset_folder(presets / "classifier")
    assert not is_preset_folder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    (tmp_path / "model.weights.h5").touch()
    assert not is_preset_folder(tmp_path)


class TestBackbones:
    @pytest.mark.parametrize("name", ["classifier", "resnet", "vit"])
    def test_it_answers_as_in_keras_hub(self, presets: Path, name: str) -> None:
        model, _, _ = backbone_of_preset(presets / name)
        expected = hub.models.Backbone.from_preset(str(presets / name))(pixels(model), training=False)
        np.testing.assert_allclose(model(pixels(model), training=False), expected, rtol=1e-5, atol=1e-5)

    def test_the_preset_says_at_which_size(self, presets: Path) -> None:
        model, _, remark = backbone_of_preset(presets / "classifier")
        assert model.input_shape == (None, 32, 40, 3)
        assert remark == "ResNetBackbone for 32 x 40 pixels"

    def test_of_several_outputs_the_deepest(self, tmp_path: Path) -> None:
        stages = [[8, 8, 16, 1, 2, 3], [16, 8, 24, 1, 2, 3]]
        backbone = hub.models.HGNetV2Backbone(
            depths=[1, 1],
            embedding_size=8,
            hidden_sizes=[16, 24],
            stem_channels=[3, 8, 8],
            hidden_act="relu",
            use_learnable_affine_block=False,
            stackwise_stage_filters=stages,
            apply_downsample=[False, True],
            use_lightweight_conv_block=[False, False],
            image_shape=(64, 64, 3),
        )
        backbone.save_to_preset(tmp_path / "hgnet")
        assert backbone_of_preset(tmp_path / "hgnet")[0].output_shape == (None, 8, 8, 24)

    @pytest.mark.parametrize("name", ["classifier", "vit"])
    def test_it_is_saved_and_loaded(self, presets: Path, name: str, tmp_path: Path) -> None:
        model, _, _ = backbone_of_preset(presets / name)
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(again(pixels(model), training=False), model(pixels(model), training=False))

    def test_layers_of_keras_alone_load_without_keras_hub(self, presets: Path, tmp_path: Path) -> None:
        backbone_of_preset(presets / "classifier")[0].save(tmp_path / "model.keras")
        code = "import sys, keras; sys.modules['keras_hub'] = None; keras.saving.load_model(sys.argv[1])"
        subprocess.run([sys.executable, "-c", code, tmp_path / "model.keras"], check=True, capture_output=True)


class TestPreprocessing:
    def test_of_each_channel(self, presets: Path) -> None:
        model, preprocessing, _ = backbone_of_preset(presets / "classifier")
        assert preprocessing == ScaleOffset(scale=_SCALE, offset=_OFFSET)
        converter = hub.layers.ImageConverter.from_preset(str(presets / "classifier"))
        expected = converter(pixels(model))
        np.testing.assert_allclose(pixels(model) * preprocessing.scale + preprocessing.offset, expected, atol=1e-4)

    def test_of_all_channels(self, presets: Path) -> None:
        assert backbone_of_preset(presets / "vit")[1] == ScaleOffset(scale=1 / 127.5, offset=-1.0)

    def test_a_converter_that_only_resizes(self, presets: Path, tmp_path: Path) -> None:
        hub.models.ResNetBackbone(**_RESNET).save_to_preset(tmp_path)
        hub.layers.ResNetImageConverter(image_size=(32, 32)).save_to_preset(tmp_path)
        assert backbone_of_preset(tmp_path)[1] == ScaleOffset(scale=1.0, offset=0.0)

    def test_no_converter(self, presets: Path) -> None:
        model, preprocessing, remark = backbone_of_preset(presets / "resnet")
        assert preprocessing is None
        assert model.input_shape == (None, None, None, 3)
        assert "without an image converter" in remark


class TestRefused:
    def fails(self, preset: str | Path) -> str:
        with pytest.raises(UserError) as error:
            backbone_of_preset(preset)
        return str(error.value)

    def test_a_model_of_words(self, presets: Path) -> None:
        assert "of no image model" in self.fails(presets / "bert")

    def test_an_unknown_name(self) -> None:
        said = self.fails("resnet_50_imagent")
        assert "there is no such KerasHub preset" in said
        assert "resnet_50_imagenet" in said

    def test_weights_of_another_model(self, presets: Path, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_bytes((presets / "resnet" / "config.json").read_bytes())
        (tmp_path / "model.weights.h5").write_bytes((presets / "vit" / "model.weights.h5").read_bytes())
        assert "KerasHub cannot open the preset" in self.fails(tmp_path)
