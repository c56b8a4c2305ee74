"""A run on a server: from a version that the server keeps, or without the cache, from a pipeline sent with it."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from graftwork import pipelines
from graftwork.kubeflow.compiling import Compiled, compile_pipeline
from graftwork.kubeflow.connection import Kubeflow
from graftwork.kubeflow.site import Site
from graftwork.kubeflow.submitting import submit, upload, without_cache

from fake_kubeflow import FakeKubeflow

GIVEN = {"data": "gs://photos/birds", "base_model": "gs://models/shelf.keras"}
LOOKS = {"fingerprint-source"}


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return compile_pipeline("transfer_learning", Site(data_volume="photos"))


def tasks(spec: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    dags = (component.get("dag", {}) for component in (spec["root"], *spec["components"].values()))
    return [task for dag in dags for task in dag.get("tasks", {}).items()]


class TestSubmit:
    def test_steps_of_a_version_may_come_from_the_cache_but_the_look_at_the_source(
        self, fake: FakeKubeflow, compiled: Compiled
    ) -> None:
        kubeflow = Kubeflow(fake.url)
        run_id = submit(kubeflow, upload(kubeflow, compiled), GIVEN, run_name="tonight")
        cached = fake.may_come_from_the_cache(run_id)
        assert {"load-base-model", "ingest-images", "extract-features", "fine-tune"} <= cached
        assert LOOKS & cached == set()

    def test_without_a_version_no_step_may(self, fake: FakeKubeflow, compiled: Compiled) -> None:
        run_id = submit(Kubeflow(fake.url), compiled, GIVEN, run_name="tonight", service_account="trainer")
        run = fake.runs[run_id]
        assert fake.may_come_from_the_cache(run_id) == set()
        assert (run["display_name"], run["service_account"]) == ("tonight", "trainer")
        assert {} == fake.pipelines == fake.versions

    def test_a_run_without_a_version_is_on_the_same_nodes_and_volumes(
        self, fake: FakeKubeflow, compiled: Compiled
    ) -> None:
        run_id = submit(Kubeflow(fake.url), compiled, GIVEN, run_name="tonight")
        (_, platform) = yaml.safe_load_all(compiled.text)
        assert fake.runs[run_id]["pipeline_spec"]["platform_spec"] == platform
        assert "photos" in str(platform)


class TestWithoutCache:
    @pytest.mark.parametrize("name", pipelines.NAMES)
    def test_every_task_of_every_dag_is_switched_off_and_nothing_else_changed(self, name: str) -> None:
        compiled = compile_pipeline(name, Site())
        spec = without_cache(compiled)["pipeline_spec"]
        before = next(yaml.safe_load_all(compiled.text))
        assert len(tasks(spec)) > len(spec["root"]["dag"]["tasks"])
        assert [task.pop("cachingOptions") for _, task in tasks(spec)] == [{"enableCache": False}] * len(tasks(spec))
        for _, task in tasks(before):
            task.pop("cachingOptions", None)
        assert spec == before

    def test_a_pipeline_without_a_part_for_kubernetes(self, compiled: Compiled) -> None:
        alone = replace(compiled, text=compiled.text.partition("\n---\n")[0])
        assert without_cache(alone).keys() == {"pipeline_spec"}
