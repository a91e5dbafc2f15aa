"""What training writes beside its checkpoints, in a bucket: an in-memory one stands in for gs://."""

import json

import jax
import pytest
from etils import epath
from etils.epath import backend, gpath
from fsspec.implementations.memory import MemoryFileSystem

from configs import smoke
from facespeak_jax import stages
from facespeak_jax.data import pipeline
from facespeak_jax.training import checkpoint, compiling, speed

BUCKET = "gs://bucket/run"


class Memory(backend._FileSystemSpecBackend):
    """Files of gs:// addresses, in this process alone."""

    def fs(self, path):
        return MemoryFileSystem()


@pytest.fixture
def bucket(monkeypatch):
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    local, memory = gpath._GPath._backend, Memory()

    def chosen(path):
        return memory if path._uri_scheme else local.fget(path)

    monkeypatch.setattr(gpath._GPath, "_backend", property(chosen))
    return epath.Path(BUCKET)


def test_goodput_is_kept_in_a_bucket(bucket):
    first = speed.Goodput(bucket, 0, clock=iter([0.0, 10.0]).__next__)
    first.saved(5, 4.0)
    assert json.loads((bucket / speed.FILE).read_text()) == {"began": 0.0, "useful": {"5": 4.0}}
    again = speed.Goodput(BUCKET, 5, clock=iter([20.0, 20.0]).__next__)
    assert again.share(6.0) == pytest.approx(0.5)


def test_the_table_of_a_corpus_is_made_once(bucket):
    config = smoke.get_config("motion")
    stage = stages.build(config)
    batches = pipeline.batches(config, stage.example(), split="train")
    params = jax.jit(stage.init)(jax.random.key(0), dict(batches[0]))
    stage.prepare(params, batches.sources, bucket)
    made = [path for path in MemoryFileSystem.store if path.endswith(".npz")]
    assert made
    before = {path: MemoryFileSystem.store[path].modified for path in made}
    stage.prepare(params, batches.sources, bucket)
    assert {path: MemoryFileSystem.store[path].modified for path in made} == before


def test_addresses_stay_addresses(bucket):
    assert str(checkpoint._whole(BUCKET)) == BUCKET
    before = jax.config.values["jax_compilation_cache_dir"]
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        compiling.keep(BUCKET)
        assert jax.config.values["jax_compilation_cache_dir"] == f"{BUCKET}/compiled"
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
    with pytest.raises(checkpoint.BadCheckpoint, match="gs://bucket/run is neither"):
        checkpoint.read_whole(BUCKET)
