import numpy as np

from facespeak_jax.evaluation import take
from facespeak_jax.evaluation.take import Take


def test_stored_and_read_again(tmp_path):
    frames = np.random.default_rng(0).integers(256, size=(3, 32, 24, 3), dtype=np.uint8)
    audio = 0.5 * np.sin(np.arange(1920) / 9).astype(np.float32)
    made = Take(
        frames,
        audio,
        "Hello.",
        ["<bos>", " ", "HH"],
        np.array([4, 4, 4], np.int32),
        1.5,
    )
    take.save(tmp_path / "a" / "b.npz", made)
    found = take.load(tmp_path / "a" / "b.npz")
    np.testing.assert_array_equal(found.frames, frames)  # to the bit: judges see no compression
    np.testing.assert_allclose(found.audio, audio, atol=1e-4)
    np.testing.assert_array_equal(found.durations, made.durations)
    assert (found.text, found.phonemes, found.seconds) == ("Hello.", ["<bos>", " ", "HH"], 1.5)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.npz"]


def test_a_take_without_pictures_and_phonemes(tmp_path):
    made = Take(np.zeros((0, 1, 1, 3), np.uint8), np.zeros(640, np.float32))
    take.save(tmp_path / "a.npz", made)
    found = take.load(tmp_path / "a.npz")
    assert len(found.frames) == 0
    assert found.phonemes == []
