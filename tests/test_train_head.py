"""Heads on cached features."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad
from sklearn.linear_model import LogisticRegression

from graftwork.artifacts import features, images, model
from graftwork.balance import class_weights
from graftwork.components.extract_features.extract import extract_features
from graftwork.components.load_base_model.load import load_base_model
from graftwork.components.train_head import linear
from graftwork.components.train_head.train import as_keras, score, train_head, try_heads
from graftwork.config import HeadConfig, PrepareConfig
from graftwork.errors import UserError
from graftwork.shards import Shard

from conftest import every_row
from images_on_disk import prepare_source, write_photos

LINEAR = HeadConfig(kind="linear", l2=(0.01,))


def make_features(path: Path, counts: tuple[int, ...] = (60, 60, 60), dimensions: int = 6, rings: bool = False) -> Path:
    """Write features of as many classes as there are counts: blobs, or rings that no plane separates."""
    random = np.random.default_rng(1)
    content = {}
    for split, factor in (("train", 1.0), ("validation", 0.5)):
        labels = np.repeat(np.arange(len(counts)), [int(count * factor) for count in counts]).astype(np.int32)
        noise = random.normal(size=(len(labels), dimensions))
        if rings:
            noise /= np.linalg.norm(noise, axis=1, keepdims=True)
            rows = noise * (1.0 + labels[:, None]) * random.uniform(0.95, 1.05, (len(labels), 1))
        else:
            rows = noise + 1.5 * np.eye(dimensions)[labels] + 100.0  # a large common offset, as ReLU features have
        order = random.permutation(len(labels))
        keys = np.array([f"{number:064x}" for number in range(len(labels))], dtype="S64")
        content[split] = (rows[order].astype(np.float32), labels[order], keys)
    description = {
        "base": "none",
        "images": "i",
        "classes": [str(label) for label in range(len(counts))],
        "stored_size": 28,
        "source": "",
    }
    sizes = {split: len(arrays[1]) for split, arrays in content.items()}
    features.write(path, description, sizes, (dimensions,), {split: [content[split]] for split in content})
    return path


def test_the_linear_head_is_the_one_scikit_learn_finds(tmp_path: Path) -> None:
    cached = features.read(make_features(tmp_path / "f"))
    train, validation = cached.splits["train"], cached.splits["validation"]
    (trial,) = try_heads(cached, LINEAR, seed=0)
    scale = linear.standardization(train)
    reference = LogisticRegression(C=1 / (0.01 * len(train)), tol=1e-8, max_iter=1000)
    reference.fit((every_row(train) - scale.mean) / scale.deviation, train.labels)
    (kernel, bias), *_ = trial.layers
    logits = every_row(validation) @ kernel + bias
    ours = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        ours, reference.predict_proba((every_row(validation) - scale.mean) / scale.deviation), atol=2e-3
    )


def test_the_linear_gradient_is_the_loss_functions_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = features.read(make_features(tmp_path / "f", dimensions=3)).splits["train"]
    monkeypatch.setattr(features, "_CHUNK_BYTES", 7 * 3 * 4)  # many chunks
    arguments = (split, 3, 0.1, np.array([0.5, 1.0, 2.0]), linear.standardization(split))
    start = np.random.default_rng(0).normal(size=(3 + 1) * 3)

    def loss(parameters: np.ndarray) -> float:
        return linear._loss_and_gradient(parameters, *arguments)[0]

    def gradient(parameters: np.ndarray) -> np.ndarray:
        return linear._loss_and_gradient(parameters, *arguments)[1]

    # The kernel is rounded to float32 inside, so the finite difference is wide.
    assert check_grad(loss, gradient, start, epsilon=1e-2) < 2e-2


def test_standardization_is_that_of_the_whole_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = features.read(make_features(tmp_path / "f")).splits["train"]
    monkeypatch.setattr(features, "_CHUNK_BYTES", 7 * 6 * 4)
    scale = linear.standardization(split)
    np.testing.assert_allclose(scale.mean, np.mean(every_row(split), axis=0, dtype=np.float64), rtol=1e-6)
    deviation = np.std(every_row(split), axis=0, dtype=np.float64)
    floor = np.sqrt(np.mean(deviation**2))
    np.testing.assert_allclose(scale.deviation, np.maximum(deviation, floor), rtol=1e-5)


def test_auto_keeps_the_hidden_layer_where_no_plane_separates_the_classes(tmp_path: Path) -> None:
    cached = features.read(make_features(tmp_path / "f", counts=(300, 300), rings=True))
    trials = try_heads(cached, HeadConfig(l2=(0.01,), hidden_units=32, learning_rate=1e-2), seed=0)
    by_kind = {trial.kind: trial.validation["accuracy"] for trial in trials}
    assert by_kind["mlp"] > 0.95 > by_kind["linear"]


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_head_can_be_forced(tmp_path: Path, kind: str) -> None:
    cached = features.read(make_features(tmp_path / "f"))
    assert {trial.kind for trial in try_heads(cached, HeadConfig(kind=kind, epochs=2), seed=0)} == {kind}


def test_the_same_seed_trains_the_same_hidden_layer(tmp_path: Path) -> None:
    cached = features.read(make_features(tmp_path / "f"))
    config = HeadConfig(kind="mlp", epochs=3)
    (first,), (second,) = try_heads(cached, config, seed=4), try_heads(cached, config, seed=4)
    for (kernel, bias), (other_kernel, other_bias) in zip(first.layers, second.layers, strict=True):
        np.testing.assert_array_equal(kernel, other_kernel)
        np.testing.assert_array_equal(bias, other_bias)


def test_class_weights_help_a_rare_class(tmp_path: Path) -> None:
    cached = features.read(make_features(tmp_path / "f", counts=(600, 24)))
    validation = cached.splits["validation"]
    rare = validation.labels == 1

    def found(class_weight: str) -> float:
        (trial,) = try_heads(cached, HeadConfig(kind="linear", l2=(0.1,), class_weight=class_weight), seed=0)
        (kernel, bias), *_ = trial.layers
        return float(np.mean((every_row(validation) @ kernel + bias).argmax(axis=1)[rare] == 1))

    assert found("balanced") > found("none")


@given(st.lists(st.integers(1, 50), min_size=2, max_size=8))
@settings(max_examples=50)
def test_class_weights_make_all_classes_count_the_same(counts: list[int]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    weights = class_weights(np.array(counts))
    mass = [weights[labels[labels == label]].sum() for label in range(len(counts))]
    np.testing.assert_allclose(mass, mass[0])
    assert weights[labels].mean() == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_the_keras_head_computes_what_was_validated(tmp_path: Path, kind: str) -> None:
    cached = features.read(make_features(tmp_path / "f"))
    trial = try_heads(cached, HeadConfig(kind=kind, epochs=3), seed=0)[-1]
    validation = cached.splits["validation"]
    probabilities = as_keras(trial.layers).predict(np.array(every_row(validation)), verbose=0)
    picked = probabilities[np.arange(len(validation)), validation.labels]
    measured = score(validation, trial.layers)
    assert np.mean(probabilities.argmax(axis=1) == validation.labels) == measured["accuracy"]
    assert -np.log(picked).mean() == pytest.approx(measured["loss"], rel=1e-4)


def test_the_classifier_says_how_its_head_was_trained(prepared: Path, base_file: Path, tmp_path: Path) -> None:
    load_base_model(str(base_file), tmp_path / "base")
    extract_features(prepared, tmp_path / "base", tmp_path / "features")
    classifier = train_head([tmp_path / "features"], tmp_path / "base", tmp_path / "head", HeadConfig(epochs=2), 0)
    assert classifier.description["candidate"] == "head"
    assert classifier.description["classes"] == ["blue", "green", "red"]
    trained = classifier.description["training"]["head"]
    assert [trial["kind"] for trial in trained["tried"]] == ["linear"] * 5 + ["mlp"]
    best = max(trained["tried"], key=lambda trial: (trial["validation"]["accuracy"], -trial["validation"]["loss"]))
    assert (trained["kind"], trained["validation"]) == (best["kind"], best["validation"])


def test_features_of_another_base_are_refused(prepared: Path, base_file: Path, tmp_path: Path) -> None:
    load_base_model(str(base_file), tmp_path / "base")
    extract_features(prepared, tmp_path / "base", tmp_path / "features")
    load_base_model(str(base_file), tmp_path / "other", feature_layer="first")
    with pytest.raises(UserError, match="the features come from another base"):
        train_head([tmp_path / "features"], tmp_path / "other", tmp_path / "head", HeadConfig(), 0)
    assert not (tmp_path / "head").exists()


@pytest.mark.parametrize("shards", [2, 3, 9])
def test_the_number_of_shards_changes_no_head(
    tmp_path: Path, base_file: Path, monkeypatch: pytest.MonkeyPatch, shards: int
) -> None:
    monkeypatch.setattr(images, "_IMAGES_PER_SHARD", 40)
    prepare_source(str(write_photos(tmp_path / "photos")), tmp_path / "images", PrepareConfig())
    load_base_model(str(base_file), tmp_path / "base")
    parts = [tmp_path / f"features-{number}" for number in range(1, shards + 1)]
    for number, part in enumerate(parts, start=1):
        extract_features(tmp_path / "images", tmp_path / "base", part, Shard(number, shards))
    extract_features(tmp_path / "images", tmp_path / "base", tmp_path / "whole")
    many, one = features.read(*reversed(parts)), features.read(tmp_path / "whole")
    for split in features.SPLITS:
        np.testing.assert_allclose(every_row(many.splits[split]), every_row(one.splits[split]), atol=1e-6)
        np.testing.assert_array_equal(many.splits[split].labels, one.splits[split].labels)
        np.testing.assert_array_equal(many.splits[split].keys, one.splits[split].keys)
    heads = [
        train_head(paths, tmp_path / "base", tmp_path / "head", LINEAR, 0).description["training"]["head"]["validation"]
        for paths in ([tmp_path / "whole"], parts)
    ]
    assert heads[0] == pytest.approx(heads[1], abs=1e-5)
    with pytest.raises(UserError, match="are there"):
        features.read(*parts[1:])


def test_features_are_those_of_the_base_alone(prepared: Path, base_file: Path, tmp_path: Path) -> None:
    from graftwork import imaging

    base = load_base_model(str(base_file), tmp_path / "base")
    cached = extract_features(prepared, tmp_path / "base", tmp_path / "features")
    record = next(images.read(prepared).records("validation"))
    pixels = imaging.pixels(record.encoded, base.input_size, 28)
    expected = model.read(tmp_path / "base").keras_model()(pixels[None], training=False)
    np.testing.assert_allclose(every_row(cached.splits["validation"])[0], expected[0], atol=1e-5)
    assert cached.splits["validation"].keys[0].decode() == record.key
    assert set(cached.splits) == {"train", "validation"}
