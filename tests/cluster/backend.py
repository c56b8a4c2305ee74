"""The real Kubeflow that the environment names, as the tests here use it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from graftwork.kubeflow.connection import Kubeflow
from graftwork.kubeflow.nodes import Attempt, workflow_of

COMMAND = str(Path(sys.executable).with_name("graftwork"))
LONG = 3600.0  # seconds


def address() -> list[str]:
    given = ["--host", os.environ["KFP_HOST"]]
    return [*given, "--namespace", os.environ["KFP_NAMESPACE"]] if os.environ.get("KFP_NAMESPACE") else given


def graftwork(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments, *address()], capture_output=True, text=True, check=False)


def answered(*arguments: str, code: int = 0) -> dict[str, Any]:
    """Return the JSON document that a command answers."""
    done = graftwork(*arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def job(**instead: str) -> list[str]:
    """Return the options of a small run on CPUs."""
    options = ["--set", f"data={instead.get('data', os.environ['KFP_DATA'])}"]
    options += ["--set", f"base_model={os.environ['KFP_BASE_MODEL']}", "--set", "cluster.accelerators=0"]
    options += ["--set", "fine_tune.layers=1", "--set", "fine_tune.epochs=1"]
    if os.environ.get("KFP_DATA_VOLUME"):
        options += ["--data-volume", os.environ["KFP_DATA_VOLUME"]]
    return options


def running_pod(run_id: str, step: str) -> Attempt:
    """Wait until a step has a pod that runs, and return it."""
    kubeflow = Kubeflow(os.environ["KFP_HOST"], os.environ.get("KFP_NAMESPACE"))
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        tasks = workflow_of(kubeflow.client.get_run(run_id)).tasks
        for place, node in tasks.items():
            if place[-1] == step and node.attempts and node.attempts[-1].state == "RUNNING":
                return node.attempts[-1]
        time.sleep(2)
    raise AssertionError(f"{step} never ran")


def delete_pod(run_id: str, node_id: str) -> None:
    """Take a pod away, as a node that is drained does."""
    from kubernetes import client, config

    config.load_config()
    namespace = os.environ.get("KFP_NAMESPACE") or "kubeflow"
    api = client.CoreV1Api()
    for pod in api.list_namespaced_pod(namespace, label_selector=f"pipeline/runid={run_id}").items:
        if (pod.metadata.annotations or {}).get("workflows.argoproj.io/node-id") == node_id:
            api.delete_namespaced_pod(pod.metadata.name, namespace)
            return
    raise AssertionError(f"no pod has the node {node_id}")
