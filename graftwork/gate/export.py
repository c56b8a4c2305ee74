"""Whether an exported model works where nothing of this project is: in a clean process, asked as a server asks it."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from graftwork.artifacts.model_files import EXTRAS
from graftwork.errors import in_one_line
from graftwork.gate.rules import ExportCheck

REQUESTS = 100
"""About how many images to ask."""
_SCRIPT = Path(__file__).with_name("clean_process.py")
_TIMEOUT_SECONDS = 600


def check(model: str | os.PathLike[str], requests: Sequence[bytes], expected: np.ndarray) -> ExportCheck:
    """Load a SavedModel in a clean process and ask it about images, one at a time.

    Args:
        model: The folder.
        requests: Image files.
        expected: What it said about them before, float32 (n, k).

    Returns:
        Its size, how fast it answers, and by how much its answers differ; or what went wrong.

    Raises:
        RuntimeError: The process was killed, or there was no answer in time. That is a matter of the machine, most
            often, and no verdict on the model.
    """
    size = size_of(model)
    with tempfile.TemporaryDirectory(prefix="graftwork-") as scratch:
        asked, answers = Path(scratch) / "requests", Path(scratch) / "answers.npz"
        asked.mkdir()
        for number, request in enumerate(requests):
            (asked / f"{number:06}").write_bytes(request)
        # On the processor: this process may hold all the memory of the GPU.
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
        command = [sys.executable, "-P", *map(str, (_SCRIPT, model, asked, answers))]
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"the exported model gave no answers in {_TIMEOUT_SECONDS} seconds") from None
        if done.returncode == -signal.SIGKILL:
            raise RuntimeError("the process that asks the exported model was killed; is there memory enough?")
        if done.returncode != 0:
            last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            return ExportCheck(size, problem=f"it does not work in a clean process: {in_one_line(last[0])}")
        with np.load(answers) as content:
            probabilities, milliseconds = content["probabilities"], content["milliseconds"]
    if probabilities.shape != expected.shape:
        return ExportCheck(
            size, problem=f"it answers with {probabilities.shape[1]} classes, expected {expected.shape[1]}"
        )
    # What is no number in both is the same; in one alone, as different as can be.
    difference = np.abs(np.nan_to_num(probabilities, nan=-1.0) - np.nan_to_num(expected, nan=-1.0)).max()
    return ExportCheck(size, float(np.median(milliseconds)), float(difference), answers=len(requests))


def size_of(model: str | os.PathLike[str]) -> int:
    """Return the size in bytes of what a server loads of a model folder."""
    folder = Path(model)
    files = (path for path in folder.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files if path.relative_to(folder).parts[0] != EXTRAS)
