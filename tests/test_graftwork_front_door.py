"""What `import graftwork` offers: nothing slow, everything documented by examples that run."""

import doctest
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import graftwork

from fake_kubeflow import FakeKubeflow
from images_on_disk import write_photos

ROOT = Path(__file__).parent.parent
NAMES = [name for name in graftwork.__all__ if name != "__version__"]
SLOW = ["keras", "kfp", "numpy", "pandas", "pydantic", "rich", "tensorflow", "typer", "yaml"]


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestImport:
    def test_it_imports_nothing_slow(self) -> None:
        assert python(f"import graftwork, sys; dir(graftwork); print({set(SLOW)!r} & set(sys.modules))") == "set()"

    def test_it_takes_no_time(self) -> None:
        code = "import time; t = time.perf_counter(); import graftwork; print(time.perf_counter() - t)"
        assert min(float(python(code)) for _ in range(5)) < 0.05

    @pytest.mark.parametrize("name", ["UserError", "Config", "Registry", "StepError", "open_model", "run", "retrain"])
    def test_tensorflow_comes_with_the_first_call_that_needs_it(self, name: str) -> None:
        assert python(
            f"import graftwork, sys; graftwork.{name}; print({{'tensorflow', 'kfp'}} & set(sys.modules))"
        ) == ("set()")

    def test_every_name_is_there_and_is_listed(self) -> None:
        assert set(graftwork.__all__) == {*graftwork._HOMES, "__version__"}
        assert set(graftwork.__all__) <= set(dir(graftwork))
        for name in graftwork.__all__:
            assert getattr(graftwork, name) is not None
        assert python("from graftwork import *; print(run.__name__, __version__)") == f"run {graftwork.__version__}"

    def test_type_checkers_see_what_is_imported(self) -> None:
        source = Path(graftwork.__file__).read_text(encoding="utf-8")
        seen = {
            (name, module)
            for module, names in re.findall(r"^    from graftwork\.([\w.]+) import (.+)$", source, re.MULTILINE)
            for name in names.split(", ")
        }
        assert seen == set(graftwork._HOMES.items())

    def test_another_name_is_an_error(self) -> None:
        with pytest.raises(AttributeError, match="has no attribute 'fit'"):
            _ = graftwork.fit  # type: ignore[attr-defined]


class TestDocumentation:
    @pytest.mark.parametrize("name", NAMES)
    def test_every_name_has_an_example(self, name: str) -> None:
        documented = getattr(graftwork, name).__doc__
        assert "Example:\n" in documented
        assert ">>> " in documented

    @pytest.mark.parametrize("name", ["inspect", "open_model", "retrain", "run", "schedule", "submit"])
    def test_every_function_says_what_it_takes_gives_and_raises(self, name: str) -> None:
        function = getattr(graftwork, name)
        for part in ("Args:", "Returns:", "Raises:"):
            assert f"    {part}\n" in function.__doc__
        for parameter in list(function.__annotations__)[:-1]:
            assert f"        {parameter}: " in function.__doc__, parameter


@pytest.fixture(scope="module")
def workshop(base_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples need: photos, two of them as a.jpg and b.jpg, and a saved model."""
    folder = tmp_path_factory.mktemp("workshop")
    write_photos(folder / "photos", count=60)
    shutil.copy(base_file, folder / "shelf-2021.keras")
    for name, label in {"a": "blue", "b": "red"}.items():
        write_photos(folder / "other", count=3, seed=ord(name), suffix="jpg")
        shutil.copy(next((folder / "other" / label).iterdir()), folder / f"{name}.jpg")
    (folder / "config.yaml").write_text(
        "data: photos\nbase_model: shelf-2021.keras\nhead: {kind: linear}\nfine_tune: {layers: 0}\n"
    )
    (folder / "birds.yaml").write_text("data: gs://photos/birds\nbase_model: gs://models/shelf.keras\n")
    return folder


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubeflow]:
    """The Kubeflow that an example means if it names none."""
    import kfp

    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    with FakeKubeflow() as fake:
        monkeypatch.setenv("KF_PIPELINES_ENDPOINT", fake.url)
        yield fake
    assert fake.violations == []


@pytest.mark.slow
class TestExamples:
    """In this order, in one folder: a later run does again only what has changed."""

    @pytest.mark.usefixtures("cluster")
    def test_the_examples_of_every_name_run(self, workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(workshop)
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
        for name in ["run", "retrain", *(name for name in NAMES if name not in ("run", "retrain"))]:
            globs = {"graftwork": graftwork, "Path": Path}
            found = doctest.DocTestFinder().find(getattr(graftwork, name), name, module=False, globs=globs)
            assert any(test.examples for test in found), name
            for test in found:
                said: list[str] = []
                assert runner.run(test, out=said.append).failed == 0, "".join(said)

    @pytest.mark.usefixtures("cluster")
    def test_the_guide_runs_as_it_stands(self, workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(workshop)
        blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/python.md").read_text(), re.DOTALL | re.MULTILINE)
        assert len(blocks) > 10
        shown: dict[str, object] = {}
        for block in blocks:
            exec(block, shown)
        assert isinstance(shown["outcome"], graftwork.Outcome)

    def test_a_pipeline_of_ones_own_runs_here_and_compiles(self, workshop: Path) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        command = [sys.executable, ROOT / "examples/own_pipeline.py"]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=workshop, env={**os.environ, "PATH": path}, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"^\s*(approved|refused: .* is less than 0.5)$", done.stdout, re.MULTILINE)
        assert "3 classes, 24 x 24 pixels>" in done.stdout
        assert "name: own-pipeline" in (workshop / "own_pipeline.yaml").read_text()
