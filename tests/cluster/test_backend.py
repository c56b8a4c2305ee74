"""A real Kubeflow, from submitting to a schedule. Skipped unless the environment says where one is.

KFP_HOST            URL of Kubeflow's interface, which has the API too; token as for the command (KF_PIPELINES_TOKEN)
KFP_NAMESPACE       where Kubeflow has one for each team
GRAFTWORK_IMAGE     an image that the cluster can pull
KFP_DATA            labelled images that the cluster can read, gs:// or under /data of the volume KFP_DATA_VOLUME
KFP_BASE_MODEL      a base model, likewise
KFP_REGISTRY        where a registry may be made, likewise; for retraining
KUBECONFIG          a configuration that may list and delete pods; for the pod that is taken away
"""

import os
import subprocess
import uuid
from pathlib import Path

import pytest

from cluster.backend import COMMAND, address, answered, delete_pod, graftwork, job, running_pod

WANTED = ("KFP_HOST", "GRAFTWORK_IMAGE", "KFP_DATA", "KFP_BASE_MODEL")
MISSING = [name for name in WANTED if not os.environ.get(name)]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=f"no cluster: {', '.join(MISSING)} not set")]
SCHEDULE = "graftwork-test"


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not os.environ.get(name), reason=f"{name} not set")


@pytest.mark.parametrize("shards", ["1", "2"])
def test_a_run_on_cpus_succeeds_and_its_results_are_shown_and_fetched(shards: str, tmp_path: Path) -> None:
    fan_out = ["--set", f"cluster.ingest_shards={shards}", "--set", f"cluster.extract_shards={shards}"]
    done = graftwork("submit", "transfer_learning", *job(), *fan_out, "--watch", "--no-cache")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line.split()[2] for line in done.stdout.splitlines() if " ✓ " in line]
    assert {"fingerprint_source", "fine_tune", "select_model", "run"} <= set(steps)
    assert "from the cache" not in done.stdout
    assert " is selected: " in done.stdout
    run_id = next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("run "))
    fetched = graftwork("fetch", run_id, "-o", str(tmp_path))
    assert fetched.returncode == 0, fetched.stderr
    assert (tmp_path / "model" / "saved_model.pb").is_file()
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_the_same_again_comes_from_the_cache_and_without_it_runs() -> None:
    first = answered("submit", "transfer_learning", *job(), "--watch")
    again = answered("submit", "transfer_learning", *job(), "--watch")
    assert again["run"] != first["run"]
    assert {state for step, state in again["steps"].items() if step != "fingerprint_source"} == {"cached"}
    anew = answered("submit", "transfer_learning", *job(), "--watch", "--no-cache")
    assert set(anew["steps"].values()) == {"succeeded"}


def test_why_a_step_fails_is_shown() -> None:
    done = graftwork("submit", "transfer_learning", *job(data="gs://nowhere/at-all"), "--watch")
    assert done.returncode == 1
    assert "✗ fingerprint_source" in done.stdout
    assert "error: " in done.stdout


def test_points_of_a_sweep_are_told_apart() -> None:
    answer = answered("submit", "sweep", *job(), "--set", "sweep.layers=[1]", "--watch")
    tuned = [step for step in answer["steps"] if step.startswith("fine_tune")]
    assert len(tuned) > 1
    assert all("learning_rate" in step for step in tuned)


@needs("KFP_REGISTRY")
def test_a_retraining_promotes_and_the_next_night_changes_nothing() -> None:
    registry = ["--set", f"registry={os.environ['KFP_REGISTRY']}", "--set", f"name=test-{uuid.uuid4().hex[:8]}"]
    for outcome in ("promoted", "unchanged"):
        answer = answered("submit", "retraining", *job(), *registry, "--watch")
        assert answer["results"]["report_outcome"]["outcome"]["outcome"] == outcome
    assert answer["steps"]["judge"] == "skipped"


@needs("KUBECONFIG")
def test_a_pod_that_is_taken_away_is_tried_again() -> None:
    command = [COMMAND, "submit", "transfer_learning", *job(), "--no-cache", "--watch", *address()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout
        lines = []
        for line in watching.stdout:
            lines.append(line)
            if line.startswith("run "):
                run_id = line.split()[1]
                delete_pod(run_id, running_pod(run_id, "fine-tune").node_id)
    said = "".join(lines)
    assert watching.returncode == 0, said
    assert "attempt 2 of 3" in said


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
