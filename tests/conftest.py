"""What several test files need: a small prepared data set and small base models, real ones."""

import hashlib
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from graftwork.artifacts.features import Split

CLASSES = ["blue", "green", "red"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of a file run in the same process, for what they share; see also `architectures.expected.each`."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.name))


def coloured_squares(count: int, seed: int = 0, size: int = 24) -> Iterator[tuple[np.ndarray, int]]:
    """Yield noisy uint8 images with a square of a class's colour, and the class: learnable, but not trivially."""
    random = np.random.default_rng(seed)
    for number in range(count):
        label = number % len(CLASSES)
        image = random.integers(0, 120, (size, size, 3))
        top, left = random.integers(0, size // 2, 2)
        image[top : top + size // 2, left : left + size // 2, 2 - label] += 90
        yield image.astype(np.uint8), label


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An images artifact of three classes: 96 training, 48 validation and 48 test images of 24 x 24 pixels."""
    import tensorflow as tf

    from graftwork.artifacts import images

    records: dict[str, list[images.Record]] = {}
    sizes = {"train": 96, "validation": 48, "test": 48}
    for seed, (split, size) in enumerate(sizes.items()):
        records[split] = []
        for number, (pixels, label) in enumerate(coloured_squares(size, seed)):
            encoded = tf.io.encode_png(pixels).numpy()
            key = hashlib.sha256(encoded).hexdigest()
            records[split].append(images.Record(encoded, label, key, f"{CLASSES[label]}/{split}-{number}.png"))
        records[split].sort(key=lambda record: record.key)
    path = tmp_path_factory.mktemp("prepared") / "images"
    images.write(
        path,
        classes=CLASSES,
        records=records,
        sizes=sizes,
        rejected=[],
        duplicates=0,
        source="squares",
        source_fingerprint="0",
        split_policy={"by": "content"},
        stored_size=28,
    )
    return path


@pytest.fixture(scope="session")
def base_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small convolutional classifier at 24 x 24 pixels, saved by Keras, with its preprocessing inside."""
    import keras

    keras.utils.set_random_seed(7)
    model = keras.Sequential(
        [
            keras.Input((24, 24, 3)),
            keras.layers.Rescaling(1 / 127.5, -1.0),
            keras.layers.Conv2D(8, 3, padding="same", name="first"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="second"),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="third"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(12, activation="relu", name="flat"),
            keras.layers.Dense(5, activation="softmax", name="old_classes"),
        ]
    )
    path = tmp_path_factory.mktemp("base") / "small.keras"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def classifier(base_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that nobody has trained: it has an opinion all the same."""
    import keras

    from graftwork.artifacts import model as model_artifact
    from graftwork.components.load_base_model.load import load_base_model

    folder = tmp_path_factory.mktemp("model")
    base = load_base_model(str(base_file), folder / "base")
    head = keras.Sequential([keras.Input((16,)), keras.layers.Dense(3, activation="softmax")], name=model_artifact.HEAD)
    made = model_artifact.classifier(base.keras_model(), head)
    model_artifact.write(folder / "model", made, "classifier", {"stored_size": 28, "classes": CLASSES, **base.origin})
    return folder / "model"


@pytest.fixture(scope="session")
def flow(prepared: Path, base_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two heads, trained and untrained, which knows nothing; beside each its -evaluation and its -selected model."""
    from graftwork.components.evaluate.evaluate import evaluate
    from graftwork.components.extract_features.extract import extract_features
    from graftwork.components.load_base_model.load import load_base_model
    from graftwork.components.select_model.select import select_model
    from graftwork.components.train_head.train import train_head
    from graftwork.config import HeadConfig

    folder = tmp_path_factory.mktemp("flow")
    load_base_model(str(base_file), folder / "base")
    extract_features(prepared, folder / "base", folder / "features")
    for name, config in (
        ("untrained", HeadConfig(kind="mlp", hidden_units=2, epochs=1, learning_rate=1e-9)),
        ("trained", HeadConfig(kind="linear")),
    ):
        train_head([folder / "features"], folder / "base", folder / name, config, seed=0)
        evaluate(prepared, [folder / name], folder / f"{name}-evaluation", seed=0)
        select_model(folder / f"{name}-evaluation", [folder / name], folder / f"{name}-selected")
    (folder / "none").mkdir()
    return folder


def every_row(split: Split) -> np.ndarray:
    """Return the features of a split, all at once."""
    return np.concatenate(split.parts)


@pytest.fixture(scope="session")
def image() -> str:
    """The container image of this version, where an engine has it."""
    import docker

    from graftwork.components import IMAGE

    try:
        engine = docker.from_env()
        engine.ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"no container engine answers: {error}")
    try:
        engine.images.get(IMAGE)
    except docker.errors.ImageNotFound:
        pytest.skip(f"the engine has no image {IMAGE}: make image")
    return IMAGE
