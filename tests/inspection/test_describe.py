"""What a saved model is, and what would be made of it."""

from pathlib import Path

import keras

from graftwork.inspection.describe import feature_layers

from inspected_models import described, network

layers = keras.layers


class TestDescribe:
    def test_it_says_where_to_cut_and_what_the_pixels_need(self, tmp_path: Path) -> None:
        found = described(network(tmp_path, layers.Rescaling(1 / 255, name="scale")))
        assert (found.feature_layer, found.features) == ("two", (9, 9, 16))
        assert found.preprocessing == "none"
        assert "scale" in found.preprocessing_found
        assert found.fine_tuned == 2
        assert feature_layers(found) == ["two", "one"]

    def test_an_unknown_preprocessing_is_no_error(self, tmp_path: Path) -> None:
        found = described(network(tmp_path))
        assert found.preprocessing is None

    def test_what_cannot_be_cut_is_said(self, tmp_path: Path) -> None:
        pixels = keras.Input((None, None, 3))
        keras.Model(pixels, layers.Conv2D(4, 3)(pixels)).save(tmp_path / "model.keras")
        assert "any size" in described(tmp_path / "model.keras").cannot_cut
