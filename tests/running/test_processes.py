"""Steps that are forked from a process which has made their imports already."""

import inspect
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graftwork.data.streams import map_in_order
from graftwork.running.processes import Forks, Processes

from commands import wait_for
from small_pipeline import small

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="steps are forked on Linux alone")


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    server = Forks()
    assert server.ready(120)
    yield server
    server.close()


def step() -> None:
    import os
    import sys

    print("has", *sorted({"tensorflow", "keras", "graftwork.reporting.progress"} & set(sys.modules)))
    print("is", os.getpid(), "of", os.getppid())


def summing() -> None:
    import tensorflow as tf

    print("sum", float(tf.reduce_sum(tf.random.stateless_uniform([300, 300], [0, 1]) @ tf.ones([300, 300]))))


def failing() -> None:
    raise SystemExit(2)


def crashing() -> None:
    raise RuntimeError("out of luck")


def dying() -> None:
    import os

    os.kill(os.getpid(), 9)


def sleeping() -> None:
    import time

    print("asleep", flush=True)
    time.sleep(120)


def order(function: Any, tmp_path: Path) -> dict[str, Any]:
    given = {"inputs": {}, "outputs": {"outputFile": str(tmp_path / "executor_output.json")}}
    arguments = ["--executor_input", json.dumps(given), "--function_to_execute", function.__name__]
    return {"source": inspect.getsource(function), "arguments": arguments}


def command(function: Any, tmp_path: Path) -> list[str]:
    """The command of a component made of a function, as KFP writes it."""
    container = next(iter(small.pipeline_spec.deployment_spec["executors"].values()))["container"]
    shell, flag, script, _ = list(container["command"])
    told = order(function, tmp_path)
    return [shell, flag, script.replace("python3", sys.executable), told["source"], *told["arguments"]]


class TestForks:
    def test_a_step_finds_the_imports_made_and_is_a_process_of_its_own(
        self, forks: Forks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pids = set()
        for _ in range(2):
            assert forks.run(order(step, tmp_path)) == 0
            lines = capsys.readouterr().out.splitlines()
            assert "has keras tensorflow" in lines  # and nothing of ours that names a process, as progress does
            pids |= {word for line in lines if line.startswith("is ") for word in line.split() if word.isdigit()}
        assert len(pids) == 4
        assert str(os.getpid()) not in pids

    def test_tensorflow_computes_in_several_at_once(
        self, forks: Forks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        codes = map_in_order(lambda _: forks.run(order(summing, tmp_path)), range(3), workers=3)
        assert list(codes) == [0, 0, 0]
        sums = {line for line in capsys.readouterr().out.splitlines() if line.startswith("sum")}
        assert len(sums) == 1

    @pytest.mark.parametrize(
        ("function", "code", "said"), [(failing, 2, ""), (crashing, 1, "RuntimeError: out of luck"), (dying, -9, "")]
    )
    def test_how_it_ends_is_told(
        self, forks: Forks, tmp_path: Path, capsys: pytest.CaptureFixture[str], function: Any, code: int, said: str
    ) -> None:
        assert forks.run(order(function, tmp_path)) == code
        assert said in capsys.readouterr().out

    def test_an_interruption_ends_the_step(self, forks: Forks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        killed: list[int] = []
        kill = os.kill
        monkeypatch.setattr("os.kill", lambda pid, number: (killed.append(pid), kill(pid, number)))

        def interrupt(line: str, **_: Any) -> None:
            if "asleep" in line:
                raise KeyboardInterrupt

        monkeypatch.setattr("builtins.print", interrupt)
        with pytest.raises(KeyboardInterrupt):
            forks.run(order(sleeping, tmp_path))
        (pid,) = killed
        monkeypatch.undo()
        assert forks.run(order(failing, tmp_path)) == 2  # and the next one runs
        wait_for(lambda: not Path(f"/proc/{pid}").exists())


class TestProcesses:
    def test_the_first_two_steps_start_as_kfp_does_it_and_later_ones_are_forked(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        by_kfp: list[list[str]] = []

        def kfp_runs(full_command: list[str], env_vars: dict[str, str] | None) -> int:
            by_kfp.append(full_command)
            return 0

        processes = Processes(kfp_runs)
        try:
            given = command(failing, tmp_path)
            assert [processes.run(given), processes.run(given)] == [0, 0]
            assert processes._forks is not None
            assert processes._forks.ready(120)
            assert processes.run(given) == 2
            assert processes.run(given, {"SOME": "variable"}) == 0
            assert processes.run(["sh", "-c", "echo another kind of command"]) == 0
            assert by_kfp == [given, given, given, ["sh", "-c", "echo another kind of command"]]
        finally:
            processes.close()

    def test_one_that_died_is_not_asked(self, tmp_path: Path) -> None:
        processes = Processes(lambda full_command, env_vars: 7)
        try:
            given = command(failing, tmp_path)
            assert [processes.run(given), processes.run(given)] == [7, 7]
            assert processes._forks is not None
            assert processes._forks.ready(120)
            processes._forks._process.send_signal(signal.SIGKILL)
            processes._forks._process.wait()
            assert processes.run(given) == 7
        finally:
            processes.close()
