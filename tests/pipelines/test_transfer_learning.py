"""The whole pipeline through the command line, on real files and a real small model."""

import json
import shutil
from pathlib import Path

import documented
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from graftwork.artifacts import evaluation as evaluation_artifact

from commands import graftwork, steps_run
from foreign_models import feature_vector, saved_elsewhere
from images_on_disk import write_photos

pytestmark = pytest.mark.slow

QUICK = ["--set", "head.kind=linear", "--set", "fine_tune.epochs=2", "--set", "fine_tune.layers=1"]


def run(photos: Path, base: Path, output: Path, *more: str) -> str:
    done = graftwork("run", "--data", photos, "--base-model", base, "--output", output, *QUICK, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copied(finished: Path, folder: Path) -> Path:
    """Return a copy of the output of a finished run, whose cache points to the artifacts of the first."""
    return Path(shutil.copytree(finished / "output", folder / "output", copy_function=shutil.copy2))


@pytest.fixture(scope="module")
def finished(base_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos/ and the finished run output/."""
    folder = tmp_path_factory.mktemp("run")
    printed = run(write_photos(folder / "photos", size=40), base_file, folder / "output")
    (folder / "printed.txt").write_text(printed)
    return folder


def test_a_run_leaves_a_model_a_report_and_metrics(finished: Path) -> None:
    output = finished / "output"
    metrics = json.loads((output / "metrics.json").read_text())
    assert set(metrics["candidates"]) == {"head", "fine-tuned"}
    assert metrics["selected"] in metrics["candidates"]
    assert metrics["test"]["accuracy"] == metrics["candidates"][metrics["selected"]]["test"]["accuracy"]
    assert metrics["test"]["n"] > 10
    assert (output / "model" / "saved_model.pb").is_file()
    assert "<html" in (output / "report.html").read_text()
    printed = (finished / "printed.txt").read_text()
    for shown in ("prepare_data", "fine-tuned", "model", "report.html", "metrics.json"):
        assert shown in printed


def test_the_model_answers_raw_files_as_the_evaluation_did(finished: Path) -> None:
    (folder,) = (finished / "output").glob(".pipeline/*/evaluate/evaluation")
    evaluated = evaluation_artifact.read(folder)
    selected = json.loads((finished / "output" / "metrics.json").read_text())["selected"]
    predictions = evaluated.predictions(selected, "test")
    import hashlib

    files = {hashlib.sha256(file.read_bytes()).hexdigest(): file for file in (finished / "photos").rglob("*.png")}
    raw = [files[key.decode()].read_bytes() for key in predictions["keys"]]
    served = tf.saved_model.load(str(finished / "output" / "model")).signatures["serving_default"]
    np.testing.assert_allclose(
        served(image_bytes=tf.constant(raw))["probabilities"], predictions["probabilities"], atol=1e-5
    )


def test_the_same_command_again_runs_nothing_but_the_fingerprint(finished: Path, base_file: Path) -> None:
    before = (finished / "output" / "metrics.json").read_text()
    run(finished / "photos", base_file, finished / "output")
    assert steps_run(finished / "output") == {"fingerprint_source"}
    assert (finished / "output" / "metrics.json").read_text() == before


def test_machines_are_told_where_everything_is(finished: Path, base_file: Path) -> None:
    photos, output = finished / "photos", finished / "output"
    given = ("run", "--data", photos, "--base-model", base_file, "--output", output, *QUICK)
    done = graftwork(*given, "--json")
    answer = json.loads(done.stdout)
    assert set(answer) == documented.keys("run")
    assert answer["metrics"] == json.loads((output / "metrics.json").read_text())
    assert all(Path(answer[name]).exists() for name in ("output", "model", "report", "log"))
    assert "fingerprint_source" in done.stderr
    done = graftwork("predict", output, "--data", photos, "--output", finished / "labels.parquet", "--json")
    answer = json.loads(done.stdout)
    assert set(answer) == documented.keys("predict --data")
    assert answer["images"] > 10
    silent = graftwork("--log-level", "error", *given)
    assert silent.stderr == ""
    assert "✓" not in silent.stdout


def test_one_more_image_runs_what_depends_on_it(finished: Path, base_file: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copy2)
    write_photos(tmp_path / "copy" / "photos", count=1, seed=99, size=40)
    # The copy's cache still points to the first run's artifacts, which are there.
    run(tmp_path / "copy" / "photos", base_file, tmp_path / "copy" / "output")
    assert "load_base_model" not in steps_run(tmp_path / "copy" / "output")
    assert {"prepare_data", "extract_features", "train_head", "fine_tune", "evaluate", "select_model"} <= steps_run(
        tmp_path / "copy" / "output"
    )


def test_the_same_seed_gives_the_same_metrics(finished: Path, base_file: Path, tmp_path: Path) -> None:
    run(finished / "photos", base_file, tmp_path / "again")
    first, second = (
        json.loads((folder / "metrics.json").read_text()) for folder in (finished / "output", tmp_path / "again")
    )
    # How long the steps took differs from run to run.
    assert list(first.pop("profile")) == list(second.pop("profile"))
    assert first == second


def test_feature_extraction_alone_in_one_line(finished: Path, base_file: Path, tmp_path: Path) -> None:
    run(finished / "photos", base_file, copied(finished, tmp_path), "--set", "fine_tune.layers=0")
    metrics = json.loads((tmp_path / "output" / "metrics.json").read_text())
    assert list(metrics["candidates"]) == ["head"]


def test_replacing_the_top_in_one_line(finished: Path, base_file: Path, tmp_path: Path) -> None:
    run(finished / "photos", base_file, copied(finished, tmp_path), "--set", "feature_layer=penultimate")
    description = json.loads((tmp_path / "output" / "model" / "assets.extra" / "graftwork.json").read_text())
    assert description["feature_layer"] == "flat"


def test_the_model_trains_on_in_keras(finished: Path) -> None:
    model = keras.saving.load_model(finished / "output" / "model" / "assets.extra" / "model.keras")
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 24, 24, 3))
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = [weight.copy() for weight in model.get_weights()]
    model.fit(pixels, np.array([0, 1, 2, 0]), verbose=0)
    assert any(not np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))


def test_predict_names_the_label_of_a_file(finished: Path) -> None:
    image = next((finished / "photos" / "red").iterdir())
    done = graftwork("predict", finished / "output", image, "--json")
    assert done.returncode == 0, done.stderr
    assert '"red"' in done.stdout


class TestBadInput:
    """Exit code 2, a message, no traceback, and no artifact that could be taken for a whole one."""

    @staticmethod
    def fails(tmp_path: Path, photos: Path, base: Path | str, *more: str) -> str:
        done = graftwork("run", "--data", photos, "--base-model", base, "--output", tmp_path / "output", *more)
        said = done.stdout + done.stderr
        assert done.returncode == 2, said
        assert "error: " in done.stderr
        assert "Traceback" not in said
        assert not (tmp_path / "output" / "model").exists()
        assert not list((tmp_path / "output").rglob("*.partial-*"))
        return done.stderr

    def test_a_folder_without_images(self, base_file: Path, tmp_path: Path) -> None:
        (tmp_path / "photos" / "cats").mkdir(parents=True)
        assert "photos" in self.fails(tmp_path, tmp_path / "photos", base_file)

    def test_a_class_with_one_image(self, base_file: Path, tmp_path: Path) -> None:
        photos = write_photos(tmp_path / "photos", size=40)
        (photos / "rare").mkdir()
        shutil.copy(next((photos / "red").iterdir()), photos / "rare" / "one.png")
        image = Image.open(photos / "rare" / "one.png")
        image.putpixel((0, 0), (1, 2, 3))
        image.save(photos / "rare" / "one.png")
        assert "rare" in self.fails(tmp_path, photos, base_file)
        assert not list((tmp_path / "output").rglob("dataset.json"))

    def test_too_many_files_that_are_no_images(self, base_file: Path, tmp_path: Path) -> None:
        photos = write_photos(tmp_path / "photos", size=40)
        for number in range(30):
            (photos / "red" / f"broken-{number}.png").write_bytes(b"not an image")
        assert "max_rejected" in self.fails(tmp_path, photos, base_file)

    def test_a_base_model_that_does_not_exist(self, tmp_path: Path) -> None:
        photos = write_photos(tmp_path / "photos", count=30, size=40)
        assert "does not exist" in self.fails(tmp_path, photos, tmp_path / "none.keras")

    def test_a_base_model_that_takes_no_image(self, tmp_path: Path) -> None:
        photos = write_photos(tmp_path / "photos", count=30, size=40)
        values = keras.Input((7,))
        keras.Model(values, keras.layers.Dense(2)(values)).save(tmp_path / "table.keras")
        assert "input is not an image" in self.fails(tmp_path, photos, tmp_path / "table.keras")

    def test_an_unknown_key(self, base_file: Path, tmp_path: Path) -> None:
        said = self.fails(tmp_path, tmp_path, base_file, "--set", "fine_tune.layer=3")
        assert "fine_tune.layers" in said


def test_a_sweep_over_shards_keeps_the_best_and_runs_only_new_points_again(
    finished: Path, base_file: Path, tmp_path: Path
) -> None:
    shards = ["--set", "cluster.ingest_shards=2", "--set", "cluster.extract_shards=4"]
    points = ["--pipeline", "sweep", "--set", "sweep.learning_rate=[1.0e-3]", *shards]
    printed = run(finished / "photos", base_file, tmp_path, *points, "--set", "sweep.layers=[1]")
    single = json.loads((finished / "output" / "metrics.json").read_text())
    swept = json.loads((tmp_path / "metrics.json").read_text())
    assert set(swept["candidates"]) == {"head", "fine-tuned-1-0.001"}
    assert swept["candidates"]["head"] == single["candidates"]["head"]  # however many shards
    assert printed.count("ingest_images") == 2
    run(finished / "photos", base_file, tmp_path, *points, "--set", "sweep.layers=[1,all]")
    assert steps_run(tmp_path) == {"fingerprint_source", "fine_tune", "evaluate", "select_model"}
    log = (tmp_path / "run.log").read_text()
    assert log.count('"event": "start"') == len(steps_run(tmp_path))  # one of the two points was cached
    swept = json.loads((tmp_path / "metrics.json").read_text())
    assert set(swept["candidates"]) == {"head", "fine-tuned-1-0.001", "fine-tuned-all-0.001"}
    validation = {name: splits["validation"] for name, splits in swept["candidates"].items()}
    best = max(validation.values(), key=lambda found: (found["accuracy"], -found["loss"]))
    assert validation[swept["selected"]] == best
    assert "<h2>Sweep</h2>" in (tmp_path / "report.html").read_text()


class TestOtherBases:
    """Bases that need more than their file, through every step of a pipeline."""

    def test_classes_in_a_python_file_are_there_in_every_step(self, finished: Path, tmp_path: Path) -> None:
        model, classes = saved_elsewhere(tmp_path, "Eddy")
        printed = run(finished / "photos", model, tmp_path / "output", "--custom-objects", str(classes))
        assert "fine-tuned" in printed
        changed = classes.read_text() + "\n# another version\n"
        classes.write_text(changed)
        run(finished / "photos", model, tmp_path / "output", "--custom-objects", str(classes))
        assert "load_base_model" in steps_run(tmp_path / "output")

    def test_a_run_goes_on_from_the_model_of_another(self, finished: Path, tmp_path: Path) -> None:
        run(finished / "photos", finished / "output", tmp_path / "output", "--set", "head.kind=kept")
        description = json.loads((tmp_path / "output" / "model" / "assets.extra" / "graftwork.json").read_text())
        assert description["base"]["kind"] == "graftwork model"
        assert "the base&#39;s own" in (tmp_path / "output" / "report.html").read_text().replace("'", "&#39;")

    def test_a_lambda_runs_in_every_step_that_is_trusted(self, finished: Path, tmp_path: Path) -> None:
        pixels = keras.Input((24, 24, 3))
        scaled = keras.layers.Lambda(lambda x: tf.sqrt(x) / 16.0)(pixels)
        keras.Model(pixels, keras.layers.Conv2D(8, 3, activation="relu")(scaled)).save(tmp_path / "model.keras")
        given = [
            "--data",
            finished / "photos",
            "--base-model",
            tmp_path / "model.keras",
            "--output",
            tmp_path / "output",
        ]
        refused = graftwork("run", *given)
        assert refused.returncode == 2
        assert "--trust-code" in refused.stderr
        options = ["--trust-code", "--preprocessing", "none"]
        run(finished / "photos", tmp_path / "model.keras", tmp_path / "output", *options)

    def test_a_saved_model_without_layers(self, finished: Path, tmp_path: Path) -> None:
        feature_vector(tmp_path / "saved")
        options = ["--preprocessing", "none", "--set", "input_size=24"]
        run(finished / "photos", tmp_path / "saved", tmp_path / "output", *options)
        description = json.loads((tmp_path / "output" / "model" / "assets.extra" / "graftwork.json").read_text())
        assert description["conversion"]["difference"] < 1e-5
