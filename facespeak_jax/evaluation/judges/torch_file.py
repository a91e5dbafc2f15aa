"""Reads the tensors of a torch checkpoint without torch, and without running anything in it.

A checkpoint is a pickle. This one is read by an unpickler that knows dictionaries and tensors and
refuses every other name, so nothing that a file names can be called.
"""

import collections
import pickle
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from facespeak_jax.errors import FaceSpeakError

_MAGIC = 0x1950A86A20F9469CFC6C
_TYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
}


class BadCheckpoint(FaceSpeakError):
    """The file is no plain checkpoint of tensors."""


@dataclass(frozen=True)
class _Kind:
    dtype: str


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str
    count: int
    start: int  # of a view into a larger storage


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self, storages: dict[str, np.ndarray]) -> np.ndarray:
        """A copy of its numbers. Raises BadCheckpoint if it reaches beyond its storage."""
        values = storages[self.storage.key]
        offset = self.offset + self.storage.start
        steps = zip(self.size, self.stride, strict=True)
        last = offset + sum((size - 1) * stride for size, stride in steps)
        if 0 in self.size:
            return np.zeros(self.size, values.dtype)
        if min(offset, *self.stride, 0) < 0 or last >= len(values):
            raise BadCheckpoint("a tensor reaches beyond its storage")
        strides = tuple(stride * values.itemsize for stride in self.stride)
        return np.lib.stride_tricks.as_strided(values[offset:], self.size, strides).copy()


def _rebuild(
    storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> _Tensor:
    return _Tensor(storage, int(offset), tuple(size), tuple(stride))


class _Tensors(pickle.Unpickler):
    """Admits ordered dictionaries, tensor rebuilds and storage types; refuses all else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _TYPES:
            return _Kind(_TYPES[name])
        raise BadCheckpoint(f"it asks for {module}.{name}, which no file of tensors needs")

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", _Kind(dtype), str(key), str(), int(count), view):
                start = int(view[1]) if view else 0
                return _Storage(key, dtype, count, start)
        raise BadCheckpoint(f"it refers to {str(pid)[:60]!r}, which is no storage")


def read(path: Path) -> dict[str, Any]:
    """The top-level dictionary of a checkpoint, every tensor a numpy array.

    The format is that of torch before 1.6: pickles one after the other, then the storages.
    Raises BadCheckpoint.
    """
    with path.open("rb") as file:
        try:
            magic, _, _, content = (_Tensors(file).load() for _ in range(4))
            keys = _Tensors(file).load()
            if magic != _MAGIC or not isinstance(content, dict) or not isinstance(keys, list):
                raise BadCheckpoint(f"{path} is no torch checkpoint of the older format")
            kinds: dict[str, _Storage] = {}
            _walk(content, lambda tensor: kinds.setdefault(tensor.storage.key, tensor.storage))
            storages = {key: _storage(file, kinds.get(key)) for key in keys}
            return _walk(content, lambda tensor: tensor.array(storages))
        except (pickle.UnpicklingError, EOFError, KeyError, IndexError, struct.error) as error:
            raise BadCheckpoint(f"{path} is damaged: {error}") from error


def _storage(file: BinaryIO, kind: _Storage | None) -> np.ndarray:
    (count,) = struct.unpack("<q", file.read(8))
    if kind is None:
        raise BadCheckpoint("a storage belongs to no tensor")
    dtype = np.dtype(kind.dtype)
    content = file.read(count * dtype.itemsize) if count >= 0 else b""
    if len(content) != count * dtype.itemsize:
        raise BadCheckpoint("a storage is cut short")
    return np.frombuffer(content, dtype)


def _walk(value: Any, visit: Any) -> Any:
    """The same dictionaries and lists with every tensor replaced by what `visit` returns."""
    if isinstance(value, _Tensor):
        return visit(value)
    if isinstance(value, dict):
        return {key: _walk(item, visit) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(item, visit) for item in value]
    return value
