"""Which TensorFlow operations of a SavedModel may run.

A SavedModel is a program. Operations that only compute may run, and of those with a state only what models are made of:
variables, tables, arrays, random numbers. Anything else could read, write or call whatever its author liked.

Only what can run is looked at. TensorFlow saves with every model the functions that write and read its checkpoint: the
first never run, the second may read one.
"""

import re
import zipfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from graftwork.artifacts.code import CustomCode
from graftwork.errors import UserError

SAVED_MODEL = "saved_model.pb"
_OTHER_SPELLINGS = {"saved_model.pbtxt", "saved_model.cpb"}
_REACHES_OUT: Mapping[str, str] = {
    r"_.*": "internal to TensorFlow",
    r".*PyFunc.*": "calls Python",
    r"ReadFile|ImmutableConst|(De|En)code.*Proto.*|GenerateVocabRemapping|LoadAndRemapMatrix": "reads files",
    r"Restore.*|.*Reader.*|FixedUnigramCandidateSampler|RecordInput": "reads files",
    r".*Dataset.*|.*Iterator.*": "reads data",
    r"MatchingFiles": "lists files",
    r"WriteFile|Save.*|MergeV2Checkpoints|Print.*|.*SummaryWriter|Write.*Summary|.*Summary.*Writer": "writes files",
    r"Debug.*|Copy|CopyHost|Dump.*": "writes files",
    r"Abort": "ends the process",
    r"Sleep.*": "waits",
    r"Rpc.*|Collective.*|RemoteCall|Send|Recv|Nccl.*": "calls other machines",
    r".*TPU.*|InfeedEnqueue.*|OutfeedDequeue.*": "needs a TPU",
    r"XlaCustomCall.*|XlaCallModule|XlaLaunch|XlaHostCompute|Mlir.*": "runs a compiled program",
}
"""What operations do besides computing, by patterns of their names."""
_STATES = (
    # variables
    r"VarHandleOp|ReadVariableOp|Assign(Add|Sub)?VariableOp|VarIsInitializedOp|Variable(V2|Shape)?|TemporaryVariable"
    r"|Resource(Sparse)?(Apply|Gather|Scatter|StridedSliceAssign)\w*|DisableCopyOnRead|DestroyResourceOp",
    # functions and branches
    r"StatefulPartitionedCall|If|While|Case|DeviceIndex",
    # checks
    r"Assert|CheckNumerics(V2)?",
    # random numbers
    r"Random(Uniform|UniformInt|StandardNormal|Shuffle|Gamma|Poisson|PoissonV2|Crop)|(ParameterizedT|T)runcatedNormal"
    r"|Multinomial|Stateful(Uniform|UniformInt|UniformFullInt|StandardNormal|StandardNormalV2|TruncatedNormal)"
    r"|StatefulRandomBinomial|RngReadAndSkip|RngSkip|NonDeterministicInts|SampleDistortedBoundingBox(V2)?"
    r"|StatelessRandomGetAlg",
    # tables; text files are assets, see _check_assets
    r"(Anonymous)?(Mutable)?(Dense)?HashTable(OfTensors)?(V2)?|LookupTable(Find|Insert|Remove|Export|Import|Size)V2"
    r"|InitializeTable(FromTextFile)?V2",
    # arrays and stacks of loops
    r"TensorArray\w*|Stack(Push|Pop|Close)?(V2)?|Empty",
    # layers; what adapts a preprocessing layer takes from an iterator, and making one is refused
    r"CudnnRNN\w*|GuaranteeConst|IsTensorFloat32Enabled|IteratorGetNext\w*",
)
"""Operations with a state that stays inside the model, as patterns of their names."""
_RESTORES = {"Restore", "RestoreSlice", "RestoreV2"}
_KEEPS_TO_ITSELF = re.compile("|".join(_STATES))
_LOCAL, _ASSETS = "local_variables", "saved_model_assets"
_STARTED = ("saved_model_main_op", "legacy_init_op", "table_initializer")
"""Collections of operations that TensorFlow runs after loading."""


def check_saved_model(folder: Path, code: CustomCode) -> set[int]:
    """Raise a UserError if the SavedModel in a folder does more than compute.

    Args:
        folder: The SavedModel.
        code: Whether it may, where TensorFlow has the operations at all.

    Returns:
        Nothing that is known of the sides of its weights.

    Raises:
        UserError: It does, or is there in another spelling than saved_model.pb; names the operations.
    """
    _check_spelling(entry.name for entry in folder.iterdir())
    check_message(parsed((folder / SAVED_MODEL).read_bytes()), code)
    return set()


def check_archived(path: Path, code: CustomCode) -> None:
    """Check the SavedModels that layers in a .keras file have among their assets, as `check_saved_model` does."""
    with zipfile.ZipFile(path) as archive:
        members = {member: PurePosixPath(member.filename).name for member in archive.infolist()}
        _check_spelling(members.values())
        for member, name in members.items():
            if name == SAVED_MODEL:
                check_message(parsed(archive.read(member)), code)


def check_message(saved: Any, code: CustomCode) -> None:
    """Raise a UserError, as `check_saved_model` does, for the message of a SavedModel."""
    for graph in saved.meta_graphs:
        functions = {function.signature.name for function in graph.graph_def.library.function}
        missing = sorted(name for name in _names(_all_nodes(graph)) - functions if _definition(name) is None)
        if missing:
            facts = {"operations": ", ".join(missing)}
            next = "pass the module that has them:  --custom-objects NAME"
            raise UserError("the SavedModel needs operations that are not here", facts, next)
        if code.trusted:
            continue
        found = sorted(_forbidden(graph))
        if found:
            facts = {"operations": ", ".join(f"{name} ({what_it_does(name)})" for name in found)}
            next = "if you trust whoever made it:  --trust-code"
            raise UserError("the SavedModel does more than compute", facts, next)
        _check_assets(graph)


def what_it_does(name: str) -> str:
    """Return what an operation does besides computing, "" if it only computes, or is none of TensorFlow's."""
    definition = _definition(name)
    if definition is None or (definition.is_stateful and _KEEPS_TO_ITSELF.fullmatch(name)):
        return ""
    words = next((words for pattern, words in _REACHES_OUT.items() if re.fullmatch(pattern, name)), "")
    return words or ("has effects outside of the model" if definition.is_stateful else "")


def _forbidden(graph: Any) -> set[str]:
    """Return the operations that can run and do more than compute."""
    save, restore = _node_of(graph.saver_def.save_tensor_name), _node_of(graph.saver_def.restore_op_name)
    running, restoring = list(_running(graph)), _needed(graph, [restore])
    saves = _only_called_by(graph, save, [*running, *restoring])
    restores = _only_called_by(graph, restore, running)
    for function in graph.graph_def.library.function:
        name = function.signature.name
        if name not in saves:
            (restoring if name in restores else running).extend(function.node_def)
    return {name for name in _names(running) | (_names(restoring) - _RESTORES) if what_it_does(name)}


def _running(graph: Any) -> Iterator[Any]:
    """Yield the nodes outside of functions that TensorFlow runs to initialise the model or to answer."""
    for signature in graph.signature_def.values():
        yield from _needed(graph, _tensors(signature.outputs), {*_tensors(signature.inputs)})
    started = [key for key in _STARTED if key in graph.collection_def]
    yield from _needed(graph, [name for key in started for name in graph.collection_def[key].node_list.value])
    yield from _needed(graph, _local_initialisers(graph))


def _all_nodes(graph: Any) -> Iterator[Any]:
    yield from graph.graph_def.node
    for function in graph.graph_def.library.function:
        yield from function.node_def


def _names(nodes: Iterable[Any]) -> set[str]:
    return {node.op for node in nodes}


def _needed(graph: Any, names: Iterable[str], fed: Collection[str] = ()) -> list[Any]:
    """Return the nodes outside of functions that tensors or operations are computed from, down to the tensors fed."""
    nodes = {node.name: node for node in graph.graph_def.node}
    found: dict[str, Any] = {}
    waiting = [name for name in names if name not in fed]
    while waiting:
        name = _node_of(waiting.pop())
        if name in nodes and name not in found:
            found[name] = nodes[name]
            waiting.extend(source for source in nodes[name].input if _output(source) not in fed)
    return list(found.values())


def _tensors(infos: Mapping[str, Any]) -> Iterator[str]:
    for info in infos.values():
        yield info.name
        yield from (getattr(info.coo_sparse, f"{part}_tensor_name") for part in ("values", "indices", "dense_shape"))
        yield from (component.name for component in info.composite_tensor.components)


def _local_initialisers(graph: Any) -> Iterator[str]:
    from tensorflow.core.framework.variable_pb2 import VariableDef

    if _LOCAL in graph.collection_def:
        for variable in graph.collection_def[_LOCAL].bytes_list.value:
            yield VariableDef.FromString(variable).initializer_name


def _only_called_by(graph: Any, caller: str, running: Iterable[Any]) -> set[str]:
    """Return the functions that one node outside of functions calls, if it does not run, and nothing else mentions."""
    called = {name for node in graph.graph_def.node if node.name == caller for name in _mentioned(node)}
    if not called or any(node.name == caller for node in running):
        return set()
    library = graph.graph_def.library
    mentions = Counter(name for node in _all_nodes(graph) for name in _mentioned(node))
    others = {*graph.object_graph_def.concrete_functions}
    others |= {gradient.gradient_func for gradient in (*library.gradient, *library.registered_gradients)}
    # TensorFlow's optimizer may put a function in the place of another that claims to implement the same.
    others |= {function.signature.name for function in library.function if "api_implements" in function.attr}
    return {name for name in called if mentions[name] == 1} - others


def _mentioned(node: Any) -> Iterator[str]:
    """Yield whatever in a node could be the name of a function that it calls."""
    yield node.op
    for attribute in node.attr.values():
        kind = attribute.WhichOneof("value")
        if kind == "func":
            yield attribute.func.name
        elif kind == "list":
            yield from (function.name for function in attribute.list.func)
        elif kind == "s":
            yield attribute.s.decode(errors="replace")


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _output(tensor: str) -> str:
    """Return the full name of a tensor, with the number of the output."""
    return tensor if ":" in tensor else f"{tensor}:0"


def _definition(name: str) -> Any:
    from tensorflow.python.framework import op_def_registry

    return op_def_registry.get(name)


def _check_assets(graph: Any) -> None:
    """Raise a UserError if files that belong to a SavedModel lie outside of its folder."""
    names = [PurePosixPath(asset.filename) for asset in (*graph.asset_file_def, *_older_assets(graph))]
    outside = sorted({str(name) for name in names if name.is_absolute() or ".." in name.parts})
    if outside:
        facts = {"files": ", ".join(outside)}
        raise UserError("the SavedModel reads files outside of its own folder", facts, "do not use this file")


def _older_assets(graph: Any) -> Iterator[Any]:
    """Yield the assets as TensorFlow 1 lists them."""
    from tensorflow.core.protobuf.meta_graph_pb2 import AssetFileDef

    if _ASSETS in graph.collection_def:
        for packed in graph.collection_def[_ASSETS].any_list.value:
            asset = AssetFileDef()
            packed.Unpack(asset)
            yield asset


def _check_spelling(names: Iterable[str]) -> None:
    """Raise a UserError for files that TensorFlow could read in place of the one that is looked at."""
    others = sorted({name for name in names if name.lower() in _OTHER_SPELLINGS or _is_odd(name)})
    if others:
        facts = {"files": ", ".join(others), "expected": f"{SAVED_MODEL} alone"}
        raise UserError("the SavedModel is in a format that is not opened", facts, "save it again with TensorFlow 2")


def _is_odd(name: str) -> bool:
    return name != SAVED_MODEL and name.lower() == SAVED_MODEL  # the same file on some file systems


def parsed(content: bytes) -> Any:
    """Return the message of a SavedModel."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    return SavedModel.FromString(content)
