"""What a site fixes stands in every pod of a compiled file, and what Kubernetes would refuse is refused first."""

from typing import Any

import pytest
import yaml

from graftwork import pipelines
from graftwork.config import StepsConfig
from graftwork.errors import UserError
from graftwork.kubeflow.compiling import compile_pipeline
from graftwork.kubeflow.site import Site

READERS = {"exec-fingerprint-source", "exec-load-base-model", "exec-ingest-images"}
USES_AN_ACCELERATOR = {"exec-extract-features", "exec-fine-tune"}


def compiled(site: Site, name: str = "transfer_learning") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the containers, and what Kubernetes gets beside them, by the label of the executor."""
    spec, platform = yaml.safe_load_all(compile_pipeline(name, site).text)
    containers = {label: executor["container"] for label, executor in spec["deploymentSpec"]["executors"].items()}
    return containers, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def steps(**given: dict[str, Any]) -> StepsConfig:
    return StepsConfig.model_validate(given)


class TestPods:
    def test_a_pull_secret_goes_to_every_pod_and_the_datas_secret_and_volume_to_those_that_read(self) -> None:
        site = Site(image_pull_secret="registry.example", credentials_secret="bucket", data_volume="photos")
        containers, placed = compiled(site)
        assert all(config["imagePullSecret"][0]["secretName"] == "registry.example" for config in placed.values())
        assert {label for label, config in placed.items() if "secretAsVolume" in config} == READERS
        assert {label for label, config in placed.items() if "pvcMount" in config} == READERS
        assert {label for label, container in containers.items() if "env" in container} == READERS
        # What else was there stays.
        assert "nodeSelector" in placed["exec-fine-tune"]

    @pytest.mark.parametrize("name", pipelines.NAMES)
    def test_every_pod_may_write_to_a_tmp_of_its_own(self, name: str) -> None:
        containers, placed = compiled(Site(tmp_size="50Gi"), name)
        assert set(placed) == set(containers)
        for config in placed.values():
            (mount,) = (each for each in config["emptyDirMounts"] if each["mountPath"] == "/tmp")
            assert mount == {"mountPath": "/tmp", "volumeName": "tmp", "sizeLimit": "50Gi"}

    @pytest.mark.parametrize("name", pipelines.NAMES)
    def test_labels_annotations_policy_and_group_are_those_of_every_pod(self, name: str) -> None:
        labels, annotations = {"team": "vision", "a.example/cost": "42"}, {"sidecar.istio.io/inject": "false"}
        site = Site(labels=labels, annotations=annotations, image_pull_policy="Always", run_as_group=2000)
        for config in compiled(site, name)[1].values():
            assert config["podMetadata"] == {"labels": labels, "annotations": annotations}
            assert config["imagePullPolicy"] == "Always"
            assert config["securityContext"] == {"runAsGroup": "2000"}

    def test_what_is_not_said_is_left_to_the_cluster(self) -> None:
        for config in compiled(Site())[1].values():
            assert not {"podMetadata", "imagePullPolicy", "securityContext", "imagePullSecret"} & set(config)

    def test_the_order_of_labels_makes_no_other_file(self) -> None:
        one = Site(labels={"a": "1", "b": "2"}, annotations={"c": "3", "d": "4"})
        other = Site(labels={"b": "2", "a": "1"}, annotations={"d": "4", "c": "3"})
        assert compile_pipeline("sweep", one).text == compile_pipeline("sweep", other).text


class TestResources:
    @pytest.mark.parametrize("name", pipelines.NAMES)
    def test_no_step_holds_an_accelerator_but_those_that_use_it_whatever_the_site_says(self, name: str) -> None:
        every = {step: {"cpu": "2", "memory": "9Gi"} for step in StepsConfig.model_fields}
        for site in (Site(), Site(steps=steps(**every))):
            containers, placed = compiled(site, name)
            asking = {label for label, container in containers.items() if "accelerator" in str(container)}
            assert asking == USES_AN_ACCELERATOR
            assert {label for label, config in placed.items() if "nodeSelector" in config} == USES_AN_ACCELERATOR

    @pytest.mark.parametrize("name", pipelines.NAMES)
    def test_every_step_asks_for_what_the_settings_say_of_it(self, name: str) -> None:
        containers, _ = compiled(Site(), name)
        for label in set(containers) - USES_AN_ACCELERATOR:
            step = label.removeprefix("exec-").rstrip("-0123456789").replace("-", "_")
            wanted, asked = getattr(StepsConfig(), step), containers[label]["resources"]
            assert (asked["resourceCpuRequest"], asked["resourceMemoryRequest"]) == (wanted.cpu, wanted.memory)
            assert "resourceMemoryLimit" not in asked

    def test_a_site_changes_one_amount_of_one_step(self) -> None:
        before, after = (
            compiled(site)[0]
            for site in (Site(), Site(steps=steps(evaluate={"memory": "8Gi", "memory_limit": "16Gi"})))
        )
        asked = after["exec-evaluate"].pop("resources")
        assert asked == {
            **before["exec-evaluate"].pop("resources"),
            "resourceMemoryRequest": "8Gi",
            "memoryRequest": 8 * 2**30 / 1e9,  # gigabytes, for older backends
            "resourceMemoryLimit": "16Gi",
            "memoryLimit": 16 * 2**30 / 1e9,
        }
        assert after == before

    def test_what_a_site_says_of_a_step_with_an_accelerator_takes_the_parameters_place(self) -> None:
        asked = steps(fine_tune={"memory": "64Gi", "accelerators": 4}, extract_features={"accelerators": 0})
        containers, _ = compiled(Site(steps=asked))
        tuning, extracting = (containers[f"exec-{step}"]["resources"] for step in ("fine-tune", "extract-features"))
        assert tuning["resourceMemoryLimit"] == "64Gi"
        assert "resourceMemoryRequest" not in tuning  # a limit alone is both
        assert tuning["accelerator"]["resourceCount"] == "4"
        assert "pipelinechannel--accelerator'" in tuning["accelerator"]["resourceType"]
        assert "pipelinechannel--cpu" in tuning["resourceCpuLimit"]
        assert "accelerator" not in extracting
        assert "pipelinechannel--memory" in extracting["resourceMemoryLimit"]

    def test_a_request_below_the_limit_of_a_step_with_an_accelerator_is_said_too(self) -> None:
        asked = compiled(Site(steps=steps(fine_tune={"cpu": "2", "cpu_limit": "8"})))[0]["exec-fine-tune"]["resources"]
        assert (asked["resourceCpuRequest"], asked["resourceCpuLimit"]) == ("2", "8")


class TestRefusals:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({"image": "Graftwork:1"}, "no image that a node could pull"),
            ({"image_pull_secret": "my_secret"}, "the name of the image pull secret"),
            ({"credentials_secret": "bucket.prod"}, "names of volumes hold no dots"),
            ({"data_volume": "photos.prod"}, "names of volumes hold no dots"),
            ({"data_volume": "p" * 64}, "at most 63 characters"),
            ({"data_volume": "kfp-launcher"}, "the pods have a volume of that name already"),
            ({"credentials_secret": "tmp"}, "the pods have a volume of that name already"),
            ({"credentials_secret": "photos", "data_volume": "photos"}, "have the same name"),
            ({"image_pull_policy": "always"}, "Always, IfNotPresent, Never"),
            ({"labels": {"a b": "c"}}, "the key of the label"),
            ({"annotations": {"a": "{{x}}"}}, "Argo would read"),
            ({"run_as_group": -1}, "no ID of a group"),
            ({"tmp_size": "50GB"}, "such as 50Gi"),
        ],
    )
    def test_what_kubernetes_would_refuse_makes_no_site(self, given: dict[str, Any], expected: str) -> None:
        with pytest.raises(UserError) as refused:
            Site(**given)
        assert expected in str(refused.value)
