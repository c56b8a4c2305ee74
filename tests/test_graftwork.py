"""The package as a whole: what a wheel and an installation contain, and that its tests lie as its modules do."""

import ast
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from graftwork import pipelines

ROOT = Path(__file__).parent.parent
IMPORTS = """
import importlib, pathlib, pkgutil, sys
import graftwork, graftwork.components, graftwork.pipelines
root = pathlib.Path(graftwork.__file__).parent
assert str(root).startswith(sys.argv[1]), root
steps = [module.name for module in pkgutil.iter_modules(graftwork.components.__path__)]
print(" ".join(steps))
import graftwork.artifacts.folder, graftwork.config, graftwork.cli.main
assert (root / "py.typed").exists()
"""


def copy_of_sources(folder: Path) -> Path:
    """Copy what a wheel is made of: in the checkout, an earlier build would lend it modules that are gone."""
    for room in ("graftwork", "components", "pipelines"):
        shutil.copytree(ROOT / room, folder / room, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources, folder = copy_of_sources(tmp_path_factory.mktemp("sources")), tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(sources)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_a_wheel_installs_and_imports_with_every_step(wheel: Path, tmp_path: Path) -> None:
    # The dependencies come from this environment; the package itself from the wheel alone.
    venv.create(tmp_path / "venv", system_site_packages=False, with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    )
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    import numpy

    (site / "dependencies.pth").write_text(str(Path(numpy.__file__).parent.parent))
    done = subprocess.run(
        [python, "-P", "-c", IMPORTS, str(site)], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.split() == sorted(
        {*pipelines.steps("transfer_learning"), *pipelines.steps("retraining"), "batch_predict"}
    )


def test_a_wheel_holds_every_module_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = set()
    for folder, package in (
        ("graftwork", "graftwork"),
        ("components", "graftwork/components"),
        ("pipelines", "graftwork/pipelines"),
    ):
        for file in (ROOT / folder).rglob("*"):
            # For people who look at the tree: components/X/README.md.
            readme = package == "graftwork/components" and file.name == "README.md"
            if file.is_file() and "__pycache__" not in file.parts and not readme:
                sources.add(f"{package}/{file.relative_to(ROOT / folder)}")
    assert packed == sources


def test_a_clone_is_whole_for_a_python_that_is_started_inside_it(tmp_path: Path) -> None:
    # Python looks into the current folder first: there the package must have its steps too, installed or not.
    copy_of_sources(tmp_path)
    subprocess.run([sys.executable, "-c", IMPORTS, str(tmp_path)], check=True, capture_output=True, cwd=tmp_path)


BESIDE = sorted(str(file.relative_to(ROOT)) for room in ("benchmarks", "docs") for file in (ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("script", BESIDE)
def test_what_a_script_beside_the_package_imports_from_it_is_there(script: str) -> None:
    imports = [node for node in ast.walk(ast.parse((ROOT / script).read_text())) if isinstance(node, ast.ImportFrom)]
    for node in imports:
        if node.module and node.module.split(".")[0] == "graftwork":
            names = ", ".join(alias.name for alias in node.names)
            exec(f"from {node.module} import {names}", {})


TESTS = Path(__file__).parent


@pytest.mark.parametrize("test", sorted(str(file.relative_to(TESTS)) for file in TESTS.rglob("test_*.py")))
def test_a_test_file_has_the_place_and_the_name_of_what_it_tests(test: str) -> None:
    """Perhaps with a word more behind it: test_open_round_trip.py tests open.py."""
    folder, words = Path(test).parent, Path(test).stem.split("_")[1:]
    names = {"_".join(words[:count]) for count in range(1, len(words) + 1)}
    whole = folder.name or "graftwork"  # a room as a whole, tested in a file with its name
    subjects = [place / folder / name for place in (ROOT / "graftwork", TESTS) for name in names]
    found = [subject for subject in subjects if subject.is_dir() or subject.with_suffix(".py").is_file()]
    assert found or (whole in names and (ROOT / "graftwork" / folder).is_dir()), f"what does {test} test?"
