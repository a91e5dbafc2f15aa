import numpy as np
import pytest

from facespeak_jax.evaluation.metrics import sync


def embeddings(frames=60):
    rows = np.random.default_rng(0).normal(size=(frames, 8))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("late", [-4, 0, 3])
def test_finds_the_shift(late):
    video = embeddings()
    found = sync.judge(video, np.roll(video, late, axis=0))
    assert found.offset == late
    assert found.distance == pytest.approx(0, abs=1e-9)
    # Unrelated unit vectors are about √2 apart.
    assert found.confidence == pytest.approx(np.sqrt(2), abs=0.1)


def test_unrelated_sound_inspires_no_confidence():
    video = embeddings()
    found = sync.judge(video, np.roll(video, 30, axis=0))
    assert found.confidence < 0.3
    with pytest.raises(ValueError, match="of sound"):
        sync.judge(video, video[1:])


@pytest.mark.parametrize(("late", "rejected"), [(0, 2), (1, 2), (5, 1), (-5, 1)])
def test_shifts_are_rejected_by_who_sees_them(late, rejected):
    video = embeddings()
    assert sync.rejections(video, np.roll(video, late, axis=0)) == rejected
    with pytest.raises(ValueError, match="shifted"):
        sync.rejections(video[:5], video[:5])
