"""Results of a run brought to this machine, through the interface of a Kubeflow that has them."""

import json
from pathlib import Path

import pytest

from graftwork.errors import UserError
from graftwork.kubeflow.fetching import REPORT, fetch

from fake_buckets import fake_buckets
from fake_kubeflow import FakeKubeflow
from watched_runs import FILES, METRICS, REPORT_PAGE, Watching, finished_in


@pytest.fixture
def finished(fake: FakeKubeflow) -> Watching:
    return finished_in(fake, "minio://mlpipeline/v2/run")


def test_everything_lies_as_after_a_run_on_this_machine(finished: Watching, tmp_path: Path) -> None:
    places = fetch(finished.kubeflow, finished.run_id, tmp_path / "run")
    assert places == [tmp_path / "run" / name for name in ("model", "report.html", "metrics.json")]
    for name, content in FILES.items():
        assert (tmp_path / "run" / "model" / name).read_bytes() == content
    assert (tmp_path / "run" / "report.html").read_bytes() == REPORT_PAGE
    assert (tmp_path / "run" / "metrics.json").read_bytes() == METRICS


def test_only_what_is_asked_for(finished: Watching, tmp_path: Path) -> None:
    fetch(finished.kubeflow, finished.run_id, tmp_path, (REPORT,))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_what_arrives_changed_is_not_kept_and_what_was_there_stays(
    fake: FakeKubeflow, finished: Watching, tmp_path: Path
) -> None:
    fetch(finished.kubeflow, finished.run_id, tmp_path)
    fake.artifacts["mlpipeline", "v2/run/model/saved_model.pb"] = b"unpacked on the way"
    with pytest.raises(UserError, match="not what the step has written"):
        fetch(finished.kubeflow, finished.run_id, tmp_path)
    assert (tmp_path / "model" / "saved_model.pb").read_bytes() == b"graph"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.json", "model", "report.html"]


def test_an_address_of_the_api_alone_says_which_one_has_files(
    fake: FakeKubeflow, finished: Watching, tmp_path: Path
) -> None:
    fake.artifacts.clear()
    with pytest.raises(UserError, match="does not hand out") as refused:
        fetch(finished.kubeflow, finished.run_id, tmp_path)
    assert "ml-pipeline-ui" in str(refused.value)
    assert not (tmp_path / "model").exists()


def test_a_log_cannot_place_files_elsewhere(fake: FakeKubeflow, tmp_path: Path) -> None:
    run = finished_in(fake, "minio://mlpipeline/v2/run", {"../../stolen": b"x"})
    with pytest.raises(UserError, match="outside"):
        fetch(run.kubeflow, run.run_id, tmp_path / "run")
    assert not (tmp_path / "stolen").exists()


def test_of_a_bucket_with_ones_own_credentials(fake: FakeKubeflow, tmp_path: Path) -> None:
    run = finished_in(fake, "gs://artifacts/v2/run")
    with fake_buckets() as server:
        for place, content in fake.artifacts.items():
            server.put(*place, {}, content)
        fake.artifacts.clear()
        fetch(run.kubeflow, run.run_id, tmp_path)
    assert (tmp_path / "model" / "saved_model.pb").read_bytes() == FILES["saved_model.pb"]
    assert (tmp_path / "report.html").read_bytes() == REPORT_PAGE


class TestFromTheCache:
    def again(self, first: Watching, fingerprint: str = "cafe") -> Watching:
        """The same once more, of which all but the look at the source comes from the cache."""
        again = Watching(first.fake)
        for run, said in ((first, "cafe"), (again, fingerprint)):
            run.workflow.move("fingerprint-source", "SUCCEEDED")
            found = json.dumps({"step": "fingerprint_source", "data": said, "base_model": "beef"})
            run.log("fingerprint-source", f"fingerprint_source: started\ngraftwork result: {found}\n")
        for step in ("evaluate", "select-model"):
            again.workflow.move(step)
        for run in (first, again):
            run.show("SUCCEEDED")
        return again

    def test_the_run_that_made_it_is_found(self, finished: Watching, tmp_path: Path) -> None:
        again = self.again(finished)
        fetch(again.kubeflow, again.run_id, tmp_path)
        assert (tmp_path / "metrics.json").read_bytes() == METRICS
        again.to_its_end()
        assert any(line.endswith("those of tonight") for line in again.lines)

    def test_whatever_that_run_is_called(self, finished: Watching) -> None:
        again = self.again(finished)
        again.fake.runs[finished.run_id]["display_name"] = "nightly [/prod]"
        assert again.to_its_end().succeeded
        assert any(line.endswith("those of nightly [/prod]") for line in again.lines)

    def test_one_of_other_data_is_none(self, finished: Watching, tmp_path: Path) -> None:
        again = self.again(finished, "0ff")
        with pytest.raises(UserError, match="came from the cache"):
            fetch(again.kubeflow, again.run_id, tmp_path)

    def test_one_with_other_parameters_is_none(self, finished: Watching, tmp_path: Path) -> None:
        again = self.again(finished)
        again.fake.runs[again.run_id]["runtime_config"]["parameters"]["seed"] = 7
        with pytest.raises(UserError, match="came from the cache"):
            fetch(again.kubeflow, again.run_id, tmp_path)


def test_what_came_from_the_cache_lies_with_another_run(fake: FakeKubeflow, tmp_path: Path) -> None:
    run = Watching(fake)
    fake.replay(run.run_id, "all-cached")
    with pytest.raises(UserError, match="came from the cache") as refused:
        fetch(run.kubeflow, run.run_id, tmp_path)
    assert "--no-cache" in str(refused.value)


@pytest.mark.parametrize("recorded", ["first-step-failed", "terminated"])
def test_a_run_without_a_model(fake: FakeKubeflow, tmp_path: Path, recorded: str) -> None:
    run = Watching(fake)
    fake.replay(run.run_id, recorded)
    with pytest.raises(UserError, match="select_model has not succeeded"):
        fetch(run.kubeflow, run.run_id, tmp_path)


def test_a_run_whose_logs_are_gone(fake: FakeKubeflow, finished: Watching, tmp_path: Path) -> None:
    fake.logs.clear()
    with pytest.raises(UserError, match="cannot be read"):
        fetch(finished.kubeflow, finished.run_id, tmp_path)


def test_a_run_of_a_version_that_did_not_say_what_it_made(fake: FakeKubeflow, tmp_path: Path) -> None:
    run = Watching(fake)
    run.workflow.move("select-model", "SUCCEEDED")
    run.workflow.move("evaluate", "SUCCEEDED")
    run.log("select-model", "log-select-model")
    run.log("evaluate", "log-fine-tune")
    run.show("SUCCEEDED")
    with pytest.raises(UserError, match="does not say where the model is") as refused:
        fetch(run.kubeflow, run.run_id, tmp_path)
    assert "minio://mlpipeline/v2/artifacts/transfer-learning/" in str(refused.value)
