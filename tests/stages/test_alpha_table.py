"""The table of what the encoder sees: that it is that, made once, and made of what can be read."""

import concurrent.futures
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from facespeak_jax import model
from facespeak_jax.data import records
from facespeak_jax.data.examples.sync import pictures
from facespeak_jax.data.schema import BadExample
from facespeak_jax.stages import alpha_table
from facespeak_jax.stages.sync import to_float

SIZE, STYLE = 64, 16


@pytest.fixture(scope="module")
def face():
    """A face encoder and its parameters."""
    machine = model.build(
        {
            "encoder": {"style": STYLE, "widths": (8, 8), "bottleneck": 8},
            "motion_basis": {"width": STYLE, "head": 6, "lip": 3, "depth": 1},
        }
    )
    image = jnp.zeros((1, SIZE, SIZE, 3))
    begin = jax.jit(lambda key: machine.init(key, image, method=alpha_table.alpha_and_identity))
    return machine, begin(jax.random.key(0))["params"]


@pytest.fixture(scope="module")
def encoded(face, corpus, tmp_path_factory):
    """The table of a corpus, its clips, and the directory of its files."""
    clips, directory = records.open_split(corpus, "train"), tmp_path_factory.mktemp("alpha")
    return alpha_table.encode_corpus(*face, clips, directory, SIZE), clips, directory


def test_the_table_holds_what_the_encoder_sees(face, encoded):
    (machine, params), (table, clips, _) = face, encoded

    def seen(frames):
        images = to_float(jnp.array(pictures(frames, SIZE)))
        return machine.apply({"params": params}, images, method=alpha_table.alpha_and_identity)

    alpha, _ = seen(clips[2].frames[10:14])
    np.testing.assert_allclose(table.of(2)[10:14], alpha, atol=2e-3, rtol=2e-3)
    assert table.of(2).shape == (48, 9)
    assert table.identity.shape == (len(clips), alpha_table.IDENTITIES, STYLE)
    _, identity = seen(clips[2].frames[:1])
    np.testing.assert_allclose(table.identity[2, 0], identity[0], atol=2e-3, rtol=2e-3)


def test_a_corpus_is_encoded_once_for_the_same_weights(face, encoded, monkeypatch):
    (machine, params), (table, clips, directory) = face, encoded
    assert len(list(directory.rglob("*.npz"))) == 1
    with monkeypatch.context() as patch:
        patch.setattr(alpha_table, "_write", lambda *_: pytest.fail("encoded again"))
        again = alpha_table.encode_corpus(machine, params, clips, directory, SIZE)
    np.testing.assert_array_equal(again.alpha, table.alpha)
    other = jax.tree.map(lambda x: 1.01 * x, params)
    alpha_table.encode_corpus(machine, other, clips, directory, SIZE)
    assert len(list(directory.rglob("*.npz"))) == 2


def test_processes_share_the_work_and_wait_for_each_other(face, encoded, tmp_path, monkeypatch):
    """Each makes every other file of what it alone holds, and goes on when all are there."""
    whole, clips, _ = encoded
    monkeypatch.setattr(alpha_table, "CLIPS_A_FILE", 2)
    monkeypatch.setattr(alpha_table, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    mine = threading.local()
    monkeypatch.setattr(jax, "process_index", lambda: mine.index)

    def process(index):
        mine.index = index
        # Host arrays: every process has all of them, and nothing is to be gathered.
        machine, params = face
        params = jax.tree.map(np.asarray, params)
        return alpha_table.encode_corpus(machine, params, clips, tmp_path, SIZE)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(process, 0)
        with pytest.raises(TimeoutError):
            first.result(timeout=5)
        np.testing.assert_array_equal(process(1).alpha, whole.alpha)
        np.testing.assert_array_equal(first.result(timeout=60).alpha, whole.alpha)
    assert len(list(tmp_path.rglob("*.npz"))) == -(-len(clips) // 2)
    assert len(list(tmp_path.iterdir())) == 1


def test_two_runs_may_make_the_same_file(face, encoded, tmp_path):
    _, clips, _ = encoded
    encode, file = alpha_table._Encode(*face), epath.Path(tmp_path) / "0.npz"
    for _ in range(2):
        alpha_table._write(file, clips, range(2), encode, SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["0.npz"]


def test_a_clip_that_cannot_be_read_is_left_out(face, encoded, tmp_path, monkeypatch):
    whole, clips, _ = encoded
    read = records.Clips.__getitem__

    def broken(self, position):
        if position == 1:
            raise BadExample("broken")
        return read(self, position)

    monkeypatch.setattr(records.Clips, "__getitem__", broken)
    table = alpha_table.encode_corpus(*face, clips, tmp_path, SIZE)
    with pytest.raises(BadExample):
        table.of(1)
    np.testing.assert_array_equal(table.of(2), whole.of(2))
