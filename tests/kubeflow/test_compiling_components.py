"""The steps as files, for pipelines that are not graftwork's own."""

from pathlib import Path
from typing import Any

import pytest
from kfp import dsl, local
from kfp.components import load_component_from_file
from kfp.dsl import Dataset

from graftwork import steps
from graftwork.artifacts import images
from graftwork.kubeflow import compiling

from commands import graftwork
from images_on_disk import write_photos

IMAGE = "a.example/g:1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files") / "made" / "here"
    done = graftwork("compile", "components", "-o", folder, "--image", IMAGE, PYTHONHASHSEED="1")
    assert done.returncode == 0, done.stderr
    assert str(folder / "prepare_data.yaml") in done.stdout
    assert IMAGE in done.stdout
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def interface(component: Any) -> dict[str, Any]:
    """Return type, whether it is a list and, of inputs, the default of everything that goes in and out."""
    inputs, outputs = component.component_spec.inputs, component.component_spec.outputs
    taken = {name: (it.type, it.is_artifact_list, it.optional, it.default) for name, it in (inputs or {}).items()}
    return {"in": taken, "out": {name: (it.type, it.is_artifact_list) for name, it in (outputs or {}).items()}}


def test_there_is_a_file_for_each_step_and_nothing_else(folder: Path) -> None:
    assert set(content(folder)) == {f"{name}.yaml" for name in steps.__all__}


@pytest.mark.parametrize("name", steps.__all__)
def test_kfp_loads_a_component_with_the_same_interface(folder: Path, name: str) -> None:
    loaded, component = load_component_from_file(str(folder / f"{name}.yaml")), getattr(steps, name)
    assert loaded.name == component.name
    assert loaded.description.startswith(component.description.strip())
    assert interface(loaded) == interface(component)
    assert loaded.component_spec.implementation.container.image == IMAGE


def test_a_file_begins_with_what_its_component_takes(folder: Path) -> None:
    written = (folder / "prepare_data.yaml").read_text()
    assert written.startswith("# prepare-data, made by graftwork ")
    assert "#   ingested: Every shard of the source, from ingest_images, in any order.\n" in written


def test_the_same_arguments_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for _ in range(2):  # over what is there, too
        compiling.write_components(tmp_path, IMAGE)
        assert content(tmp_path) == content(folder)
    assert graftwork("compile", "components", "-o", tmp_path, GRAFTWORK_IMAGE=IMAGE, PYTHONHASHSEED="2").returncode == 0
    assert content(tmp_path) == content(folder)


def test_the_image_of_a_file_is_not_that_of_the_component() -> None:
    before = steps.judge.component_spec.implementation.container.image
    assert compiling.compile_components(IMAGE)["judge"].count(IMAGE) == 1
    assert steps.judge.component_spec.implementation.container.image == before


def test_nothing_changes_in_the_folder_if_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "batch_predict.yaml").write_text("an older one")
    (tmp_path / "mine.txt").write_text("mine")
    before = content(tmp_path)
    # A name that no file can have stands in for a disk that is full half way.
    monkeypatch.setattr(compiling, "compile_components", lambda image: {"batch_predict": "new", "x" * 300: "new"})
    with pytest.raises(OSError, match="name too long"):
        compiling.write_components(tmp_path)
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--format", "kubernetes-manifest"], "--format"),
        (["--namespace", "team"], "--namespace"),
        (["--image-pull-secret", "a", "--data-volume", "b"], "--image-pull-secret, --data-volume"),
        (["--credentials-secret", "a"], "--credentials-secret"),
    ],
)
def test_what_only_a_pipeline_can_say_is_refused(tmp_path: Path, options: list[str], named: str) -> None:
    done = graftwork("compile", "components", "-o", tmp_path / "files", *options)
    assert done.returncode == 2
    assert named in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("")
    for name, problem in {"one.yaml": "several files", "there": "several files", "there/in": "Not a directory"}.items():
        done = graftwork("compile", "components", "-o", tmp_path / name)
        assert done.returncode == 2
        assert problem in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["there"]


def test_a_bucket_is_no_folder_here(tmp_path: Path) -> None:
    done = graftwork("compile", "components", "-o", "gs://bucket/components", cwd=tmp_path)
    assert done.returncode == 2
    assert "on this machine" in done.stderr
    assert not list(tmp_path.iterdir())


def test_they_run_in_a_pipeline_of_ones_own(folder: Path, tmp_path: Path) -> None:
    ingest_images = load_component_from_file(str(folder / "ingest_images.yaml"))
    prepare_data = load_component_from_file(str(folder / "prepare_data.yaml"))

    @dsl.pipeline(name="mine")
    def mine(data: str) -> Dataset:
        with dsl.ParallelFor(["1/1"]) as shard:
            ingested = ingest_images(data=data, fingerprint="", shard=shard, input_size=20)
        prepared = prepare_data(ingested=dsl.Collected(ingested.outputs["ingested"]))
        return prepared.outputs["images"]

    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))
    done = mine(data=str(write_photos(tmp_path / "photos", count=60)))
    prepared = images.read(done.outputs["Output"].path)
    assert prepared.classes == ["blue", "green", "red"]
    assert sum(prepared.size(split) for split in images.SPLITS) == 60
