"""What a user does with a cluster: the real command and the real client, against a fake of the API over real HTTP."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import documented
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from graftwork.config import StepsConfig
from graftwork.errors import UserError
from graftwork.kubeflow.compiling import compile_pipeline
from graftwork.kubeflow.schedules import next_times, parse_cron
from graftwork.kubeflow.site import Site

from fake_kubeflow import FakeKubeflow
from fake_workflow import Workflow

CONFIG = """
data: gs://photos/birds
base_model: gs://models/shelf.keras
fine_tune:
  layers: 5
cluster:
  node_selector: {pool: gpu}
  memory: 32Gi
"""
GONE = "http://127.0.0.1:9"  # the discard port: nobody listens


@pytest.fixture
def fake() -> Iterator[FakeKubeflow]:
    with FakeKubeflow() as server:
        yield server
        assert server.violations == []


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "config.yaml").write_text(CONFIG)
    return str(tmp_path / "config.yaml")


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KF_PIPELINES")}
    return {**kept, "HOME": "/nonexistent", **more}


def graftwork(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "graftwork", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment(**more), timeout=120, check=False)


def started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "graftwork", *arguments]
    pipe = subprocess.PIPE
    # A shell that starts a command in the background lets it ignore Ctrl-C; so may the one that started the tests.
    return subprocess.Popen(
        command,
        stdout=pipe,
        stderr=pipe,
        text=True,
        env=environment(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def only(items: dict[str, dict[str, object]]) -> dict[str, object]:
    (item,) = items.values()
    return item


def until(condition: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answered(*arguments: str, code: int = 0) -> dict[str, Any]:
    """Return what a command answers machines, which is what the documentation says."""
    done = graftwork(*arguments, "--json")
    assert done.returncode == code, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    of_watching = documented.keys("watch") - {"run"} if arguments[0] == "submit" else set()
    assert set(answer) == documented.keys(arguments[0]) - of_watching
    return answer


class TestForMachines:
    def test_of_a_compiled_file(self, tmp_path: Path) -> None:
        file = str(tmp_path / "p.yaml")
        answer = answered("compile", "sweep", "-o", file, "--image", "a.example/g:1")
        assert (answer["file"], answer["pipeline"], answer["image"]) == (file, "sweep", "a.example/g:1")

    def test_of_a_run_and_how_it_ends(self, fake: FakeKubeflow, config: str) -> None:
        submitted = answered("submit", "sweep", config, "--host", fake.url)
        assert list(fake.runs) == [submitted["run"]]
        assert submitted["uploaded"]
        assert not answered("submit", "sweep", config, "--host", fake.url)["uploaded"]
        for state, code in (("SUCCEEDED", 0), ("FAILED", 1)):
            fake.set_state(submitted["run"], state)
            ended = answered("watch", submitted["run"], "--host", fake.url, code=code)
            assert ended["run"] == submitted["run"]
            assert (ended["state"], ended["succeeded"]) == (state.lower(), code == 0)

    def test_of_schedules(self, fake: FakeKubeflow, config: str) -> None:
        host = ("--host", fake.url)
        assert answered_list(*host) == []
        made = answered("schedule", "sweep", config, "--cron", "30 3 * * *", "--name", "birds", *host)
        assert (made["schedule"], made["change"], made["cron"]) == ("birds", "created", "0 30 3 * * *")
        (listed,) = answered_list(*host)
        assert listed["next"] == made["due"][0]
        paused = json.loads(graftwork("schedules", "pause", "birds", *host, "--json").stdout)
        assert paused == {"schedule": "birds", "change": "paused"}
        assert set(paused) == documented.keys("schedules pause")
        assert answered_list(*host) == [{**listed, "active": False, "next": None}]


def answered_list(*arguments: str) -> list[dict[str, Any]]:
    done = graftwork("schedules", *arguments, "--json")
    listed: list[dict[str, Any]] = json.loads(done.stdout)["schedules"]
    assert all({"schedules", *schedule} == documented.keys("schedules") for schedule in listed)
    return listed


class TestSubmit:
    def test_a_pipeline_is_uploaded_and_a_run_started(self, fake: FakeKubeflow, config: str) -> None:
        done = graftwork("submit", "transfer_learning", config, "--host", fake.url, "--image", "r.example/g:1")
        assert done.returncode == 0, done.stderr
        assert only(fake.experiments)["display_name"] == "graftwork"
        assert only(fake.pipelines)["display_name"] == "transfer-learning"
        run = only(fake.runs)
        parameters = run["runtime_config"]["parameters"]
        assert parameters["data"] == "gs://photos/birds"
        assert parameters["fine_tune"]["layers"] == 5
        assert (parameters["node_selector"], parameters["memory"]) == ({"pool": "gpu"}, "32Gi")
        assert f"{fake.url}/#/runs/details/{run['run_id']}" in done.stdout
        images = re.findall(r"image': '([^']+)'", str(only(fake.versions)["pipeline_spec"]))
        assert set(images) == {"r.example/g:1"}
        assert done.stderr == ""

    def test_the_same_pipeline_is_uploaded_once_and_a_changed_one_as_a_version(
        self, fake: FakeKubeflow, config: str
    ) -> None:
        for image in ("a.example/g:1", "a.example/g:1", "a.example/g:2"):
            done = graftwork("submit", "sweep", config, "--host", fake.url, "--image", image)
            assert done.returncode == 0, done.stderr
        assert len(fake.pipelines) == 1
        assert len(fake.experiments) == 1
        assert len(fake.versions) == 2
        used = [run["pipeline_version_reference"]["pipeline_version_id"] for run in fake.runs.values()]
        assert used[0] == used[1] != used[2]

    def test_a_compiled_file_can_be_submitted(self, fake: FakeKubeflow, config: str, tmp_path: Path) -> None:
        file = str(tmp_path / "p.yaml")
        assert graftwork("compile", "sweep", "-o", file, "--image", "a.example/g:1").returncode == 0
        done = graftwork("submit", file, config, "--host", fake.url, "--set", "sweep.layers=[3]")
        assert done.returncode == 0, done.stderr
        grid = only(fake.runs)["runtime_config"]["parameters"]["grid"]
        assert grid == ["{layers: 3, learning_rate: 0.0001}", "{layers: 3, learning_rate: 0.0005}"]
        for fixed in (["--image", "b.example/g:1"], ["--label", "team=a"], ["--set", "cluster.steps.evaluate.cpu=2"]):
            again = graftwork("submit", file, config, "--host", fake.url, *fixed)
            assert again.returncode == 2
            assert "fixed in a compiled file" in again.stderr

    @pytest.mark.parametrize("command", ["compile", "submit", "schedule"])
    def test_what_a_site_fixes_is_said_wherever_a_pipeline_is_compiled(
        self, fake: FakeKubeflow, config: str, tmp_path: Path, command: str
    ) -> None:
        site = [
            "--label",
            "team=vision",
            "--label",
            "a.example/cost=42",
            "--annotation",
            "note=a=b",
            "--tmp-size",
            "9Gi",
        ]
        site += ["--image-pull-policy", "Never", "--run-as-group", "0", "--set", "cluster.steps.evaluate.memory=9Gi"]
        more = {
            "compile": ["-o", str(tmp_path / "p.yaml")],
            "submit": [config, "--host", fake.url],
            "schedule": [config, "--host", fake.url, "--cron", "0 3 * * *"],
        }[command]
        done = graftwork(command, "sweep", *more, *site)
        assert done.returncode == 0, done.stderr
        expected = compile_pipeline(
            "sweep",
            Site(
                labels={"team": "vision", "a.example/cost": "42"},
                annotations={"note": "a=b"},
                tmp_size="9Gi",
                image_pull_policy="Never",
                run_as_group=0,
                steps=StepsConfig.model_validate({"evaluate": {"memory": "9Gi"}}),
            ),
            one_shard=command != "compile",  # as the settings say
        )
        if command == "compile":
            assert (tmp_path / "p.yaml").read_text() == expected.text
        else:
            assert only(fake.versions)["display_name"] == expected.version

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (["--label", "team"], "write it as  --label KEY=VALUE"),
            (["--annotation", "a=1", "--annotation", "a=2"], "given twice"),
            (["--label", "team=a b"], "the value of the label team"),
            (["--image-pull-policy", "Sometimes"], "Always, IfNotPresent, Never"),
            (["--set", "fine_tune.layers=1"], "give it when you submit the file"),
            (["--set", "cluster.steps.evaluate.memory=8GB"], "such as 20Gi"),
            (["--data-volume", "photos.prod"], "names of volumes hold no dots"),
        ],
    )
    def test_what_a_site_cannot_have_makes_no_file(self, tmp_path: Path, options: list[str], expected: str) -> None:
        done = graftwork("compile", "sweep", "-o", str(tmp_path / "p.yaml"), *options)
        assert done.returncode == 2
        assert expected in done.stderr
        assert list(tmp_path.iterdir()) == []

    def test_components_have_none_of_a_sites_options(self, tmp_path: Path) -> None:
        for options in (["--label", "a=b"], ["--run-as-group", "0"], ["--set", "cluster.steps.evaluate.cpu=2"]):
            done = graftwork("compile", "components", "-o", str(tmp_path / "made"), *options)
            assert done.returncode == 2
            assert f"given     {options[0]}" in done.stderr
            assert list(tmp_path.iterdir()) == []

    def test_with_one_shard_it_has_no_loops_and_is_another_version(self, fake: FakeKubeflow, config: str) -> None:
        for more in ((), ("--set", "cluster.extract_shards=2"), ("--set", "cluster.ingest_shards=1")):
            done = graftwork("submit", "transfer_learning", config, "--host", fake.url, *more)
            assert done.returncode == 0, done.stderr
        assert len(fake.pipelines) == 1
        used = [run["pipeline_version_reference"]["pipeline_version_id"] for run in fake.runs.values()]
        assert used[0] == used[2] != used[1]
        loops = ["parameterIterator" in str(fake.versions[version]["pipeline_spec"]) for version in used]
        assert loops == [False, True, False]

    def test_a_file_for_one_shard_is_not_submitted_for_more(
        self, fake: FakeKubeflow, config: str, tmp_path: Path
    ) -> None:
        file = str(tmp_path / "p.yaml")
        assert graftwork("compile", "transfer_learning", "-o", file, "--one-shard").returncode == 0
        refused = graftwork("submit", file, config, "--host", fake.url, "--set", "cluster.extract_shards=2")
        assert refused.returncode == 2
        assert "compiled for one shard" in refused.stderr
        assert not fake.pipelines
        assert graftwork("submit", file, config, "--host", fake.url).returncode == 0

    def test_more_shards_than_an_argument_can_list_are_refused(self, fake: FakeKubeflow, config: str) -> None:
        refused = graftwork("submit", "sweep", config, "--host", fake.url, "--set", "cluster.ingest_shards=129")
        assert refused.returncode == 2
        assert "128" in refused.stderr
        assert not fake.pipelines

    def test_an_image_without_a_registry_is_remarked_on(self, fake: FakeKubeflow, config: str) -> None:
        done = graftwork("submit", "sweep", config, "--host", fake.url)
        assert done.returncode == 0
        assert "names no registry" in done.stderr

    def test_service_account_and_no_cache(self, fake: FakeKubeflow, config: str) -> None:
        arguments = ("--host", fake.url, "--service-account", "trainer", "--no-cache", "--run-name", "tonight")
        done = graftwork("submit", "sweep", config, *arguments)
        assert done.returncode == 0, done.stderr
        run = only(fake.runs)
        assert (run["service_account"], run["display_name"]) == ("trainer", "tonight")
        assert fake.may_come_from_the_cache(str(run["run_id"])) == set()
        assert fake.versions == {}
        assert "sweep, without the cache: sent with this run, it is no version" in done.stdout


class TestWatch:
    def test_it_tells_of_every_step_and_ends_as_the_run_does(self, fake: FakeKubeflow, config: str) -> None:
        watching = started("submit", "transfer_learning", config, "--host", fake.url, "--watch")
        until(lambda: fake.runs)
        (run_id,) = fake.runs
        workflow = Workflow()
        workflow.move("fingerprint-source", "RUNNING")
        fake.show(run_id, "RUNNING", workflow)
        fake.log(run_id, workflow.pod("fingerprint-source"), "fingerprint_source: started\n10 images\n", ended=False)
        until(lambda: any("/log" in request.path for request in fake.requests))
        fake.log(run_id, workflow.pod("fingerprint-source"), "fingerprint_source: 0.5 s, 100 MiB at most\n")
        workflow.move("fingerprint-source", "SUCCEEDED")
        cached = ["load-base-model", "ingest-images", "prepare-data", "extract-features", "train-head", "fine-tune"]
        cached += ["evaluate", "select-model"]
        for step in cached:
            workflow.move(step)
        fake.show(run_id, "SUCCEEDED", workflow)
        output, errors = watching.communicate(timeout=30)
        assert watching.returncode == 0, errors
        told = [line.split(maxsplit=2) for line in output.splitlines() if re.match(r"\d\d:\d\d:\d\d ", line)]
        steps = [line[2].split()[0] for line in told if line[1] != "…"]
        assert steps == ["fingerprint_source", *(step.replace("-", "_") for step in cached), "run"]
        assert "     10 images" in output

    @pytest.mark.parametrize(("state", "said"), [("FAILED", "failed"), ("CANCELED", "terminated")])
    def test_a_run_that_does_not_succeed_fails_the_command(
        self, fake: FakeKubeflow, config: str, state: str, said: str
    ) -> None:
        assert graftwork("submit", "sweep", config, "--host", fake.url).returncode == 0
        (run_id,) = fake.runs
        fake.set_state(run_id, state, error="pod was evicted")
        done = graftwork("watch", run_id, "--host", fake.url)
        assert done.returncode == 1
        assert re.search(rf"✗ run +{said}.*: pod was evicted", done.stdout)

    def test_ctrl_c_leaves_the_run_running_and_says_so(self, fake: FakeKubeflow, config: str) -> None:
        watching = started("submit", "sweep", config, "--host", fake.url, "--watch")
        until(lambda: any(r.method == "GET" and "/runs/" in r.path for r in fake.requests))
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=30)
        (run_id,) = fake.runs
        assert watching.returncode == 130
        assert f"the run goes on; follow it again: graftwork watch {run_id}" in errors
        assert not [request for request in fake.requests if "terminate" in request.path]

    def test_dropped_and_slow_connections_are_made_again(self, fake: FakeKubeflow, config: str) -> None:
        assert graftwork("submit", "sweep", config, "--host", fake.url).returncode == 0
        (run_id,) = fake.runs
        fake.fail_next(drop=True, times=4, path="/runs/")  # the client tries a request four times
        fake.fail_next(503, "upstream is temporarily unavailable", path="/runs/")
        fake.fail_next(delay=2.0, path="/runs/")
        watching = started("watch", run_id, "--host", fake.url)
        time.sleep(12)
        fake.set_state(run_id, "SUCCEEDED")
        _, errors = watching.communicate(timeout=60)
        assert watching.returncode == 0, errors

    def test_an_expired_token_ends_it_and_a_renewed_one_does_not(
        self, fake: FakeKubeflow, config: str, tmp_path: Path
    ) -> None:
        token = tmp_path / "token"
        token.write_text("first")
        fake.token = "first"
        address = ("--host", fake.url, "--token-file", str(token))
        assert graftwork("submit", "sweep", config, *address).returncode == 0
        (run_id,) = fake.runs
        watching = started("watch", run_id, *address)
        until(lambda: any(r.method == "GET" and "/runs/" in r.path for r in fake.requests))
        token.write_text("second")  # as a mounted token is renewed
        fake.token = "second"
        time.sleep(6)
        assert watching.poll() is None
        fake.token = "third"
        _, errors = watching.communicate(timeout=30)
        assert watching.returncode == 2
        assert "has expired" in errors
        assert f"goes on: {fake.url}" in errors

    def test_an_unknown_run(self, fake: FakeKubeflow) -> None:
        done = graftwork("watch", "00000000-0000-0000-0000-000000000000", "--host", fake.url)
        assert done.returncode == 2
        assert "not found" in done.stderr.lower()


class TestSchedule:
    NIGHTLY = ("--cron", "30 3 * * *")

    def test_a_schedule_is_created_once_and_changed_never_doubled(self, fake: FakeKubeflow, config: str) -> None:
        command = ("schedule", "transfer_learning", config, "--host", fake.url, "--image", "a.example/g:1")
        first = graftwork(*command, *self.NIGHTLY, "--no-catchup", "--max-concurrency", "2")
        assert first.returncode == 0, first.stderr
        run = only(fake.recurring_runs)
        assert run["trigger"]["cron_schedule"]["cron"] == "0 30 3 * * *"
        assert (run["status"], run["no_catchup"], int(run["max_concurrency"])) == ("ENABLED", True, 2)
        assert run["runtime_config"]["parameters"]["data"] == "gs://photos/birds"
        assert ", created" in first.stdout
        assert "UTC" in first.stdout
        same = graftwork(*command, *self.NIGHTLY, "--no-catchup", "--max-concurrency", "2")
        assert ", unchanged" in same.stdout
        assert only(fake.recurring_runs)["recurring_run_id"] == run["recurring_run_id"]
        for change in (
            ("--cron", "0 4 * * *"),
            (*self.NIGHTLY, "--set", "seed=3"),
            (*self.NIGHTLY, "--image", "b.c/g"),
        ):
            changed = graftwork(*command, *change)
            assert changed.returncode == 0, changed.stderr
            assert ", updated" in changed.stdout
            assert only(fake.recurring_runs)["status"] == "ENABLED"

    @pytest.mark.parametrize("broken", ["DELETE", ":enable"])
    def test_an_interrupted_change_never_leaves_two_active_and_is_mended(
        self, fake: FakeKubeflow, config: str, broken: str
    ) -> None:
        command = ("schedule", "sweep", config, "--host", fake.url)
        assert graftwork(*command, *self.NIGHTLY).returncode == 0
        (old,) = fake.recurring_runs
        fake.fail_next(500, "the database is away", path=":enable" if broken == ":enable" else f"/recurringruns/{old}")
        failed = graftwork(*command, "--cron", "0 4 * * *")
        assert failed.returncode == 2
        assert "the database is away" in failed.stderr
        active = [run for run in fake.recurring_runs.values() if run["status"] == "ENABLED"]
        assert len(active) <= 1
        mended = graftwork(*command, "--cron", "0 4 * * *")
        assert mended.returncode == 0, mended.stderr
        run = only(fake.recurring_runs)
        assert (run["status"], run["trigger"]["cron_schedule"]["cron"]) == ("ENABLED", "0 0 4 * * *")

    def test_they_are_listed_paused_resumed_and_deleted(self, fake: FakeKubeflow, config: str) -> None:
        assert "no schedules" in graftwork("schedules", "--host", fake.url).stdout
        for name in ("birds", "flowers"):
            assert (
                graftwork("schedule", "sweep", config, *self.NIGHTLY, "--name", name, "--host", fake.url).returncode
                == 0
            )
        listed = graftwork("schedules", KF_PIPELINES_ENDPOINT=fake.url).stdout
        assert [line.split()[:2] for line in listed.splitlines()[1:]] == [["birds", "active"], ["flowers", "active"]]
        assert graftwork("schedules", "pause", "birds", "--host", fake.url).stdout == "birds: paused\n"
        listed = graftwork("schedules", "--host", fake.url).stdout
        assert [line.split()[:2] for line in listed.splitlines()[1:]] == [["birds", "paused"], ["flowers", "active"]]
        assert graftwork("schedules", "--host", fake.url, "resume", "birds").returncode == 0
        assert graftwork("schedules", "delete", "flowers", "--host", fake.url).returncode == 0
        assert only(fake.recurring_runs)["display_name"] == "birds"
        unknown = graftwork("schedules", "pause", "bird", "--host", fake.url)
        assert unknown.returncode == 2
        assert "birds" in unknown.stderr

    def test_many_schedules_are_listed_page_by_page(self, fake: FakeKubeflow, config: str) -> None:
        assert graftwork("schedule", "sweep", config, *self.NIGHTLY, "--host", fake.url).returncode == 0
        one = only(fake.recurring_runs)
        for number in range(150):
            copy = {**one, "recurring_run_id": f"copy-{number}", "display_name": f"copy {number}"}
            fake.recurring_runs[f"copy-{number}"] = copy
        assert len(graftwork("schedules", "--host", fake.url).stdout.splitlines()) == 152


class TestMistakes:
    """Found before anything is created, or told in the server's own words."""

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (("--set", "colour=red"), "unknown key"),
            (("--set", "cluster.node_selector=gpu"), "cluster.node_selector"),
            (("--set", "cluster.memory=lots"), "such as 20Gi"),
            (("--set", "cluster.steps.evaluate.memory=8GB"), "such as 20Gi"),
            (("--service-account", "Runner"), "the name of the service account"),
            (("--namespace", "team.a"), "the name of the namespace"),
            (("--image-pull-secret", "my_secret"), "the name of the image pull secret"),
            (("--set", "data=photos"), "which the cluster cannot see"),
            (("--set", "base_model=/home/me/shelf.keras"), "which the cluster cannot see"),
            (("--cron", "every night"), "is not a cron expression"),
            (("--cron", "61 3 * * *"), "is not a cron expression"),
            (("--cron", "0 3 * * 7"), "day of week"),
            (("--max-concurrency", "0"), "max-concurrency"),
        ],
    )
    def test_of_the_configuration(
        self, fake: FakeKubeflow, config: str, arguments: tuple[str, ...], expected: str
    ) -> None:
        cron = () if "--cron" in arguments else ("--cron", "0 3 * * *")
        done = graftwork("schedule", "sweep", config, *cron, *arguments, "--host", fake.url)
        assert done.returncode == 2
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
        assert fake.requests == []

    def test_retraining_needs_a_registry_that_the_cluster_sees(self, fake: FakeKubeflow, config: str) -> None:
        night = ("schedule", "retraining", config, "--cron", "0 3 * * *", "--host", fake.url)
        for sets, expected in (
            ((), "no registry is named"),
            (("--set", "registry=gs://models"), "the model in the registry is not named"),
            (("--set", "registry=models", "--set", "name=shelf"), "registry is a path on this machine"),
        ):
            done = graftwork(*night, *sets)
            assert done.returncode == 2
            assert expected in done.stderr
        assert fake.requests == []
        done = graftwork(*night, "--set", "registry=gs://models", "--set", "name=shelf")
        assert done.returncode == 0, done.stderr
        parameters = only(fake.recurring_runs)["runtime_config"]["parameters"]
        assert (parameters["registry"], parameters["name"]) == ("gs://models", "shelf")
        assert parameters["warm_start"] == "both"

    def test_a_host_that_cannot_be_reached(self, config: str) -> None:
        for host, expected in ((GONE, "Connection refused"), ("no-such-host.invalid", "cannot be reached")):
            done = graftwork("submit", "sweep", config, "--host", host)
            assert done.returncode == 2
            assert "Kubeflow cannot be reached" in done.stderr
            assert expected in done.stderr

    def test_a_missing_wrong_or_expired_token(self, fake: FakeKubeflow, config: str, tmp_path: Path) -> None:
        fake.token = "right"
        for more in ({}, {"KF_PIPELINES_TOKEN": "wrong"}):
            done = graftwork("submit", "sweep", config, "--host", fake.url, **more)
            assert done.returncode == 2
            assert "the token is missing, wrong or has expired" in done.stderr
        assert graftwork("submit", "sweep", config, "--host", fake.url, KF_PIPELINES_TOKEN="right").returncode == 0
        done = graftwork("schedules", "--host", fake.url, "--token-file", str(tmp_path / "none"))
        assert done.returncode == 2
        assert "does not exist" in done.stderr

    def test_a_missing_or_foreign_namespace(self, config: str) -> None:
        with FakeKubeflow(multi_user=True, namespaces=["team"]) as fake:
            missing = graftwork("submit", "sweep", config, "--host", fake.url)
            assert missing.returncode == 2
            assert "--namespace" in missing.stderr
            foreign = graftwork("submit", "sweep", config, "--host", fake.url, "--namespace", "others")
            assert foreign.returncode == 2
            assert "others" in foreign.stderr
            assert {} == fake.pipelines == fake.experiments == fake.runs
            mine = graftwork("submit", "sweep", config, "--host", fake.url, "--namespace", "team")
            assert mine.returncode == 0, mine.stderr
            again = graftwork("submit", "sweep", config, "--host", fake.url, "--namespace", "team")
            assert again.returncode == 0, again.stderr
            assert len(fake.versions) == 1
            assert only(fake.experiments)["namespace"] == "team"
            assert fake.violations == []

    def test_a_refused_run_is_told_in_the_servers_words(self, fake: FakeKubeflow, config: str) -> None:
        fake.fail_next(400, "the quota of the namespace is used up", path="/runs")
        done = graftwork("submit", "sweep", config, "--host", fake.url)
        assert done.returncode == 2
        assert "refused to start the run" in done.stderr
        assert "the quota of the namespace is used up" in done.stderr
        assert not fake.runs

    def test_a_connection_lost_on_uploading_leaves_nothing_that_counts(self, fake: FakeKubeflow, config: str) -> None:
        fake.fail_next(drop=True, path="/upload_version")
        done = graftwork("submit", "sweep", config, "--host", fake.url)
        assert done.returncode == 2
        assert "the connection was lost on trying to upload the pipeline" in done.stderr
        assert not fake.versions
        assert graftwork("submit", "sweep", config, "--host", fake.url).returncode == 0
        assert (len(fake.pipelines), len(fake.versions), len(fake.runs)) == (1, 1, 1)

    @pytest.mark.parametrize(
        ("status", "kind", "body", "expected"),
        [
            (200, "text/html", "<html>Log in</html>", "does not let you in"),
            (302, "text/html", "", "does not let you in"),
            (404, "text/plain", "no such page", "does not answer as Kubeflow Pipelines does"),
            (200, "application/json", "[1]", "does not answer as Kubeflow Pipelines does"),
            (200, "text/plain", "hello", "does not answer as Kubeflow Pipelines does"),
        ],
    )
    def test_a_server_that_is_something_else(
        self, config: str, status: int, kind: str, body: str, expected: str
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Location", "/login")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = graftwork("submit", "sweep", config, "--host", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        assert done.returncode == 2
        assert expected in done.stderr

    def test_a_certificate_that_is_not_trusted(self, config: str, tmp_path: Path) -> None:
        write_certificate(tmp_path / "cert.pem", tmp_path / "key.pem")
        with FakeKubeflow() as fake:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
            fake.server.socket = context.wrap_socket(fake.server.socket, server_side=True)
            host = fake.url.replace("http://127.0.0.1", "https://localhost")
            refused = graftwork("submit", "sweep", config, "--host", host)
            assert refused.returncode == 2
            assert "certificate is not trusted" in refused.stderr
            trusted = graftwork("submit", "sweep", config, "--host", host, "--ca-file", str(tmp_path / "cert.pem"))
            assert trusted.returncode == 0, trusted.stderr


def write_certificate(certificate: Path, key: Path) -> None:
    """Write a certificate for localhost that nobody has signed but its own key."""
    secret, name = rsa.generate_private_key(65537, 2048), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, secret.public_key(), x509.random_serial_number(), now, now + timedelta(2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    key.write_bytes(secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


class TestCron:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [("30 3 * * *", "0 30 3 * * *"), ("*/5 * * * 1-5", "0 */5 * * * 1-5"), ("15 0 0 1 * ?", "15 0 0 1 * ?")],
    )
    def test_five_fields_get_a_second(self, text: str, expected: str) -> None:
        assert parse_cron(text) == expected

    @given(st.integers(0, 59), st.integers(0, 23))
    def test_it_is_due_when_it_says(self, minute: int, hour: int) -> None:
        times = next_times(parse_cron(f"{minute} {hour} * * *"), 3, datetime(2026, 2, 27, 12, tzinfo=UTC))
        assert [(time.hour, time.minute, time.second) for time in times] == [(hour, minute, 0)] * 3
        assert (times[2] - times[0]).days == 2

    @pytest.mark.parametrize("text", ["", "* * *", "a b c d e", "60 * * * *", "* * * * * * *", "0 3 * * 7"])
    def test_others_are_refused(self, text: str) -> None:
        with pytest.raises(UserError):
            parse_cron(text)
