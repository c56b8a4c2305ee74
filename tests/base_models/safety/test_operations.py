"""Which operations of a SavedModel may run: what only computes, and states that stay inside the model."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from graftwork.artifacts.code import NO_CODE, CustomCode
from graftwork.base_models.safety.operations import check_archived, check_message, check_saved_model, what_it_does
from graftwork.errors import UserError

IMAGES = tf.TensorSpec([None, 8, 8, 3], name="images")
COMPUTES = (
    "Conv2D MatMul FusedBatchNormV3 Relu ResizeBilinear ImageProjectiveTransformV3 DecodeImage DecodeJpeg StringJoin "
    "VarHandleOp ReadVariableOp AssignVariableOp AssignAddVariableOp VariableV2 Assign ResourceGather Placeholder NoOp "
    "PartitionedCall StatefulPartitionedCall If StatelessIf While StatelessWhile Assert "
    "RandomUniform RandomStandardNormal StatelessRandomUniformV2 StatefulUniform RngReadAndSkip "
    "HashTableV2 LookupTableFindV2 LookupTableImportV2 InitializeTableFromTextFileV2 MutableHashTableV2 "
    "TensorListReserve TensorListStack TensorArrayV3 TensorArrayGatherV3 IteratorGetNext "
)
REACHES_OUT = {
    "calls Python": "PyFunc EagerPyFunc PyFuncStateless",
    "reads files": "ReadFile ImmutableConst RestoreV2 WholeFileReaderV2 DecodeProtoV2 FixedUnigramCandidateSampler",
    "reads data": "TextLineDataset TFRecordDataset SnapshotDatasetV2 CacheDataset OneShotIterator MakeIterator",
    "lists files": "MatchingFiles",
    "writes files": "WriteFile Save SaveV2 MergeV2Checkpoints PrintV2 WriteSummary CreateSummaryFileWriter "
    "DebugIdentity DebugIdentityV2 DumpTensor",
    "ends the process": "Abort",
    "calls other machines": "RpcCall CollectiveReduceV2 RemoteCall Send",
    "runs a compiled program": "XlaCustomCallV2 XlaCallModule XlaLaunch",
    "internal": "_FusedConv2D",
    "has effects": "FIFOQueueV2 FileSystemSetConfiguration GetSessionHandleV2",
}


@pytest.mark.parametrize("name", COMPUTES.split())
def test_what_computes_may_run(name: str) -> None:
    assert what_it_does(name) == ""


@pytest.mark.parametrize(("words", "name"), [(words, op) for words, ops in REACHES_OUT.items() for op in ops.split()])
def test_what_reaches_out_is_named_with_what_it_does(words: str, name: str) -> None:
    assert words in what_it_does(name)


def export(path: Path, body: Callable[[tf.Tensor], Any], module: tf.Module | None = None) -> Path:
    module = module or tf.Module()
    module.kernel = tf.Variable(tf.ones([3, 4]))

    @tf.function(input_signature=[IMAGES])
    def serve(images: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([part for part in [body(images)] if part is not None]):
            return tf.reduce_mean(images, [1, 2]) @ module.kernel

    module.serve = serve
    tf.saved_model.save(module, str(path), signatures=serve)
    return path


def message(path: Path) -> Any:
    return SavedModel.FromString((path / "saved_model.pb").read_bytes())


class TestRealFiles:
    """Whatever honest models are saved with may run."""

    def test_layers_of_keras_2(self, tmp_path: Path) -> None:
        layers = tf_keras.layers
        normalization = layers.Normalization()
        normalization.adapt(np.random.default_rng(0).random((4, 8, 8, 3), np.float32))
        model = tf_keras.Sequential(
            [
                tf_keras.Input((8, 8, 3)),
                normalization,
                layers.RandomFlip(),
                layers.RandomRotation(0.1),
                layers.RandomZoom(0.1),
                layers.RandomContrast(0.1),
                layers.Resizing(9, 9),
                layers.CenterCrop(8, 8),
                layers.Conv2D(4, 3),
                layers.BatchNormalization(),
                layers.Dropout(0.5),
                layers.Reshape((6, 24)),
                layers.LSTM(3),
            ]
        )
        model.save(tmp_path / "saved", save_format="tf")
        check_saved_model(tmp_path / "saved", NO_CODE)

    def test_an_export_of_keras_3(self, tmp_path: Path) -> None:
        layers = keras.layers
        model = keras.Sequential(
            [keras.Input((8, 8, 3)), layers.Conv2D(2, 3), layers.Dropout(0.5), layers.Reshape((6, 12)), layers.LSTM(2)]
        )
        model.export(tmp_path / "saved", verbose=False)
        check_saved_model(tmp_path / "saved", NO_CODE)

    def test_loops_tables_and_decoding(self, tmp_path: Path) -> None:
        (tmp_path / "words.txt").write_text("a\nb\n")
        module = tf.Module()
        file = tf.lookup.TextFileInitializer(
            str(tmp_path / "words.txt"),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        module.words = tf.lookup.StaticHashTable(file, -1)
        module.counts = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, 0)

        def body(images: tf.Tensor) -> tf.Tensor:
            tf.debugging.assert_non_negative(images)
            shrunk = tf.map_fn(lambda image: tf.image.resize(image, (4, 4)), images)
            encoded = tf.io.encode_png(tf.cast(shrunk[0], tf.uint8))
            words = module.words.lookup(tf.constant(["b"])) + module.counts.lookup(tf.constant(["b"]))
            return tf.reduce_sum(tf.cast(tf.io.decode_image(encoded), tf.int64)) + tf.reduce_sum(words)

        check_saved_model(export(tmp_path / "saved", body, module), NO_CODE)

    def test_tensorflow_1_with_training_and_a_saver_of_its_own(self, tmp_path: Path) -> None:
        v1 = tf.compat.v1
        with v1.Graph().as_default(), v1.Session() as session:
            images = v1.placeholder(tf.float32, [None, 8, 8, 3])
            features = tf.reduce_mean(images, [1, 2]) @ v1.get_variable("kernel", [3, 4])
            v1.train.AdamOptimizer().minimize(tf.reduce_sum(features))
            v1.train.Saver()  # the SavedModel gets another
            session.run(v1.global_variables_initializer())
            v1.saved_model.simple_save(session, str(tmp_path / "saved"), {"i": images}, {"f": features})
        check_saved_model(tmp_path / "saved", NO_CODE)


def print_to_file(images: tf.Tensor) -> Any:
    return tf.print("x", output_stream="file:///nowhere/x")


def save_a_checkpoint(images: tf.Tensor) -> Any:
    return tf.raw_ops.SaveV2(prefix="/nowhere/x", tensor_names=["a"], shape_and_slices=[""], tensors=[tf.zeros(2)])


def restore_a_checkpoint(images: tf.Tensor) -> Any:
    return tf.raw_ops.RestoreV2(prefix="/nowhere/x", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32])[0]


def read_lines(images: tf.Tensor) -> Any:
    return tf.data.TextLineDataset("/nowhere/x").reduce(tf.constant(""), lambda before, line: before + line)


def inside_a_loop(images: tf.Tensor) -> Any:
    return tf.map_fn(lambda image: tf.strings.length(tf.io.read_file("/nowhere/x")), images, tf.int32)


@pytest.mark.parametrize(
    ("body", "operation"),
    [
        (print_to_file, "PrintV2"),
        (save_a_checkpoint, "SaveV2"),
        (restore_a_checkpoint, "RestoreV2"),
        (read_lines, "TextLineDataset"),
        (inside_a_loop, "ReadFile"),
    ],
)
def test_a_function_that_reaches_out_is_refused_unless_trusted(
    tmp_path: Path, body: Callable[[tf.Tensor], Any], operation: str
) -> None:
    path = export(tmp_path / "saved", body)
    with pytest.raises(UserError, match=rf"does more than compute[\s\S]*{operation}[\s\S]*--trust-code"):
        check_saved_model(path, NO_CODE)
    check_saved_model(path, CustomCode(trusted=True))


class TestTheSaver:
    """What writes checkpoints is part of every SavedModel, and must not be called by anything else."""

    @pytest.fixture
    def saved(self, tmp_path: Path) -> Any:
        return message(export(tmp_path / "saved", lambda images: None))

    def test_it_is_there_and_does_not_run(self, saved: Any) -> None:
        functions = saved.meta_graphs[0].graph_def.library.function
        assert any(node.op == "SaveV2" for function in functions for node in function.node_def)
        check_message(saved, NO_CODE)

    def test_called_by_a_function_it_is_refused(self, saved: Any) -> None:
        graph = saved.meta_graphs[0]
        name = self.save_node(graph).attr["f"].func.name
        serve = next(f for f in graph.graph_def.library.function if "save" not in f.signature.name)
        serve.node_def.add(name="again", op="StatefulPartitionedCall").attr["f"].func.name = name
        self.require_refused(saved)

    def test_called_by_its_name_as_an_operation_it_is_refused(self, saved: Any) -> None:
        graph = saved.meta_graphs[0]
        name = self.save_node(graph).attr["f"].func.name
        serve = next(f for f in graph.graph_def.library.function if "save" not in f.signature.name)
        serve.node_def.add(name="again", op=name)
        self.require_refused(saved)

    def test_as_an_answer_it_is_refused(self, saved: Any) -> None:
        graph = saved.meta_graphs[0]
        output = next(iter(graph.signature_def["serving_default"].outputs.values()))
        output.name = graph.saver_def.save_tensor_name
        self.require_refused(saved)

    def test_as_an_initialiser_it_is_refused(self, saved: Any) -> None:
        graph = saved.meta_graphs[0]
        graph.collection_def["table_initializer"].node_list.value.append(self.save_node(graph).name)
        self.require_refused(saved)

    def test_as_a_function_of_an_object_it_is_refused(self, saved: Any) -> None:
        graph = saved.meta_graphs[0]
        graph.object_graph_def.concrete_functions[self.save_node(graph).attr["f"].func.name].SetInParent()
        self.require_refused(saved)

    def test_before_restoring_it_is_refused(self, saved: Any) -> None:
        graph = saved.meta_graphs[0]
        restore = next(node for node in graph.graph_def.node if node.name == graph.saver_def.restore_op_name)
        restore.input.append(f"^{self.save_node(graph).name}")
        self.require_refused(saved)

    @staticmethod
    def save_node(graph: Any) -> Any:
        name = graph.saver_def.save_tensor_name.partition(":")[0]
        return next(node for node in graph.graph_def.node if node.name == name)

    @staticmethod
    def require_refused(saved: Any) -> None:
        with pytest.raises(UserError, match=r"does more than compute[\s\S]*SaveV2 \(writes files\)"):
            check_message(saved, NO_CODE)


def test_an_operation_that_is_not_here_is_named_even_where_code_is_trusted(tmp_path: Path) -> None:
    saved = message(export(tmp_path / "saved", lambda images: None))
    saved.meta_graphs[0].graph_def.library.function[0].node_def.add(name="x", op="OpOfNobody")
    with pytest.raises(UserError, match=r"not here[\s\S]*OpOfNobody[\s\S]*--custom-objects"):
        check_message(saved, CustomCode(trusted=True))


def test_assets_outside_of_the_folder_are_refused(tmp_path: Path) -> None:
    saved = message(export(tmp_path / "saved", lambda images: None))
    saved.meta_graphs[0].asset_file_def.add(filename="../../secret.txt")
    with pytest.raises(UserError, match=r"outside of its own folder[\s\S]*secret.txt"):
        check_message(saved, NO_CODE)


@pytest.mark.parametrize("name", ["saved_model.pbtxt", "saved_model.cpb", "SAVED_MODEL.PB"])
def test_other_spellings_are_refused(tmp_path: Path, name: str) -> None:
    path = export(tmp_path / "saved", lambda images: None)
    (path / name).write_bytes(b"")
    with pytest.raises(UserError, match=rf"format that is not opened[\s\S]*{name}"):
        check_saved_model(path, NO_CODE)


class TestArchives:
    def archive(self, path: Path, name: str, content: bytes) -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", "{}")
            archive.writestr(f"assets/layers/own/saved_model/{name}", content)
        return path

    def test_a_saved_model_inside_is_looked_through(self, tmp_path: Path) -> None:
        fine = (export(tmp_path / "fine", lambda images: None) / "saved_model.pb").read_bytes()
        check_archived(self.archive(tmp_path / "fine.keras", "saved_model.pb", fine), NO_CODE)
        other = (export(tmp_path / "other", print_to_file) / "saved_model.pb").read_bytes()
        with pytest.raises(UserError, match="PrintV2"):
            check_archived(self.archive(tmp_path / "other.keras", "saved_model.pb", other), NO_CODE)

    def test_another_spelling_inside_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"saved_model\.pbtxt"):
            check_archived(self.archive(tmp_path / "other.keras", "saved_model.pbtxt", b""), NO_CODE)
