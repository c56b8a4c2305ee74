"""A real Kubeflow, from submitting to a schedule. Skipped unless KFP_HOST says where one is.

KFP_HOST            URL of the API; token and namespace as for the command itself (KF_PIPELINES_TOKEN, KFP_NAMESPACE)
GRAFTWORK_IMAGE     an image that the cluster can pull
KFP_DATA            labelled images that the cluster can read, gs:// or under /data of the volume KFP_DATA_VOLUME
KFP_BASE_MODEL      a base model, likewise
"""

import os

import pytest

from cluster.backend import graftwork, job

WANTED = ("KFP_HOST", "GRAFTWORK_IMAGE", "KFP_DATA", "KFP_BASE_MODEL")
MISSING = [name for name in WANTED if not os.environ.get(name)]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=f"no cluster: {', '.join(MISSING)} not set")]
SCHEDULE = "graftwork-test"


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
