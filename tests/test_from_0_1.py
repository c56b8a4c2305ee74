"""What graftwork 0.1.0 has left in users' hands goes on working; from_0_1/make_fixtures.py says what that is."""

import ast
import importlib
import inspect
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from commands import graftwork

LEFT = Path(__file__).parent / "from_0_1"
PIPELINES = ("transfer_learning", "sweep", "retraining")
REGISTRIES = ("keras", "saved_model", "grafted")
MODELS = ("saved_function", "hard_sigmoid")
SETTINGS: dict[str, Any] = {
    "prepare": {"test_fraction": 0.25, "validation_fraction": 0.15},
    "head": {"kind": "linear"},
    "fine_tune": {"epochs": 1, "layers": 1},
}
# What stands in a user's script or notebook before Keras opens the file: Keras knows registered names only.
OPEN = """
import sys
import keras
import numpy as np
import graftwork.artifacts.activations
import graftwork.artifacts.saved_function

for folder in sys.argv[1:]:
    network = keras.saving.load_model(f"{folder}/model/assets.extra/model.keras")
    recorded = np.load(f"{folder}/answers.npz")
    answers = network(recorded["pixels"].astype("float32"))
    np.testing.assert_allclose(answers, recorded["answers"], rtol=0, atol=1e-5)
"""


@dataclass(frozen=True)
class Shop:
    """A folder with photos, a base model, and the registry that a retraining has left.

    Attributes:
        folder: Where all that is.
        described: What the JSON file beside the archive says.
    """

    folder: Path
    described: dict[str, Any]

    @classmethod
    def laid_out(cls, name: str, folder: Path) -> "Shop":
        """Unpack what is there, with the times that the files had: to a fingerprint they are part of the content."""
        described = json.loads((LEFT / "registries" / f"{name}.json").read_text())
        with zipfile.ZipFile(LEFT / "registries" / f"{name}.zip") as archive:
            archive.extractall(folder)
        for path in folder.rglob("*"):
            if path.is_file():
                os.utime(path, ns=(described["mtime_ns"], described["mtime_ns"]))
        return cls(folder, described)

    def add_photos(self) -> None:
        shutil.copytree(self.folder / "later", self.folder / "photos", dirs_exist_ok=True)

    def retrain(self) -> dict[str, Any]:
        """Give the command that made the registry, in its folder, and return the outcome."""
        _, *arguments = self.described["command"].split()
        done = graftwork(*arguments, "--set", "retraining.notify=outcome.json", cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.outcome()

    def outcome(self) -> dict[str, Any]:
        outcome: dict[str, Any] = json.loads((self.folder / "outcome.json").read_text())
        return outcome


def broken_rules(outcome: dict[str, Any]) -> set[str]:
    verdict = json.loads((Path(outcome["report"]) / "verdict.json").read_text())
    return {rule["rule"] for rule in verdict["rules"] if not rule["passed"]}


def steps(pipeline: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield the steps of a compiled file, and the Python that stands there for each."""
    spec = next(yaml.safe_load_all((LEFT / "compiled" / f"{pipeline}.yaml").read_text()))
    for label, executor in spec["deploymentSpec"]["executors"].items():
        yield label, ast.parse(executor["container"]["command"][-1])


def imported(source: ast.Module) -> dict[str, Any]:
    """Import what a source wants of graftwork: the names there, and what they mean here."""
    wanted = [node for node in ast.walk(source) if isinstance(node, ast.ImportFrom)]
    return {
        name.asname or name.name: getattr(importlib.import_module(node.module), name.name)
        for node in wanted
        if node.module and node.module.partition(".")[0] == "graftwork"
        for name in node.names
    }


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield everything in a configuration of Keras that was registered, at any depth."""
    if isinstance(value, dict):
        if value.get("registered_name"):
            yield value
        for inner in value.values():
            yield from objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner)


@pytest.fixture(params=MODELS)
def model_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with model/ and answers.npz."""
    return unpacked(request.param, tmp_path)


def unpacked(model: str, folder: Path) -> Path:
    with zipfile.ZipFile(LEFT / "models" / f"{model}.zip") as archive:
        archive.extractall(folder / model)
    return folder / model


class TestRegistries:
    @pytest.mark.parametrize("name", REGISTRIES)
    def test_where_nothing_has_changed_the_upgrade_alone_is_no_news(self, name: str, tmp_path: Path) -> None:
        outcome = Shop.laid_out(name, tmp_path).retrain()
        assert (outcome["outcome"], outcome["champion"]) == ("unchanged", 1)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", REGISTRIES)
    def test_new_photos_bring_a_challenger_that_is_judged(self, name: str, tmp_path: Path) -> None:
        shop = Shop.laid_out(name, tmp_path)
        shop.add_photos()
        outcome = shop.retrain()
        # In the first of them the photos added are of another kind; the other champions have nothing to learn.
        assert broken_rules(outcome) <= {"better"}, outcome["why"]
        expected = ("promoted", 2) if name == "keras" else ("kept", 1)
        assert (outcome["outcome"], outcome["champion"]) == expected, outcome["why"]

    @pytest.mark.slow
    @pytest.mark.parametrize("name", REGISTRIES)
    def test_the_champion_answers_as_it_did(self, name: str, tmp_path: Path) -> None:
        shop = Shop.laid_out(name, tmp_path)
        done = graftwork("predict", "models/squares", shop.described["photo"], "--json", cwd=shop.folder)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["probabilities"] == pytest.approx(shop.described["probabilities"], abs=1e-5)


class TestCompiled:
    @pytest.mark.parametrize("pipeline", PIPELINES)
    def test_every_step_finds_what_it_calls(self, pipeline: str) -> None:
        for label, source in steps(pipeline):
            names = imported(source)
            calls = [node for node in ast.walk(source) if isinstance(node, ast.Call)]
            called = {node.func.id: node for node in calls if isinstance(node.func, ast.Name) and node.func.id in names}
            assert called, label
            for name, call in called.items():
                keywords = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
                inspect.signature(names[name]).bind(*call.args, **keywords)  # raises where it takes others

    @pytest.mark.slow
    def test_a_classifier_comes_out(self, tmp_path: Path) -> None:
        shop = Shop.laid_out("keras", tmp_path)
        run_compiled("transfer_learning", tmp_path, **SETTINGS)
        assert json.loads((tmp_path / "out" / "metrics.json").read_text())["test"]["n"] > 20
        done = graftwork("predict", tmp_path / "out", shop.described["photo"], "--json", cwd=shop.folder)
        assert json.loads(done.stdout)["label"] == "blue", done.stderr

    @pytest.mark.slow
    def test_a_retraining_comes_to_a_verdict(self, tmp_path: Path) -> None:
        shop = Shop.laid_out("keras", tmp_path)
        shop.add_photos()
        given = {"registry": str(tmp_path / "models"), "name": "squares", "notify": str(tmp_path / "outcome.json")}
        run_compiled("retraining", tmp_path, **given, **SETTINGS)
        assert shop.outcome()["outcome"] == "promoted", shop.outcome()["why"]


def run_compiled(pipeline: str, shop: Path, **parameters: Any) -> None:
    """Run a compiled file on this machine, as a cluster would with the image of today."""
    from kfp.components import load_component_from_file

    from graftwork.running import local

    loaded = load_component_from_file(str(LEFT / "compiled" / f"{pipeline}.yaml"))
    parameters |= {"data": str(shop / "photos"), "base_model": str(shop / "base.keras")}
    if pipeline == "retraining":  # it has no model among its outputs
        with local.executed(loaded, parameters, shop / "out", lambda event: None):
            return
    local.run(loaded, parameters, shop / "out", lambda event: None)


class TestModels:
    def test_it_answers_as_it_did(self, model_folder: Path) -> None:
        from graftwork.artifacts import model

        recorded = np.load(model_folder / "answers.npz")
        network = model.read(model_folder / "model").keras_model()
        answers = network(recorded["pixels"].astype(np.float32))
        np.testing.assert_allclose(answers, recorded["answers"], rtol=0, atol=1e-5)

    def test_it_trains_on_in_keras(self, model_folder: Path) -> None:
        from graftwork.artifacts import model

        network = model.read(model_folder / "model").keras_model()
        network.trainable = True  # what it was made from too, which was frozen
        network.compile("sgd", "sparse_categorical_crossentropy")
        pixels = np.load(model_folder / "answers.npz")["pixels"].astype(np.float32)
        parts = [network.get_layer(name) for name in (model.BACKBONE, model.HEAD)]
        before = [part.get_weights() for part in parts]
        network.fit(pixels, np.array([1, 2, 0]), verbose=0)
        for old, part in zip(before, parts, strict=True):
            assert any(not np.array_equal(*pair) for pair in zip(old, part.get_weights(), strict=True)), part.name

    def test_keras_alone_opens_it_once_the_modules_are_imported(self, tmp_path: Path) -> None:
        folders = [str(unpacked(name, tmp_path)) for name in MODELS]
        done = subprocess.run([sys.executable, "-P", "-c", OPEN, *folders], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def test_modules_that_files_name_have_what_is_registered(self) -> None:
        """Older versions of Keras import the module that a file names; today's look for the registered name."""
        import keras

        found = set()
        for path in (*LEFT.glob("models/*.zip"), *LEFT.glob("registries/*.zip")):
            for config in configurations(path):
                for entry in objects(config):
                    module, _, name = (entry.get("module") or "").partition(".")
                    if module == "graftwork":
                        named = getattr(importlib.import_module(f"{module}.{name}"), entry["class_name"])
                        assert keras.saving.get_registered_object(entry["registered_name"]) is named
                        found.add(entry["registered_name"])
        assert found == {"graftwork>SavedFunction"}


def configurations(path: Path) -> Iterator[Any]:
    """Yield what Keras wrote about each model in an archive."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".keras"):
                with zipfile.ZipFile(io.BytesIO(archive.read(name))) as file:
                    yield json.loads(file.read("config.json"))
