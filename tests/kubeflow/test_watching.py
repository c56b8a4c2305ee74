"""What a person is told of a run that is watched, on answers of a real server and on runs made for the purpose."""

import json
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from graftwork.errors import UserError
from graftwork.kubeflow import following, watching

import fake_cluster
from fake_kubeflow import FakeKubeflow
from watched_runs import Watching

RESULT = {
    "step": "select_model",
    "selected": "fine-tuned",
    "reason": "validation accuracy 0.9524 against 0.9238 of head",
    "candidates": {
        name: {"validation": {"accuracy": 0.9}, "test": {"accuracy": test, "accuracy_interval": [0.88, 0.98]}}
        for name, test in (("head", 0.91), ("fine-tuned", 0.95))
    },
}
CRASHED = """train_head: started
Traceback (most recent call last):
  File "train.py", line 1
ValueError: no
E1126 21:31:47.360655      16 launcher_v2.go:449] Component failed to execute successfully: exit status 1
"""
OUTCOME = {
    "model": "shelf",
    "outcome": "promoted",
    "champion": 3,
    "why": "accuracy on 90 test images rises by 0.0213",
    "report": "gs://models/shelf/reports/3",
}


@pytest.fixture(autouse=True)
def no_cluster_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")


def replayed(fake: FakeKubeflow, pipeline: str, recorded: str, **parameters: object) -> Watching:
    run = Watching(fake, pipeline, **parameters)
    fake.replay(run.run_id, recorded)
    return run


def _until_asked(fake: FakeKubeflow) -> None:
    """Wait until somebody has asked for a log."""
    waiting = threading.Event()
    while not any("/log" in request.path for request in fake.requests):
        waiting.wait(0.01)


class TestRecorded:
    def test_every_step_of_a_run_that_succeeded(self, fake: FakeKubeflow) -> None:
        run = replayed(fake, "transfer_learning", "succeeded")
        watched = run.to_its_end()
        assert (watched.state, watched.reason, watched.succeeded) == ("succeeded", "", True)
        assert [line.split()[1] for line in run.lines if line.startswith("✓")] == [
            *("fingerprint_source", "load_base_model", "ingest_images", "prepare_data", "extract_features"),
            *("train_head", "fine_tune", "evaluate", "select_model", "run"),
        ]

    def test_a_step_from_the_cache_says_so(self, fake: FakeKubeflow) -> None:
        run = replayed(fake, "transfer_learning", "all-cached")
        watched = run.to_its_end()
        assert "= fine_tune from the cache" in run.lines
        assert {state for step, state in watched.steps.items() if step != "fingerprint_source"} == {"cached"}
        assert "those of an earlier run" in run.said

    def test_a_run_that_somebody_terminated_has_not_failed(self, fake: FakeKubeflow) -> None:
        run = replayed(fake, "transfer_learning", "terminated")
        watched = run.to_its_end()
        assert (watched.state, watched.succeeded) == ("terminated", False)
        assert "✗ fine_tune terminated" in run.lines
        assert run.lines[-1].startswith("✗ run terminated")

    def test_points_of_a_sweep_say_which(self, fake: FakeKubeflow) -> None:
        grid = ["{layers: 2, learning_rate: 0.0001}", "{layers: 2, learning_rate: 0.0005}"]
        watched = replayed(fake, "sweep", "sweep", grid=grid).to_its_end()
        tuned = {step for step in watched.steps if step.startswith("fine_tune")}
        assert tuned == {f"fine_tune ({point.strip('{}')})" for point in grid}

    def test_a_night_without_news_skips_what_it_does_not_need(self, fake: FakeKubeflow) -> None:
        run = replayed(fake, "retraining", "retraining-unchanged")
        watched = run.to_its_end()
        assert watched.steps["find_champion"] == watched.steps["report_outcome"] == "succeeded"
        assert watched.steps["judge"] == watched.steps["promote"] == "skipped"
        (skipped,) = [line for line in run.lines if line.startswith("- skipped")]
        assert "load_base_model, ingest_images" in skipped

    def test_a_server_that_learns_late_how_steps_ended_is_asked_again(
        self, fake: FakeKubeflow, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(watching, "SETTLE_SECONDS", 25.0)
        run = replayed(fake, "retraining", "retraining-promoted")  # ends before promote and what comes after it
        with run.meanwhile():
            run.until("✓ judge")
            run.workflow.move("exit-handler-1/condition-2/promote", "SUCCEEDED")
            run.workflow.move("report-outcome", "SUCCEEDED")
            run.show("SUCCEEDED")
        assert {"promote", "report_outcome"} <= set(run.watched.steps)

    def test_and_where_it_never_learns_that_is_said(self, fake: FakeKubeflow) -> None:
        run = replayed(fake, "retraining", "retraining-promoted")
        watched = run.to_its_end()
        assert "promote" not in watched.steps
        (unknown,) = [line for line in run.lines if line.startswith("? not known")]
        assert unknown.endswith("promote, report_outcome")

    def test_attempts_are_counted(self, fake: FakeKubeflow) -> None:
        run = replayed(fake, "retraining", "retraining-failed-after-retries")
        watched = run.to_its_end()
        (attempt,) = [line for line in run.lines if line.startswith("↻")]
        assert attempt == (
            "↻ extract_features attempt 2 of 3: the pod of the attempt before was deleted, or its node taken away"
        )
        assert watched.steps["extract_features"] == "failed"
        assert watched.steps["report_outcome"] == "succeeded"


class TestReasons:
    @pytest.mark.parametrize(
        ("recorded", "step", "log", "reason"),
        [
            ("first-step-failed", "fingerprint-source", "log-first-step-failed", "error: the data does not exist"),
            ("out-of-memory", "for-loop-1/0/extract-features", "log-out-of-memory", "it needed more memory"),
        ],
    )
    def test_why_a_step_failed_stands_under_it(
        self, fake: FakeKubeflow, recorded: str, step: str, log: str, reason: str
    ) -> None:
        run = replayed(fake, "transfer_learning", recorded)
        tasks = fake.runs[run.run_id]["run_details"]["task_details"]
        some_node = next(child["pod_name"] for task in tasks for child in task.get("child_tasks", ()))
        run.workflow.name = some_node.rpartition("-")[0]
        run.log(step, log)
        watched = run.to_its_end()
        name = step.rpartition("/")[2].replace("-", "_")
        assert watched.reason.startswith(f"{name}: ")
        assert reason in watched.reason
        place = next(number for number, line in enumerate(run.lines) if line.startswith(f"✗ {name} failed"))
        assert any(reason in line for line in run.lines[place + 1 :])

    def test_the_whole_block_of_an_error_is_shown(self, fake: FakeKubeflow) -> None:
        run = Watching(fake)
        run.workflow.move("fingerprint-source", "FAILED")
        run.log("fingerprint-source", "log-first-step-failed")
        run.show("FAILED", "RUNNING")
        run.to_its_end()
        block = run.lines[run.lines.index("error: the data does not exist") :]
        assert block[1:3] == [
            "data /data/nowhere",
            "expected a folder with one sub-folder of images per class, or a .csv, .jsonl or .parquet table",
        ]

    def test_a_crash_shows_the_end_of_its_traceback(self, fake: FakeKubeflow) -> None:
        run = Watching(fake)
        run.workflow.move("train-head", "FAILED")
        lines = ["train_head: started", "Traceback (most recent call last):", '  File "x.py", line 1', "ValueError: no"]
        run.log(
            "train-head", "\n".join([*lines, "E1126 21:31:47.360655      16 launcher_v2.go:449] exit status 1", ""])
        )
        run.show("FAILED", "RUNNING")
        watched = run.to_its_end()
        assert "ValueError: no" in watched.reason
        assert "exit status 1" in watched.reason

    def test_a_result_that_the_cache_remembers_and_the_store_has_lost(self, fake: FakeKubeflow) -> None:
        run = Watching(fake)
        run.workflow.move("prepare-data")
        run.workflow.move("train-head", "FAILED")
        lost = 'failed to download input artifact "features": blob (key "v2/x") (code=NotFound): NoSuchKey'
        run.log("train-head", f"F1126 21:31:47.507357      16 main.go:59] failed to execute component: {lost}\n")
        run.show("FAILED", "RUNNING")
        watched = run.to_its_end()
        assert "NoSuchKey" in watched.reason
        assert "--no-cache" in watched.reason

    def test_what_kubeflow_could_not_prepare_is_told_by_its_driver(self, fake: FakeKubeflow) -> None:
        run = Watching(fake)
        run.workflow.prepare("train-head", "FAILED")
        driver = "F1126 21:31:47.507357      16 main.go:79] KFP driver: driver.Container failed: unknown field\n"
        fake.log(run.run_id, run.workflow.driver("train-head"), driver)
        run.show("FAILED", "RUNNING")
        assert "driver.Container failed" in run.to_its_end().reason

    def test_what_is_missing_elsewhere_is_not_laid_upon_the_cache(self, fake: FakeKubeflow) -> None:
        run = Watching(fake)
        run.workflow.move("train-head", "FAILED")
        missing = 'exec: "python3": executable file not found in $PATH'
        run.log("train-head", f"F1126 21:31:47.507357      16 main.go:59] failed to execute component: {missing}\n")
        run.show("FAILED", "RUNNING")
        watched = run.to_its_end()
        assert missing in watched.reason
        assert "cache" not in watched.reason

    def test_a_pod_that_was_stopped_says_so(self, fake: FakeKubeflow) -> None:
        run = Watching(fake)
        run.workflow.move("fine-tune", "FAILED", state="RUNNING")
        run.workflow.move("fine-tune", "FAILED", "SUCCEEDED")
        stopped = "E1126 21:31:47.360655      16 launcher_v2.go:449] Component failed to execute: exit status 143"
        run.log("fine-tune", f"fine_tune: started\nfine_tune: stopped from outside by SIGTERM\n{stopped}\n")
        run.show("SUCCEEDED")
        run.to_its_end()
        (attempt,) = [line for line in run.lines if line.startswith("↻")]
        assert "attempt 2 of 3: stopped from outside" in attempt

    def test_where_a_log_is_gone_it_says_so(self, fake: FakeKubeflow) -> None:
        run = replayed(fake, "transfer_learning", "first-step-failed")
        watched = run.to_its_end()
        assert "the log of its pod is gone" in watched.reason
        assert sum(line.startswith("! logs those of some pods are gone") for line in run.lines) == 1

    def test_where_a_proxy_has_no_logs_it_says_where_they_are(self, fake: FakeKubeflow) -> None:
        run = replayed(fake, "transfer_learning", "first-step-failed")
        fake.log_status = 404
        run.to_its_end()
        assert any("cannot be read through this address" in line for line in run.lines)
        assert not any("gone" in line for line in run.lines)


class TestLive:
    def test_notes_come_while_a_step_runs(self, fake: FakeKubeflow) -> None:
        run = Watching(fake)
        run.workflow.move("fine-tune", "RUNNING")
        run.log("fine-tune", "fine_tune: started\n", ended=False)
        run.show("RUNNING")
        with run.meanwhile():
            run.log("fine-tune", "training the last 25 of 49 layers\nbatches: 8 of 52  loss 0.3\n", ended=False)
            run.log("fine-tune", "fine_tune: 197.0 s, 1861 MiB at most\n")
            run.workflow.move("fine-tune", "SUCCEEDED")
            run.show("SUCCEEDED")
        assert "✓ fine_tune 197.0 s 1.8 GiB" in run.lines
        assert "training the last 25 of 49 layers" in run.lines
        assert not [line for line in run.lines if "batches" in line]  # that is progress, which a log does not need

    def test_a_server_that_does_not_stream_is_asked_again(
        self, fake: FakeKubeflow, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(following, "_AGAIN_SECONDS", 0.05)
        fake.streams = False
        run = Watching(fake)
        run.workflow.move("fine-tune", "RUNNING")
        run.log("fine-tune", "fine_tune: started\nfirst no", ended=False)
        run.show("RUNNING")
        with run.meanwhile():
            _until_asked(fake)
            run.log("fine-tune", "te\nsecond note\nfine_tune: 1.0 s, 100 MiB at most\n")
            run.workflow.move("fine-tune", "SUCCEEDED")
            run.show("SUCCEEDED")
        assert [line for line in run.lines if line.endswith("note")] == ["first note", "second note"]

    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_a_server_that_is_busy_is_asked_again(self, fake: FakeKubeflow, status: int) -> None:
        run = replayed(fake, "transfer_learning", "succeeded")
        fake.fail_next(status, "upstream connect error", path=f"/runs/{run.run_id}")
        assert run.to_its_end().succeeded

    def test_a_session_that_has_expired_ends_it(self, fake: FakeKubeflow) -> None:
        run = replayed(fake, "transfer_learning", "succeeded")
        del fake.runs[run.run_id]["run_id"]  # of a page to log in KFP's client makes a run of nothing
        with pytest.raises(UserError, match="does not let you in"):
            run.to_its_end()

    def test_whoever_leaves_hears_no_more(self, fake: FakeKubeflow, monkeypatch: pytest.MonkeyPatch) -> None:
        run = Watching(fake)
        run.workflow.move("fine-tune", "RUNNING")
        run.log("fine-tune", "fine_tune: started\n", ended=False)
        run.show("RUNNING")
        heard: list[dict[str, object]] = []

        def interrupt(seconds: float) -> None:
            _until_asked(fake)
            raise KeyboardInterrupt

        monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=time.monotonic, sleep=interrupt))
        with pytest.raises(KeyboardInterrupt):
            watching.watch(run.kubeflow, run.run_id, heard.append)
        run.log("fine-tune", "a note too late\n")
        followers = [thread for thread in threading.enumerate() if isinstance(thread, following.Follower)]
        for follower in followers:
            follower.join(10)
        assert not [follower for follower in followers if follower.is_alive()]
        assert not [event for event in heard if event["event"] == "note"]

    def test_what_would_move_the_cursor_is_left_out(self, fake: FakeKubeflow) -> None:
        run = Watching(fake)
        run.workflow.move("fine-tune", "SUCCEEDED")
        run.log(
            "fine-tune", "fine_tune: started\nclasses \x1b[2J\x1b[31mred\x07, blue\r\nfine_tune: 1.0 s, 9 MiB at most\n"
        )
        run.show("SUCCEEDED")
        run.to_its_end()
        assert "classes red, blue" in run.lines

    def test_nor_does_what_stands_in_a_result(self, fake: FakeKubeflow) -> None:
        run = Watching(fake)
        run.workflow.move("select-model", "SUCCEEDED")
        result = RESULT | {"reason": "better\x1b[2J\x1b]0;title\x07"}
        run.log("select-model", f"select_model: started\ngraftwork result: {json.dumps(result)}\n")
        run.show("SUCCEEDED")
        run.to_its_end()
        assert "\x1b" not in run.said
        assert "fine-tuned is selected: better" in run.said

    def test_a_lost_stream_is_taken_up_where_it_was(self, fake: FakeKubeflow) -> None:
        run = Watching(fake)
        run.workflow.move("fine-tune", "RUNNING")
        run.log("fine-tune", "fine_tune: started\nfirst note\n")  # ends, though the pod goes on
        run.show("RUNNING")
        with run.meanwhile():
            _until_asked(fake)
            run.log("fine-tune", "second note\nfine_tune: 1.0 s, 100 MiB at most\n")
            run.workflow.move("fine-tune", "SUCCEEDED")
            run.show("SUCCEEDED")
        assert [line for line in run.lines if line.endswith("note")] == ["first note", "second note"]

    def test_before_the_first_step_it_says_what_is_going_on(self, fake: FakeKubeflow) -> None:
        run = Watching(fake)
        with run.meanwhile():
            run.until("starting")
            run.show("SUCCEEDED")
        assert "nodes pull its image" in run.lines[0]

    def test_waiting_is_told_and_not_counted(self, fake: FakeKubeflow, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watching, "_SILENT_SECONDS", 0.0)
        run = Watching(fake)
        run.workflow.move("fine-tune", "PENDING")
        run.show("RUNNING")
        with run.meanwhile():
            run.until("waiting for a node, or for the image")
            run.workflow.move("fine-tune", "RUNNING", seconds=600)
            run.workflow.move("fine-tune", "SUCCEEDED", seconds=7)
            run.show("SUCCEEDED")
        (waiting,) = [line for line in run.lines if "waiting" in line]
        assert waiting.startswith("… fine_tune since ")
        assert "✓ fine_tune 7.0 s" in run.lines

    def test_kubernetes_says_what_a_pod_waits_for(
        self, fake: FakeKubeflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = Watching(fake)
        run.workflow.move("fine-tune", "PENDING")
        run.show("RUNNING")
        said = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
        with fake_cluster.FakeCluster() as cluster:
            monkeypatch.setenv("KUBECONFIG", str(cluster.configuration(tmp_path)))
            cluster.pending(run.run_id, run.workflow.pod("fine-tune"), unschedulable=said)
            with run.meanwhile():
                run.until(said)
                cluster.pending(run.run_id, run.workflow.pod("fine-tune"), waiting="ContainerCreating")
                run.until("starting, pulling the image")
                run.workflow.move("fine-tune", "SUCCEEDED")
                run.show("SUCCEEDED")


class TestResults:
    def test_candidates_with_intervals_and_where_things_are(self, fake: FakeKubeflow) -> None:
        run = Watching(fake)
        for step in ("evaluate", "select-model"):
            run.workflow.move(step, "SUCCEEDED")
        recorded = "log-select-model"
        run.log("select-model", recorded)
        run.log("select-model", f"graftwork result: {json.dumps(RESULT)}\n")
        run.show("SUCCEEDED", "RUNNING")
        watched = run.to_its_end()
        assert watched.results["select_model"]["selected"] == "fine-tuned"
        assert "fine-tuned 0.9000 0.9500 0.8800 to 0.9800 selected" in run.lines
        (model,) = [line for line in run.lines if line.startswith("model ")]
        assert model.startswith("model minio://mlpipeline/v2/artifacts/transfer-learning/")
        assert f"fetch graftwork fetch {run.run_id}" in run.lines

    def test_what_another_version_says_is_passed_over(self, fake: FakeKubeflow) -> None:
        run = Watching(fake)
        run.workflow.move("select-model", "SUCCEEDED")
        run.log("select-model", 'select_model: started\ngraftwork result: {"step": "select_model", "best": 1}\n')
        run.show("SUCCEEDED", "RUNNING")
        assert run.to_its_end().succeeded

    def test_of_a_retraining_its_outcome_with_the_reason(self, fake: FakeKubeflow) -> None:
        run = Watching(fake, "retraining")
        run.workflow.move("exit-handler-1/find-champion", "SUCCEEDED")
        run.workflow.move("report-outcome", "SUCCEEDED")
        result = {"step": "report_outcome", "outcome": OUTCOME}
        run.log("report-outcome", f"report_outcome: started\ngraftwork result: {json.dumps(result)}\n")
        run.show("SUCCEEDED", "RUNNING")
        run.to_its_end()
        assert "shelf: promoted; version 3 serves" in run.lines
        assert OUTCOME["why"] in run.lines

    def test_networks_to_start_from_are_told_apart(self, fake: FakeKubeflow) -> None:
        run = Watching(fake, "retraining")
        run.workflow.move("exit-handler-1/find-champion", "SUCCEEDED")
        starts = {"step": "find_champion", "items": {"find-champion-starts": ["base model", "champion, version 2"]}}
        run.log("exit-handler-1/find-champion", f"find_champion: started\ngraftwork result: {json.dumps(starts)}\n")
        for number in "01":
            run.workflow.move(f"exit-handler-1/condition-2/for-loop-3/{number}/fine-tune", "SUCCEEDED")
        run.show("SUCCEEDED", "RUNNING")
        steps = run.to_its_end().steps
        assert {"fine_tune (base model)", "fine_tune (champion, version 2)"} <= set(steps)


def test_a_run_whose_pipeline_is_gone_is_watched_all_the_same(fake: FakeKubeflow) -> None:
    run = replayed(fake, "transfer_learning", "succeeded")
    fake.versions.clear()
    assert run.to_its_end().steps["fine_tune"] == "succeeded"


def test_nothing_of_the_users_kubernetes_is_needed(fake: FakeKubeflow) -> None:
    assert os.environ["KUBECONFIG"] == "/nonexistent"
    assert replayed(fake, "transfer_learning", "succeeded").to_its_end().succeeded
