"""A step in a process of its own, started by the command with which a pod on Kubeflow starts it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Executed(NamedTuple):
    """What has come of it: what the log holds, and the file that KFP's launcher reads."""

    code: int
    log: list[str]
    output: Path

    def own(self) -> list[str]:
        """Return the log without what KFP's executor says: its lines, and the inputs that it shows."""
        shown = [line for line in self.log if "KFP Executor" not in line]
        end = shown.index("}") + 1 if "}" in shown else 0
        return shown[end:]


def execute(
    component: Any, folder: Path, parameters: Mapping[str, Any], artifacts: Mapping[str, Path], **environment: str
) -> Executed:
    """Run a component to its end; its outputs are in the folder, by their names."""
    outputs = (component.component_spec.outputs or {}).items()
    written = {name for name, spec in outputs if spec.type.startswith("system.")}
    types = {name: {"schemaTitle": spec.type.partition("@")[0], "schemaVersion": "0.0.1"} for name, spec in outputs}
    given = {
        "inputs": {
            "parameterValues": dict(parameters),
            "artifacts": {
                name: {"artifacts": [{"name": name, "uri": str(path), "metadata": {}}]}
                for name, path in artifacts.items()
            },
        },
        "outputs": {
            "artifacts": {
                name: {"artifacts": [{"name": name, "type": types[name], "uri": str(folder / name), "metadata": {}}]}
                for name in written
            },
            "parameters": {name: {"outputFile": str(folder / name)} for name in types if name not in written},
            "outputFile": str(folder / "executor_output.json"),
        },
    }
    container = component.component_spec.implementation.container
    command = [*container.command, "--executor_input", json.dumps(given), "--function_to_execute", component.name]
    command[-1] = command[-1].replace("-", "_")
    kept = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    environment = {**kept, "PATH": path, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", **environment}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return Executed(done.returncode, done.stdout.splitlines(), folder / "executor_output.json")
