"""The command line as docs/command_line.md describes it: commands, exit codes, variables, completion, colours."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from documented import TEXT, keys, rows

import graftwork as package
from graftwork.cli import output
from graftwork.cli.main import app
from graftwork.errors import EXIT_CODE
from graftwork.reporting.levels import Level

from commands import COMMAND, graftwork

_SOURCES = [Path(package.__file__).parent, Path(package.__file__).parents[1] / "components"]
_BETWEEN_PROCESSES = {"GRAFTWORK_EVENTS", "GRAFTWORK_RUN_FOLDER"}


def commands(command: Any = None, path: str = "graftwork") -> Iterator[tuple[str, Any]]:
    command = command or typer.main.get_command(app)
    inner = getattr(command, "commands", {})
    if path != "graftwork" and (not inner or command.invoke_without_command):
        yield path, command
    for name, each in inner.items():
        yield from commands(each, f"{path} {name}")


class TestTheDocument:
    @pytest.mark.parametrize("command", [path for path, _ in commands()])
    def test_every_command_is_in_it(self, command: str) -> None:
        assert f"`{command}`" in TEXT

    def test_every_exit_code_is_in_it(self) -> None:
        assert set(rows("## Exit codes")) == {"0", *map(str, (output.FAILED, EXIT_CODE, output.INTERRUPTED))}

    def test_every_variable_of_its_own_is_in_it(self) -> None:
        files = [file for folder in _SOURCES for file in folder.rglob("*.py")]
        used = {
            name for file in files for name in re.findall(r"\b(?:GRAFTWORK|KF_PIPELINES)_[A-Z_]+", file.read_text())
        }
        assert used - _BETWEEN_PROCESSES <= set(re.findall(r"`(\w+)`", TEXT))

    def test_every_level_is_in_it(self) -> None:
        assert list(rows("## What is shown")) == list(Level)

    def test_every_command_with_json_says_its_keys(self) -> None:
        of = {path for path, command in commands() if any("--json" in each.opts for each in command.params)}
        ways = {"graftwork compile components", "graftwork predict --data"}
        assert {f"graftwork {command}" for command in rows("## For machines")} == of | ways

    def test_a_retraining_says_its_outcome(self) -> None:
        assert set(package.Outcome.__dataclass_fields__) == keys("retrain")


class TestCompletion:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("graftwork mo", "models"),
            ("graftwork run --runner ", "subprocess docker"),
            ("graftwork run --pipeline s", "sweep"),
            ("graftwork --log-level w", "warning"),
            ("graftwork compile tr", "transfer_learning"),
            ("graftwork compile sweep --format ", "ir kubernetes-manifest"),
            ("graftwork submit ", "transfer_learning sweep retraining mine.yaml"),
            ("graftwork submit sweep sub/", "sub/run.yaml"),
            ("graftwork serve-manifest --format t", "tensorflow-serving"),
        ],
    )
    def test_bash_is_told_what_may_follow(self, line: str, expected: str, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        for file in ("mine.yaml", "sub/run.yaml", "photo.jpg"):
            (tmp_path / file).write_text("")
        script = (
            'eval "$(_GRAFTWORK_COMPLETE=source_bash graftwork)"; '
            "read -r -a COMP_WORDS; COMP_CWORD=$1; _graftwork_completion graftwork; echo ${COMPREPLY[*]}"
        )
        done = subprocess.run(
            ["bash", "-c", script, "bash", str(line.count(" "))],
            input=line,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{COMMAND.parent}:{os.environ['PATH']}"},
            check=True,
        )
        assert done.stdout == f"{expected}\n", done.stderr

    def test_zsh_is_told_too(self) -> None:
        variables = {"_GRAFTWORK_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "graftwork compile "}
        offered = graftwork(**variables).stdout
        assert all(name in offered for name in ("transfer_learning", "sweep", "retraining"))
        assert "#compdef graftwork" in graftwork(_GRAFTWORK_COMPLETE="source_zsh").stdout

    def test_the_formats_are_those_that_there_are(self) -> None:
        from graftwork.cli import kubeflow
        from graftwork.kubeflow import compiling

        assert kubeflow._FORMATS == compiling.FORMATS


class TestLogLevel:
    def test_another_one_is_a_mistake(self) -> None:
        for done in (graftwork("--log-level", "loud", "demo"), graftwork("demo", GRAFTWORK_LOG_LEVEL="loud")):
            assert done.returncode == EXIT_CODE
            assert "GRAFTWORK_LOG_LEVEL" in done.stderr
            assert "loud" in done.stderr


class TestColours:
    """Where rich writes: in a terminal, which FORCE_COLOR stands in for."""

    def shown(self, **variables: str) -> str:
        code = (
            "import sys; from graftwork.reporting.shown import console\n"
            "from graftwork.reporting.display import Display\n"
            "display = Display(console(sys.stdout), ['look'])\n"
            "with display.running():\n"
            "    display({'event': 'start', 'step': 'look'})\n"
            "    display({'event': 'note', 'text': 'found'})\n"
            "    display({'event': 'end', 'step': 'look', 'seconds': 1.0, 'peak_mib': 1.0})\n"
        )
        kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
        environment = {**kept, "TERM": "xterm-256color", **variables}
        done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, env=environment, check=True)
        return done.stdout.decode()

    def test_a_log_has_none(self) -> None:
        assert "\x1b" not in self.shown()

    def test_it_has_them_where_they_are_forced_and_nothing_moves(self) -> None:
        text = self.shown(FORCE_COLOR="1")
        assert "\x1b[32m ✓ " in text
        assert set(re.findall(r"\x1b\[[0-9;?]*([A-Za-z])", text)) == {"m"}

    def test_no_color_is_stronger(self) -> None:
        text = self.shown(FORCE_COLOR="1", NO_COLOR="1")
        assert not re.search(r"\x1b\[(?:[0-9;]*;)?[34][0-9]", text)
        assert "✓" in text

    @pytest.mark.parametrize("arguments", [["--help"], ["models", "--help"], ["runn"], ["predict", "nothing", "a.png"]])
    def test_help_and_errors_have_none_even_then(self, arguments: list[str]) -> None:
        done = graftwork(*arguments, NO_COLOR="1", FORCE_COLOR="1")
        assert "\x1b" not in done.stdout + done.stderr


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-P", "-m", "graftwork", "--version"], capture_output=True, check=True)
    assert done.stdout.decode() == graftwork("--version").stdout
