import collections
import pickle
import struct

import numpy as np
import pytest

from facespeak_jax.evaluation.judges import torch_file

MAGIC = 0x1950A86A20F9469CFC6C


class Global:
    """Pickles as a name in a module that is not installed here, called with arguments."""

    def __init__(self, module, name, *arguments):
        self.module, self.name, self.arguments = module, name, arguments


class Writer(pickle._Pickler):
    """Writes what torch would write, tensors being `Global` rebuilds of `Storage`."""

    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            kind = Name("torch", obj.kind)
            return ("storage", kind, obj.key, "cpu", obj.count, obj.view)
        return None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Name):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Global):
            self.save(Name(obj.module, obj.name))
            self.save(obj.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)


Name = collections.namedtuple("Name", "module name")
Storage = collections.namedtuple("Storage", "key kind count view", defaults=(None,))


def tensor(storage, offset, size, stride):
    hooks = collections.OrderedDict()
    return Global("torch._utils", "_rebuild_tensor_v2", storage, offset, size, stride, False, hooks)


def write(path, content, storages):
    with path.open("wb") as file:
        for part in (MAGIC, 1001, {"little_endian": True}, content, list(storages)):
            Writer(file, 2).dump(part)
        for values in storages.values():
            file.write(struct.pack("<q", len(values)) + values.tobytes())
    return path


def test_reads_views_and_strides(tmp_path):
    values = np.arange(12, dtype=np.float32)
    storage = Storage("7", "FloatStorage", 12)
    content = {
        "step": 3,
        "model_state": collections.OrderedDict(
            whole=tensor(storage, 0, (3, 4), (4, 1)),
            turned=tensor(storage, 4, (4, 2), (1, 4)),
            viewed=tensor(Storage("7", "FloatStorage", 4, ("v", 8, 4)), 1, (3,), (1,)),
        ),
    }
    found = torch_file.read(write(tmp_path / "a.pt", content, {"7": values}))
    assert found["step"] == 3
    state = found["model_state"]
    np.testing.assert_array_equal(state["whole"], values.reshape(3, 4))
    np.testing.assert_array_equal(state["turned"], values[4:].reshape(2, 4).T)
    np.testing.assert_array_equal(state["viewed"], [9, 10, 11])


def test_runs_nothing(tmp_path):
    ran = tmp_path / "ran"
    content = {"model_state": Global("pathlib", "Path.touch", str(ran))}
    with pytest.raises(torch_file.BadCheckpoint, match=r"pathlib\.Path\.touch"):
        torch_file.read(write(tmp_path / "evil.pt", content, {}))
    assert not ran.exists()


@pytest.mark.parametrize(("offset", "size", "stride"), [(0, (13,), (1,)), (5, (2, 4), (4, 1))])
def test_reads_nothing_beyond_a_storage(tmp_path, offset, size, stride):
    storage = Storage("7", "FloatStorage", 12)
    content = {"x": tensor(storage, offset, size, stride)}
    with pytest.raises(torch_file.BadCheckpoint, match="beyond"):
        torch_file.read(write(tmp_path / "a.pt", content, {"7": np.zeros(12, np.float32)}))


def test_damaged_files(tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(b"PK\x03\x04 nothing of the kind")
    with pytest.raises(torch_file.BadCheckpoint):
        torch_file.read(path)
    content = {"x": tensor(Storage("7", "FloatStorage", 12), 0, (12,), (1,))}
    whole = write(path, content, {"7": np.zeros(12, np.float32)}).read_bytes()
    path.write_bytes(whole[:-4])
    with pytest.raises(torch_file.BadCheckpoint, match="cut short"):
        torch_file.read(path)
