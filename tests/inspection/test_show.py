"""`graftwork inspect`: what a person and a machine see of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import keras
import pytest

from commands import graftwork
from inspected_models import network, photos_in

layers = keras.layers


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos_in(tmp_path_factory.mktemp("photos"))


class TestCommand:
    @pytest.fixture(scope="class")
    def model(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
        return network(tmp_path_factory.mktemp("model"), layers.Rescaling(1 / 255))

    def test_a_table_for_people(self, model: Path) -> None:
        done = graftwork("inspect", model)
        assert done.returncode == 0, done.stderr
        for expected in ("Keras archive, Keras 3", "24 x 24 pixels", "9 x 9 x 16", "<- features", "inside the model"):
            assert expected in done.stdout

    def test_json_for_machines_with_evidence(self, model: Path, photos: Path) -> None:
        done = graftwork("inspect", model, "--data", photos, "--images", 60, "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["feature_layer"]["name"] == "two"
        assert found["evidence"]["classes"] == 3

    def test_what_is_no_model_ends_with_a_message_and_exit_code_2(self, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(b"\x08\x07")
        done = graftwork("inspect", tmp_path / "model.onnx")
        assert done.returncode == 2
        assert "an ONNX model" in done.stderr
        assert "Traceback" not in done.stderr
