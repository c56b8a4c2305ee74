"""The compiled files hold together, and what reads them notices when one does not."""

import copy
import functools
import itertools
import re
from collections.abc import Callable

import pytest
from compiled_files import Spec, driver_pods, faults, read

from graftwork import pipelines
from graftwork.kubeflow.compiling import compile_pipeline
from graftwork.kubeflow.site import Site

SITES = {
    "plain": Site(),
    "secrets and a volume": Site(
        "r.example/g:1", image_pull_secret="pull", credentials_secret="gcs", data_volume="data"
    ),
}
Break = Callable[[Spec, Spec], object]


@functools.cache
def compiled(name: str, one_shard: bool = False, site: str = "plain") -> tuple[Spec, Spec]:
    return read(compile_pipeline(name, SITES[site], one_shard=one_shard).text)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize(("name", "one_shard"), itertools.product(pipelines.NAMES, (False, True)))
def test_every_name_in_a_compiled_file_leads_somewhere(name: str, one_shard: bool, site: str) -> None:
    assert faults(*compiled(name, one_shard, site)) == []


class TestDriverPods:
    """Each takes about ten seconds before anything of graftwork starts."""

    def pods(self, name: str, one_shard: bool = False, iterations: int = 1) -> int:
        spec, _ = compiled(name, one_shard)
        return driver_pods(spec, iterations)

    def test_they_are_counted_as_a_real_backend_starts_them(self) -> None:
        # Kubeflow 2.17 in runs of one shard; the retraining is the first of a model, from one network.
        started = {"transfer_learning": 15, "retraining": 25}
        assert {name: self.pods(name) for name in started} == started

    def test_an_iteration_costs_one_for_itself_and_one_for_each_step_in_it(self) -> None:
        assert self.pods("sweep", one_shard=True, iterations=2) - self.pods("sweep", one_shard=True) == 1 + 1
        assert self.pods("retraining", one_shard=True, iterations=2) - self.pods("retraining", one_shard=True) == 1 + 4

    def test_one_shard_takes_few(self) -> None:
        assert self.pods("transfer_learning", one_shard=True) == 10
        assert self.pods("transfer_learning", one_shard=True, iterations=9) == 10

    @pytest.mark.parametrize("name", pipelines.NAMES)
    def test_loops_over_shards_cost_five(self, name: str) -> None:
        assert self.pods(name) - self.pods(name, one_shard=True) == 5


def graph(spec: Spec, task: str) -> Spec:
    """Return the graph that has a task of that name."""
    graphs = [spec["root"], *(component for component in spec["components"].values() if "dag" in component)]
    return next(each for each in graphs if task in each["dag"]["tasks"])


def task(spec: Spec, name: str) -> Spec:
    found: Spec = graph(spec, name)["dag"]["tasks"][name]
    return found


def loop(spec: Spec) -> Spec:
    """Return the loop over the networks to start from."""
    return next(each for name, each in graph(spec, "judge")["dag"]["tasks"].items() if "for-loop" in name)


def condition(spec: Spec) -> Spec:
    return next(each for name, each in graph(spec, "find-champion")["dag"]["tasks"].items() if "condition" in name)


def container(spec: Spec, name: str) -> Spec:
    found: Spec = spec["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
    return found


def pod(platform: Spec, name: str) -> Spec:
    found: Spec = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"][f"exec-{name}"]
    return found


BROKEN: dict[str, tuple[Break, str]] = {
    "a component": (lambda s, p: s["components"].pop("comp-judge"), "there is no component comp-judge"),
    "a component that nobody wants": (
        lambda s, p: s["components"].update({"comp-more": s["components"]["comp-judge"]}),
        "comp-more: no task refers to it",
    ),
    "an executor": (lambda s, p: s["deploymentSpec"]["executors"].pop("exec-judge"), "there is no executor exec-judge"),
    "an executor's pod": (
        lambda s, p: p["platforms"]["kubernetes"]["deploymentSpec"]["executors"].update({"exec-gone": {}}),
        "Kubernetes: there is no executor exec-gone",
    ),
    "an input of a component": (
        lambda s, p: s["components"]["comp-judge"]["inputDefinitions"]["parameters"].pop("policy"),
        "judge: its component has no input policy",
    ),
    "a required input": (
        lambda s, p: task(s, "judge")["inputs"]["artifacts"].pop("images"),
        "judge: the input images is not given",
    ),
    "an input that a graph inside is not given": (
        lambda s, p: condition(s)["inputs"]["parameters"].pop("pipelinechannel--seed"),
        "condition-.*: the input pipelinechannel--seed is not given",
    ),
    "a parameter of the graph": (
        lambda s, p: task(s, "judge")["inputs"]["parameters"]["seed"].update(componentInputParameter="sed"),
        "judge: seed: the graph has no input sed",
    ),
    "an artifact of the graph": (
        lambda s, p: task(s, "judge")["inputs"]["artifacts"]["champion"].update(componentInputArtifact="champ"),
        "judge: champion: the graph has no input champ",
    ),
    "a parameter that a task puts out": (
        lambda s, p: s["components"]["comp-check-data"]["outputDefinitions"]["parameters"].pop("Output"),
        "judge: drift: there is no output Output of a task check-data",
    ),
    "an artifact that a task puts out": (
        lambda s, p: s["components"]["comp-select-model"]["outputDefinitions"]["artifacts"].pop("model"),
        "judge: challenger: there is no output model of a task select-model",
    ),
    "the task that puts it out": (
        lambda s, p: graph(s, "judge")["dag"]["tasks"].pop("select-model"),
        "judge: it waits for a task select-model, which is not there",
    ),
    "the wait for it": (
        lambda s, p: task(s, "judge")["dependentTasks"].remove("select-model"),
        "judge: it reads what select-model puts out, and does not wait for it",
    ),
    "the order of tasks": (
        lambda s, p: task(s, "select-model")["dependentTasks"].append("judge"),
        "tasks wait for each other: .*judge",
    ),
    "a source": (lambda s, p: task(s, "judge")["inputs"]["parameters"]["seed"].clear(), "seed: it comes from nowhere"),
    "the type of a parameter": (
        lambda s, p: s["components"]["comp-judge"]["inputDefinitions"]["parameters"]["seed"].update(
            parameterType="STRING"
        ),
        "judge: seed: it wants STRING, and is given NUMBER_INTEGER",
    ),
    "an artifact where there is a list of them": (
        lambda s, p: s["components"]["comp-evaluate"]["inputDefinitions"]["artifacts"]["heads"].pop("isArtifactList"),
        "evaluate: heads: it wants system.Model, and is given a list of system.Model",
    ),
    "the status of the run": (
        lambda s, p: task(s, "report-outcome")["inputs"]["parameters"]["status"]["taskFinalStatus"].update(
            producerTask="gone"
        ),
        "report-outcome: status: there is no task gone",
    ),
    "the items of a loop": (
        lambda s, p: loop(s)["parameterIterator"]["items"].update(inputParameter="start"),
        "for-loop-.*: it loops over start, which it is not given",
    ),
    "the item of a loop": (
        lambda s, p: loop(s)["parameterIterator"].update(itemInput="start"),
        "its component has no input start for the item of the loop",
    ),
    "a condition": (
        lambda s, p: condition(s)["triggerPolicy"].update(condition="inputs.parameter_values['new'] == true"),
        "its condition reads new, which it is not given",
    ),
    "a task's own placeholder": (
        lambda s, p: task(s, "fine-tune")["inputs"]["parameters"].pop("pipelinechannel--cpu"),
        r"fine-tune: cpu_limit: it reads pipelinechannel--cpu, which the task is not given",
    ),
    "a container's placeholder": (
        lambda s, p: container(s, "fine-tune")["resources"].update(
            resourceMemoryLimit="{{$.inputs.parameters['gigabytes']}}"
        ),
        "fine-tune: container: it reads gigabytes, which the task is not given",
    ),
    "a placeholder of KFP's": (
        lambda s, p: task(s, "promote")["inputs"]["parameters"]["run"]["runtimeValue"].update(
            constant="{{$.run_uuid}}"
        ),
        r"promote: run: there is nothing like {{\$.run_uuid}}",
    ),
    "a node selector": (
        lambda s, p: pod(p, "fine-tune")["nodeSelector"]["nodeSelectorJson"].update(componentInputParameter="pool"),
        "fine-tune: Kubernetes: the graph has no input pool",
    ),
    "a toleration": (
        lambda s, p: pod(p, "fine-tune")["tolerations"][0]["tolerationJson"].update(componentInputParameter="taint"),
        "fine-tune: Kubernetes: the graph has no input taint",
    ),
    "a volume's claim": (
        lambda s, p: pod(p, "ingest-images")["pvcMount"][0].update(
            pvcNameParameter={"taskOutputParameter": {"producerTask": "claim", "outputParameterKey": "name"}}
        ),
        "ingest-images: Kubernetes: there is no output name of a task claim",
    ),
    "a secret": (
        lambda s, p: pod(p, "ingest-images")["secretAsVolume"][0].update(
            secretNameParameter={"runtimeValue": {"constant": "{{$.inputs.parameters['secret']}}"}}
        ),
        "ingest-images: Kubernetes: it reads secret, which the task is not given",
    ),
    "the task behind an output": (
        lambda s, p: s["components"]["comp-ingest"]["dag"]["outputs"]["artifacts"]["Output"]["artifactSelectors"][
            0
        ].update(producerSubtask="loop"),
        "comp-ingest: Output: there is no output .*ingested of a task loop",
    ),
    "an output that is not promised": (
        lambda s, p: s["components"]["comp-ingest"]["outputDefinitions"]["artifacts"].clear(),
        "comp-ingest: the output Output is made only",
    ),
    "an output that is not made": (
        lambda s, p: s["components"]["comp-ingest"]["dag"]["outputs"]["artifacts"].clear(),
        "comp-ingest: the output Output is promised only",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_broken_is_found(broken: str) -> None:
    breaking, expected = BROKEN[broken]
    spec, platform = copy.deepcopy(compiled("retraining", site="secrets and a volume"))
    breaking(spec, platform)
    found = faults(spec, platform)
    assert any(re.search(expected, fault) for fault in found), found
