"""The graph of a Keras model: its calls in order, and the same without models inside models."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import keras
from keras.src.models.functional import Functional  # what keras.Model(inputs, outputs) makes; not exported


@dataclass(frozen=True)
class Node:
    """One call of a layer.

    Attributes:
        layer: What is called: a layer, a model inside the model, or an operation between layers.
        inputs: The tensors that go in.
        outputs: Those that come out.
        arguments: What it is called with, tensors and all else, as Keras keeps it.
    """

    layer: Any
    inputs: list[Any]
    outputs: list[Any]
    arguments: Any


def graph_of(layer: Any) -> Any:
    """Return the functional model behind a functional or sequential one; None for what has no graph of layers."""
    graph = layer._functional if isinstance(layer, keras.Sequential) else layer
    return graph if isinstance(graph, Functional) else None


def calls(model: keras.Model) -> list[Node]:
    """Return the calls that make up a functional or sequential model, in the order of computation."""
    by_depth = graph_of(model)._nodes_by_depth  # Keras offers no public view of a model's graph
    return [
        Node(node.operation, list(node.input_tensors), list(node.outputs), node.arguments)
        for depth in sorted(by_depth, reverse=True)
        for node in by_depth[depth]
        if not node.is_input
    ]


def has_graph(layer: Any) -> bool:
    """Return whether a layer is a functional or sequential model."""
    return graph_of(layer) is not None


def nested_calls(model: keras.Model, enters: Callable[[Any], bool] = has_graph) -> list[Node]:
    """Return the calls that make up a model, those of models inside it in the place of those models.

    A tensor is the same object wherever it comes out and goes in, and another for each call of a model that is called
    twice: those inside stand for what they are in this call. They have shapes and dtypes; no model can be made of them.

    Args:
        model: Functional or sequential.
        enters: Whether a model inside is looked into; else its call is one of the calls.
    """
    return list(_nested(model, {id(tensor): tensor for tensor in (*model.inputs, *model.outputs)}, enters))


def _nested(model: Any, known: dict[int, Any], enters: Callable[[Any], bool]) -> Iterator[Node]:
    """Yield the calls of a model some of whose tensors, by their ids, are known as others outside of it."""
    for node in calls(model):
        inputs = [known.get(id(tensor), tensor) for tensor in node.inputs]
        for tensor in node.outputs:
            known.setdefault(id(tensor), keras.KerasTensor(tensor.shape, tensor.dtype, name=tensor.name))
        outputs = [known[id(tensor)] for tensor in node.outputs]
        if not enters(node.layer):
            yield replace(node, inputs=inputs, outputs=outputs)
            continue
        graph = graph_of(node.layer)
        inside = dict(zip(map(id, graph.outputs), outputs, strict=True))
        inside |= zip(map(id, graph.inputs), inputs, strict=False)  # behind them there may be masks
        yield from _nested(graph, inside, enters)
        known |= zip(map(id, node.outputs), [inside[id(tensor)] for tensor in graph.outputs], strict=True)


def bottlenecks(nodes: Sequence[Node], output: Any) -> set[int]:
    """Return the ids of the calls whose output is the only tensor alive after them: every path passes through it.

    Args:
        nodes: All calls of a network, in the order of computation.
        output: The tensor that they are for.
    """
    uses = Counter(id(tensor) for node in nodes for tensor in node.inputs)
    alive: set[int] = set()
    found = set()
    for node in nodes:
        uses.subtract(map(id, node.inputs))
        alive -= {id(tensor) for tensor in node.inputs if not uses[id(tensor)]}
        alive |= {id(tensor) for tensor in node.outputs if uses[id(tensor)] or tensor is output}
        if alive == {id(node.outputs[0])}:
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
    try:
        for layer in (node.layer for model in models for node in nested_calls(model, is_unrolled)):
            if seen.setdefault(layer.name, layer) is not layer:
                number = next(number for number in count(2) if f"{layer.name}_{number}" not in seen)
                changed.append((layer, layer.name))
                layer.name = f"{layer.name}_{number}"
                seen[layer.name] = layer
        yield
    finally:
        for layer, name in reversed(changed):
            layer.name = name


def is_unrolled(layer: Any) -> bool:
    """Return whether a layer is a model that does nothing but call the layers of its graph."""
    return has_graph(layer) and (type(layer) is keras.Sequential or type(layer).call is Functional.call)


def _replayed(model: Any, inputs: Any) -> Any:
    def called(operation: Any) -> Any:
        # What a call says about training is left out: it is said again when the whole network is called.
        return (lambda tensors, **_: _replayed(operation, tensors)) if is_unrolled(operation) else operation

    return unpacked(graph_of(model)._run_through_graph(inputs, operation_fn=called))


def unpacked(tensors: Any) -> Any:
    """Return the tensor of a list that holds only one; anything else as it is."""
    return tensors[0] if isinstance(tensors, list | tuple) and len(tensors) == 1 else tensors
