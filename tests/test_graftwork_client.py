"""Submitting needs a client's packages only: neither TensorFlow nor anything else that computes."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import graftwork

from exported_models import exported
from fake_kubeflow import FakeKubeflow
from watched_runs import finished_in

ROOT = Path(__file__).parent.parent
HEAVY = [
    "tensorflow",
    "tf_keras",
    "keras",
    "numpy",
    "scipy",
    "sklearn",
    "pandas",
    "pyarrow",
    "matplotlib",
    "PIL",
    "h5py",
]
HEAVY += ["jinja2", "threadpoolctl"]
WITHOUT = (
    f"import sys; sys.modules |= dict.fromkeys({HEAVY!r})\n"  # None there is Python's way of saying: not installed
)
COMMAND = f"{WITHOUT}from graftwork.cli.main import main; sys.argv[0] = 'graftwork'; main()"
JOB = ("--set", "data=gs://photos/birds", "--set", "base_model=gs://models/shelf.keras", "--image", "r.example/g:1")


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KF_PIPELINES")}
    environment = {**kept, "HOME": "/nonexistent", "COLUMNS": "120"}
    return subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)


def client(*arguments: object) -> str:
    """Run a command where a client's packages are all there is, and return what it prints."""
    done = python(sys.executable, "-P", "-c", COMMAND, *map(str, arguments))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def fake() -> Iterator[FakeKubeflow]:
    with FakeKubeflow() as server:
        yield server
        assert server.violations == []


class TestCommands:
    def test_pipelines_are_compiled_submitted_and_watched(self, fake: FakeKubeflow, tmp_path: Path) -> None:
        file = tmp_path / "retraining.yaml"
        assert "retraining" in client("compile", "retraining", "-o", file)
        assert "15 components" in client("compile", "components", "-o", tmp_path / "components")
        assert "follow" in client("submit", "sweep", *JOB, "--host", fake.url)
        (run,) = fake.runs
        fake.set_state(run, "SUCCEEDED")
        assert "✓ run" in client("watch", run, "--host", fake.url)

    def test_results_are_fetched(self, fake: FakeKubeflow, tmp_path: Path) -> None:
        run = finished_in(fake, "minio://mlpipeline/v2/run")
        said = client("fetch", run.run_id, "-o", tmp_path / "here", "--host", fake.url)
        assert f"model   {tmp_path}/here/model" in said
        assert (tmp_path / "here" / "model" / "saved_model.pb").is_file()

    def test_schedules(self, fake: FakeKubeflow) -> None:
        nightly = ("--cron", "30 3 * * *", "--name", "birds", "--host", fake.url)
        assert "birds, created" in client("schedule", "transfer_learning", *JOB, *nightly)
        assert "active" in client("schedules", "--host", fake.url)
        assert "paused" in client("schedules", "pause", "birds", "--host", fake.url)

    def test_registries(self, tmp_path: Path) -> None:
        place = ("--registry", tmp_path / "models")
        for content in ("one", "two"):
            exported(tmp_path / f"run-{content}/model", content)
            assert "champion" in client("models", "promote", tmp_path / f"run-{content}", *place, "--name", "shelf")
        assert "champion again" in client("models", "rollback", *place)
        assert "0.9000" in client("models", "list", *place)
        assert "photos" in client("models", "show", "2", *place)
        assert "model_version_policy" in client("serve-manifest", *place, "--format", "tensorflow-serving")

    @pytest.mark.parametrize(
        ("arguments", "what"),
        [
            (["run", "--data", "photos", "--base-model", "shelf.keras"], "a run on this machine"),
            (
                ["retrain", "--data", "d", "--base-model", "m", "--registry", "r", "--name", "n"],
                "retraining on this machine",
            ),
            (["inspect", "shelf.keras"], "graftwork.inspect"),
            (["demo"], "the demo"),
        ],
    )
    def test_what_needs_the_rest_says_so(self, arguments: list[str], what: str, tmp_path: Path) -> None:
        done = python(sys.executable, "-P", "-c", COMMAND, *arguments)
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {what} needs all of graftwork\n  missing  tensorflow, tf_keras, numpy")
        assert "pip install graftwork\n" in done.stderr


class TestPython:
    @pytest.mark.parametrize("name", graftwork.__all__)
    def test_a_name_is_there_or_says_what_it_needs(self, name: str) -> None:
        done = python(sys.executable, "-P", "-c", f"{WITHOUT}import graftwork; graftwork.{name}")
        if name in ("inspect", "Description"):
            assert f"UserError: graftwork.{name} needs all of graftwork" in done.stderr
        else:
            assert done.returncode == 0, done.stderr

    def test_calls_that_need_the_rest(self, tmp_path: Path) -> None:
        exported(tmp_path / "run/model", "one")
        calls = ["run('photos', 'shelf.keras')", "open_model('run')"]
        calls.append("retrain('photos', 'shelf.keras', registry='models', name='shelf')")
        for call in calls:
            code = f"{WITHOUT}import graftwork, os; os.chdir({str(tmp_path)!r})\ntry: graftwork.{call}\n"
            done = python(sys.executable, "-P", "-c", f"{code}except graftwork.UserError as error: print(error)")
            assert "needs all of graftwork" in done.stdout, done.stderr


class TestLock:
    def test_the_packages_are_those_of_the_whole_in_the_same_versions(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        assert set(project["dependency-groups"]["client"]) <= set(project["project"]["dependencies"])
        few, all_ = (
            set(re.findall(r"^([\w.-]+==[\w.]+)", (ROOT / name).read_text(), re.MULTILINE))
            for name in ("requirements-client.lock", "requirements.lock")
        )
        assert few < all_
        assert {"kfp", "typer"} <= {line.partition("==")[0] for line in few}

    @pytest.mark.slow
    def test_an_environment_from_it_submits_and_is_small(self, fake: FakeKubeflow, tmp_path: Path) -> None:
        for room in ("graftwork", "components", "pipelines"):
            shutil.copytree(ROOT / room, tmp_path / "sources" / room, symlinks=True)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, tmp_path / "sources")
        subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
        pip = [tmp_path / "venv/bin/pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", ROOT / "requirements-client.lock"], check=True)
        subprocess.run([*pip, "--no-deps", tmp_path / "sources"], check=True)

        command = str(tmp_path / "venv/bin/graftwork")
        compiled = python(command, "compile", "sweep", "-o", str(tmp_path / "sweep.yaml"))
        assert compiled.returncode == 0, compiled.stderr
        submitted = python(command, "submit", "transfer_learning", *JOB, "--host", fake.url)
        assert submitted.returncode == 0, submitted.stderr
        assert len(fake.runs) == 1

        files = [file for file in (tmp_path / "venv").rglob("*") if file.is_file() and not file.is_symlink()]
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        print(f"a client takes {megabytes:.0f} MB, pip and setuptools among them")
        assert megabytes < 200
        (installed,) = (tmp_path / "venv/lib").glob("python*/site-packages")
        assert {folder.name for folder in installed.iterdir()} & set(HEAVY) == set()
