"""The fake server is one that the real client cannot tell from a real server, and it notices what does not conform."""

import http.client
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kfp
import pytest
import urllib3
from kfp import compiler, dsl
from kfp_server_api import ApiException

from fake_kubeflow import CONTRACT, Contract, FakeKubeflow, Request
from fake_workflow import Workflow

HOURLY = "0 0 * * * *"


@pytest.fixture(autouse=True)
def no_context_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))


@pytest.fixture
def server() -> Iterator[FakeKubeflow]:
    with FakeKubeflow() as fake:
        yield fake
    assert fake.violations == []


@pytest.fixture
def client(server: FakeKubeflow) -> kfp.Client:
    return kfp.Client(host=server.url)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    @dsl.component(base_image="python:3.11")
    def shout(text: str, times: int) -> str:
        return text.upper() * times

    @dsl.pipeline(name="shouting")
    def shouting(text: str, times: int = 2) -> str:
        return shout(text=text, times=times).output

    file = str(tmp_path_factory.mktemp("package") / "shouting.yaml")
    compiler.Compiler().compile(shouting, file)
    return file


def by_name(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def send(server: FakeKubeflow, method: str, path: str, body: Any = None) -> int:
    """Send a request that the real client would not send, and return the status of the answer."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    connection.request(method, path, json.dumps(body) if body is not None else None)
    return connection.getresponse().status


@pytest.fixture
def uploaded(client: kfp.Client, package: str) -> dict[str, str]:
    """The arguments that name the only version of the only pipeline, and an experiment."""
    pipeline_id = client.upload_pipeline(package, "shouting").pipeline_id
    version = client.list_pipeline_versions(pipeline_id).pipeline_versions[0]
    experiment_id = client.create_experiment("trials").experiment_id
    return {
        "pipeline_id": pipeline_id,
        "version_id": version.pipeline_version_id,
        "experiment_id": experiment_id,
    }


def test_an_experiment_is_created_once_and_found_by_name(server: FakeKubeflow, client: kfp.Client) -> None:
    created = client.create_experiment("trials", description="of the fake")
    again = client.create_experiment("trials")
    assert created.experiment_id == again.experiment_id == client.get_experiment(experiment_name="trials").experiment_id
    assert [one.description for one in client.list_experiments().experiments] == ["of the fake"]
    assert list(server.experiments) == [created.experiment_id]


def test_a_pipeline_and_its_versions_are_uploaded(client: kfp.Client, package: str) -> None:
    assert client.get_pipeline_id("shouting") is None
    pipeline = client.upload_pipeline(package, "shouting", description="Ünïcode & more")
    second = client.upload_pipeline_version(package, "second", pipeline_name="shouting")
    assert client.get_pipeline_id("shouting") == pipeline.pipeline_id == second.pipeline_id
    assert client.get_pipeline(pipeline.pipeline_id).description == "Ünïcode & more"
    newest_first = client.list_pipeline_versions(pipeline.pipeline_id, sort_by="created_at desc").pipeline_versions
    assert [version.display_name for version in newest_first] == ["second", "shouting"]
    spec = client.get_pipeline_version(pipeline.pipeline_id, second.pipeline_version_id).pipeline_spec
    assert spec["root"]["inputDefinitions"]["parameters"].keys() == {"text", "times"}


def test_a_run_goes_from_pending_to_its_end(server: FakeKubeflow, client: kfp.Client, uploaded: dict[str, str]) -> None:
    run = client.run_pipeline(job_name="hello", params={"text": "hello"}, **uploaded)
    assert (run.state, run.finished_at.year, run.runtime_config.parameters) == ("PENDING", 1970, {"text": "hello"})
    workflow = Workflow()
    workflow.move("shout", "RUNNING")
    server.show(run.run_id, "RUNNING", workflow)
    workflow.move("shout", "FAILED")
    server.show(run.run_id, "RUNNING", workflow)
    server.set_state(run.run_id, "FAILED", error="no breath left")
    run = client.wait_for_run_completion(run.run_id, timeout=10)
    (task,) = [task for task in run.run_details.task_details if task.display_name == "shout"]
    assert [status.state for status in run.state_history] == ["PENDING", "RUNNING", "RUNNING", "FAILED"]
    assert (task.display_name, task.state, run.error.message) == ("shout", "FAILED", "no breath left")
    assert task.start_time < task.end_time
    assert run.created_at < run.finished_at


def test_a_run_is_terminated_but_not_after_its_end(
    server: FakeKubeflow, client: kfp.Client, uploaded: dict[str, str]
) -> None:
    run = client.run_pipeline(job_name="hello", params={"text": "hello"}, **uploaded)
    client.terminate_run(run.run_id)
    assert client.get_run(run.run_id).state == "CANCELING"
    server.set_state(run.run_id, "CANCELED")
    with pytest.raises(ApiException, match="already finished"):
        client.terminate_run(run.run_id)


def test_a_run_may_bring_its_own_pipeline(client: kfp.Client, package: str, uploaded: dict[str, str]) -> None:
    run = client.run_pipeline(
        uploaded["experiment_id"], "own", package, {"text": "a", "times": 1}, enable_caching=False
    )
    assert run.pipeline_spec["pipelineInfo"]["name"] == "shouting"
    assert run.pipeline_version_reference is None


def test_what_a_task_says_of_the_cache_goes_before_what_a_run_says(
    server: FakeKubeflow, client: kfp.Client, package: str, uploaded: dict[str, str]
) -> None:
    from_version = client.run_pipeline(params={"text": "a"}, job_name="1", enable_caching=False, **uploaded)
    assert server.may_come_from_the_cache(from_version.run_id) == {"shout"}
    experiment_id = uploaded["experiment_id"]
    inline = client.run_pipeline(experiment_id, "2", package, params={"text": "a"}, enable_caching=False)
    assert server.may_come_from_the_cache(inline.run_id) == set()


def test_lists_come_in_pages(client: kfp.Client, uploaded: dict[str, str]) -> None:
    names = [f"run {number:02}" for number in range(25)]
    for name in names:
        client.run_pipeline(job_name=name, params={"text": name}, **uploaded)
    listed, token = [], ""
    while True:
        page = client.list_runs(token, 10, "created_at desc", uploaded["experiment_id"])
        listed += [run.display_name for run in page.runs]
        assert page.total_size == 25
        if not (token := page.next_page_token):
            break
    assert listed == names[::-1]
    assert len(client.list_runs(page_size=0).runs) == 20
    assert [run.display_name for run in client.list_runs(filter=by_name("run 07")).runs] == ["run 07"]


def test_a_recurring_run_is_created_paused_and_deleted(client: kfp.Client, uploaded: dict[str, str]) -> None:
    made = client.create_recurring_run(
        job_name="hourly",
        cron_expression=HOURLY,
        max_concurrency=3,
        no_catchup=True,
        params={"text": "x"},
        **uploaded,
    )
    client.create_recurring_run(job_name="often", interval_second=60, enabled=False, params={"text": "x"}, **uploaded)
    assert (made.trigger.cron_schedule.cron, made.max_concurrency, made.no_catchup) == (HOURLY, "3", True)
    (often,) = client.list_recurring_runs(filter=by_name("often")).recurring_runs
    assert (often.status, often.trigger.periodic_schedule.interval_second, often.no_catchup) == ("DISABLED", "60", None)
    first = client.list_recurring_runs(page_size=1, experiment_id=uploaded["experiment_id"])
    second = client.list_recurring_runs(first.next_page_token, 1, experiment_id=uploaded["experiment_id"])
    assert [first.recurring_runs[0].display_name, second.recurring_runs[0].display_name] == ["hourly", "often"]
    client.disable_recurring_run(made.recurring_run_id)
    client.enable_recurring_run(often.recurring_run_id)
    assert client.get_recurring_run(made.recurring_run_id).status == "DISABLED"
    assert client.get_recurring_run(often.recurring_run_id).status == "ENABLED"
    client.delete_recurring_run(made.recurring_run_id)
    assert [one.display_name for one in client.list_recurring_runs().recurring_runs] == ["often"]


@pytest.mark.parametrize("cron", [HOURLY, "0 0 2 ? * MON-FRI", "0 */15 9-17 1,15 * *", "0 30 2 * *", "@daily"])
def test_a_schedule_the_server_reads_is_taken(client: kfp.Client, uploaded: dict[str, str], cron: str) -> None:
    client.create_recurring_run(job_name="at", cron_expression=cron, params={"text": "x"}, **uploaded)


@pytest.mark.parametrize("cron", ["every hour", "0 0 25 * * *", "0 * * *", "0 0 5-2 * * *", "0 0 0 0 * *", "@often"])
def test_a_schedule_the_server_cannot_read_is_refused(client: kfp.Client, uploaded: dict[str, str], cron: str) -> None:
    with pytest.raises(ApiException, match="not a supported format") as refused:
        client.create_recurring_run(job_name="at", cron_expression=cron, params={"text": "x"}, **uploaded)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "text is not optional"),
        ({"text": "x", "colour": "red"}, "colour is not an input"),
        ({"text": 3}, "text requires type STRING"),
        ({"text": "x", "times": True}, "times requires type NUMBER_INTEGER"),
    ],
)
def test_parameters_must_be_those_of_the_pipeline(
    client: kfp.Client, uploaded: dict[str, str], params: dict[str, Any], message: str
) -> None:
    with pytest.raises(ApiException, match=message) as refused:
        client.run_pipeline(job_name="hello", params=params, **uploaded)
    assert refused.value.status == 400


def test_what_exists_cannot_be_made_again(client: kfp.Client, package: str, uploaded: dict[str, str]) -> None:
    with pytest.raises(ApiException) as refused:
        client.upload_pipeline(package, "shouting")
    assert (refused.value.status, json.loads(refused.value.body)["code"]) == (409, 6)
    with pytest.raises(ApiException, match="409"):
        client.upload_pipeline_version(package, "shouting", pipeline_id=uploaded["pipeline_id"])


def test_what_does_not_exist_is_not_found(client: kfp.Client) -> None:
    with pytest.raises(ApiException, match="run 123 not found") as missing:
        client.get_run("123")
    assert (missing.value.status, json.loads(missing.value.body)["code"]) == (404, 5)


def test_a_file_that_is_no_pipeline_is_refused(client: kfp.Client, tmp_path: Path) -> None:
    (tmp_path / "poem.yaml").write_text("roses: red")
    with pytest.raises(ApiException, match="not a compiled pipeline"):
        client.upload_pipeline(str(tmp_path / "poem.yaml"), "poem")


def test_a_pipeline_goes_after_its_versions(server: FakeKubeflow, client: kfp.Client, uploaded: dict[str, str]) -> None:
    with pytest.raises(ApiException, match="still has versions"):
        client.delete_pipeline(uploaded["pipeline_id"])
    client.delete_pipeline_version(uploaded["pipeline_id"], uploaded["version_id"])
    client.delete_pipeline(uploaded["pipeline_id"])
    client.delete_experiment(uploaded["experiment_id"])
    assert not server.pipelines
    assert not server.versions
    assert not server.experiments


def test_a_token_may_expire(server: FakeKubeflow) -> None:
    server.token = "first"
    client = kfp.Client(host=server.url, existing_token="first")
    assert client.get_kfp_healthz().multi_user is False
    server.token = "second"
    with pytest.raises(ApiException) as refused:
        client.list_experiments()
    assert (refused.value.status, refused.value.reason) == (401, "Unauthorized")


def test_namespaces_keep_their_users_apart(package: str) -> None:
    with FakeKubeflow(multi_user=True, namespaces=["ours", "also-ours"]) as server:
        client = kfp.Client(host=server.url, namespace="ours")
        experiment = client.create_experiment("trials")
        client.run_pipeline(experiment.experiment_id, "hello", package, {"text": "x"})
        assert client.get_kfp_healthz().multi_user is True
        assert experiment.namespace == "ours"
        assert client.list_experiments(namespace="also-ours").experiments is None
        assert client.list_runs(namespace="also-ours").runs is None
        assert len(client.list_runs().runs) == 1
        pipeline = client.upload_pipeline(package, "shouting", namespace="ours")
        assert client.get_pipeline_id("shouting") is None  # The client asks for pipelines shared by all, only.
        assert client.list_pipelines(namespace="ours").pipelines[0].pipeline_id == pipeline.pipeline_id
        with pytest.raises(ApiException, match="not authorized to use namespace theirs") as refused:
            client.list_experiments(namespace="theirs")
        assert refused.value.status == 403
    assert server.violations == []


def test_failures_come_as_ordered(server: FakeKubeflow, client: kfp.Client) -> None:
    server.fail_next(503, "on holiday", times=2, path="/experiments")
    assert client.list_runs().runs is None
    for _ in range(2):
        with pytest.raises(ApiException, match="on holiday") as failed:
            client.list_experiments()
        assert failed.value.status == 503
    assert client.list_experiments().experiments is None


def test_an_answer_may_come_late(server: FakeKubeflow, client: kfp.Client) -> None:
    server.fail_next(delay=0.3)
    start = time.monotonic()
    assert client.list_runs().runs is None
    assert time.monotonic() - start >= 0.3


def test_a_dropped_connection_is_tried_again_when_reading_and_not_when_writing(
    server: FakeKubeflow, client: kfp.Client
) -> None:
    server.fail_next(drop=True, times=3)
    assert client.list_runs().runs is None
    assert len([request for request in server.requests if request.path.endswith("/runs")]) == 4
    server.fail_next(drop=True)
    with pytest.raises(urllib3.exceptions.ProtocolError):
        client.terminate_run("123")
    assert len([request for request in server.requests if request.method == "POST"]) == 1


def test_a_server_that_is_gone_refuses_the_connection() -> None:
    with FakeKubeflow() as server:
        client = kfp.Client(host=server.url)
    with pytest.raises(urllib3.exceptions.MaxRetryError, match="refused"):
        client.list_runs()


@pytest.mark.parametrize(
    ("method", "path", "body", "violation"),
    [
        ("POST", "/experiments", {"display_name": "a", "colour": "red"}, "'colour' was unexpected"),
        ("POST", "/experiments", {"display_name": "a", "storage_state": "LOST"}, "'LOST' is not one of"),
        ("POST", "/experiments", {"display_name": "a", "created_at": "yesterday"}, "not a 'date-time'"),
        ("POST", "/recurringruns", {"max_concurrency": "many"}, "not a 'int64'"),
        ("POST", "/runs", {"error": {"details": [{"value": "%"}]}}, "not a 'byte'"),
        ("POST", "/runs/1:terminate", {}, "takes no body"),
        ("POST", "/pipelines/upload", {}, "form field uploadfile is missing"),
        ("GET", "/runs?colour=red", None, "query parameter colour is not declared"),
        ("GET", "/runs?page_size=many", None, "'many' is not of type 'integer'"),
        ("GET", "/walks", None, "no such operation"),
    ],
)
def test_a_request_that_does_not_conform_is_noticed(method: str, path: str, body: Any, violation: str) -> None:
    with FakeKubeflow() as server:
        send(server, method, f"/apis/v2beta1{path}", body)
    assert re.search(violation, server.violations[0])


def test_an_answer_that_does_not_conform_is_noticed() -> None:
    with FakeKubeflow() as server:
        client = kfp.Client(host=server.url)
        experiment_id = client.create_experiment("trials").experiment_id
        assert server.violations == []
        server.experiments[experiment_id]["description"] = 7
        assert send(server, "GET", f"/apis/v2beta1/experiments/{experiment_id}") == 200
    (violation,) = server.violations
    assert violation.endswith("answer 200: $.description: 7 is not of type 'string'")


def test_64_bit_numbers_may_be_numbers_or_text() -> None:
    contract = Contract(json.loads(CONTRACT.read_text()))
    for concurrency in (1, "1"):
        request = Request("POST", "/apis/v2beta1/recurringruns", {}, {"max_concurrency": concurrency}, {})
        assert not list(contract.check_request(request))
