"""The command line and local runs, with small pipelines that need no TensorFlow."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kfp import dsl
from kfp.dsl import HTML, Input, Metrics, Model, Output

from graftwork import local
from graftwork.errors import UserError

GIVEN = ["run", "--data", "d", "--base-model", "m"]
COMMAND = Path(sys.executable).with_name("graftwork")


def graftwork(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False, timeout=120
    )


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def look(value: str) -> str:
    from graftwork.progress import step

    @step("look")
    def run() -> str:
        return value

    return run()


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def make(value: str, behaviour: str, model: Output[Model]):  # type: ignore[no-untyped-def]
    import os
    from pathlib import Path

    from graftwork import progress
    from graftwork.errors import UserError

    @progress.step("make")
    def run() -> None:
        progress.report(1, 2, "things")
        progress.note(f"made of {value}")
        if behaviour == "mistake":
            raise UserError("the value is wrong", {"value": value}, next="pass another")
        if behaviour == "crash":
            raise RuntimeError("out of luck")
        if behaviour == "killed":
            os.kill(os.getpid(), 9)
        if behaviour == "slow":
            Path(value).write_text(str(os.getpid()))
            __import__("time").sleep(60)
        Path(model.path).mkdir(parents=True)
        (Path(model.path) / "value.txt").write_text(value)

    run()


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def show(model: Input[Model], metrics: Output[Metrics], report: Output[HTML]):  # type: ignore[no-untyped-def]
    from pathlib import Path

    from graftwork.progress import step

    @step("show")
    def run() -> None:
        Path(metrics.path).write_text('{"accuracy": 1}')
        Path(report.path).write_text("<html>")

    run()


class Results(NamedTuple):
    model: Model
    metrics: Metrics
    report: HTML


@dsl.pipeline(name="small")
def small(value: str, behaviour: str = "") -> Results:  # type: ignore[valid-type]
    looked = look(value=value)
    looked.set_caching_options(False)
    made = make(value=looked.output, behaviour=behaviour)
    shown = show(model=made.outputs["model"])
    return Results(made.outputs["model"], shown.outputs["metrics"], shown.outputs["report"])


def run(output: Path, value: str = "wood", behaviour: str = "") -> tuple[local.Results, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    results = local.run(small, {"value": value, "behaviour": behaviour}, output, events.append)
    return results, events


def started(events: list[dict[str, Any]]) -> list[str]:
    return [event["step"] for event in events if event["event"] == "start"]


class TestLocalRun:
    def test_outputs_are_published_and_events_arrive(self, tmp_path: Path) -> None:
        results, events = run(tmp_path / "out")
        assert (results.model / "value.txt").read_text() == "wood"
        assert json.loads(results.metrics.read_text()) == {"accuracy": 1}
        assert results.report.read_text() == "<html>"
        assert started(events) == ["look", "make", "show"]
        assert [event["text"] for event in events if event["event"] == "note"] == ["made of wood"]
        assert any(event["event"] == "progress" and event["total"] == 2 for event in events)
        ends = [event for event in events if event["event"] == "end"]
        assert all(event["seconds"] >= 0 and event["peak_mib"] > 1 for event in ends)

    def test_the_same_again_runs_only_what_is_never_cached(self, tmp_path: Path) -> None:
        run(tmp_path / "out")
        results, events = run(tmp_path / "out")
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

    def test_a_users_mistake_in_a_step_is_told_as_one(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"^the value is wrong\n  value  wood\n  next   pass another$"):
            run(tmp_path / "out", behaviour="mistake")
        assert not (tmp_path / "out" / "model").exists()
        assert "Traceback" not in (tmp_path / "out" / local.LOG).read_text()

    @pytest.mark.parametrize(("behaviour", "expected"), [("crash", "RuntimeError: out of luck"), ("killed", "make")])
    def test_a_crash_names_the_step_and_the_log(self, tmp_path: Path, behaviour: str, expected: str) -> None:
        with pytest.raises(local.StepError, match=f"make failed: [\\s\\S]*{expected}[\\s\\S]*run.log"):
            run(tmp_path / "out", behaviour=behaviour)

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

    def test_the_environment_and_the_terminal_are_left_as_they_were(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before, stdout = dict(os.environ), sys.stdout
        run(tmp_path / "out")
        assert dict(os.environ) == before
        assert sys.stdout is stdout
        assert capsys.readouterr().out == ""


class TestCommand:
    def test_help_imports_nothing_slow(self) -> None:
        code = (
            "import sys; from graftwork.cli import app\n"
            "try: app(['--help'])\n"
            "except SystemExit: pass\n"
            "print(sorted({'tensorflow', 'keras', 'kfp', 'pandas', 'numpy'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"
        assert "Transfer learning from any saved Keras model" in done.stdout

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["run"], "data"),
            (["run", "--dta", "x"], "No such option: --dta"),
            (["runn"], "No such command 'runn'"),
            (["run", "nothing.yaml"], "the configuration cannot be read"),
            (
                ["run", "--data", "d", "--base-model", "m", "--set", "fine_tune.layer=2"],
                "did you mean fine_tune.layers",
            ),
            (["run", "--data", "d", "--base-model", "m", "--preprocessing", "vgg"], "expected one of none"),
            (["run", "--data", "d", "--base-model", "m", "--set", "seed"], "is not an assignment"),
            (["predict", "nothing", "a.png"], "not a model artifact"),
        ],
    )
    def test_mistakes_end_with_code_2_and_a_message(self, tmp_path: Path, arguments: list[str], expected: str) -> None:
        done = graftwork(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
        assert list(tmp_path.iterdir()) == []

    def test_version(self) -> None:
        from graftwork import __version__

        assert graftwork("--version").stdout == f"graftwork {__version__}\n"


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.05)


def test_an_interrupted_run_leaves_no_step_behind_and_nothing_half_written(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); sys.argv[0] = 'graftwork'\n"
        "from pathlib import Path\n"
        "import test_command_line as t\n"
        "from graftwork import cli, local\n"
        "cli.app = lambda: t.run(Path(sys.argv[2]), value=sys.argv[3], behaviour='slow')\n"
        "cli.main()"
    )
    command = [sys.executable, "-P", "-c", code, str(Path(__file__).parent), str(tmp_path / "out"), str(mark)]
    process = subprocess.Popen(
        command,
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
    assert "interrupted" in said
    assert "Traceback" not in said
    wait_for(lambda: not Path(f"/proc/{mark.read_text()}").exists() or "Z" in _state(int(mark.read_text())))
    assert not (tmp_path / "out" / "model").exists()


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"
