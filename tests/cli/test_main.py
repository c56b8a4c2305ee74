"""The command line, as far as it needs no run."""

import subprocess
import sys
from pathlib import Path

import pytest

from commands import graftwork


class TestCommand:
    def test_help_imports_nothing_slow(self) -> None:
        code = (
            "import sys; from graftwork.cli.main import app\n"
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
            (["predict", "nothing", "a.png"], "there is no model"),
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
