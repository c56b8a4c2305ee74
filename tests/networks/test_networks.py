"""What is done to a network before its frozen part runs: the answers must stay the same."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from graftwork.components.fine_tune.layers import unfreeze_last
from graftwork.networks import devices
from graftwork.networks.depthwise import kernel_gradient, with_fast_gradients
from graftwork.networks.folding import folded
from graftwork.networks.frozen import frozen
from graftwork.networks.graph import calls, distinct_names, is_unrolled, unrolled
from graftwork.networks.precision import computing_in, for_training, resolved
from graftwork.networks.split import split

from architectures.expected import each_network

layers = keras.layers
EXACT = 1e-4
"""Largest difference that folding may make, of outputs near 1."""


def pixels(count: int = 4, size: int = 16) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (count, size, size, 3)).astype(np.float32)


def with_random_statistics(model: keras.Model) -> keras.Model:
    """Give batch normalisation something to do: a fresh one is the identity."""
    random = np.random.default_rng(1)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


def with_statistics_of(values: np.ndarray, model: keras.Model) -> keras.Model:
    """Let batch normalisation see some images, as in training: deep random networks explode without."""
    normalizations = [layer for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]
    for layer in normalizations:
        layer.momentum = 0.0
    model(values, training=True)
    return model


def conv(values: keras.KerasTensor, filters: int, **settings: object) -> keras.KerasTensor:
    values = layers.Conv2D(filters, 3, padding="same", use_bias=False, **settings)(values)
    return layers.ReLU(6)(layers.BatchNormalization()(values))


def residual_network() -> keras.Model:
    """A stem, two residual blocks, a branch that joins late, dropout, and a dense layer."""
    image = keras.Input((16, 16, 3))
    stem = conv(image, 8, name="stem", strides=2)
    first = layers.Add(name="first")([conv(conv(stem, 16, name="a1"), 8, name="a2"), stem])
    second = layers.Add(name="second")([conv(conv(first, 16, name="b1"), 8, name="b2"), first])
    joined = layers.Concatenate(name="joined")([second, layers.MaxPooling2D(3, 1, "same")(stem)])
    outputs = layers.Dense(5, name="logits")(layers.Dropout(0.5, name="dropout")(layers.Flatten()(joined)))
    return with_random_statistics(keras.Model(image, outputs))


def trained_from(model: keras.Model, *names: str) -> keras.Model:
    for layer in model.layers:
        layer.trainable = layer.name in names
    return model


def outputs(model: keras.Model, values: np.ndarray) -> np.ndarray:
    return np.asarray(model(values, training=False))


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


@pytest.mark.parametrize(
    ("names", "cut"),
    [
        (("logits",), {"flatten"}),
        (("b2", "logits"), {"b1", "first", "max_pooling2d"}),
        (("b1", "b2", "logits"), {"first", "max_pooling2d"}),
        (("a1",), {"stem", "max_pooling2d"}),
    ],
)
def test_a_network_is_split_right_below_its_trained_layers(names: tuple[str, ...], cut: set[str]):
    model = trained_from(residual_network(), *names)
    parts = split(unrolled(model))
    crossing = {name.rstrip("_0123456789") for name in parts.cut}
    # A convolution's output crosses behind its normalisation and activation, which are frozen as well.
    expected = {{"b1": "re_lu", "stem": "re_lu", "max_pooling2d": "max_pooling"}.get(name, name) for name in cut}
    assert {name.removesuffix("2d") for name in crossing} == expected
    assert not parts.trunk.trainable_weights
    trained = {id(weight) for weight in model.trainable_weights}
    assert {id(weight) for weight in parts.suffix.trainable_weights} == trained
    crossed = parts.trunk(pixels(), training=False)
    np.testing.assert_allclose(outputs(parts.suffix, crossed), outputs(model, pixels()), atol=1e-6)


def test_dropout_below_a_trained_layer_is_trained_with_it_and_other_dropout_is_not():
    image = keras.Input((16, 16, 3))
    values = layers.Conv2D(4, 3, name="conv")(layers.Dropout(0.5, name="early")(image))
    model = keras.Model(image, layers.Dense(2, name="head")(layers.ReLU()(layers.Dropout(0.5, name="late")(values))))
    parts = split(unrolled(trained_from(model, "head")))
    assert parts.cut == ("conv",)
    assert "late" in {layer.name for layer in parts.suffix.layers}
    assert "early" in {layer.name for layer in parts.trunk.layers}


def test_a_layer_that_is_called_on_both_sides_of_the_cut():
    image, relu = keras.Input((16, 16, 3)), layers.ReLU()
    values = relu(layers.Conv2D(4, 3, name="first")(image))
    model = keras.Model(image, relu(layers.Conv2D(4, 3, name="second")(values)))
    parts = split(unrolled(trained_from(model, "second")))
    assert [layer.name for layer in parts.suffix.layers if layer.trainable_weights] == ["second"]
    np.testing.assert_array_equal(outputs(parts.suffix, parts.trunk(pixels())), outputs(model, pixels()))


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


def test_everything_trained_leaves_a_trunk_without_weights():
    parts = split(unrolled(residual_network()))
    assert parts.trunk_operations == 0


def test_nothing_changes_in_the_network_that_is_split():
    model = trained_from(residual_network(), "logits")
    before = model.get_config()
    frozen(split(unrolled(model)).trunk, "bfloat16")
    assert model.get_config() == before
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(6, 3),
        layers.Conv2D(6, 3, use_bias=False, strides=2, groups=3),
        layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False),
        layers.Conv2DTranspose(6, 3, strides=2),
        layers.Dense(6),
    ],
    ids=lambda layer: type(layer).__name__ + ("" if layer.use_bias else "-without-bias"),
)
@pytest.mark.parametrize("parts_of", [{}, {"scale": False}, {"center": False}])
def test_folding_batch_normalisation_changes_no_answer(layer: keras.Layer, parts_of: dict[str, bool]):
    layer = type(layer).from_config(layer.get_config())
    image = keras.Input((16, 16, 3))
    normalized = layers.BatchNormalization(**parts_of)(layer(image))
    model = with_random_statistics(keras.Model(image, layers.ReLU()(normalized)))
    inference = folded(model)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in inference.layers)
    np.testing.assert_allclose(outputs(inference, pixels()), outputs(model, pixels()), atol=EXACT, rtol=EXACT)


def test_what_others_see_before_the_normalisation_is_not_folded():
    image = keras.Input((16, 16, 3))
    values = layers.Conv2D(4, 3)(image)
    model = with_random_statistics(keras.Model(image, layers.Add()([layers.BatchNormalization()(values), values])))
    shared = layers.Conv2D(3, 3, padding="same")
    twice = with_random_statistics(keras.Model(image, layers.BatchNormalization()(shared(shared(image)))))
    active = layers.Conv2D(4, 3, activation="relu")(image)
    bent = with_random_statistics(keras.Model(image, layers.BatchNormalization()(active)))
    for network in (model, twice, bent):
        inference = folded(network)
        assert any(isinstance(layer, layers.BatchNormalization) for layer in inference.layers)
        np.testing.assert_array_equal(outputs(inference, pixels()), outputs(network, pixels()))


@pytest.mark.parametrize("name", ["MobileNetV2", "EfficientNetB0", "ResNet50V2", "DenseNet121", "Xception"])
def test_folding_is_exact_on_real_architectures(name: str):
    model = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(96, 96, 3), pooling="avg")
    with_random_statistics(model)
    values = pixels(2, 96)
    expected = outputs(model, values)
    scale = np.abs(expected).max()
    inference = folded(unrolled(model))
    count = [sum(isinstance(layer, layers.BatchNormalization) for layer in m.layers) for m in (model, inference)]
    assert count[1] < count[0]
    np.testing.assert_allclose(outputs(inference, values) / scale, expected / scale, atol=EXACT)


@pytest.mark.slow
@each_network
def test_every_architecture_is_split_and_folded_without_a_change_in_its_answers(name: str):
    build = getattr(keras.applications, name)
    size = 331 if name == "NASNetLarge" else 96
    model = build(weights=None, include_top=False, input_shape=(size, size, 3), pooling="avg")
    with_statistics_of(pixels(4, size) * 255, model)
    backbone = keras.Model(model.inputs, model.outputs)
    unfreeze_last(backbone, "third")
    parts = split(unrolled(backbone))
    assert parts.trunk_operations
    assert {id(weight) for weight in parts.suffix.trainable_weights} == {id(w) for w in backbone.trainable_weights}
    values = pixels(1, size) * 255
    expected = outputs(backbone, values)
    crossed = frozen(parts.trunk, "float32")(tf.constant(values))
    found = outputs(with_fast_gradients(parts.suffix), crossed if len(crossed) > 1 else crossed[0])
    scale = np.abs(expected).max()
    # The deepest networks blow up every rounding error while their weights are random: so does a millionth more light.
    noise = np.abs(outputs(backbone, values * (1 + 1e-6)) - expected).max() / scale
    np.testing.assert_allclose(found / scale, expected / scale, atol=max(EXACT, 10 * noise))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["conv", "residual", "pool", "dropout"]), min_size=1, max_size=5), st.integers(0, 5))
def test_trunk_and_suffix_together_are_the_network(blocks: list[str], trained: int):
    image = keras.Input((16, 16, 3))
    values = layers.Conv2D(4, 3, padding="same")(image)
    for block in blocks:
        if block == "conv":
            values = conv(values, 4)
        elif block == "residual":
            values = layers.Add()([conv(values, values.shape[-1]), values])
        elif block == "pool":
            values = layers.MaxPooling2D(3, 1, padding="same")(values)
        else:
            values = layers.Dropout(0.3)(values)
    model = with_random_statistics(keras.Model(image, layers.Dense(3)(layers.Flatten()(values))))
    weighted = [layer for layer in model.layers if layer.weights and not isinstance(layer, layers.BatchNormalization)]
    for layer in model.layers:
        layer.trainable = False
    for layer in weighted[max(0, len(weighted) - 1 - trained) :]:
        layer.trainable = True
    parts = split(unrolled(model))
    crossed = frozen(parts.trunk, "float32")(tf.constant(pixels()))
    answer = outputs(parts.suffix, crossed if len(crossed) > 1 else crossed[0])
    np.testing.assert_allclose(answer, outputs(model, pixels()), atol=1e-4, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    stride=st.integers(1, 2),
    padding=st.sampled_from(["same", "valid"]),
)
def test_the_gradient_of_a_depthwise_kernel_is_that_of_tensorflow(
    size: tuple[int, int], kernel: tuple[int, int], stride: int, padding: str
):
    if padding == "valid":
        size = (max(size[0], kernel[0]), max(size[1], kernel[1]))
    values = tf.random.stateless_normal([3, *size, 4], [1, 2])
    weights = tf.random.stateless_normal([*kernel, 4, 1], [3, 4])
    with tf.GradientTape() as tape:
        tape.watch(weights)
        outputs = tf.nn.depthwise_conv2d(values, weights, [1, stride, stride, 1], padding.upper())
    upstream = tf.random.stateless_normal(outputs.shape, [5, 6])
    expected = tape.gradient(outputs, weights, output_gradients=upstream)
    found = kernel_gradient(values, upstream, kernel, stride, padding)
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)


def test_fast_gradients_change_neither_answers_nor_gradients_nor_weights():
    image = keras.Input((8, 8, 6))
    other = keras.Input((8, 8, 6))
    values = layers.DepthwiseConv2D(5, 2, padding="same", activation="relu", name="large")(layers.Add()([image, other]))
    values = layers.DepthwiseConv2D(5, use_bias=False, padding="same", name="frozen", trainable=False)(values)
    values = layers.DepthwiseConv2D(3, padding="same", name="small")(values)
    model = keras.Model([image, other], layers.Dense(2)(layers.Flatten()(values)))
    fast = with_fast_gradients(model)
    assert [type(layer).__name__ for layer in fast.layers].count("_FastGradient") == 1
    assert {id(weight) for weight in fast.trainable_weights} == {id(weight) for weight in model.trainable_weights}
    given = [tf.random.stateless_normal([5, 8, 8, 6], [seed, 0]) for seed in (1, 2)]

    def gradients(network: keras.Model) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(network(given, training=True)))
        return tape.gradient(loss, [weight.value for weight in model.trainable_weights])

    np.testing.assert_array_equal(fast(given), model(given))
    for ours, expected in zip(gradients(fast), gradients(model), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3)
    plain = residual_network()
    assert with_fast_gradients(plain) is plain


def test_half_precision_is_near_and_leaves_no_trace():
    model = residual_network()
    flat = unrolled(model)
    exact = frozen(flat, "float32")(tf.constant(pixels()))[0].numpy()
    half = frozen(flat, "bfloat16")(tf.constant(pixels()))[0].numpy().astype(np.float32)
    assert np.abs(half - exact).max() < 0.05 * np.abs(exact).max()
    assert np.abs(half - exact).max() > 0
    assert {layer.dtype_policy.name for layer in flat.layers} == {"float32"}
    with computing_in("bfloat16", flat):
        assert "mixed_bfloat16" in {layer.dtype_policy.name for layer in flat.layers}
    assert {layer.dtype_policy.name for layer in flat.layers} == {"float32"}


def test_what_is_asked_for_is_what_is_computed_in():
    depthwise = keras.Sequential([keras.Input((16, 16, 3)), layers.DepthwiseConv2D(3)])
    assert resolved("float32") == "float32"
    assert resolved("bfloat16") == for_training("bfloat16", depthwise) == "bfloat16"
    assert resolved("auto") in ("float32", "bfloat16")
    if not tf.config.list_physical_devices("GPU"):
        assert for_training("auto", depthwise) == "float32"


def test_one_device_needs_no_copies_of_the_network():
    assert devices.strategy(["CPU:0"]).num_replicas_in_sync == 1
    assert devices.compiles() == bool(tf.config.list_physical_devices("GPU"))
