"""Compiled files: fitted to a site, the same every time."""

import sys
from pathlib import Path

import pytest
import yaml

from graftwork import pipelines
from graftwork.errors import UserError
from graftwork.kubeflow.compiling import FORMATS, compile_pipeline, read_compiled
from graftwork.kubeflow.site import Site

from commands import graftwork


@pytest.mark.parametrize("variant", [(), ("--one-shard",)])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", pipelines.NAMES)
def test_compiled_files_are_the_same_byte_for_byte(
    tmp_path: Path, name: str, format: str, variant: tuple[str, ...]
) -> None:
    made = set()
    for seed in ("1", "2", "3"):  # Python's hashes differ, and so do the addresses that protobuf hashes with
        file = tmp_path / f"{seed}.yaml"
        done = graftwork("compile", name, "-o", str(file), "--format", format, *variant, PYTHONHASHSEED=seed)
        assert done.returncode == 0, done.stderr
        made.add(file.read_bytes())
    assert len(made) == 1


def test_nothing_in_it_is_tied_to_this_machine() -> None:
    for name in pipelines.NAMES:
        text = compile_pipeline(name, Site()).text
        assert str(Path.home()) not in text.replace(str(Path("/root")), "")
        assert str(Path(__file__).parents[2]) not in text
        assert sys.prefix not in text


def test_the_image_comes_from_an_option_or_the_environment(tmp_path: Path) -> None:
    file = str(tmp_path / "p.yaml")
    assert graftwork("compile", "sweep", "-o", file, GRAFTWORK_IMAGE="a.example/g:2").returncode == 0
    assert read_compiled(file).image == "a.example/g:2"
    done = graftwork("compile", "sweep", "-o", file, "--image", "b.example/g:3", GRAFTWORK_IMAGE="a.example/g:2")
    assert done.returncode == 0
    assert read_compiled(file).image == "b.example/g:3"
    assert "a.example" not in Path(file).read_text()


def test_compiling_for_one_site_does_not_change_another() -> None:
    before = compile_pipeline("sweep", Site()).text
    compile_pipeline("sweep", Site(image="other", data_volume="photos"))
    assert compile_pipeline("sweep", Site()).text == before


def test_the_pipeline_without_loops_is_another_version_of_the_same() -> None:
    looped, flat = (compile_pipeline("sweep", Site(), one_shard=one_shard) for one_shard in (False, True))
    assert (flat.name, flat.title, flat.parameters, flat.required) == (
        *(looped.name, looped.title),
        *(looped.parameters, looped.required),
    )
    assert flat.version != looped.version


def test_a_kubernetes_manifest_names_the_version_by_its_content() -> None:
    first = compile_pipeline("sweep", Site(), "kubernetes-manifest", "team")
    pipeline, version = yaml.safe_load_all(first.text)
    assert (pipeline["kind"], version["kind"]) == ("Pipeline", "PipelineVersion")
    assert pipeline["metadata"] == {"name": "sweep", "namespace": "team"}
    assert version["spec"]["pipelineName"] == "sweep"
    assert version["spec"]["platformSpec"]["platforms"]["kubernetes"]
    other = compile_pipeline("sweep", Site(image="other:1"), "kubernetes-manifest", "team")
    assert list(yaml.safe_load_all(other.text))[1]["metadata"]["name"] != version["metadata"]["name"]


def test_a_namespace_is_a_label() -> None:
    for namespace in ("team.vision", "Team", "t" * 64):
        with pytest.raises(UserError, match="the name of the namespace"):
            compile_pipeline("sweep", Site(), "kubernetes-manifest", namespace)


@pytest.mark.parametrize("one_shard", [False, True])
@pytest.mark.parametrize("name", pipelines.NAMES)
def test_a_compiled_file_can_be_read_back(tmp_path: Path, name: str, one_shard: bool) -> None:
    compiled = compile_pipeline(name, Site(), one_shard=one_shard)
    assert compiled.one_shard == one_shard
    (tmp_path / "p.yaml").write_text(compiled.text)
    assert read_compiled(tmp_path / "p.yaml") == compiled


@pytest.mark.parametrize("content", [None, b"\xff", b"a: [", b"a: 1", b""])
def test_other_files_are_no_pipelines(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "p.yaml").write_bytes(content)
    with pytest.raises(UserError, match="pipeline"):
        read_compiled(tmp_path / "p.yaml")


def test_an_unknown_pipeline_or_format_is_the_users_mistake(tmp_path: Path) -> None:
    done = graftwork("compile", "swep", "-o", str(tmp_path / "p.yaml"))
    assert done.returncode == 2
    assert "transfer_learning, sweep" in done.stderr
    done = graftwork("compile", "sweep", "-o", str(tmp_path / "p.yaml"), "--format", "argo")
    assert done.returncode == 2
    assert not list(tmp_path.iterdir())
