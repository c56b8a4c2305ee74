"""What the API lists of a workflow is put in its place: on answers of a real server, and on made ones."""

import json
from typing import Any

import kfp_server_api
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graftwork.kubeflow.nodes import Step, Workflow, workflow_of

import fake_workflow
from fake_kubeflow import ANSWERS

RECORDED = sorted(file.stem for file in ANSWERS.glob("*.json"))


def as_the_client_gives_it(run: dict[str, Any]) -> Any:
    class Answer:
        data = json.dumps(run)

    return kfp_server_api.ApiClient().deserialize(Answer, "V2beta1Run")


def recorded(name: str) -> Workflow:
    return workflow_of(as_the_client_gives_it(json.loads((ANSWERS / f"{name}.json").read_text())))


def made(workflow: fake_workflow.Workflow) -> Workflow:
    return workflow_of(as_the_client_gives_it({"state": "RUNNING", "run_details": workflow.details()}))


def states(workflow: Workflow, *step: str) -> tuple[str, ...]:
    return tuple(pod.state for pod in workflow.tasks[step].attempts)


class TestRecorded:
    @pytest.mark.parametrize("name", RECORDED)
    def test_every_pod_is_somebodys_and_has_the_times_that_were_recorded(self, name: str) -> None:
        tasks = json.loads((ANSWERS / f"{name}.json").read_text())["run_details"]["task_details"]
        pods = [task for task in tasks if task.get("display_name", "").startswith("executor(")]
        found = [pod for node in recorded(name).tasks.values() for pod in node.attempts]
        assert sorted(f"{pod.created:%Y-%m-%dT%H:%M:%SZ}" for pod in found) == sorted(pod["start_time"] for pod in pods)
        assert len({pod.node_id for pod in found}) == len(found)

    def test_of_a_run_that_succeeded(self) -> None:
        workflow = recorded("succeeded")
        steps = [step for step, node in workflow.tasks.items() if node.attempts]
        assert {step[-1] for step in steps} == {
            *("fingerprint-source", "load-base-model", "ingest-images", "prepare-data", "extract-features"),
            *("train-head", "fine-tune", "evaluate", "select-model"),
        }
        assert states(workflow, "ingest", "for-loop-1", "0", "ingest-images") == ("SUCCEEDED",)
        pod = workflow.tasks["fine-tune",].attempts[0]
        assert pod.created
        assert pod.running
        assert pod.end
        assert (pod.end - pod.running).total_seconds() < (
            pod.end - pod.created
        ).total_seconds()  # waiting is not running

    def test_what_came_from_the_cache_has_no_pod(self) -> None:
        workflow = recorded("all-cached")
        assert not workflow.tasks["fingerprint-source",].cached
        assert workflow.tasks["fine-tune",].cached
        assert workflow.tasks["for-loop-1", "0", "extract-features"].cached

    def test_attempts_come_in_their_order(self) -> None:
        around = ("exit-handler-1", "condition-2", "for-loop-3", "0", "for-loop-4", "0")
        node = recorded("retraining-failed-after-retries").tasks[(*around, "extract-features")]
        first, second = node.attempts
        assert (first.state, second.state) == ("FAILED", "FAILED")
        assert first.end
        assert second.created
        assert (second.created - first.end).total_seconds() == 71  # after a minute, and what it takes to notice

    def test_points_of_a_sweep_are_told_apart(self) -> None:
        workflow = recorded("sweep")
        assert workflow.iterations["for-loop-2",] == 2
        seconds = []
        for number in "01":
            (pod,) = workflow.tasks["for-loop-2", number, "fine-tune"].attempts
            assert pod.end
            assert pod.running
            seconds.append((pod.end - pod.running).total_seconds())
        assert seconds[0] < seconds[1] / 1.3 or seconds[1] < seconds[0] / 1.3

    def test_the_handler_of_an_exit_is_found_though_nothing_comes_before_it(self) -> None:
        for name in ("retraining-unchanged", "retraining-terminated", "retraining-failed-after-retries"):
            assert states(recorded(name), "report-outcome") == ("SUCCEEDED",)

    def test_a_branch_that_is_not_taken_is_skipped(self) -> None:
        assert recorded("retraining-unchanged").tasks["exit-handler-1", "condition-2"].state == "SKIPPED"

    def test_what_was_left_out_after_a_failure_has_no_state(self) -> None:
        workflow = recorded("first-step-failed")
        assert workflow.tasks["fingerprint-source",].state == "FAILED"
        assert workflow.tasks["train-head",].state == ""


def test_of_pods_that_began_together_none_is_taken_for_the_other() -> None:
    workflow = fake_workflow.Workflow()
    for number, state in (("0", "RUNNING"), ("1", "PENDING"), ("2", "SUCCEEDED")):
        workflow.move(f"for-loop-1/{number}/fine-tune", state, seconds=0)
    for details in (workflow.details(), {"task_details": workflow.details()["task_details"][::-1]}):
        tasks = workflow_of(as_the_client_gives_it({"state": "RUNNING", "run_details": details})).tasks
        found = [tasks["for-loop-1", number, "fine-tune"].attempts[0].state for number in "012"]
        assert found == ["RUNNING", "RUNNING", "SUCCEEDED"]  # which of the two waits is not known


def test_a_run_without_a_workflow_yet_has_nothing() -> None:
    assert workflow_of(as_the_client_gives_it({"state": "PENDING"})) == Workflow({}, {})


def test_a_step_that_is_prepared_has_a_driver_alone() -> None:
    workflow = fake_workflow.Workflow()
    workflow.prepare("train-head")
    node = made(workflow).tasks["train-head",]
    assert node.driver
    assert (node.attempts, node.driver.state, node.driver.node_id) == ((), "RUNNING", workflow.driver("train-head"))


STEPS = st.sampled_from(["fine-tune", "for-loop-1/0/extract-features", "for-loop-1/1/extract-features", "train-head"])
MOVES = st.lists(
    st.tuples(STEPS, st.lists(st.sampled_from(["FAILED"]), max_size=2), st.sampled_from(["RUNNING", "SUCCEEDED", ""])),
    max_size=6,
    unique_by=lambda move: move[0],
)


@settings(max_examples=40, deadline=None)
@given(MOVES)
def test_wherever_steps_stand_their_pods_are_found(moves: list[tuple[str, list[str], str]]) -> None:
    workflow = fake_workflow.Workflow()
    expected: dict[Step, tuple[str, ...]] = {}
    for step, failed, state in moves:
        pods = [*failed, state] if state else []
        for count in range(1, len(pods) + 1):
            workflow.move(step, *pods[:count], state="" if count == len(pods) else "RUNNING")
        if not pods:
            workflow.move(step)
        expected[tuple(step.split("/"))] = tuple(pods)
    found = made(workflow)
    for step, pods in expected.items():
        assert states(found, *step) == pods
        assert found.tasks[step].cached == (not pods)
        names = [workflow.pod("/".join(step), number) for number in range(len(pods))]
        assert [pod.node_id for pod in found.tasks[step].attempts] == names
