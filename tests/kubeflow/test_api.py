"""`graftwork.submit` and `graftwork.schedule`: settings as arguments, and what is wrong with them before it is sent."""

import doctest
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import graftwork
from graftwork.errors import UserError

from fake_kubeflow import FakeKubeflow
from watched_runs import finished_in

SOURCES: dict[str, Any] = {"data": "gs://photos/birds", "base_model": "gs://models/shelf.keras"}
IMAGE = "r.example/graftwork:1"


@pytest.fixture(autouse=True)
def in_the_environment(fake: FakeKubeflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", fake.url)


class TestRun:
    def test_it_is_watched_and_its_results_open_as_those_of_a_run_here(
        self, fake: FakeKubeflow, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        started = finished_in(fake, "minio://mlpipeline/v2/run")
        run = graftwork.ClusterRun.of(started.run_id, host=fake.url)
        assert run.watch().succeeded
        assert "select_model" in capsys.readouterr().out
        assert run.watch(quiet=True).steps == {"evaluate": "succeeded", "select_model": "succeeded"}
        assert capsys.readouterr().out == ""
        output = run.fetch(tmp_path / "here")
        assert graftwork.Run(output).selected == "head"
        assert (output / "report.html").is_file()


class TestSubmit:
    def test_settings_are_laid_over_a_file(self, fake: FakeKubeflow, tmp_path: Path) -> None:
        (tmp_path / "c.yaml").write_text("data: gs://a\nbase_model: gs://b.keras\ncluster: {memory: 9Gi, cpu: '3'}\n")
        run = graftwork.submit(
            "transfer_learning", tmp_path / "c.yaml", image=IMAGE, data="gs://c", cluster={"memory": "5Gi"}
        )
        parameters = fake.runs[run.run_id]["runtime_config"]["parameters"]
        assert (parameters["data"], parameters["base_model"]) == ("gs://c", "gs://b.keras")
        assert (parameters["memory"], parameters["cpu"]) == ("5Gi", "3")

    def test_what_it_returns(self, fake: FakeKubeflow, capsys: pytest.CaptureFixture[str]) -> None:
        run = graftwork.submit("sweep", image=IMAGE, host=fake.url, **SOURCES)
        assert run.link == f"{fake.url}/#/runs/details/{run.run_id}"
        assert run.version is not None
        assert (run.pipeline, run.version.new) == ("sweep", True)
        assert "Kubeflow" not in repr(run)
        again = graftwork.submit("sweep", image=IMAGE, cache=False, **SOURCES)
        assert again.version is None
        assert capsys.readouterr() == ("", "")

    def test_the_image_goes_before_the_sites(self, fake: FakeKubeflow) -> None:
        site = graftwork.Site(image="r.example/other:1", data_volume="photos")
        run = graftwork.submit("sweep", site=site, image=IMAGE, **SOURCES | {"data": "/data/birds"})
        (version,) = fake.versions.values()
        assert IMAGE in str(version)
        assert "r.example/other" not in str(version)
        assert fake.runs[run.run_id]["runtime_config"]["parameters"]["data"] == "/data/birds"

    def test_a_token_may_be_named_as_a_path(self, fake: FakeKubeflow, tmp_path: Path) -> None:
        fake.token = "secret"
        (tmp_path / "token").write_text("secret")
        assert graftwork.submit("sweep", image=IMAGE, token_file=tmp_path / "token", **SOURCES).run_id in fake.runs


class TestSchedule:
    def test_the_name_in_a_registry_is_not_that_of_the_schedule(self, fake: FakeKubeflow) -> None:
        made = graftwork.schedule(
            "retraining", cron="30 3 * * *", image=IMAGE, registry="gs://models", name="shelf", **SOURCES
        )
        (recurring,) = fake.recurring_runs.values()
        assert (made.name, recurring["display_name"]) == ("retraining", "retraining")
        assert recurring["runtime_config"]["parameters"]["name"] == "shelf"
        assert made.change == "created"
        assert all((time.hour, time.minute) == (3, 30) and time > datetime.now(UTC) for time in made.due)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"data": "photos"}, "which the cluster cannot see"),
        ({"sed": 5}, "did you mean seed instead of sed"),
        ({"run_name": "a\nb"}, "the name of the run has line breaks"),
        ({"experiment": "x" * 129}, "the name of the experiment is too long"),
        ({"pipeline": "swep"}, "there is no pipeline 'swep'"),
        ({"pipeline": "none.yaml"}, "the pipeline cannot be read"),
    ],
)
def test_mistakes_are_found_before_anything_is_sent(
    fake: FakeKubeflow, arguments: dict[str, Any], expected: str
) -> None:
    with pytest.raises(UserError, match=expected):
        graftwork.submit(**{"pipeline": "sweep", "image": IMAGE, **SOURCES, **arguments})
    assert fake.requests == []


def test_a_schedule_that_kubernetes_could_not_hold_is_found_too(fake: FakeKubeflow) -> None:
    with pytest.raises(UserError, match="Kubernetes could not use the name of the schedule"):
        graftwork.schedule("sweep", cron="0 3 * * *", schedule_name="-nightly", image=IMAGE, **SOURCES)
    assert fake.requests == []


@pytest.mark.parametrize(
    "call",
    [graftwork.submit, lambda *given, **more: graftwork.schedule(*given, cron="0 3 * * *", **more)],
    ids=["submit", "schedule"],
)
def test_an_old_kubeflow_gets_nothing(fake: FakeKubeflow, call: Callable[..., object]) -> None:
    fake.tag = "2.5.0"
    with pytest.raises(UserError, match="this Kubeflow is too old"):
        call("sweep", image=IMAGE, **SOURCES)
    assert {} == fake.pipelines == fake.experiments == fake.runs == fake.recurring_runs


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("name", ["ClusterRun", "Schedule", "Site", "schedule", "submit"])
def test_the_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "birds.yaml").write_text("data: gs://photos/birds\nbase_model: gs://models/shelf.keras\n")
    (example,) = doctest.DocTestFinder(recurse=False).find(
        getattr(graftwork, name), name, module=False, globs={"graftwork": graftwork}
    )
    said: list[str] = []
    assert doctest.DocTestRunner().run(example, out=said.append).failed == 0, "".join(said)
