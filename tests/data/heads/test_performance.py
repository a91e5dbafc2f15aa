import numpy as np
import pytest

from facespeak_jax.data.heads.performance import POSE_LIMITS, loudness, perform
from facespeak_jax.data.heads.units import ARKIT, UNIT


def sentence(seconds=4.0, ending="."):
    """Stressed syllables with a pause in the middle, and a wave that is loud on the syllables."""
    count = int(seconds * 2)
    half = ["T", "AA1", "N", "AH0", " "] * count
    symbols = ["<bos>", *half, ",", *half, ending, "<eos>"]
    lengths = {"AA1": 10, "AH0": 5, " ": 3, ",": 40, "<bos>": 32, "<eos>": 4, ".": 30, "?": 30}
    durations = np.array([lengths.get(symbol, 4) for symbol in symbols], np.int32)
    durations[-1] += -durations.sum() % 4
    level = np.array([0.2 if s[0].isupper() else 0.0 for s in symbols])
    envelope = np.repeat(level, durations * 160)
    wave = envelope * np.sin(np.arange(len(envelope)) * 0.1)
    return symbols, durations, wave.astype(np.float32)


@pytest.fixture(scope="module")
def many():
    return [perform((7, k), *sentence()) for k in range(60)]


def test_a_seed_gives_one_performance():
    first, again = (perform((1, 2, 3), *sentence()) for _ in range(2))
    other = perform((1, 2, 4), *sentence())
    assert np.array_equal(first.pose, again.pose)
    assert np.array_equal(first.units, again.units)
    assert np.array_equal(first.shift, again.shift)
    assert not np.array_equal(first.pose, other.pose)


def test_shapes_and_ranges(many):
    _, durations, _ = sentence()
    frames = durations.sum() // 4
    for one in many:
        assert one.pose.shape == (frames, 3)
        assert one.shift.shape == (frames, 2)
        assert one.units.shape == (frames, len(ARKIT))
        assert one.units.min() >= 0
        assert one.units.max() <= 1
        assert (np.abs(one.pose) < np.array(POSE_LIMITS)).all()


def test_heads_move_as_much_as_people_do(many):
    yaw, pitch, roll = np.concatenate([one.pose for one in many]).std(axis=0)
    assert 5.5 < yaw < 9
    assert 2.5 < pitch < 5
    assert 1.5 < roll < 4
    within = np.mean([one.pose[:, 0].std() for one in many])
    assert 3 < within < 8


def test_head_motion_is_smooth(many):
    speed = np.concatenate([np.abs(np.diff(one.pose[:, 0])) for one in many]) * 25
    assert np.percentile(speed, 99) < 60  # degrees a second
    jerk = np.concatenate([np.abs(np.diff(one.pose[:, 0], 2)) for one in many])
    assert np.percentile(jerk, 99) < 1.0


def test_blink_rate_and_shape(many):
    lids = np.stack([one.units[:, UNIT["eyeBlinkLeft"]] for one in many])
    closed = (
        (lids[:, 1:-1] > 0.95) & (lids[:, 1:-1] >= lids[:, :-2]) & (lids[:, 1:-1] > lids[:, 2:])
    )
    per_second = closed.sum() / (lids.size / 25)
    assert 0.25 < per_second < 0.6
    assert np.array_equal(lids[0], many[0].units[:, UNIT["eyeBlinkRight"]]) or lids[0].max() < 0.5
    for row, frame in zip(*np.nonzero(closed), strict=True):
        around = lids[row, frame : frame + 4]
        if len(around) == 4:
            assert around[0] < around[1]
            assert around[3] < around[1]


def test_brows_rise_on_stress_and_rest_in_pauses(many):
    symbols, durations, _ = sentence()
    owner = np.repeat(np.arange(len(symbols)), durations)[2::4]
    pause = owner == symbols.index(",")
    # Away from the edges of the pause, where a raise may still be falling.
    pause = pause & np.roll(pause, 4) & np.roll(pause, -4)
    brows = np.mean([one.units[:, UNIT["browInnerUp"]] for one in many], axis=0)
    assert brows[~pause].mean() > 1.3 * brows[pause].mean()


def test_questions_lift_brows_and_head():
    asked = [perform((3, k), *sentence(ending="?")) for k in range(40)]
    told = [perform((3, k), *sentence(ending=".")) for k in range(40)]

    def ends(performances, of):
        return np.mean([of(one)[-10:] for one in performances])

    assert ends(asked, lambda p: p.pose[:, 1]) > ends(told, lambda p: p.pose[:, 1]) + 1
    brow = UNIT["browInnerUp"]
    assert ends(asked, lambda p: p.units[:, brow]) > ends(told, lambda p: p.units[:, brow]) + 0.1


def test_eyes_counter_the_turn_of_the_head(many):
    yaw = np.concatenate([one.pose[:, 0] for one in many])
    right = np.concatenate(
        [one.units[:, UNIT["eyeLookOutLeft"]] - one.units[:, UNIT["eyeLookInLeft"]] for one in many]
    )
    assert np.corrcoef(yaw, right)[0, 1] < -0.4


def test_loudness_is_flat_for_a_steady_tone_and_scale_free():
    tone = np.sin(np.arange(16000) * 0.2).astype(np.float32)
    assert np.allclose(loudness(tone), 1, atol=0.02)
    assert np.allclose(loudness(0.1 * tone), loudness(tone), atol=0.02)
    assert np.array_equal(loudness(np.zeros(6400, np.float32)).round(6), np.ones(10))
