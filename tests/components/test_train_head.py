"""Heads on cached features."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from kfp import dsl
from scipy.optimize import check_grad, minimize
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from graftwork.artifacts import features, images, model
from graftwork.components.extract_features.extract import extract_features
from graftwork.components.load_base_model.load import load_base_model
from graftwork.components.train_head import linear, mlp, parallel
from graftwork.components.train_head.curvature import spectrum
from graftwork.components.train_head.descent import Value, descend, minimize_together
from graftwork.components.train_head.standardization import standardization
from graftwork.components.train_head.step import run as run_train_head
from graftwork.components.train_head.train import as_keras, score, train_head, try_heads
from graftwork.config import HeadConfig, PrepareConfig
from graftwork.data.balance import class_weights
from graftwork.data.shards import Shard
from graftwork.errors import UserError
from graftwork.reporting.metering import Meter

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
        content[split] = (rows[order].astype(np.float32), labels[order])
    return write_rows(path, content, len(counts))


def write_rows(
    path: Path, content: Mapping[str, tuple[np.ndarray, np.ndarray]], classes: int, dtype: str = "float32"
) -> Path:
    """Write features (n, d) and labels (n,) of both splits."""
    description = {
        "base": "none",
        "images": "i",
        "classes": [str(label) for label in range(classes)],
        "stored_size": 28,
        "source": "",
        "dtype": dtype,
    }
    sizes = {split: len(labels) for split, (_, labels) in content.items()}
    batches = {
        split: [(rows, labels, np.array([f"{number:064x}" for number in range(len(labels))], dtype="S64"))]
        for split, (rows, labels) in content.items()
    }
    features.write(path, description, sizes, content["train"][0].shape[1:], batches)
    return path


def test_the_linear_head_is_the_one_scikit_learn_finds(tmp_path: Path) -> None:
    cached = features.read(make_features(tmp_path / "f"))
    train, validation = cached.splits["train"], cached.splits["validation"]
    (trial,) = try_heads(cached, LINEAR, seed=0, meter=Meter())
    scale = standardization(train)
    reference = LogisticRegression(C=1 / (0.01 * len(train)), tol=1e-8, max_iter=1000)
    reference.fit((every_row(train) - scale.mean) / scale.deviation, train.labels)
    (kernel, bias), *_ = trial.layers
    logits = every_row(validation) @ kernel + bias
    ours = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        ours, reference.predict_proba((every_row(validation) - scale.mean) / scale.deviation), atol=2e-3
    )


def loss(rows: np.ndarray, labels: np.ndarray, kernel: np.ndarray, bias: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted mean cross-entropy, in float64."""
    logits = rows.astype(np.float64) @ kernel + bias
    picked = logits[np.arange(len(labels)), labels]
    return float(np.average(logsumexp(logits, axis=1) - picked, weights=weights[labels]))


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.3, 0.9, 4.0)])
def test_every_linear_head_of_a_path_is_as_good_as_a_tight_solution(tmp_path: Path, weights: tuple[float, ...]) -> None:
    split = features.read(make_features(tmp_path / "f", counts=(200, 90, 40), dimensions=20)).splits["train"]
    scale, penalties = standardization(split), (1e-5, 1e-1, 1e-2, 1e-3, 1e-4)
    rows, balance = (every_row(split).astype(np.float64) - scale.mean) / scale.deviation, np.array(weights)
    heads = linear.regularization_path(split, 3, penalties, balance, scale, Meter())
    assert [penalty for penalty, *_ in heads] == sorted(penalties, reverse=True)
    mass = float(balance[split.labels].sum())
    for penalty, kernel, bias in heads:
        reference = LogisticRegression(C=1 / (penalty * mass), tol=1e-10, max_iter=10_000)
        reference.fit(rows, split.labels, sample_weight=balance[split.labels])
        standardized = kernel.astype(np.float64) * scale.deviation[:, None]
        ours = loss(rows, split.labels, standardized, bias + scale.mean.astype(np.float64) @ kernel, balance)
        best = loss(rows, split.labels, reference.coef_.T, reference.intercept_, balance)
        ours += penalty / 2 * np.sum(standardized**2)
        best += penalty / 2 * np.sum(reference.coef_**2)
        assert ours == pytest.approx(best, rel=1e-4)
        centered = standardized - standardized.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(centered, reference.coef_.T, atol=0.02 * np.abs(reference.coef_).max())


def test_correlated_features_do_not_keep_the_linear_head_from_its_minimum(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    hidden = random.normal(size=(400, 40)) * np.logspace(0, -2, 40)
    rows = (hidden @ random.normal(size=(40, 300)) + 0.01 * random.normal(size=(400, 300))).astype(np.float32)
    labels = (hidden @ random.normal(size=(40, 4)) + random.gumbel(size=(400, 4))).argmax(axis=1).astype(np.int32)
    path = write_rows(tmp_path / "f", {"train": (rows, labels), "validation": (rows[:4], labels[:4])}, classes=4)
    split = features.read(path).splits["train"]
    scale, meter = standardization(split), Meter()
    objective = linear.Objective(split, np.ones(4), scale, meter)
    for penalty, kernel, bias in linear.regularization_path(split, 4, (1e-1, 1e-3), np.ones(4), scale, Meter()):

        def flat(parameters: np.ndarray, penalty: float = penalty) -> tuple[float, np.ndarray]:
            value, gradient = objective({penalty: parameters.reshape(-1, 4)})[penalty]
            return value, gradient.ravel()

        tight = minimize(flat, np.zeros(301 * 4), jac=True, method="L-BFGS-B", options={"maxiter": 3000, "ftol": 1e-12})
        found = np.concatenate([kernel * scale.deviation[:, None], (bias + scale.mean @ kernel)[None]])
        assert objective({penalty: found})[penalty][0] <= tight.fun * (1 + 1e-4)


def test_the_linear_gradients_are_those_of_the_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = features.read(make_features(tmp_path / "f", dimensions=3)).splits["train"]
    monkeypatch.setattr(features, "_CHUNK_BYTES", 7 * 3 * 4)  # many chunks
    objective = linear.Objective(split, np.array([0.5, 1.0, 2.0]), standardization(split), Meter())
    random = np.random.default_rng(0)
    points = {penalty: random.normal(size=(3 + 1, 3)) for penalty in (0.1, 0.5)}
    for penalty in points:

        def value(parameters: np.ndarray, penalty: float = penalty) -> float:
            return objective(points | {penalty: parameters.reshape(4, 3)})[penalty][0]

        def gradient(parameters: np.ndarray, penalty: float = penalty) -> np.ndarray:
            return objective(points | {penalty: parameters.reshape(4, 3)})[penalty][1].ravel()

        # The kernel is rounded to float32 inside, so the finite difference is wide.
        assert check_grad(value, gradient, points[penalty].ravel(), epsilon=1e-2) < 2e-2


def test_fitting_penalties_one_after_the_other_finds_the_same_heads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = features.read(make_features(tmp_path / "f")).splits["train"]
    arguments = (split, 3, (1e-1, 1e-3), np.ones(3), standardization(split))
    together = linear.regularization_path(*arguments, Meter())
    monkeypatch.setattr(linear, "_MEMORY_BYTES", 1)
    alone = linear.regularization_path(*arguments, Meter())
    for (penalty, kernel, _), (other_penalty, other_kernel, _) in zip(together, alone, strict=True):
        assert penalty == other_penalty
        np.testing.assert_allclose(kernel, other_kernel, atol=0.02 * np.abs(kernel).max())


def test_the_number_of_threads_changes_no_linear_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = features.read(make_features(tmp_path / "f")).splits["train"]
    monkeypatch.setattr(features, "_CHUNK_BYTES", 20 * 6 * 4)
    kernels = []
    for threads in (1, 5):
        monkeypatch.setattr(parallel, "_MOST_THREADS", threads)
        monkeypatch.setattr(parallel, "_cores", lambda: 8)
        ((_, kernel, _),) = linear.regularization_path(split, 3, (1e-2,), np.ones(3), standardization(split), Meter())
        kernels.append(kernel)
    np.testing.assert_array_equal(*kernels)


def test_chunks_in_work_are_few_and_come_out_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_cores", lambda: 2)
    taken = []

    def chunks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number in range(20):
            taken.append(number)
            yield np.arange(10 * number, 10 * number + 10), np.zeros(10)

    seen: list[int] = []
    for rows in parallel.mapped(lambda rows, _: rows, chunks()):
        seen.extend(rows)
        assert len(taken) <= rows[0] // 10 + 2
    assert seen == list(range(200))


def test_a_linear_head_needs_no_penalty(tmp_path: Path) -> None:
    cached = features.read(make_features(tmp_path / "f"))
    (trial,) = try_heads(cached, HeadConfig(kind="linear", l2=(0.0,)), seed=0, meter=Meter())
    assert trial.validation["accuracy"] > 0.6


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_a_descent_ends_at_the_minimum_of_a_quadratic(seed: int, size: int) -> None:
    random = np.random.default_rng(seed)
    root = random.normal(size=(size, size))
    hessian, minimum = root @ root.T / size + 0.01 * np.eye(size), random.normal(size=size)

    def evaluate(points: Mapping[str, np.ndarray]) -> dict[str, Value]:
        offset = points["problem"] - minimum
        return {"problem": (1.0 + offset @ hessian @ offset / 2, hessian @ offset)}

    found = minimize_together({"problem": descend(np.zeros(size), lambda values: values)}, evaluate)["problem"]
    assert evaluate({"problem": found})["problem"][0] == pytest.approx(1.0, abs=2e-4)


@pytest.mark.parametrize("dimensions", [20, 300])
def test_the_spectrum_solves_with_the_features_second_moments(tmp_path: Path, dimensions: int) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(2000, dimensions)) * np.logspace(1, -1, dimensions)
    labels = np.arange(2000, dtype=np.int32) % 2
    content = {"train": (rows.astype(np.float32), labels), "validation": (rows[:2].astype(np.float32), labels[:2])}
    split = features.read(write_rows(tmp_path / "f", content, classes=2)).splits["train"]
    scale = standardization(split)
    standardized = (rows - scale.mean) / scale.deviation
    values = random.normal(size=(dimensions, 2))
    exact = np.linalg.solve(0.25 * standardized.T @ standardized / 2000 + 0.1 * np.eye(dimensions), values)
    np.testing.assert_allclose(spectrum(split, scale).solve(values, 0.25, 0.1), exact, atol=0.02 * np.abs(exact).max())


def test_standardization_is_that_of_the_whole_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = features.read(make_features(tmp_path / "f")).splits["train"]
    monkeypatch.setattr(features, "_CHUNK_BYTES", 7 * 6 * 4)
    scale = standardization(split)
    np.testing.assert_allclose(scale.mean, np.mean(every_row(split), axis=0, dtype=np.float64), rtol=1e-6)
    deviation = np.std(every_row(split), axis=0, dtype=np.float64)
    floor = np.sqrt(np.mean(deviation**2))
    np.testing.assert_allclose(scale.deviation, np.maximum(deviation, floor), rtol=1e-5)


def test_auto_keeps_the_hidden_layer_where_no_plane_separates_the_classes(tmp_path: Path) -> None:
    cached = features.read(make_features(tmp_path / "f", counts=(300, 300), rings=True))
    trials = try_heads(cached, HeadConfig(l2=(0.01,), hidden_units=32, learning_rate=1e-2), seed=0, meter=Meter())
    by_kind = {trial.kind: trial.validation["accuracy"] for trial in trials}
    assert by_kind["mlp"] > 0.95 > by_kind["linear"]


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_head_can_be_forced(tmp_path: Path, kind: str) -> None:
    cached = features.read(make_features(tmp_path / "f"))
    assert {trial.kind for trial in try_heads(cached, HeadConfig(kind=kind, epochs=2), seed=0, meter=Meter())} == {kind}


def test_the_same_seed_trains_the_same_hidden_layer(tmp_path: Path) -> None:
    cached = features.read(make_features(tmp_path / "f"))
    config = HeadConfig(kind="mlp", epochs=3)
    (first,), (second,) = (try_heads(cached, config, seed=4, meter=Meter()) for _ in range(2))
    for (kernel, bias), (other_kernel, other_bias) in zip(first.layers, second.layers, strict=True):
        np.testing.assert_array_equal(kernel, other_kernel)
        np.testing.assert_array_equal(bias, other_bias)


def test_the_hidden_layer_learns_as_keras_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = features.read(make_features(tmp_path / "f")).splits["train"]
    monkeypatch.setattr(features, "_CHUNK_BYTES", 50 * 6 * 4)
    scale, weights = standardization(split), np.array([0.5, 1.0, 2.0])
    config = HeadConfig(epochs=2, hidden_units=8, dropout=0.0, batch_size=16, learning_rate=1e-2)
    nothing = {"accuracy": 0.0, "loss": 0.0}
    history: list[mlp.Layers] = []

    def validate(layers: mlp.Layers) -> dict[str, float]:
        history.append(layers)
        return nothing

    _, curve = mlp.train_mlp(split, 3, config, weights, scale, validate, 5, Meter())
    random = np.random.default_rng(5)
    network = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3)])
    network.set_weights(mlp._first_layers(6, 8, 3, random))
    network.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for layers in history:
        for rows, labels in split.chunks(random.permutation(-(-len(split) // split.chunk_rows))):
            order = random.permutation(len(labels))
            for start in range(0, len(order), 16):
                chosen = order[start : start + 16]
                inputs = (rows[chosen] - scale.mean) / scale.deviation
                network.train_on_batch(inputs, labels[chosen], sample_weight=weights[labels[chosen]])
        kernel, bias, *output = network.get_weights()
        for ours, theirs in zip(itertools.chain(*layers), (*scale.folded(kernel, bias), *output), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-3 * np.abs(theirs).max())
    assert [epoch["epoch"] for epoch in curve] == [1, 2]
    assert curve[1]["loss"] < curve[0]["loss"]


@pytest.mark.parametrize(("columns", "rate"), [(64, 0.4), (63, 0.1), (2, 0.9)])
def test_dropout_leaves_out_its_share_and_keeps_the_mean(columns: int, rate: float) -> None:
    values = np.ones((4000, columns), np.float32)
    first, again, other = (mlp._dropped(tf.constant(values), rate, tf.constant([1, n])).numpy() for n in (0, 0, 1))
    assert np.mean(first == 0) == pytest.approx(rate, abs=0.03)
    assert first.mean() == pytest.approx(1.0, abs=0.2)
    assert np.ptp(first[first > 0]) == 0
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_features_in_half_precision_train_a_head_too(tmp_path: Path, kind: str) -> None:
    whole = features.read(make_features(tmp_path / "whole"))
    content = {name: (every_row(split) - 100.0, split.labels) for name, split in whole.splits.items()}
    config, accuracies = HeadConfig(kind=kind, l2=(0.01,), epochs=5), []
    for dtype in ("float32", "float16"):
        cached = features.read(write_rows(tmp_path / dtype, content, 3, dtype))
        (trial,) = try_heads(cached, config, seed=0, meter=Meter())
        accuracies.append(trial.validation["accuracy"])
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.03)


def test_class_weights_help_a_rare_class(tmp_path: Path) -> None:
    cached = features.read(make_features(tmp_path / "f", counts=(600, 24)))
    validation = cached.splits["validation"]
    rare = validation.labels == 1

    def found(class_weight: str) -> float:
        (trial,) = try_heads(
            cached, HeadConfig(kind="linear", l2=(0.1,), class_weight=class_weight), seed=0, meter=Meter()
        )
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
    trial = try_heads(cached, HeadConfig(kind=kind, epochs=3), seed=0, meter=Meter())[-1]
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


def test_the_classifier_says_how_fast_its_head_was_trained(prepared: Path, base_file: Path, tmp_path: Path) -> None:
    base = load_base_model(str(base_file), tmp_path / "base")
    extract_features(prepared, tmp_path / "base", tmp_path / "features")
    config = HeadConfig(kind="mlp", epochs=2)
    classifier = train_head([tmp_path / "features"], tmp_path / "base", tmp_path / "head", config, 0)
    profile = classifier.description["profile"]
    assert {*base.description.get("profile", {}), "train_head"} <= set(profile)
    assert profile["train_head"]["images"] == 2 * 96  # epochs times training images
    assert classifier.description["training"]["head"]["seconds"] <= profile["train_head"]["seconds"]


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


def test_the_order_in_which_shards_arrive_changes_no_weight(prepared: Path, base_file: Path, tmp_path: Path) -> None:
    load_base_model(str(base_file), tmp_path / "base")
    parts = [tmp_path / f"features-{number}" for number in (1, 2, 3)]
    for number, part in enumerate(parts, start=1):
        extract_features(prepared, tmp_path / "base", part, Shard(number, 3))
    made = []
    for order in (parts, parts[::-1], [parts[1], parts[2], parts[0]]):
        head = train_head(order, tmp_path / "base", tmp_path / "head", LINEAR, 0).keras_model().get_layer(model.HEAD)
        made.append([weight.tobytes() for weight in head.get_weights()])
    assert all(each == made[0] for each in made)


def test_the_step_takes_the_only_share_by_itself(
    prepared: Path, base_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load_base_model(str(base_file), tmp_path / "base")
    extract_features(prepared, tmp_path / "base", tmp_path / "features")
    base, whole = (dsl.Artifact(uri=str(tmp_path / name)) for name in ("base", "features"))
    made = {name: (dsl.Model(uri=str(tmp_path / name)), dsl.Metrics(uri=str(tmp_path / f"{name}-m"))) for name in "ab"}
    run_train_head([whole], base, *made["a"], {"kind": "linear"}, 0)
    run_train_head(None, base, *made["b"], {"kind": "linear"}, 0, whole)
    assert made["a"][1].metadata["validation_loss"] == made["b"][1].metadata["validation_loss"]
    with pytest.raises(SystemExit, match="2"):
        run_train_head(None, base, *made["b"], {"kind": "linear"}, 0)
    assert "whole_features" in capsys.readouterr().err


def test_features_are_those_of_the_base_alone(prepared: Path, base_file: Path, tmp_path: Path) -> None:
    from graftwork.data import imaging

    base = load_base_model(str(base_file), tmp_path / "base")
    cached = extract_features(prepared, tmp_path / "base", tmp_path / "features", precision="float32")
    record = next(images.read(prepared).records("validation"))
    pixels = imaging.pixels(record.encoded, base.input_size, 28)
    expected = model.read(tmp_path / "base").keras_model()(pixels[None], training=False)
    np.testing.assert_allclose(every_row(cached.splits["validation"])[0], expected[0], atol=1e-5)
    assert cached.splits["validation"].keys[0].decode() == record.key
    assert set(cached.splits) == {"train", "validation"}
