"""The image, and runs whose steps are containers of it."""

import itertools
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from graftwork import __version__
from graftwork.errors import UserError
from graftwork.kubeflow.compiling import compile_pipeline
from graftwork.kubeflow.site import Site
from graftwork.running import containers

from commands import graftwork
from images_on_disk import write_photos

QUICK = ["--set", "head.kind=linear", "--set", "fine_tune.epochs=1", "--set", "fine_tune.layers=1"]
ANYBODY = "4242:0"  # a user id that no image knows, as some clusters give out


class TestMistakes:
    def test_without_the_package_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "docker", None)
        with pytest.raises(UserError, match=r"graftwork\[docker\]"), containers.runner("i", Path(), {}, {}, ()):
            pass

    def test_without_an_engine_it_says_where_it_looked(self, tmp_path: Path) -> None:
        where = f"unix://{tmp_path}/none.sock"
        given = ["run", "--data", "d", "--base-model", "m", "--runner", "docker"]
        done = graftwork(*given, cwd=tmp_path, DOCKER_HOST=where)
        assert done.returncode == 2
        assert "no container engine answers" in done.stderr
        assert where in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (["--runner", "podman"], "there is no runner 'podman'"),
            (["--image", "graftwork:1"], "--image says nothing to a run without containers"),
            (["--mount", "/data"], "--mount says nothing to a run without containers"),
        ],
    )
    def test_options_that_do_not_go_together(self, tmp_path: Path, options: list[str], expected: str) -> None:
        done = graftwork("run", "--data", "d", "--base-model", "m", *options, cwd=tmp_path)
        assert done.returncode == 2
        assert expected in done.stderr
        assert list(tmp_path.iterdir()) == []


@given(st.text(), st.lists(st.integers(0, 400)))
def test_lines_come_whole_wherever_the_output_is_cut(text: str, cuts: list[int]) -> None:
    data = text.encode("utf-8")
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    chunks = [data[start:end] for start, end in itertools.pairwise(places)]
    lines = list(containers._lines(chunks))
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in lines)
    assert "".join(lines) == text + ("" if text.endswith("\n") or not text else "\n")


class TestWhatTheEngineSays:
    def test_files_belong_to_the_user(self) -> None:
        assert containers._fitting({"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}) == {
            "user": "0:0"
        }
        assert containers._fitting({}) == {"user": f"{containers.os.getuid()}:{containers.os.getgid()}"}

    def test_labels_of_the_users_files_stay(self) -> None:
        assert containers._fitting({"SecurityOptions": ["name=selinux"]})["security_opt"] == ["label=disable"]

    def test_gpus_are_used_where_the_engine_has_them(self) -> None:
        (request,) = containers._fitting({"Runtimes": {"nvidia": {}, "runc": {}}})["device_requests"]
        assert request["Count"] == -1
        assert request["Capabilities"] == [["gpu"]]


class TestMounts:
    def binds(self, parameters: dict[str, Any], *mounts: str) -> dict[str, bool]:
        return {bind["Target"]: bind["ReadOnly"] for bind in containers._binds(parameters, mounts)[0]}

    def test_data_and_base_model_are_there_to_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "photos").mkdir()
        (tmp_path / "base.keras").write_bytes(b"")
        seen = containers.seen_from_containers({"data": "photos", "base_model": "base.keras", "seed": 1})
        assert seen == {"data": str(tmp_path / "photos"), "base_model": str(tmp_path / "base.keras"), "seed": 1}
        assert self.binds(seen) == {seen["data"]: True, seen["base_model"]: True}

    def test_a_table_comes_with_the_folder_it_lies_in(self, tmp_path: Path) -> None:
        (tmp_path / "photos.csv").write_text("image,label\n")
        assert self.binds({"data": str(tmp_path / "photos.csv")}, "/usr") == {str(tmp_path): True, "/usr": True}

    def test_what_is_not_there_is_left_to_the_step_to_tell(self) -> None:
        parameters = {"data": "nowhere/photos", "base_model": "gs://bucket/base.keras"}
        assert containers.seen_from_containers(parameters) == parameters
        assert "nowhere/photos" not in self.binds(parameters)

    def test_credentials_are_passed_on_for_buckets_alone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        key = tmp_path / "key.json"
        key.write_text("{}")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
        assert self.binds({"data": "gs://bucket/photos"}) == {str(key): True}
        assert self.binds({"data": str(tmp_path)}) == {str(tmp_path): True}

    def test_weights_that_keras_fetched_are_shared(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
        assert self.binds({"base_model": "MobileNetV2"}) == {str(tmp_path / "keras"): False}

    def test_a_mount_that_does_not_exist(self) -> None:
        with pytest.raises(UserError, match="does not exist"):
            self.binds({}, "nowhere")


ARTIFACTS = "/gcs"  # one of the volumes that KFP brings itself, where it puts what has a gs:// URI


def compiled_step(name: str, **parameters: Any) -> tuple[list[str], list[str]]:
    """Return how KFP's launcher starts a step of a compiled file, and where the file mounts folders to write to."""
    spec, platform = yaml.safe_load_all(compile_pipeline("transfer_learning", Site()).text)
    label = f"exec-{name.replace('_', '-')}"
    container = spec["deploymentSpec"]["executors"][label]["container"]
    made = {"name": "model", "uri": "gs://model", "type": {"schemaTitle": "system.Model"}, "metadata": {}}
    given = {
        "inputs": {"parameterValues": parameters},
        "outputs": {
            "artifacts": {"model": {"artifacts": [made]}},
            "parameters": {"size": {"outputFile": "/tmp/kfp/outputs/size"}},
            "outputFile": "/tmp/kfp_outputs/output_metadata.json",  # as the launcher has it
        },
    }
    arguments = [json.dumps(given) if text == "{{$}}" else text for text in container["args"]]
    mounted = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"][label]["emptyDirMounts"]
    return [*container["command"], *arguments], [mount["mountPath"] for mount in mounted]


@pytest.fixture
def engine(image: str) -> Any:
    import docker

    return docker.from_env()


@pytest.mark.slow
class TestImage:
    def says(self, engine: Any, image: str, *command: str, **options: Any) -> str:
        options = {"read_only": True, "tmpfs": {"/tmp": ""}, "user": ANYBODY, "network_mode": "none"} | options
        return str(engine.containers.run(image, list(command), remove=True, **options).decode())

    def test_its_name_is_the_command(self, engine: Any, image: str) -> None:
        assert self.says(engine, image, "--version") == f"graftwork {__version__}\n"
        assert self.says(engine, image, "graftwork", "--version") == f"graftwork {__version__}\n"
        assert "Usage: graftwork" in self.says(engine, image)

    def test_a_shell_and_python_start_as_themselves(self, engine: Any, image: str) -> None:
        assert self.says(engine, image, "sh", "-ec", "echo $0 $1", "zero", "one") == "zero one\n"
        assert self.says(engine, image, "python3", "-c", "print(6 * 7)") == "42\n"

    def test_it_does_not_run_as_root(self, engine: Any, image: str) -> None:
        assert engine.images.get(image).attrs["Config"]["User"].partition(":")[0] == "1000"

    def test_it_has_neither_a_compiler_nor_a_cache(self, engine: Any, image: str) -> None:
        look = "ls -d /root/.cache /tmp/* /opt/graftwork/bin/pip 2>/dev/null; command -v gcc cc g++ make; true"
        assert self.says(engine, image, "sh", "-c", look, user="0:0") == ""

    def test_it_says_what_it_is(self, engine: Any, image: str) -> None:
        labels = engine.images.get(image).labels
        assert labels["org.opencontainers.image.version"] == __version__
        assert labels["graftwork.variant"] == "cpu"

    def test_a_whole_run_in_one_container(self, engine: Any, image: str, base_file: Path, tmp_path: Path) -> None:
        write_photos(tmp_path / "in" / "photos", size=24)
        shutil.copy(base_file, tmp_path / "in" / "base.keras")
        (tmp_path / "out").mkdir()
        (tmp_path / "out").chmod(0o777)
        volumes = {
            str(tmp_path / "in"): {"bind": "/in", "mode": "ro"},
            str(tmp_path / "out"): {"bind": "/out", "mode": "rw"},
        }
        given = ["--data", "/in/photos", "--base-model", "/in/base.keras", "--output", "/out/run"]
        said = self.says(engine, image, "run", *given, *QUICK, volumes=volumes)
        assert "selected" in said
        assert (tmp_path / "out" / "run" / "model" / "saved_model.pb").is_file()
        assert (tmp_path / "out" / "run" / "model").stat().st_uid == int(ANYBODY.partition(":")[0])

    def test_a_compiled_step_writes_nowhere_but_into_its_mounts(
        self, engine: Any, image: str, base_file: Path, tmp_path: Path
    ) -> None:
        for name in ("in", "artifacts"):
            (tmp_path / name).mkdir()
        (tmp_path / "artifacts").chmod(0o777)
        shutil.copy(base_file, tmp_path / "in" / "base.keras")
        command, mounts = compiled_step("load_base_model", uri="/in/base.keras", fingerprint="1")
        volumes = {
            str(tmp_path / "in"): {"bind": "/in", "mode": "ro"},
            str(tmp_path / "artifacts"): {"bind": ARTIFACTS, "mode": "rw"},
        }
        self.says(engine, image, *command, volumes=volumes, tmpfs=dict.fromkeys(mounts, ""))
        assert (tmp_path / "artifacts" / "model" / "saved_model.pb").is_file()


@pytest.mark.slow
class TestRun:
    def test_it_gives_what_processes_give(self, image: str, base_file: Path, tmp_path: Path) -> None:
        write_photos(tmp_path / "photos", size=24)
        shutil.copy(base_file, tmp_path / "base.keras")
        given = ["run", "--data", "photos", "--base-model", "base.keras", *QUICK, "--set", "cluster.extract_shards=2"]
        in_processes = graftwork(*given, "--output", "processes", cwd=tmp_path)
        in_containers = graftwork(*given, "--output", "containers", "--runner", "docker", cwd=tmp_path)
        assert in_processes.returncode == 0, in_processes.stderr
        assert in_containers.returncode == 0, in_containers.stderr
        first, second = (
            json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("processes", "containers")
        )
        # How long the steps took differs from run to run.
        assert list(first.pop("profile")) == list(second.pop("profile"))
        assert first == second
        assert not list((tmp_path / "containers" / ".pipeline").glob(".scratch-*"))

    def test_the_same_again_runs_nothing_but_the_fingerprint(self, image: str, base_file: Path, tmp_path: Path) -> None:
        # And a table whose images lie elsewhere is read, if that place is mounted.
        write_photos(tmp_path / "elsewhere", size=24)
        (tmp_path / "lists").mkdir()
        rows = [f"../elsewhere/{file.parent.name}/{file.name},{file.parent.name}\n" for file in tmp_path.rglob("*.png")]
        (tmp_path / "lists" / "photos.csv").write_text("image,label\n" + "".join(rows))
        given = ["run", "--data", "lists/photos.csv", "--base-model", base_file, *QUICK, "--runner", "docker"]
        missing = graftwork(*given, cwd=tmp_path)
        assert missing.returncode == 2
        assert "Traceback" not in missing.stderr
        given += ["--mount", "elsewhere", "--set", "fine_tune.layers=0"]
        assert graftwork(*given, cwd=tmp_path).returncode == 0
        again = graftwork(*given, cwd=tmp_path)
        assert again.returncode == 0
        assert again.stdout.count("cached") == 8

    def test_a_model_is_retrained_where_the_registry_lies(self, image: str, base_file: Path, tmp_path: Path) -> None:
        write_photos(tmp_path / "photos", count=120, size=24)
        shutil.copy(base_file, tmp_path / "base.keras")
        given = ["retrain", "--data", "photos", "--base-model", "base.keras", "--registry", "models"]
        given += ["--name", "squares", "--runner", "docker", *QUICK, "--set", "retraining.notify=outcomes/last.json"]
        first = graftwork(*given, cwd=tmp_path)
        assert first.returncode == 0, first.stdout + first.stderr
        assert "squares: promoted; version 1 serves" in first.stdout
        outcome = tmp_path / "outcomes" / "last.json"
        assert json.loads(outcome.read_text())["outcome"] == "promoted"
        assert f'"{tmp_path}/models/squares"' in (tmp_path / "models" / "squares" / "models.config").read_text()
        assert {path.stat().st_uid for path in (tmp_path / "models").rglob("*")} == {os.getuid()}
        again = graftwork(*given, cwd=tmp_path)
        assert "nothing has changed; version 1 serves" in again.stdout, again.stderr
        assert json.loads(outcome.read_text())["outcome"] == "unchanged"
        photo = next((tmp_path / "photos").rglob("*.png"))
        assert graftwork("predict", "models/squares", photo, cwd=tmp_path).returncode == 0

    def test_a_mistake_is_told_as_processes_tell_it(self, image: str, base_file: Path, tmp_path: Path) -> None:
        write_photos(tmp_path / "photos", count=6, size=24)
        given = ["run", "--data", tmp_path / "photos", "--base-model", base_file]
        told = [graftwork(*given, "--runner", runner, cwd=tmp_path) for runner in ("subprocess", "docker")]
        assert [one.returncode for one in told] == [2, 2]
        assert told[0].stderr == told[1].stderr
        assert "error: " in told[0].stderr

    @pytest.mark.parametrize("code", [0, 3])
    def test_the_exit_code_of_a_container_that_ends_at_once_is_known(
        self, engine: Any, image: str, code: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        running = containers._Containers(engine)
        for _ in range(5):
            assert running.run(engine, image, ["sh", "-c", f"echo gone; exit {code}"], {}) == code
        assert capsys.readouterr().out == "gone\n" * 5

    def test_an_image_that_is_not_there(self, image: str, tmp_path: Path) -> None:
        given = ["run", "--data", "d", "--base-model", "m", "--runner", "docker", "--image", "no-such-image:1"]
        done = graftwork(*given, cwd=tmp_path)
        assert done.returncode == 2
        assert "no-such-image:1" in done.stderr
        assert "make image" in done.stderr
