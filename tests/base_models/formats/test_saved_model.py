"""SavedModels without layers of Keras: usable through their function, and fine-tuned where that can be."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

from graftwork.artifacts import model as model_artifact
from graftwork.artifacts.code import CustomCode
from graftwork.artifacts.saved_function import SavedFunction
from graftwork.base_models.open import open_file
from graftwork.base_models.opened import OpenedModel, Request
from graftwork.components.extract_features.extract import extract_features
from graftwork.components.fine_tune.fine_tune import fine_tune
from graftwork.components.load_base_model.load import load_base_model
from graftwork.components.train_head.train import train_head
from graftwork.config import FineTuneConfig, HeadConfig
from graftwork.errors import UserError

from foreign_models import PIXELS, FeatureVector, feature_vector


def exported_by_keras_3(path: Path) -> np.ndarray:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((24, 24, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(6, 3),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
        ]
    )
    model.export(path, verbose=False)
    return model(PIXELS, training=False).numpy()


def signature_only(path: Path) -> np.ndarray:
    module = FeatureVector()

    @tf.function(input_signature=[tf.TensorSpec([None, 24, 24, 3], name="image")])
    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"default": module(image, tf.constant(False))}

    holder = tf.Module()
    holder.variables_ = [module.kernel, module.mean]
    tf.saved_model.save(holder, str(path), signatures=serve)
    return module(PIXELS, tf.constant(False)).numpy()


def of_tensorflow_1(path: Path) -> np.ndarray:
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [None, 24, 24, 3], name="images")
        kernel = v1.get_variable("kernel", [3, 3, 3, 6], initializer=v1.random_normal_initializer(0, 0.2, seed=3))
        features = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(images / 255.0, kernel, 2, "SAME")), axis=[1, 2])
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(path), {"images": images}, {"features": features})
        return session.run(features, {images: PIXELS})


def with_a_vocabulary(path: Path) -> np.ndarray:
    module, file = FeatureVector(), path.with_suffix(".txt")
    file.write_text("first\nsecond\n")
    module.words = tf.lookup.StaticHashTable(words_in(file), -1)

    @tf.function(input_signature=[tf.TensorSpec([None, 24, 24, 3], name="image")])
    def serve(image: tf.Tensor) -> tf.Tensor:
        return module(image, tf.constant(False)) + tf.cast(module.words.lookup(tf.constant("second")), tf.float32)

    module.serve = serve
    tf.saved_model.save(module, str(path), signatures=serve)
    file.unlink()
    return module(PIXELS, tf.constant(False)).numpy() + 1


def of_tensorflow_1_with_a_vocabulary(path: Path) -> np.ndarray:
    v1, file = tf.compat.v1, path.with_suffix(".txt")
    file.write_text("first\nsecond\n")
    with v1.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [None, 24, 24, 3], name="images")
        kernel = v1.get_variable("kernel", [3, 3, 3, 6], initializer=v1.random_normal_initializer(0, 0.2, seed=3))
        words = tf.lookup.StaticHashTable(words_in(file), -1)
        features = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(images / 255.0, kernel, 2, "SAME")), axis=[1, 2])
        features += tf.cast(words.lookup(tf.constant("second")), tf.float32)
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        initialise = v1.tables_initializer()
        v1.saved_model.simple_save(session, str(path), {"images": images}, {"features": features}, initialise)
        answer = session.run(features, {images: PIXELS})
    file.unlink()
    return np.asarray(answer)


def words_in(file: Path) -> tf.lookup.TextFileInitializer:
    line, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    return tf.lookup.TextFileInitializer(str(file), tf.string, line, tf.int64, number)


WRITERS = {
    "feature vector": feature_vector,
    "exported by Keras 3": exported_by_keras_3,
    "signature only": signature_only,
    "TensorFlow 1": of_tensorflow_1,
    "with a vocabulary": with_a_vocabulary,
    "TensorFlow 1 with a vocabulary": of_tensorflow_1_with_a_vocabulary,
}


def opened(path: Path, **request: Any) -> OpenedModel:
    return open_file(path, Request(str(path), **request))


@pytest.mark.parametrize("kind", WRITERS)
class TestEveryKind:
    def test_it_answers_as_it_did_and_is_proven_to(self, tmp_path: Path, kind: str) -> None:
        expected = WRITERS[kind](tmp_path / "saved")
        found = opened(tmp_path / "saved", input_size=24)
        np.testing.assert_allclose(found.model(PIXELS), expected, atol=1e-5 * np.abs(expected).max(), rtol=0)
        assert found.conversion is not None
        assert found.conversion.difference < 1e-5
        assert found.frozen == ""

    def test_it_trains_fine_tunes_and_serves(self, tmp_path: Path, prepared: Path, kind: str) -> None:
        WRITERS[kind](tmp_path / "saved")
        base = load_base_model(str(tmp_path / "saved"), tmp_path / "base", "none", input_size=24)
        extract_features(prepared, base.path, tmp_path / "features")
        head = train_head([tmp_path / "features"], base.path, tmp_path / "head", HeadConfig(kind="linear"), seed=0)
        config = FineTuneConfig(layers=1, epochs=1, learning_rate=1e-2, warmup=0.0)
        tuned = fine_tune(prepared, head.path, tmp_path / "tuned", config, seed=0)
        before, after = (folder.keras_model().get_weights() for folder in (head, tuned))
        kernels = [(old, new) for old, new in zip(before, after, strict=True) if old.ndim == 4]
        assert kernels
        assert all(not np.array_equal(old, new) for old, new in kernels)
        served = tf.saved_model.load(str(tuned.path)).signatures["predict_pixels"](pixels=tf.constant(PIXELS))
        np.testing.assert_allclose(served["probabilities"], tuned.keras_model()(PIXELS), atol=1e-6)


class TestWhatItTakes:
    def test_any_size_has_to_be_given_one(self, tmp_path: Path) -> None:
        feature_vector(tmp_path / "saved")
        with pytest.raises(UserError, match=r"images of any size[\s\S]*input_size="):
            opened(tmp_path / "saved")
        assert opened(tmp_path / "saved", input_size=32).model.input_shape == (None, 32, 32, 3)

    def test_a_fixed_size_cannot_be_changed(self, tmp_path: Path) -> None:
        signature_only(tmp_path / "saved")
        with pytest.raises(UserError, match=r"cannot change its input size[\s\S]*24, 24"):
            opened(tmp_path / "saved", input_size=32)

    def test_of_several_outputs_one_is_chosen(self, tmp_path: Path) -> None:
        module = FeatureVector()

        @tf.function(input_signature=[tf.TensorSpec([None, 24, 24, 3], name="image")])
        def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
            vector = module(image, tf.constant(False))
            return {"wide": tf.concat([vector, vector], 1), "narrow": vector, "best": tf.argmax(vector, axis=1)}

        module.serve = serve
        tf.saved_model.save(module, str(tmp_path / "saved"), signatures=serve)
        with pytest.raises(UserError, match=r"several outputs[\s\S]*narrow[\s\S]*wide[\s\S]*feature_layer="):
            opened(tmp_path / "saved")
        assert opened(tmp_path / "saved", feature_layer="narrow").model.output_shape == (None, 6)
        base = load_base_model(str(tmp_path / "saved"), tmp_path / "base", "none", feature_layer="wide")
        assert base.keras_model().output_shape == (None, 12)
        assert base.description["feature_layer"] == "wide"

    def test_a_function_of_files_is_no_base(self, tmp_path: Path) -> None:
        module = tf.Module()

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="files")])
        def serve(files: tf.Tensor) -> tf.Tensor:
            return tf.strings.length(files)

        tf.saved_model.save(module, str(tmp_path / "saved"), signatures=serve)
        with pytest.raises(UserError, match=r"no function that takes one batch of images[\s\S]*string"):
            opened(tmp_path / "saved")

    @pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64, tf.uint8])
    def test_images_of_another_type_are_cast(self, tmp_path: Path, dtype: tf.DType) -> None:
        module = tf.Module()
        module.kernel = tf.Variable(tf.cast(tf.ones([3, 2]), tf.float32 if dtype == tf.uint8 else dtype))

        @tf.function(input_signature=[tf.TensorSpec([None, 24, 24, 3], dtype, name="image")])
        def serve(image: tf.Tensor) -> tf.Tensor:
            return tf.reduce_max(tf.cast(image, module.kernel.dtype), axis=[1, 2]) @ module.kernel

        tf.saved_model.save(module, str(tmp_path / "saved"), signatures=serve)
        model = opened(tmp_path / "saved").model
        assert model(PIXELS).dtype == tf.float32
        np.testing.assert_allclose(model(PIXELS)[:, 0], PIXELS.max(axis=(1, 2)).sum(axis=1), rtol=1e-2)

    def test_of_several_signatures_one_is_taken_and_another_can_be(self, tmp_path: Path) -> None:
        module = FeatureVector()
        image = tf.TensorSpec([None, 24, 24, 3], name="image")
        features = tf.function(lambda image: {"out": module(image, tf.constant(False))}, input_signature=[image])
        pooled = tf.function(lambda image: {"out": tf.reduce_mean(image, [1, 2])}, input_signature=[image])
        signatures = {"features": features, "pooled": pooled}
        tf.saved_model.save(module, str(tmp_path / "saved"), signatures=signatures)
        first = opened(tmp_path / "saved")
        assert first.model.output_shape == (None, 6)
        assert first.conversion is not None
        assert "function features" in first.conversion.how
        assert "feature_layer=pooled/OUTPUT" in first.conversion.how
        base = load_base_model(str(tmp_path / "saved"), tmp_path / "base", "none", feature_layer="pooled/out")
        assert base.keras_model().output_shape == (None, 3)

    @pytest.mark.parametrize("changes", ["random", "counting"])
    def test_a_function_that_answers_differently_each_time_is_no_base(self, tmp_path: Path, changes: str) -> None:
        module = FeatureVector()
        module.count = tf.Variable(0.0, trainable=False)

        @tf.function(input_signature=[tf.TensorSpec([None, 24, 24, 3], name="image")])
        def serve(image: tf.Tensor) -> tf.Tensor:
            more = tf.random.normal([6]) if changes == "random" else module.count.assign_add(1.0)
            return module(image, tf.constant(False)) + more

        module.serve = serve
        tf.saved_model.save(module, str(tmp_path / "saved"), signatures=serve)
        with pytest.raises(UserError, match="answers differently each time"):
            opened(tmp_path / "saved")


class TestFrozen:
    def test_a_function_without_gradients_says_why_and_is_a_fixed_extractor(
        self, tmp_path: Path, prepared: Path
    ) -> None:
        module = FeatureVector()

        @tf.function(input_signature=[tf.TensorSpec([None, 24, 24, 3], name="image")])
        def serve(image: tf.Tensor) -> tf.Tensor:
            return tf.round(module(image, tf.constant(False)) * 100)  # rounding has no slope

        module.serve = serve
        tf.saved_model.save(module, str(tmp_path / "saved"), signatures=serve)
        base = load_base_model(str(tmp_path / "saved"), tmp_path / "base", "none")
        assert "cannot be differentiated" in base.description["frozen"]
        extract_features(prepared, base.path, tmp_path / "features")
        head = train_head([tmp_path / "features"], base.path, tmp_path / "head", HeadConfig(kind="linear"), seed=0)
        with pytest.raises(UserError, match=r"cannot be fine-tuned[\s\S]*differentiated[\s\S]*fine_tune.layers=0"):
            fine_tune(prepared, head.path, tmp_path / "tuned", FineTuneConfig(layers=1), seed=0)
        skipped = fine_tune(prepared, head.path, tmp_path / "tuned", FineTuneConfig(), seed=0)
        assert skipped.description["candidate"] == "head"

    def test_a_subclassed_model_of_keras_2_is_used_through_its_function(self, tmp_path: Path) -> None:
        class Own(tf_keras.Model):
            def __init__(self) -> None:
                super().__init__()
                self.conv = tf_keras.layers.Conv2D(5, 3)

            def call(self, inputs: tf.Tensor) -> tf.Tensor:
                return self.conv(inputs)

        model = Own()
        expected = model(PIXELS)
        model.save(tmp_path / "own", save_format="tf")
        base = load_base_model(str(tmp_path / "own"), tmp_path / "base", "none", input_size=24)
        assert "subclassed" in base.description["frozen"]
        np.testing.assert_allclose(base.keras_model()(PIXELS), np.mean(expected, axis=(1, 2)), rtol=1e-5)


def test_operations_that_reach_out_of_the_model_are_refused(tmp_path: Path) -> None:
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, 24, 24, 3], name="image")])
    def serve(image: tf.Tensor) -> tf.Tensor:
        tf.io.write_file(str(tmp_path / "written"), "x")
        return tf.reduce_mean(image, axis=[1, 2])

    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=serve)
    with pytest.raises(UserError, match=r"does more than compute[\s\S]*WriteFile[\s\S]*--trust-code"):
        opened(tmp_path / "saved")
    assert not (tmp_path / "written").exists()
    assert opened(tmp_path / "saved", code=CustomCode(trusted=True)).model.output_shape == (None, 3)


class TestLayersOfKeras:
    """What Keras 2 saved of layers is looked at, however it is labelled."""

    def test_a_compiled_model_opens_with_metrics_of_its_own(self, tmp_path: Path) -> None:
        class Own(tf_keras.metrics.MeanSquaredError):
            pass

        model = tf_keras.Sequential([tf_keras.Input((24, 24, 3)), tf_keras.layers.Conv2D(2, 3)])

        def distance(true: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
            return tf.norm(tf.cast(true, tf.float32) - found, axis=-1)

        metrics = ["accuracy", tf_keras.metrics.TopKCategoricalAccuracy(2), distance, Own()]
        model.compile("adam", distance, metrics=metrics)
        model.fit(PIXELS, np.zeros((3, 22, 22, 2)), verbose=0)
        model.save(tmp_path / "saved", save_format="tf")
        assert opened(tmp_path / "saved").model.output_shape == (None, 22, 22, 2)

    @pytest.mark.parametrize("identifier", ["_tf_keras_rnn_layer", "_tf_keras_input_layer", "_tf_keras_model"])
    def test_a_lambda_under_another_label_is_found(self, tmp_path: Path, identifier: str) -> None:
        double = tf_keras.layers.Lambda(lambda pixels: pixels * 2, name="double")
        tf_keras.Sequential([tf_keras.Input((24, 24, 3)), double]).save(tmp_path / "saved", save_format="tf")
        file = tmp_path / "saved" / "keras_metadata.pb"
        metadata = SavedMetadata.FromString(file.read_bytes())
        for node in metadata.nodes:
            if node.node_path == "root":
                node.metadata = node.metadata.replace('"Lambda"', '"Activation"')
            elif '"Lambda"' in node.metadata:
                node.identifier = identifier
        file.write_bytes(metadata.SerializeToString())
        with pytest.raises(UserError, match=r"contains Python code[\s\S]*double"):
            opened(tmp_path / "saved")


def test_missing_shards_are_named(tmp_path: Path) -> None:
    feature_vector(tmp_path / "saved")
    for file in (tmp_path / "saved" / "variables").glob("*.data-*"):
        file.unlink()
    with pytest.raises(UserError, match=r"is not whole[\s\S]*variables.data"):
        opened(tmp_path / "saved", input_size=24)


def test_the_layer_survives_saving_with_weights_that_were_changed(tmp_path: Path) -> None:
    feature_vector(tmp_path / "saved")
    model = opened(tmp_path / "saved", input_size=24).model
    before = model(PIXELS).numpy()
    model.set_weights([weight * 2 for weight in model.get_weights()])
    changed = model(PIXELS).numpy()
    assert np.abs(changed - before).max() > 1e-3
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(PIXELS), changed)
    assert model.name == model_artifact.BASE


def test_tables_travel_to_another_process(tmp_path: Path) -> None:
    expected = with_a_vocabulary(tmp_path / "saved")
    base = load_base_model(str(tmp_path / "saved"), tmp_path / "base", "none")
    np.save(tmp_path / "pixels.npy", PIXELS)
    code = """
import sys, numpy, tensorflow
from graftwork.artifacts import model
folder, pixels = model.read(sys.argv[1]), numpy.load(sys.argv[2])
served = tensorflow.saved_model.load(str(folder.path)).signatures["embed_pixels"]
print(folder.keras_model()(pixels).numpy().tolist(), "and", served(pixels=pixels)["features"].numpy().tolist())
"""
    command = [sys.executable, "-c", code, str(base.path), str(tmp_path / "pixels.npy")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for found in answer.split(" and "):
        np.testing.assert_allclose(json.loads(found), expected, atol=1e-5)


def test_a_function_with_a_table_that_would_be_left_behind_is_refused() -> None:
    pairs = tf.lookup.KeyValueTensorInitializer(tf.constant([1]), tf.constant([2.0]))
    table = tf.lookup.StaticHashTable(pairs, 0.0)

    def function(pixels: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(pixels, [1, 2]) * table.lookup(tf.constant(1))

    with pytest.raises(ValueError, match="not among the parts"):
        SavedFunction.from_function(function, (24, 24, 3), "", "saved_function")
    owner = tf.Module()
    owner.table = table
    assert SavedFunction.from_function(function, (24, 24, 3), "", "saved_function", owner)(PIXELS).shape == (3, 3)


@pytest.mark.parametrize("name", ["saved_model.pbtxt", "SAVED_MODEL.PB"])
def test_the_layer_loads_no_other_spelling_of_its_function(tmp_path: Path, name: str) -> None:
    feature_vector(tmp_path / "saved")
    opened(tmp_path / "saved", input_size=24).model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as saved, zipfile.ZipFile(tmp_path / "other.keras", "w") as other:
        for member in saved.namelist():
            other.writestr(member.replace("saved_model.pb", name), saved.read(member))
    with pytest.raises(ValueError, match=name):
        keras.saving.load_model(tmp_path / "other.keras")
    with pytest.raises(UserError, match=name):
        opened(tmp_path / "other.keras")
