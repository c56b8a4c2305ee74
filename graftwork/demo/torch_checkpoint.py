"""Read the tensors of a checkpoint that torch.save wrote before torch 1.6, without torch and without trusting it.

Layout, after `_legacy_save` in torch/serialization.py: pickles of a magic number, a protocol version and facts about
the system; a pickle of the state dict, in which a persistent id stands for each tensor's storage; a pickle of the
storages' keys; then for each key an int64 count and so many numbers.
"""

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from graftwork.errors import UserError

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


def read(file: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a state dict.

    Args:
        file: A checkpoint of CPU tensors on a little-endian machine, in torch's format before 1.6.

    Returns:
        Arrays by name, float32 (int64 for a counter), in torch's layout: convolution kernels are (out, in, h, w).

    Raises:
        UserError: It is no such file, is cut off, or wants anything called that tensors do not need.
    """
    with Path(file).open("rb") as stream:
        try:
            return _state_dict(stream)
        except Exception as error:  # a damaged pickle can lead to any
            facts = {"file": Path(file), "why": f"{type(error).__name__}: {error}"}
            raise UserError("not a state dict in torch's format before 1.6", facts) from error


class _Tensor(NamedTuple):
    """The arguments of torch._utils._rebuild_tensor_v2: where a tensor lies in its storage, in elements."""

    storage: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    requires_grad: bool
    backward_hooks: Any


class _TensorsOnly(pickle.Unpickler):
    """Builds ordered dictionaries and `_Tensor`s and refuses every other global, so nothing in the file can run."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self.dtypes: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no tensor needs")

    def persistent_load(self, identity: tuple[str, str, str, str, int, None], /) -> str:
        _, dtype, key, _, _, _ = identity
        self.dtypes[key] = np.dtype(dtype)
        return key


def _state_dict(stream: BinaryIO) -> dict[str, np.ndarray]:
    magic, protocol, system = (_TensorsOnly(stream).load() for _ in range(3))
    if (magic, protocol, system["little_endian"]) != (_MAGIC, _PROTOCOL, True):
        raise ValueError(f"its header is {magic}, {protocol}, {system}")
    tensors = _TensorsOnly(stream)
    state = tensors.load()
    storages = {key: _storage(stream, tensors.dtypes[key]) for key in _TensorsOnly(stream).load()}
    return {name: _array(tensor, storages[tensor.storage]) for name, tensor in state.items()}


def _storage(stream: BinaryIO, dtype: np.dtype[Any]) -> np.ndarray:
    count = int.from_bytes(stream.read(8), "little")
    return np.frombuffer(stream.read(count * dtype.itemsize), dtype, count)  # refuses fewer bytes than the count says


def _array(tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    width = storage.itemsize
    strides = [step * width for step in tensor.stride]
    view = np.ndarray(tensor.size, storage.dtype, storage.data, tensor.offset * width, strides)  # checks the bounds
    return np.ascontiguousarray(view)
