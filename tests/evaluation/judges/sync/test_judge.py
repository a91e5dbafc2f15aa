import hashlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax import video
from facespeak_jax.data.assets import AssetMissing
from facespeak_jax.errors import NoFace
from facespeak_jax.evaluation.judges import face_plugin
from facespeak_jax.evaluation.judges.sync import judge, mouths, network, training
from facespeak_jax.evaluation.metrics import sync
from facespeak_jax.evaluation.take import Take
from facespeak_jax.rates import SAMPLES_PER_FRAME
from tests import synthetic


@pytest.fixture(scope="module")
def params():
    small = network.SyncNetwork(features=8, width=4)
    shapes = jnp.zeros((1, 8, 48, 48)), jnp.zeros((1, 32, 80))
    return jax.jit(small.init)(jax.random.key(0), *shapes)["params"]


@pytest.fixture
def there(params, tmp_path, monkeypatch):
    """A judge whose weights were trained and put into the cache."""
    monkeypatch.setenv("FACESPEAK_CACHE", str(tmp_path))
    monkeypatch.setattr(judge, "SHIPPED", tmp_path / "none")
    training.save(params, judge.trained_file())
    return judge.LipSync()


def test_without_weights_it_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("FACESPEAK_CACHE", str(tmp_path))
    monkeypatch.setattr(judge, "SHIPPED", tmp_path / "none")
    absent = judge.LipSync()
    assert not absent.available()
    assert absent.sha256 == ""
    with pytest.raises(AssetMissing, match="weights are not shipped"):
        absent.fetch()


def test_weights_are_known_by_their_digest_and_size(there, params):
    assert there.available()
    there.fetch()
    assert there.sha256 == hashlib.sha256(there.file.read_bytes()).hexdigest()
    loaded = judge.load(there.file)
    assert judge.network_of(loaded) == network.SyncNetwork(features=8, width=4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), loaded, params)


def test_embeddings_do_not_depend_on_the_filling(there):
    rng = np.random.default_rng(0)
    found = rng.integers(0, 256, (70, mouths.SIZE, mouths.SIZE), np.uint8)
    audio = rng.normal(0, 0.1, 70 * 640).astype(np.float32)
    video, sound = there.embed(found, audio)
    assert video.shape == sound.shape == (66, 8)
    np.testing.assert_allclose(np.linalg.norm(video, axis=1), 1.0, atol=1e-3)
    # Two moments that see and hear the same are at the same place.
    again = there.embed(np.concatenate([found[:30]] * 2), np.concatenate([audio[: 30 * 640]] * 2))
    for moments in again:
        np.testing.assert_allclose(moments[4:20], moments[34:50], atol=1e-4)
    with pytest.raises(ValueError, match="no moment"):
        there.embed(found[:4], audio[: 4 * 640])


def test_it_looks_where_the_face_is(there, monkeypatch):
    clip = synthetic.clip(1, 0, frames=12)
    take = Take(training.frames_of(clip), clip.audio / np.float32(32768))
    seen = []

    def largest(frame):
        at = next(n for n, other in enumerate(take.frames) if np.array_equal(other, frame))
        seen.append(at)
        points = (64.0 * clip.landmarks[at]).astype(np.float32)
        return None if at == 5 else type("Face", (), {"landmarks": points, "size": 10.0})()

    monkeypatch.setattr(face_plugin, "largest", largest)
    found = judge.landmarks_of(take.frames)
    assert seen == [0, 5, 10, 11]
    np.testing.assert_allclose(found[10], clip.landmarks[10], atol=1e-5)
    between = 0.5 * (clip.landmarks[0] + clip.landmarks[10])  # the fifth was not found
    np.testing.assert_allclose(found[5], between, atol=1e-5)
    observed = there.observe(take)
    assert observed["sync_video"].shape == observed["sync_sound"].shape == (8, 8)
    monkeypatch.setattr(face_plugin, "largest", lambda frame: None)
    with pytest.raises(NoFace):
        there.observe(take)


@pytest.mark.parametrize("late", [-4, 0, 7])
def test_the_shipped_judge_finds_out_how_late_the_sound_is(late):
    footage = video.read(Path(__file__).parents[4] / "launch" / "driving.mp4")
    audio = np.roll(footage.audio, late * SAMPLES_PER_FRAME)
    shipped = judge.LipSync()
    assert shipped.file == judge.SHIPPED
    seen = shipped.observe(Take(footage.frames, audio, ""))
    found = sync.judge(seen["sync_video"], seen["sync_sound"])
    assert found.offset == late
    assert found.confidence > 0.3


def test_mouths_are_upright_and_do_not_follow_the_lips():
    clip = synthetic.clip(2, 0, frames=20)
    frames = training.frames_of(clip)
    found = mouths.cut(frames, clip.landmarks.astype(np.float64))
    assert found.shape == (20, mouths.SIZE, mouths.SIZE)
    assert found.dtype == np.uint8
    # Turned pictures with turned landmarks give the same mouths.
    turned = 1.0 - clip.landmarks.astype(np.float64)
    np.testing.assert_allclose(
        mouths.cut(frames[:, ::-1, ::-1].copy(), turned).astype(int), found, atol=3
    )
    shaken = clip.landmarks.astype(np.float64)
    shaken[10] += 0.09
    moved = np.abs(mouths.smoothed(shaken) - mouths.smoothed(clip.landmarks.astype(np.float64)))
    assert moved.max() == pytest.approx(0.09 / mouths.SMOOTHED)
