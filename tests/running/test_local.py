"""Local runs, in processes and in containers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graftwork.errors import UserError
from graftwork.running import local

from commands import COMMAND, wait_for
from small_pipeline import run, small


def started(events: list[dict[str, Any]]) -> list[str]:
    return [event["step"] for event in events if event["event"] == "start"]


@pytest.fixture(params=["subprocess", pytest.param("docker", marks=pytest.mark.slow)])
def runner(request: pytest.FixtureRequest) -> str | None:
    """The image in which steps run, None for processes."""
    return request.getfixturevalue("image") if request.param == "docker" else None


class TestLocalRun:
    def test_outputs_are_published_and_events_arrive(self, tmp_path: Path, runner: str | None) -> None:
        results, events = run(tmp_path / "out", image=runner)
        assert (results.model / "value.txt").read_text() == "wood"
        assert json.loads(results.metrics.read_text()) == {"accuracy": 1}
        assert results.report.read_text() == "<html>"
        assert started(events) == ["look", "make", "show"]
        assert [event["text"] for event in events if event["event"] == "note"] == ["made of wood"]
        assert any(event["event"] == "progress" and event["total"] == 2 for event in events)
        ends = [event for event in events if event["event"] == "end"]
        assert all(event["seconds"] >= 0 and event["peak_mib"] > 1 for event in ends)

    def test_the_same_again_runs_only_what_is_never_cached(self, tmp_path: Path, runner: str | None) -> None:
        run(tmp_path / "out", image=runner)
        results, events = run(tmp_path / "out", image=runner)
        assert started(events) == ["look"]
        assert (results.model / "value.txt").read_text() == "wood"

    def test_another_value_replaces_the_results(self, tmp_path: Path) -> None:
        run(tmp_path / "out")
        results, events = run(tmp_path / "out", value="stone")
        assert started(events) == ["look", "make", "show"]
        assert (results.model / "value.txt").read_text() == "stone"
        assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name != ".lock") == [
            ".pipeline",
            "metrics.json",
            "model",
            "report.html",
            "run.log",
        ]

    def test_a_users_mistake_in_a_step_is_told_as_one(self, tmp_path: Path, runner: str | None) -> None:
        with pytest.raises(UserError, match=r"^the value is wrong\n  value  wood\n  next   pass another$"):
            run(tmp_path / "out", behaviour="mistake", image=runner)
        assert not (tmp_path / "out" / "model").exists()
        assert "Traceback" not in (tmp_path / "out" / local.LOG).read_text()

    @pytest.mark.parametrize(("behaviour", "expected"), [("crash", "RuntimeError: out of luck"), ("killed", "make")])
    def test_a_crash_names_the_step_and_the_log(
        self, tmp_path: Path, behaviour: str, expected: str, runner: str | None
    ) -> None:
        with pytest.raises(local.StepError, match=f"make failed: [\\s\\S]*{expected}[\\s\\S]*run.log"):
            run(tmp_path / "out", behaviour=behaviour, image=runner)

    def test_at_the_level_debug_what_steps_print_arrives_too_tensorflows_log_included(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
        _, events = run(tmp_path / "usual")
        assert {event["event"] for event in events} <= {"start", "progress", "note", "end"}
        monkeypatch.setenv("GRAFTWORK_LOG_LEVEL", "debug")
        with local._runner(None, tmp_path, {}, ()):
            assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"
        _, events = run(tmp_path / "loud", value="a line\nof its own")
        printed = [event["text"] for event in events if event["event"] == "output"]
        assert any("[KFP Executor" in line for line in printed)
        assert not any("::graftwork::" in line for line in printed)

    def test_an_earlier_result_stays_when_a_later_run_fails(self, tmp_path: Path) -> None:
        results, _ = run(tmp_path / "out")
        with pytest.raises(UserError):
            run(tmp_path / "out", value="clay", behaviour="mistake")
        assert (results.model / "value.txt").read_text() == "wood"

    def test_a_folder_named_like_the_package_does_not_get_in_the_way(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # As in a clone of this project, where ./graftwork has no steps in it.
        (tmp_path / "graftwork").mkdir()
        (tmp_path / "graftwork" / "__init__.py").write_text("raise SystemExit('the wrong graftwork')")
        monkeypatch.chdir(tmp_path)
        run(tmp_path / "out")

    def test_two_runs_into_one_folder_at_once_are_refused(self, tmp_path: Path) -> None:
        with local._locked(tmp_path), pytest.raises(UserError, match="another run is writing"):
            run(tmp_path)

    def test_an_output_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match="the output folder cannot be written"):
            run(tmp_path / "file" / "out")

    def test_what_keeps_any_step_from_running_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(local.StepError, match=r"the pipeline failed: .*value"):
            local.run(small, {}, tmp_path, lambda event: None)

    @pytest.mark.parametrize("name", ["model", "report.html"])
    def test_a_thing_of_another_kind_where_a_result_goes_is_left_alone(self, tmp_path: Path, name: str) -> None:
        theirs = tmp_path / name
        theirs.write_text("mine") if name == "model" else theirs.mkdir()
        with pytest.raises(UserError, match="something else is where a result goes"):
            run(tmp_path)
        assert theirs.exists()
        assert not (tmp_path / ".pipeline").exists()

    def test_no_temporary_file_is_left_behind(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
        run(tmp_path / "out")
        assert list((tmp_path / "temporary").iterdir()) == []

    def test_the_environment_and_the_terminal_are_left_as_they_were(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before, stdout = dict(os.environ), sys.stdout
        run(tmp_path / "out")
        assert dict(os.environ) == before
        assert sys.stdout is stdout
        assert capsys.readouterr().out == ""


def test_an_interrupted_run_leaves_no_step_behind_and_nothing_half_written(tmp_path: Path, runner: str | None) -> None:
    (tmp_path / "out" / ".pipeline").mkdir(parents=True)
    mark = tmp_path / "out" / ".pipeline" / "mark"  # where a container may write
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "tests, output, mark, image = sys.argv[1:]\n"
        "sys.path.insert(0, tests); sys.argv = ['graftwork', 'slow']\n"
        "import small_pipeline\n"
        "from graftwork.cli import main as cli\n"
        "cli.app.command('slow')(lambda: small_pipeline.run(Path(output), mark, 'slow', image or None))\n"
        "cli.main()"
    )
    arguments = [str(Path(__file__).parents[1]), str(tmp_path / "out"), str(mark), runner or ""]
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what it runs in the background deaf to Ctrl-C, tests too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(lambda: mark.exists() and mark.read_text() != "")
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does: the whole group in the foreground
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    if runner is None:
        wait_for(lambda: _state(int(mark.read_text())) == "Z")
    else:
        assert not [one for one in containers_of(runner) if str(mark) in str(one.attrs["Config"])]
    assert not (tmp_path / "out" / "model").exists()


def test_an_interrupted_command_says_what_is_kept(tmp_path: Path) -> None:
    (tmp_path / "photos" / "cats").mkdir(parents=True)
    (tmp_path / "photos" / "cats" / "one.png").write_bytes(b"")
    (tmp_path / "base.keras").write_bytes(b"")
    process = subprocess.Popen(
        [COMMAND, "run", "--data", "photos", "--base-model", "base.keras", "--output", "out"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    log = tmp_path / "out" / local.LOG
    wait_for(lambda: log.exists() and '"event": "end"' in log.read_text())  # the second step imports TensorFlow now
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == "interrupted; what has finished is kept, the same command goes on from there\n"


def containers_of(image: str) -> list[Any]:
    import docker

    return list(docker.from_env().containers.list(all=True, filters={"ancestor": image}))


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"
