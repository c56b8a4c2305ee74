"""The pipelines as KFP compiles them: what a cluster gets."""

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from compiled_files import found_under
from google.protobuf import json_format
from kfp.components import load_component_from_text
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from graftwork import pipelines
from graftwork.kubeflow.compiling import compile_pipeline
from graftwork.kubeflow.site import Site

ACCELERATED = {"exec-extract-features", "exec-fine-tune"}
DAYS = 24 * 60 * 60
SCHEDULING = {"accelerator", "accelerators", "cpu", "memory", "node_selector", "tolerations"}


class Ir:
    """A compiled pipeline, taken apart."""

    def __init__(self, name: str, one_shard: bool = False) -> None:
        self.name = name
        self.one_shard = one_shard
        self.text = compile_pipeline(name, Site(image="registry.example/graftwork:1"), one_shard=one_shard).text
        self.spec, platform = yaml.safe_load_all(self.text)
        self.root = self.spec["root"]
        self.executors = self.spec["deploymentSpec"]["executors"]
        self.kubernetes = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]

    def graphs(self) -> Iterator[dict[str, Any]]:
        """Yield the root and every component that is itself a graph: loops and pipelines inside."""
        yield self.root
        yield from (component for component in self.spec["components"].values() if "dag" in component)

    def tasks(self) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Yield the name, the task and the graph it is in, of every task that runs a container."""
        for graph in self.graphs():
            for name, task in graph["dag"]["tasks"].items():
                if "executorLabel" in self.component(task):
                    yield name, task, graph

    def loops(self) -> list[dict[str, Any]]:
        return [
            task for graph in self.graphs() for task in graph["dag"]["tasks"].values() if "parameterIterator" in task
        ]

    def component(self, task: dict[str, Any]) -> dict[str, Any]:
        return self.spec["components"][task["componentRef"]["name"]]


def named(variant: tuple[str, bool]) -> str:
    return f"{variant[0]}{', one shard' if variant[1] else ''}"


@pytest.fixture(scope="module", params=itertools.product(pipelines.NAMES, (False, True)), ids=named)
def ir(request: pytest.FixtureRequest) -> Ir:
    return Ir(*request.param)


def placeholders(value: Any) -> set[str]:
    return set(re.findall(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}", str(value)))


def test_kfps_own_loader_and_protos_accept_it(ir: Ir) -> None:
    loaded = load_component_from_text(ir.text)
    assert set(loaded.component_spec.inputs or ()) == set(ir.root["inputDefinitions"]["parameters"])
    json_format.ParseDict(ir.spec, pipeline_spec_pb2.PipelineSpec())
    for config in ir.kubernetes.values():
        json_format.ParseDict(config, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


def test_it_has_the_steps_it_names(ir: Ir) -> None:
    assert {name.rstrip("-0123456789").replace("-", "_") for name, _, _ in ir.tasks()} == set(pipelines.steps(ir.name))
    for name, task, _ in ir.tasks():
        assert task["taskInfo"]["name"] == name.replace("-", " ").capitalize()


def test_what_looks_at_the_world_or_changes_it_is_never_cached(ir: Ir) -> None:
    cached = {name for name, task, _ in ir.tasks() if task.get("cachingOptions", {}).get("enableCache")}
    outside = {"retraining": {"find-champion", "promote", "report-outcome"}}.get(ir.name, set())
    assert {name for name, _, _ in ir.tasks()} - cached == {"fingerprint-source"} | outside


def test_every_input_is_described(ir: Ir) -> None:
    assert all(parameter.get("description") for parameter in ir.root["inputDefinitions"]["parameters"].values())
    results = set() if ir.name == "retraining" else {"model", "metrics", "report"}
    assert set(ir.root.get("outputDefinitions", {}).get("artifacts", {})) == results
    assert ir.spec["pipelineInfo"]["description"]
    assert ir.spec["pipelineInfo"]["displayName"]
    for name, component in ir.spec["components"].items():
        for group in component.get("inputDefinitions", {}).values():
            for key, value in group.items():
                assert value.get("description") or key.startswith("pipelinechannel--"), (name, key)


def test_only_the_data_and_the_base_model_must_be_given(ir: Ir) -> None:
    inputs = ir.root["inputDefinitions"]["parameters"]
    more = {"registry", "name"} if ir.name == "retraining" else set()
    assert {name for name, entry in inputs.items() if not entry.get("isOptional")} == {"data", "base_model"} | more


def test_every_step_runs_in_the_one_image_without_installing_anything(ir: Ir) -> None:
    for executor in ir.executors.values():
        assert executor["container"]["image"] == "registry.example/graftwork:1"
        assert "pip install" not in " ".join(executor["container"]["command"])


class TestWiring:
    """Whatever a task or its pod refers to has to be there: KFP's compiler lets some of it through unchecked."""

    def test_every_parameter_a_task_reads_is_an_input_of_its_graph(self, ir: Ir) -> None:
        for graph in ir.graphs():
            declared = graph.get("inputDefinitions", {}).get("parameters", {})
            for name, task in graph["dag"]["tasks"].items():
                read = set(found_under(task.get("inputs", {}), "componentInputParameter"))
                assert read <= set(declared), name
                iterated = task.get("parameterIterator", {}).get("items", {}).get("inputParameter")
                assert iterated is None or iterated in task["inputs"]["parameters"], name

    def test_every_parameter_of_a_graph_inside_is_given_to_it(self, ir: Ir) -> None:
        for graph in ir.graphs():
            for name, task in graph["dag"]["tasks"].items():
                wanted = set(ir.component(task).get("inputDefinitions", {}).get("parameters", {}))
                if "dag" in ir.component(task):
                    given = set(task.get("inputs", {}).get("parameters", {}))
                    assert wanted - given <= {task.get("parameterIterator", {}).get("itemInput")}, name

    def test_every_resource_a_pod_asks_for_is_an_input_of_its_task(self, ir: Ir) -> None:
        for name, task, _ in ir.tasks():
            asked = placeholders(ir.executors[ir.component(task)["executorLabel"]])
            assert asked <= set(task.get("inputs", {}).get("parameters", {})), name

    def test_every_placement_of_a_pod_is_an_input_of_its_graph(self, ir: Ir) -> None:
        for name, task, graph in ir.tasks():
            config = ir.kubernetes.get(ir.component(task)["executorLabel"], {})
            asked = set(found_under(config, "componentInputParameter"))
            assert asked <= set(graph["inputDefinitions"]["parameters"]), name


class TestScheduling:
    def test_accelerators_and_their_nodes_are_for_the_steps_that_use_them(self, ir: Ir) -> None:
        with_accelerator = {
            label for label, executor in ir.executors.items() if "accelerator" in str(executor["container"])
        }
        assert with_accelerator == ACCELERATED
        for key in ("nodeSelector", "tolerations"):
            assert {label for label, config in ir.kubernetes.items() if key in config} == ACCELERATED
        with_shared_memory = {label for label, config in ir.kubernetes.items() if "/dev/shm" in str(config)}
        assert with_shared_memory == ACCELERATED

    def test_what_and_how_many_is_decided_by_parameters(self, ir: Ir) -> None:
        for label in ACCELERATED:
            resources = ir.executors[label]["container"]["resources"]
            fields = {
                "accelerator": resources["accelerator"]["resourceType"],
                "accelerators": resources["accelerator"]["resourceCount"],
                "cpu": resources["resourceCpuLimit"],
                "memory": resources["resourceMemoryLimit"],
            }
            for name, field in fields.items():
                assert placeholders(field) == {f"pipelinechannel--{name}"}, label
            nodes = {
                "node_selector": ir.kubernetes[label]["nodeSelector"]["nodeSelectorJson"],
                "tolerations": ir.kubernetes[label]["tolerations"][0]["tolerationJson"],
            }
            for name, field in nodes.items():
                assert field["componentInputParameter"].removeprefix("pipelinechannel--") == name, label

    def test_they_have_shared_memory_for_several_gpus(self, ir: Ir) -> None:
        for label in ACCELERATED:
            mounts = {mount["mountPath"]: mount.get("medium") for mount in ir.kubernetes[label]["emptyDirMounts"]}
            assert mounts == {"/dev/shm": "Memory", "/tmp": None}

    def test_by_default_one_gpu_is_asked_for_and_its_taint_tolerated(self, ir: Ir) -> None:
        defaults = {
            name: entry.get("defaultValue") for name, entry in ir.root["inputDefinitions"]["parameters"].items()
        }
        assert defaults.keys() >= SCHEDULING
        assert (defaults["accelerator"], defaults["accelerators"]) == ("nvidia.com/gpu", "1")
        assert defaults["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
        assert defaults["node_selector"] == {}

    def test_every_step_but_the_first_is_tried_again_when_its_pod_is_taken_away(self, ir: Ir) -> None:
        policies = {name: task.get("retryPolicy") for name, task, _ in ir.tasks()}
        assert [name for name, policy in policies.items() if not policy] == ["fingerprint-source"]
        assert {policy["maxRetryCount"] for policy in policies.values() if policy} == {2}

    def test_attempts_are_not_counted_out_while_a_step_takes_days(self, ir: Ir) -> None:
        # Argo counts from the start of the first attempt, and ends the later ones when this is over.
        for name, task, _ in ir.tasks():
            if "retryPolicy" in task:
                assert int(task["retryPolicy"]["backoffMaxDuration"].removesuffix("s")) >= 7 * DAYS, name


class TestFanOut:
    def test_loops_are_bounded(self, ir: Ir) -> None:
        assert all(loop["iteratorPolicy"]["parallelismLimit"] > 1 for loop in ir.loops())

    def test_no_loop_has_a_name_of_its_own(self, ir: Ir) -> None:
        # Backends 2.14 and 2.15 look for what was collected from it under the name that people see.
        for graph in ir.graphs():
            for key, task in graph["dag"]["tasks"].items():
                if "parameterIterator" in task:
                    assert task["taskInfo"]["name"] == key

    def test_reading_and_extracting_run_in_loops_unless_it_is_for_one_shard(self, ir: Ir) -> None:
        inside = {name for loop in ir.loops() for name in ir.component(loop)["dag"]["tasks"]}
        if ir.one_shard:
            assert "ingest-images" not in inside
            assert ("extract-features" in inside) == (ir.name == "retraining")  # in that of the networks to start from
        else:
            assert {"ingest-images", "extract-features"} <= inside

    def test_a_sweep_fine_tunes_in_a_loop_over_features_made_once(self) -> None:
        ir = Ir("sweep")
        inside = {name for name, _, graph in ir.tasks() if graph is not ir.root}
        assert inside == {"ingest-images", "extract-features", "fine-tune"}
        assert ir.root["dag"]["tasks"]["train-head"]  # once, outside

    def test_the_test_split_reaches_the_evaluation_alone(self, ir: Ir) -> None:
        # Features are made of training and validation images only, so a head cannot see test images.
        from graftwork.artifacts import features

        assert features.SPLITS == ("train", "validation")
        heads = [task for name, task, _ in ir.tasks() if name == "train-head"]
        assert heads
        assert not any("prepare-data" in str(task["inputs"]) for task in heads)


class TestOneShard:
    """The variant without loops over shards is the same pipeline to whoever runs it."""

    @pytest.fixture(scope="class", params=pipelines.NAMES)
    def both(self, request: pytest.FixtureRequest) -> tuple[Ir, Ir]:
        return Ir(request.param), Ir(request.param, one_shard=True)

    def test_it_has_the_same_name_parameters_and_results(self, both: tuple[Ir, Ir]) -> None:
        looped, flat = both
        assert looped.spec["pipelineInfo"] == flat.spec["pipelineInfo"]
        assert looped.root.get("outputDefinitions") == flat.root.get("outputDefinitions")
        given = [ir.root["inputDefinitions"]["parameters"] for ir in both]
        for key in given[0].keys() | given[1].keys():
            own = {entry: value for entry, value in given[1][key].items() if entry != "description"}
            assert own == {entry: value for entry, value in given[0][key].items() if entry != "description"}

    def test_it_works_in_one_shard_whatever_it_is_given(self, both: tuple[Ir, Ir]) -> None:
        _, flat = both
        shards = {"ingest_shards", "extract_shards"}
        assert not shards & {name.split("--")[-1] for name in found_under(flat.spec, "componentInputParameter")}
        assert all(
            "whatever is given" in flat.root["inputDefinitions"]["parameters"][key]["description"] for key in shards
        )
        for name, task, _ in flat.tasks():
            if name in ("ingest-images", "extract-features"):
                assert task["inputs"]["parameters"]["shard"]["runtimeValue"]["constant"] == "1/1"

    def test_a_step_takes_one_artifact_where_the_other_gathers_a_list(self, both: tuple[Ir, Ir]) -> None:
        for ir, expected in zip(both, ({"ingested", "features"}, {"whole_ingested", "whole_features"}), strict=True):
            taken = {key for name, task, _ in ir.tasks() for key in task["inputs"].get("artifacts", {})}
            assert taken & {"ingested", "features", "whole_ingested", "whole_features"} == expected


def test_a_component_is_thin() -> None:
    for file in Path(__file__).parents[2].glob("components/*/component.py"):
        (function,) = (node for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef))
        docstring, imported, called = function.body
        assert isinstance(docstring.value, ast.Constant), file
        assert isinstance(imported, ast.ImportFrom), file
        assert isinstance(called.value, ast.Call), file
