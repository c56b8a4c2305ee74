"""Where to cut a trained network: which of its outputs becomes the features."""

import difflib

import keras

from graftwork.artifacts.model import BASE
from graftwork.base_models.conversion.input_size import at_input_size
from graftwork.base_models.opened import AUTO, PENULTIMATE, OpenedModel, Request
from graftwork.errors import UserError
from graftwork.networks.graph import Node, bottlenecks, calls
from graftwork.networks.layers import has_weights, leaf_layers

_ENDS_SPACE = (
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
)


def base_of(opened: OpenedModel, request: Request) -> tuple[keras.Model, str]:
    """Return the part of a model that becomes the base, at the size it was asked for.

    Returns:
        float32 (n, height, width, 3 or 1) to features, without preprocessing and pooling; the layer it ends with.

    Raises:
        UserError: It cannot be cut or rebuilt as asked.
    """
    size = request.input_size
    base, cut_at = cut(opened, opened.renamed_to(request.feature_layer))
    if size and base.input_shape[1:3] != (size, size):
        base = at_input_size(base, size, opened)
    if None in base.input_shape[1:3]:
        facts = {"model": opened.summary, "its input": base.input_shape}
        raise UserError(
            "the base model takes images of any size", facts, next="pass the size to use: --set input_size=224"
        )
    return base, cut_at


def cut(opened: OpenedModel, feature_layer: str) -> tuple[keras.Model, str]:
    """Return the part of a model from its input to its features.

    Args:
        opened: The model as it was saved.
        feature_layer: A layer's name; "penultimate" for what goes into the last layer with weights, which is the
            classifier; "auto" for the last output with height and width before the network flattens or pools it away,
            or the penultimate one where there is none.

    Returns:
        A functional model whose only output is that tensor, and the name of the layer it comes from.

    Raises:
        UserError: There is no such layer, or the model's input is no image.
    """
    if opened.feature_layer and feature_layer in (AUTO, opened.feature_layer):
        return keras.Model(opened.model.inputs, opened.model.outputs[0], name=BASE), opened.feature_layer
    return _cut(opened.model, opened, feature_layer)


def _cut(model: keras.Model, opened: OpenedModel, feature_layer: str) -> tuple[keras.Model, str]:
    nodes = calls(model)
    if feature_layer == AUTO:
        node = _last_spatial(model, nodes) or _penultimate(opened, nodes)
    elif feature_layer == PENULTIMATE:
        node = _penultimate(opened, nodes)
    else:
        node = _named(opened, nodes, feature_layer)
    if isinstance(node.layer, keras.Model) and _is_inside(node, feature_layer):
        inner, name = _cut(node.layer, opened, feature_layer)
        return keras.Model(model.inputs, inner(node.inputs[0]), name=BASE), name
    if len(node.outputs) != 1 or len(node.outputs[0].shape) not in (2, 3, 4):
        shapes = ", ".join(str(output.shape) for output in node.outputs)
        raise UserError(
            "the feature layer's output is neither a feature map nor a flat feature",
            {"model": opened.summary, "layer": node.layer.name, "output": shapes},
            next="pass another feature_layer",
        )
    return keras.Model(model.inputs, node.outputs[0], name=BASE), str(node.layer.name)


def _is_inside(node: Node, feature_layer: str) -> bool:
    """Return whether the place to cut lies inside the model that a node calls, not behind it."""
    if feature_layer in (AUTO, PENULTIMATE):
        return len(node.outputs[0].shape) != 4  # its own classifier is inside it
    return bool(node.layer.name != feature_layer)


def _last_spatial(model: keras.Model, nodes: list[Node]) -> Node | None:
    """Return the last call with a feature map that everything passes through, if it comes after layers with weights."""
    found, weighted = None, False
    single = bottlenecks(nodes, model.outputs[0])
    for node in nodes:
        weighted = weighted or has_weights(node.layer)
        if id(node) not in single:
            continue
        if isinstance(node.layer, _ENDS_SPACE) or len(node.outputs[0].shape) != 4:
            break
        found = node if weighted else None
    after = nodes[nodes.index(found) + 1 :] if found else []
    # In a transformer the patches of the stem are no features: its work comes later, without height and width.
    leaves = (leaf for node in after for leaf in leaf_layers(node.layer))
    return None if any("Attention" in type(leaf).__name__ for leaf in leaves) else found


def _penultimate(opened: OpenedModel, nodes: list[Node]) -> Node:
    """Return the call whose output goes into the last call with weights.

    Of a last call that is a whole model with more than its classifier inside, that call itself: the place is inside.
    """
    classifier = next((node for node in reversed(nodes) if has_weights(node.layer)), None)
    if classifier is not None:
        if isinstance(classifier.layer, keras.Model) and sum(map(has_weights, leaf_layers(classifier.layer))) > 1:
            return classifier
        for node in nodes:
            if node.outputs[0] is classifier.inputs[0]:
                return node
    raise UserError(
        "the base model has no layer before its classifier",
        {"model": opened.summary},
        next="pass feature_layer with a layer's name",
    )


def _named(opened: OpenedModel, nodes: list[Node], name: str) -> Node:
    for node in reversed(nodes):
        if node.layer.name == name:
            return node
    for node in reversed(nodes):
        if isinstance(node.layer, keras.Model) and name in {layer.name for layer in leaf_layers(node.layer)}:
            return node
    names = [layer.name for node in nodes for layer in (node.layer, *leaf_layers(node.layer))]
    close = difflib.get_close_matches(name, names, n=3)
    raise UserError(
        f"the base model has no layer named {name!r}",
        {"model": opened.summary, "last layers": ", ".join(names[-5:])},
        next=f"did you mean {' or '.join(close)}?" if close else f"pass one of its layers, {AUTO} or {PENULTIMATE}",
    )
