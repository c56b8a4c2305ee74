"""The graph of a functional Keras model: its calls in order, and the same without models inside models."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import keras
from keras.src.models.functional import Functional  # what keras.Model(inputs, outputs) makes; not exported


@dataclass(frozen=True)
class Node:
    """One call of a layer: the layer, what goes in, what comes out."""

    layer: Any
    inputs: list[Any]
    outputs: list[Any]


def calls(model: keras.Model) -> list[Node]:
    """Return the calls that make up a functional model, inputs first, in the order of computation."""
    by_depth = model._nodes_by_depth  # Keras offers no public view of a model's graph
    return [
        Node(node.operation, list(node.input_tensors), list(node.outputs))
        for depth in sorted(by_depth, reverse=True)
        for node in by_depth[depth]
    ]


def bottlenecks(nodes: list[Node], outputs: set[int]) -> set[int]:
    """Return the ids of the calls whose output is the only tensor alive after them: every path passes through it."""
    uses: dict[int, int] = {}
    for node in nodes:
        for tensor in node.inputs:
            uses[id(tensor)] = uses.get(id(tensor), 0) + 1
    alive: set[int] = set()
    found = set()
    for node in nodes:
        for tensor in node.inputs:
            uses[id(tensor)] -= 1
            if not uses[id(tensor)]:
                alive.discard(id(tensor))
        alive |= {id(tensor) for tensor in node.outputs if uses.get(id(tensor)) or id(tensor) in outputs}
        if len(alive) == 1 and id(node.outputs[0]) in alive:
            found.add(id(node))
    return found


def unrolled(model: keras.Model) -> keras.Model:
    """Return the same network with the calls of functional models inside it in place of those models.

    The layers are the same objects. What is no functional model, such as a subclassed one, stays one call.

    Args:
        model: A functional model with one input. No two of its layers may share a name, see `distinct_names`.
    """
    inputs = keras.Input(batch_shape=model.input_shape, dtype=model.inputs[0].dtype)
    return keras.Model(inputs, _replayed(model, inputs), name=model.name)


def users(nodes: Iterable[Node]) -> dict[int, list[Node]]:
    """Return which calls take a tensor, by the tensor's id."""
    found: dict[int, list[Node]] = {}
    for node in nodes:
        for tensor in node.inputs:
            found.setdefault(id(tensor), []).append(node)
    return found


def replaced(network: keras.Model, instead: Mapping[int, Any]) -> keras.Model:
    """Return the same graph with other layers called in place of some.

    Args:
        network: An unrolled functional model.
        instead: By the id of a layer, what is called instead of it; all others are shared.
    """
    inputs = [keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype) for tensor in network.inputs]
    outputs = network._run_through_graph(inputs, operation_fn=lambda layer: instead.get(id(layer), layer))
    return keras.Model(unpacked(inputs), outputs, name=network.name)


@contextmanager
def distinct_names(*models: keras.Model) -> Iterator[None]:
    """Give the layers of models inside models names that no two share, while the block runs.

    In one graph Keras allows every name once. A model inside another is a name space of its own, until it is unrolled.
    """
    changed: list[tuple[Any, str]] = []
    seen: dict[str, Any] = {}

    def visit(model: Any) -> None:
        for node in calls(_graph(model)):
            layer = node.layer
            if is_unrolled(layer):
                visit(layer)
            elif node.inputs and seen.setdefault(layer.name, layer) is not layer:
                number = next(number for number in count(2) if f"{layer.name}_{number}" not in seen)
                changed.append((layer, layer.name))
                layer.name = f"{layer.name}_{number}"
                seen[layer.name] = layer

    try:
        for model in models:
            visit(model)
        yield
    finally:
        for layer, name in reversed(changed):
            layer.name = name


def is_unrolled(layer: Any) -> bool:
    """Return whether a layer is a model that does nothing but call the layers of its graph."""
    return isinstance(_graph(layer), Functional) and type(_graph(layer)).call is Functional.call


def _replayed(model: Any, inputs: Any) -> Any:
    def called(operation: Any) -> Any:
        # What a call says about training is left out: it is said again when the whole network is called.
        return (lambda tensors, **_: _replayed(operation, tensors)) if is_unrolled(operation) else operation

    graph = _graph(model)
    return unpacked(graph._run_through_graph(inputs, operation_fn=called))


def unpacked(tensors: Any) -> Any:
    """Return the tensor of a list that holds only one; anything else as it is."""
    return tensors[0] if isinstance(tensors, list | tuple) and len(tensors) == 1 else tensors


def _graph(layer: Any) -> Any:
    return layer._functional if type(layer) is keras.Sequential else layer
