"""Models inside models are followed as if they were not inside."""

import keras
import numpy as np

from graftwork.networks.folding import folded
from graftwork.networks.graph import bottlenecks, calls, distinct_names, is_unrolled, nested_calls, unrolled

from small_networks import outputs, pixels, residual_network, with_random_statistics

layers = keras.layers


def test_models_inside_models_are_unrolled_and_answer_the_same():
    inner = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()], name="inner")
    image = keras.Input((16, 16, 3))
    around = keras.Model(image, inner(layers.Rescaling(2.0)(image)), name="around")
    outer = keras.Input((16, 16, 3))
    model = keras.Model(outer, layers.Add()([around(outer), around(layers.ReLU()(outer))]))  # shared
    flat = unrolled(with_random_statistics(model))
    assert not any(is_unrolled(layer) for layer in flat.layers)
    np.testing.assert_array_equal(outputs(flat, pixels()), outputs(model, pixels()))
    assert {id(weight) for weight in flat.weights} == {id(weight) for weight in model.weights}


def test_a_model_with_its_own_call_stays_one_call():
    class Doubled(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.conv = layers.Conv2D(4, 3)

        def call(self, values):
            return 2 * self.conv(values)

    image = keras.Input((16, 16, 3))
    model = keras.Model(image, Doubled()(image))
    flat = unrolled(model)
    assert [type(node.layer).__name__ for node in calls(flat) if node.inputs] == ["Doubled"]
    np.testing.assert_array_equal(outputs(flat, pixels()), outputs(model, pixels()))


def test_layers_of_inner_models_may_share_names():
    def inner(name: str) -> keras.Model:
        return keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(3, 3, name="conv")], name=name)

    image = keras.Input((16, 16, 3))
    model = keras.Model(image, layers.ReLU(name="conv")(inner("b")(inner("a")(image))))
    with distinct_names(model):
        flat = unrolled(model)
        assert len({layer.name for layer in flat.layers}) == len(flat.layers)
        np.testing.assert_array_equal(outputs(folded(flat), pixels()), outputs(model, pixels()))
    assert [model.get_layer(name).get_layer("conv").name for name in "ab"] == ["conv", "conv"]


class TestNestedCalls:
    def test_a_model_that_is_called_twice_is_entered_twice_with_other_tensors(self):
        values = keras.Input((16, 16, 3))
        inner = keras.Model(values, layers.ReLU(name="relu")(layers.Conv2D(3, 3, padding="same", name="conv")(values)))
        image = keras.Input((16, 16, 3))
        model = keras.Model(image, layers.Add(name="join")([inner(image), inner(inner(image))]))
        nodes = nested_calls(model)
        assert [node.layer.name for node in nodes] == [*(["conv", "relu"] * 3), "join"]
        assert len({id(tensor) for node in nodes for tensor in node.outputs}) == len(nodes)
        made = {id(image)}
        for node in nodes:
            assert {id(tensor) for tensor in node.inputs} <= made
            made |= {id(tensor) for tensor in node.outputs}
        assert nodes[-1].outputs[0] is model.outputs[0]

    def test_what_passes_through_a_model_is_the_same_tensor(self):
        values = keras.Input((8,))
        inner = keras.Model(values, [values, layers.Dense(8, name="dense")(values)])
        vector = keras.Input((8,))
        model = keras.Model(vector, layers.Add(name="join")(inner(vector)))
        dense, join = nested_calls(model)
        assert [id(tensor) for tensor in join.inputs] == [id(vector), id(dense.outputs[0])]

    def test_a_model_that_is_not_entered_is_one_call(self):
        inner = keras.Sequential([keras.Input((8,)), layers.Dense(4)], name="inner")
        model = keras.Sequential([keras.Input((8,)), inner, layers.Dense(2, name="last")])
        assert [node.layer.name for node in nested_calls(model, enters=lambda _: False)] == ["inner", "last"]


def test_everything_passes_through_what_no_branch_goes_around():
    nodes = calls(model := residual_network())
    single = bottlenecks(nodes, model.outputs[0])
    found = [node.layer.name for node in nodes if id(node) in single]
    assert {"stem", "joined", "dropout", "logits"} <= set(found)
    assert not {"a1", "first", "b1", "second"} & set(found)
