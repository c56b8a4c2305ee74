"""What of other packages stands in a step's log."""

import re
import subprocess
import sys
from pathlib import Path

from graftwork.steps import load_base_model

from kfp_executor import execute

IN_A_STEP = {"_KFP_RUNTIME": "true", "PYTHONSAFEPATH": "1"}


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    environment = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_a_steps_log_holds_what_graftwork_says_and_at_debug_what_tensorflow_says_too(
    base_file: Path, tmp_path: Path
) -> None:
    """The step opens the devices, traces functions and writes a SavedModel; matplotlib looks for fonts anew."""
    given = {"uri": str(base_file), "fingerprint": "1"}
    said = {}
    for level in ("info", "debug"):
        folder = tmp_path / level
        folder.mkdir()
        done = execute(load_base_model, folder, given, {}, GRAFTWORK_LOG_LEVEL=level, MPLCONFIGDIR=str(folder))
        assert done.code == 0, done.log
        said[level] = [re.sub(r"[\d.]+", "0", line) for line in done.own()]
        assert sum("KFP Executor" in line for line in done.log) >= 4
    started, *notes, ended = said["info"]
    assert (started, ended) == ("load_base_model: started", "load_base_model: 0 s, 0 MiB at most")
    assert len(notes) == 2
    assert set(said["info"]) < set(said["debug"])


def test_packages_may_warn_and_kfp_may_inform() -> None:
    said = python(
        "import logging, sys; logging.basicConfig(stream=sys.stdout, level=logging.INFO, format='%(message)s')\n"
        "import graftwork.components\n"
        "logging.info('kfp'); logging.getLogger('absl').info('loud'); logging.getLogger('absl').warning('odd')",
        **IN_A_STEP,
    )
    assert said.stdout.splitlines() == ["kfp", "odd"]


def test_native_code_that_ends_the_process_while_it_is_imported_does_not_do_so_in_silence(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("import os; os.write(2, b'noise\\n'); os.abort()")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import graftwork.components; import tensorflow"
    died = python(code, **IN_A_STEP)
    assert died.returncode == -6
    assert "Fatal Python error: Aborted" in died.stderr
    assert "noise" not in died.stderr


def test_an_import_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("raise ImportError('of another processor')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import graftwork.components; import tensorflow"
    assert "ImportError: of another processor" in python(code, **IN_A_STEP).stderr


def test_only_the_process_of_a_step_is_quiet() -> None:
    code = "import sys; before = list(sys.meta_path); import graftwork.components; print(sys.meta_path == before)"
    assert python(code, _KFP_RUNTIME="").stdout == "True\n"
    assert python(code, **IN_A_STEP).stdout == "False\n"
