"""A compiled pipeline read as Kubeflow's driver reads it: does every name in it lead to something?

KFP's compiler and loader let much through that fails on a cluster only, when the task that it concerns is due.
"""

import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any

import yaml

_PLACEHOLDER = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")
_CONDITION = re.compile(r"inputs\.parameter_values\['([^']+)'\]")
_OF_THE_RUN = re.compile(r"\{\{\$(\.pipeline_\w+)?\}\}")
_RESOURCES = re.compile(r"(accelerator_count|accelerator_type|(cpu|memory)_(limit|request)|pipelinechannel--.+)")
"""Parameters of a task that its component does not declare: what its pod asks for."""

Spec = dict[str, Any]


def read(text: str) -> tuple[Spec, Spec]:
    """Return the pipeline's specification, and the one for its platform."""
    spec, platform = yaml.load_all(text, yaml.CSafeLoader)
    return spec, platform


def faults(spec: Spec, platform: Spec) -> list[str]:
    """Return every name that leads to nothing, with where it stands."""
    return list(_Checker(spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]).faults())


def driver_pods(spec: Spec, iterations: int = 1) -> int:
    """Return how many pods of KFP's own a run takes, where each loop goes round so many times.

    Kubeflow starts one for the run itself, one for every task, one for every pipeline, condition or exit handler
    inside, one for every loop, and one more for each of its iterations; in front of a step that comes from the cache,
    too.
    """

    def of(graph: Spec) -> int:
        pods = 1
        for task in graph["dag"]["tasks"].values():
            component = spec["components"][task["componentRef"]["name"]]
            inside = of(component) if "dag" in component else 1
            pods += 1 + iterations * inside if "parameterIterator" in task else inside
        return pods

    return of(spec["root"])


class _Checker:
    def __init__(self, spec: Spec, placed: Spec) -> None:
        self.components, self.placed = spec["components"], placed
        self.executors = spec["deploymentSpec"]["executors"]
        self.graphs = {"root": spec["root"]}
        self.graphs |= {name: component for name, component in self.components.items() if "dag" in component}

    def faults(self) -> Iterator[str]:
        for label in self.placed.keys() - self.executors.keys():
            yield f"Kubernetes: there is no executor {label}"
        referenced = {task["componentRef"]["name"] for graph in self.graphs.values() for task in _tasks(graph).values()}
        for name in self.components.keys() - referenced:
            yield f"{name}: no task refers to it"
        for name, graph in self.graphs.items():
            for key, task in _tasks(graph).items():
                for fault in self._of_task(graph, key, task):
                    yield f"{name}, {key}: {fault}"
            for fault in (*self._of_order(graph), *self._of_outputs(graph)):
                yield f"{name}: {fault}"

    def _of_task(self, graph: Spec, key: str, task: Spec) -> Iterator[str]:
        name = task["componentRef"]["name"]
        component = self.components.get(name)
        if component is None:
            yield f"there is no component {name}"
            return
        yield from self._of_inputs(graph, task, component)
        yield from self._of_control(graph, task, component)
        if "dag" not in component:
            yield from self._of_pod(graph, task, component)

    def _of_inputs(self, graph: Spec, task: Spec, component: Spec) -> Iterator[str]:
        given = {kind: _inputs(task, kind) for kind in ("parameters", "artifacts")}
        item = task.get("parameterIterator", {}).get("itemInput")
        for kind, entries in given.items():
            declared = _declared(component, "inputDefinitions", kind)
            for key, entry in declared.items():
                if not entry.get("isOptional") and key not in entries and key != item:
                    yield f"the input {key} is not given"
            for key, value in entries.items():
                if key not in declared and ("dag" in component or not _RESOURCES.fullmatch(key)):
                    yield f"its component has no input {key}"
                yield from self._of_value(graph, key, value, declared.get(key), given["parameters"])

    def _of_value(self, graph: Spec, key: str, value: Spec, declared: Spec | None, parameters: Spec) -> Iterator[str]:
        """Check where an input comes from: an input of the graph, an output of a task beside, or a constant."""
        found: Spec | None = None
        match value:
            case {"componentInputParameter": name} | {"componentInputArtifact": name}:
                kind = "parameters" if "componentInputParameter" in value else "artifacts"
                found = _declared(graph, "inputDefinitions", kind).get(name)
                if found is None:
                    yield f"{key}: the graph has no input {name}"
            case {"taskOutputParameter": {"producerTask": producer, "outputParameterKey": output}}:
                found = self._output(graph, producer, output, "parameters")
                if found is None:
                    yield f"{key}: there is no output {output} of a task {producer}"
            case {"taskOutputArtifact": {"producerTask": producer, "outputArtifactKey": output}}:
                found = self._output(graph, producer, output, "artifacts")
                if found is None:
                    yield f"{key}: there is no output {output} of a task {producer}"
            case {"taskFinalStatus": {"producerTask": producer}}:
                if producer not in _tasks(graph):
                    yield f"{key}: there is no task {producer}"
            case {"runtimeValue": {"constant": constant}}:
                yield from (f"{key}: {fault}" for fault in _of_placeholders(constant, parameters))
            case _:
                yield f"{key}: it comes from nowhere"
        if found is not None and declared is not None and _type(found) != _type(declared):
            yield f"{key}: it wants {_type(declared)}, and is given {_type(found)}"

    def _of_control(self, graph: Spec, task: Spec, component: Spec) -> Iterator[str]:
        """Check what decides when a task runs, and how often."""
        parameters, upstream = _inputs(task, "parameters"), task.get("dependentTasks", [])
        for name in (*found_under(task.get("inputs", {}), "producerTask"), *upstream):
            if name not in _tasks(graph):
                yield f"it waits for a task {name}, which is not there"
            elif name not in upstream:
                yield f"it reads what {name} puts out, and does not wait for it"
        for name in _CONDITION.findall(task.get("triggerPolicy", {}).get("condition", "")):
            if name not in parameters:
                yield f"its condition reads {name}, which it is not given"
        if loop := task.get("parameterIterator"):
            if loop["items"].get("inputParameter", loop["items"].get("raw")) not in (
                *parameters,
                loop["items"].get("raw"),
            ):
                yield f"it loops over {loop['items']['inputParameter']}, which it is not given"
            if loop["itemInput"] not in _declared(component, "inputDefinitions", "parameters"):
                yield f"its component has no input {loop['itemInput']} for the item of the loop"

    def _of_pod(self, graph: Spec, task: Spec, component: Spec) -> Iterator[str]:
        """Check what a step's container and its pod read, when they are made."""
        label, parameters = component["executorLabel"], _inputs(task, "parameters")
        if label not in self.executors:
            yield f"there is no executor {label}"
            return
        yield from (f"container: {fault}" for fault in _of_placeholders(self.executors[label]["container"], parameters))
        placed = self.placed.get(label, {})
        yield from (f"Kubernetes: {fault}" for fault in _of_placeholders(placed, parameters))
        for name in found_under(placed, "componentInputParameter"):
            if name not in _declared(graph, "inputDefinitions", "parameters"):
                yield f"Kubernetes: the graph has no input {name}"
        for value in found_under(placed, "taskOutputParameter"):
            if self._output(graph, value["producerTask"], value["outputParameterKey"], "parameters") is None:
                yield f"Kubernetes: there is no output {value['outputParameterKey']} of a task {value['producerTask']}"

    def _of_order(self, graph: Spec) -> Iterator[str]:
        try:
            TopologicalSorter({key: task.get("dependentTasks", []) for key, task in _tasks(graph).items()}).prepare()
        except CycleError as error:
            yield f"tasks wait for each other: {', '.join(error.args[1])}"

    def _of_outputs(self, graph: Spec) -> Iterator[str]:
        """Check what a graph puts out: what it promises, and the tasks inside that make it."""
        for kind in ("parameters", "artifacts"):
            declared, made = _declared(graph, "outputDefinitions", kind), graph["dag"].get("outputs", {}).get(kind, {})
            for key in declared.keys() ^ made.keys():
                yield f"the output {key} is {'made' if key in made else 'promised'} only"
            for key, selector in made.items():
                single = "valueFromParameter" if kind == "parameters" else "artifactSelectors"
                chosen = selector.get(single, [])
                for each in chosen if isinstance(chosen, list) else [chosen]:
                    output = each.get("outputParameterKey") or each.get("outputArtifactKey")
                    if self._output(graph, each["producerSubtask"], output, kind) is None:
                        yield f"{key}: there is no output {output} of a task {each['producerSubtask']}"
                if not chosen:
                    yield f"{key}: it comes from nowhere"

    def _output(self, graph: Spec, producer: str, key: str, kind: str) -> Spec | None:
        task = _tasks(graph).get(producer, {"componentRef": {"name": ""}})
        component = self.components.get(task["componentRef"]["name"], {})
        output: Spec | None = _declared(component, "outputDefinitions", kind).get(key)
        return output


def _tasks(graph: Spec) -> Spec:
    tasks: Spec = graph["dag"]["tasks"]
    return tasks


def _inputs(task: Spec, kind: str) -> Spec:
    entries: Spec = task.get("inputs", {}).get(kind, {})
    return entries


def _declared(component: Spec, definitions: str, kind: str) -> Spec:
    entries: Spec = component.get(definitions, {}).get(kind, {})
    return entries


def _type(entry: Spec) -> str:
    if "parameterType" in entry:
        return str(entry["parameterType"])
    kind = entry["artifactType"]["schemaTitle"]
    return f"a list of {kind}" if entry.get("isArtifactList") else str(kind)


def _of_placeholders(value: Any, parameters: Spec) -> Iterator[str]:
    for text in _texts(value):
        for name in _PLACEHOLDER.findall(text):
            if name not in parameters:
                yield f"it reads {name}, which the task is not given"
        for left in re.findall(r"\{\{\$.*?\}\}", _PLACEHOLDER.sub("", text)):
            if not _OF_THE_RUN.fullmatch(left):
                yield f"there is nothing like {left}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def found_under(value: Any, key: str) -> Iterator[Any]:
    """Yield every value under a key, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from found_under(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from found_under(inner, key)
