"""The real Kubeflow that the environment names, as the tests here use it."""

import os
import subprocess
import sys
from pathlib import Path


def graftwork(*arguments: str) -> subprocess.CompletedProcess[str]:
    address = ["--host", os.environ["KFP_HOST"]]
    if os.environ.get("KFP_NAMESPACE"):
        address += ["--namespace", os.environ["KFP_NAMESPACE"]]
    command = [Path(sys.executable).with_name("graftwork"), *arguments, *address]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def job() -> list[str]:
    options = ["--set", f"data={os.environ['KFP_DATA']}", "--set", f"base_model={os.environ['KFP_BASE_MODEL']}"]
    options += ["--set", "cluster.accelerators=0", "--set", "fine_tune.layers=1", "--set", "fine_tune.epochs=1"]
    if os.environ.get("KFP_DATA_VOLUME"):
        options += ["--data-volume", os.environ["KFP_DATA_VOLUME"]]
    return options
