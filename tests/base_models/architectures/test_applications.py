"""Bases that are given by the name of a network of keras.applications."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from graftwork.base_models.architectures.applications import application_names
from graftwork.components.load_base_model.load import load_base_model
from graftwork.errors import UserError


class TestApplications:
    def test_by_name_with_weights_from_the_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # Where Keras keeps what it has fetched; random weights stand in for those of ImageNet.
        monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path / "keras"))
        source = keras.applications.MobileNetV2(include_top=False, input_shape=(96, 96, 3), weights=None)
        cache = tmp_path / "keras" / "models"
        cache.mkdir(parents=True)
        file = cache / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_96_no_top.h5"
        source.save_weights(str(file.with_suffix(".weights.h5")))
        file.with_suffix(".weights.h5").rename(file)
        with h5py.File(file) as saved:
            legacy = "layer_names" in saved.attrs
        if not legacy:
            _save_legacy_weights(source, file)
        base = load_base_model("MobileNetV2", tmp_path / "base", input_size=96)
        assert base.input_size == (96, 96)
        assert base.description["preprocessing"]["value"] == "rescale-pm1"
        image = np.random.default_rng(0).uniform(0, 255, (1, 96, 96, 3)).astype(np.float32)
        expected = np.mean(source(image / 127.5 - 1), axis=(1, 2))
        np.testing.assert_allclose(base.keras_model()(image), expected, rtol=1e-3, atol=1e-5)

    def test_an_unknown_name_lists_the_known_ones(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"does not exist[\s\S]*MobileNetV2"):
            load_base_model("NoSuchNet", tmp_path / "base")
        assert {"VGG16", "ResNet50", "EfficientNetB0"} <= set(application_names())

    def test_a_misspelt_name_is_answered_with_the_nearest(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="did you mean ResNet50"):
            load_base_model("resnet-50", tmp_path / "base")


def _save_legacy_weights(model: keras.Model, file: Path) -> None:
    """Write weights in the layout of the files that keras.applications fetches."""
    with h5py.File(file, "w") as saved:
        saved.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        saved.attrs["backend"], saved.attrs["keras_version"] = b"tensorflow", b"2.0.0"
        for layer in model.layers:
            group = saved.create_group(layer.name)
            names = [f"{layer.name}/{number}".encode() for number in range(len(layer.weights))]
            group.attrs["weight_names"] = names
            for name, weight in zip(names, layer.get_weights(), strict=True):
                group[name.decode()] = weight
