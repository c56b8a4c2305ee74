"""A real Kubeflow, from submitting to a schedule. Skipped unless KFP_HOST says where one is.

KFP_HOST            URL of the API; token and namespace as for the command itself (KF_PIPELINES_TOKEN, KFP_NAMESPACE)
GRAFTWORK_IMAGE     an image that the cluster can pull
KFP_DATA            labelled images that the cluster can read, gs:// or under /data of the volume KFP_DATA_VOLUME
KFP_BASE_MODEL      a base model, likewise
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WANTED = ("KFP_HOST", "GRAFTWORK_IMAGE", "KFP_DATA", "KFP_BASE_MODEL")
MISSING = [name for name in WANTED if not os.environ.get(name)]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=f"no cluster: {', '.join(MISSING)} not set")]
SCHEDULE = "graftwork-test"


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


@pytest.mark.parametrize("shards", ["1", "2"])
def test_a_run_on_cpus_succeeds(shards: str) -> None:
    fan_out = ["--set", f"cluster.ingest_shards={shards}", "--set", f"cluster.extract_shards={shards}"]
    done = graftwork("submit", "transfer_learning", *job(), *fan_out, "--watch")
    assert done.returncode == 0, done.stdout + done.stderr
    for step in ("fingerprint_source", "select_model"):
        assert f"{step:<20} succeeded" in done.stdout


def test_a_sweep_succeeds() -> None:
    done = graftwork("submit", "sweep", *job(), "--set", "sweep.layers=[1]", "--watch")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_schedule_is_made_changed_paused_and_deleted() -> None:
    try:
        for cron in ("0 3 1 1 *", "0 4 1 1 *"):
            done = graftwork("schedule", "transfer_learning", "--cron", cron, "--name", SCHEDULE, *job())
            assert done.returncode == 0, done.stderr
        listed = [line for line in graftwork("schedules").stdout.splitlines() if line.startswith(SCHEDULE)]
        assert len(listed) == 1
        assert "0 0 4 1 1 *" in listed[0]
        assert graftwork("schedules", "pause", SCHEDULE).returncode == 0
    finally:
        assert graftwork("schedules", "delete", SCHEDULE).returncode == 0
