"""Files that Keras 2.15 itself wrote open, answer as they did, fine-tune, export and serve.

The first run makes a virtual environment with TensorFlow 2.15 in .cache, 1.3 GB; later ones find it there.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from graftwork.artifacts.model import BACKBONE, ModelFolder
from graftwork.base_models.conversion.input_size import at_input_size
from graftwork.base_models.open import open_file
from graftwork.base_models.opened import OpenedModel, Request
from graftwork.components.extract_features.extract import extract_features
from graftwork.components.fine_tune.fine_tune import fine_tune
from graftwork.components.fine_tune.layers import trainable_layers
from graftwork.components.load_base_model.load import load_base_model
from graftwork.components.train_head.train import train_head
from graftwork.config import FineTuneConfig, HeadConfig
from graftwork.data import imaging
from graftwork.errors import UserError
from graftwork.storage import whole

from conftest import CLASSES, coloured_squares
from keras2 import write_models

ENVIRONMENT = Path(__file__).parents[3] / ".cache" / "keras-2.15"
REQUIREMENTS = ("tensorflow-cpu==2.15.1", "numpy<2")
PYTHONS = ("3.11", "3.10", "3.9")
"""For which TensorFlow 2.15 has wheels."""

KERAS, TENSORFLOW = "Keras 2.15.0", "TensorFlow 2.15.1"
WHOLE = {"h5": f"HDF5, {KERAS}", "keras": f"Keras archive, {KERAS}", "saved_model": f"SavedModel, {TENSORFLOW}"}
WEIGHTS_ONLY = "weights only"
WEIGHTS = {"weights.h5": WEIGHTS_ONLY, "legacy.h5": WEIGHTS_ONLY}
KINDS = {
    **{f"{name}.{format}": kind for name in write_models.MODELS for format, kind in WHOLE.items()},
    **{f"mobilenet.{format}": kind for format, kind in WEIGHTS.items()},
    **{f"{name}.saved_model": WHOLE["saved_model"] for name in write_models.FUNCTIONS},
}
"""What was written, and what it has to be recognised as."""
ASKED: dict[str, dict[str, Any]] = {
    **{f"mobilenet.{format}": {"architecture": "MobileNetV2", "input_size": 96} for format in WEIGHTS},
    "module.saved_model": {"input_size": 24},
}
"""What has to be said of those that do not say it themselves."""
PREPROCESSING = {"shared_and_nested": "rescale-0-1", "subclassed": "none", "module": "none"}
"""Of those that are no known network and have none inside."""
SUBCLASSED = "subclassed.saved_model"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models of keras2/write_models.py, written by Keras 2.15."""
    if not ENVIRONMENT.is_dir():
        make_environment()
    folder = tmp_path_factory.mktemp("keras-2.15")
    run(ENVIRONMENT / "bin" / "python", write_models.__file__, folder)
    return folder


def make_environment() -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    others = filter(None, (shutil.which(f"python{other}") for other in PYTHONS))
    python = sys.executable if version in PYTHONS else next(others, None)
    if python is None:
        pytest.skip(
            f"TensorFlow 2.15 needs Python {' or '.join(PYTHONS)}; this is {version}, and none of those is here"
        )
    with whole.folder(ENVIRONMENT) as folder:
        run(python, "-m", "venv", folder)
        pip = (folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet")
        try:
            run(*pip, "install", *REQUIREMENTS)
        except subprocess.CalledProcessError as error:
            if "No matching distribution found for tensorflow" in error.output:
                pytest.skip(f"pip finds no {REQUIREMENTS[0]} for this machine: {error.output.strip()[-300:]}")
            raise


def run(*command: str | Path) -> None:
    # Neither this process's packages nor its settings of TensorFlow.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TF_", "KERAS"))}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        print(done.stdout)
        raise subprocess.CalledProcessError(done.returncode, done.args, done.stdout)


def opened(written: Path, file: str) -> OpenedModel:
    return open_file(written / file, Request(file, **ASKED.get(file, {})))


def with_head(written: Path, file: str, prepared: Path, folder: Path) -> ModelFolder:
    """Train a head on the features of a model, as a pipeline does."""
    preprocessing = PREPROCESSING.get(file.partition(".")[0])
    base = load_base_model(str(written / file), folder / "base", preprocessing, **ASKED.get(file, {}))
    extract_features(prepared, base.path, folder / "features")
    return train_head([folder / "features"], base.path, folder / "head", HeadConfig(kind="linear"), seed=0)


def kernels(classifier: keras.Model) -> list[np.ndarray]:
    """Return the largest weight of each layer of the base that can be trained."""
    return [max(layer.get_weights(), key=np.size) for layer in trainable_layers(classifier.get_layer(BACKBONE))]


def assert_serves(folder: ModelFolder, classifier: keras.Model) -> None:
    """Compare what a model answers to the bytes of files, loaded by TensorFlow alone, with its Keras model."""
    files = [tf.io.encode_png(pixels).numpy() for pixels, _ in coloured_squares(3, seed=9, size=200)]
    pixels = [imaging.pixels(file, folder.input_size, folder.stored_size) for file in files]
    served = tf.saved_model.load(str(folder.path)).signatures["serving_default"](image_bytes=tf.constant(files))
    expected = classifier(tf.stack(pixels), training=False).numpy()
    np.testing.assert_allclose(served["probabilities"], expected, atol=1e-5)
    assert [label.decode() for label in served["label"].numpy()] == [CLASSES[best] for best in expected.argmax(axis=1)]


@pytest.mark.slow
@pytest.mark.parametrize("file", KINDS)
def test_it_is_recognised_and_answers_as_it_did(written: Path, file: str) -> None:
    found = opened(written, file)
    assert found.kind == KINDS[file]
    recorded = np.load(written / f"{file.partition('.')[0]}.npz")
    model = found.model
    if found.kind == WEIGHTS_ONLY:  # the size is not in the file, and neither is another model to compare with
        model = at_input_size(model, recorded["pixels"].shape[1], found)
    else:
        assert found.conversion is not None
        assert found.conversion.difference < 1e-5
    outputs = tf.nest.flatten(model(recorded["pixels"], training=False))
    assert len(outputs) == len(recorded.files) - 1
    for number, output in enumerate(outputs):
        expected = recorded[f"output{number}"]
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("file", [file for file in KINDS if file != SUBCLASSED])
def test_it_fine_tunes_and_serves(written: Path, file: str, prepared: Path, tmp_path: Path) -> None:
    head = with_head(written, file, prepared, tmp_path)
    # Without weight decay a weight moves only where a gradient reaches it.
    config = FineTuneConfig(layers="all", epochs=1, learning_rate=1e-3, warmup=0.0, weight_decay=0.0)
    tuned = fine_tune(prepared, head.path, tmp_path / "tuned", config, seed=0)
    classifier = tuned.keras_model()
    before, after = kernels(head.keras_model()), kernels(classifier)
    assert before
    assert all(not np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    assert_serves(tuned, classifier)


@pytest.mark.slow
def test_a_subclassed_model_stays_as_it_is_and_serves(written: Path, prepared: Path, tmp_path: Path) -> None:
    head = with_head(written, SUBCLASSED, prepared, tmp_path)
    assert "subclassed" in head.description["frozen"]
    with pytest.raises(UserError, match="cannot be fine-tuned"):
        fine_tune(prepared, head.path, tmp_path / "tuned", FineTuneConfig(layers=1), seed=0)
    tuned = fine_tune(prepared, head.path, tmp_path / "tuned", FineTuneConfig(), seed=0)
    assert_serves(tuned, tuned.keras_model())
