import numpy as np
import pytest

from facespeak_jax.evaluation.report import measure
from facespeak_jax.evaluation.report.measure import Pair, People
from facespeak_jax.evaluation.suites import Case
from facespeak_jax.evaluation.systems.rows import ALL, MOMENTS, SEEDS
from facespeak_jax.evaluation.take import Take

FRAMES = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3)).astype(np.uint8)
PHONEMES, DURATIONS = ["<bos>", "AA1", "M", "<eos>"], np.array([20, 30, 20, 10], np.int32)


def the_case(text="one two three four"):
    audio = np.zeros(20 * 640, np.float32)
    truth = Take(FRAMES, audio, "one two three four", PHONEMES, DURATIONS)
    return Case("a", "anna", text, truth, np.zeros((0, 3), np.float32))


def pair(seen, take=None, *, truth=None, people=None, aligned=False, itself=False, case=None):
    case = case or the_case()
    given = take or case.truth
    return Pair(case, given, seen, truth or {}, people or People(), aligned, itself)


def test_nothing_seen_gives_no_figures():
    assert measure.figures(pair({}, itself=True), ALL) == {}


def test_rates_are_edits_over_lengths():
    found = measure.figures(pair({"transcript": np.array("one two tree")}), ALL)
    assert found["wer"] == (2.0, 4.0)
    assert found["cer"] == (6.0, 18.0)


def test_voices_leave_their_own_clip_out():
    people = People(
        voices={
            "anna": {"a": np.array([0.0, 0, 1]), "b": np.array([1.0, 0, 0])},
            "bea": {"c": np.array([0.6, 0.8, 0])},
            "carl": {"d": np.array([0.0, 1, 0])},
        },
        pitches={"anna": 200.0, "bea": 220.0, "carl": 110.0},
    )
    found = measure.figures(pair({"voice": np.array([1.0, 0, 0])}, people=people), ALL)
    assert found == pytest.approx({"c_sim": 1.0, "c_sim_others": 0.3, "c_sim_group": 0.6})


def test_only_the_same_text_is_compared_in_sound():
    mel = np.random.default_rng(0).normal(size=(40, 80))
    seen = {"mel": mel, "melody": np.full(40, 120.0)}
    spoken = Take(FRAMES, np.zeros(20 * 640, np.float32), "one two three four", PHONEMES, DURATIONS)
    truth = {"mel": mel, "melody": np.full(40, 100.0)}
    found = measure.figures(pair(seen, spoken, truth=truth), ALL)
    assert found == pytest.approx({"mcd": 0.0, "f0_rmse": 20.0}, abs=1e-5)
    other = the_case("five")
    taken = Take(FRAMES, spoken.audio, "five")
    assert measure.figures(pair(seen, taken, truth=truth, case=other), ALL) == {}


def test_pace_and_durations_of_what_was_generated():
    made = Take(
        FRAMES,
        np.zeros(20 * 640, np.float32),
        "one two three four",
        PHONEMES,
        DURATIONS + np.array([0, 2, -2, 0], np.int32),
        0.4,
    )
    found = measure.figures(pair({}, made), ALL)
    assert found["rtf"] == pytest.approx(0.5)
    assert found["duration_error"] == pytest.approx(10.0)


def test_faces():
    people = People(faces={"a": np.array([1.0, 0]), "b": np.array([0.0, 1])})
    seen = {"faces": np.array([[1.0, 0], [0.6, 0.8], [np.nan, np.nan]])}
    found = measure.figures(pair(seen, people=people), ALL)
    assert (found["id_sim"], found["id_others"]) == pytest.approx((0.8, 0.4))
    # The truth's first frame is the portrait itself, and no evidence.
    found = measure.figures(pair(seen, people=people, itself=True), ALL)
    assert found["id_sim"] == pytest.approx(0.6)


def test_reconstruction_is_of_aligned_rows():
    darker = Take(FRAMES // 2, np.zeros(20 * 640, np.float32), "x")
    found = measure.figures(pair({}, darker, aligned=True), frozenset({"face"}))
    assert found["l1"] == pytest.approx((FRAMES - FRAMES // 2).mean(), rel=1e-5)
    assert 0 < found["ssim"] < 1
    assert measure.figures(pair({}, darker), frozenset({"face"})) == {}


def landmarks(gaps, lids=0.03):
    points = np.zeros((len(gaps), 478, 3))
    points[:, [33, 133, 362, 263], 0] = [0.35, 0.45, 0.55, 0.65]
    points[:, [33, 133, 362, 263, 159, 145, 386, 374], 1] = 0.4
    points[:, [145, 374], 1] += lids
    points[:, [61, 291], :2] = [[0.4, 0.7], [0.6, 0.7]]
    points[:, [13, 81, 311], :2] = [0.5, 0.7]
    points[:, [14, 178, 402], :2] = [0.5, 0.7]
    points[:, [14, 178, 402], 1] += np.asarray(gaps)[:, None]
    points[:, 10, :2], points[:, 152, :2] = (0.5, 0.2), (0.5, 0.9)
    return points


def test_lips_follow_the_visemes():
    from facespeak_jax.data.heads import visemes

    asked = visemes.lip_opening(PHONEMES, DURATIONS)
    seen = {"landmarks": landmarks(0.1 * asked)}
    found = measure.figures(pair(seen, truth=seen), ALL)
    assert found["lip_correlation"] == pytest.approx(1.0)
    assert found["closure"] == (1.0, 1.0)
    assert found["sharpness"] == pytest.approx(1.0)
    assert found["blink_rate"] == 0.0
    # A mouth that hangs open closes for no m.
    agape = {"landmarks": landmarks(0.1 * asked + 0.05)}
    assert measure.figures(pair(agape, truth=seen), ALL)["closure"] == (0.0, 1.0)


def test_a_head_that_nods_on_the_stressed_vowel():
    """Frame 8 of 20 is the middle of AA1."""
    seen = landmarks(np.zeros(20))
    seen[:, 2, :2] = (0.5, 0.6)
    assert measure.figures(pair({"landmarks": seen}), ALL)["nod"] == pytest.approx(0.0)
    cos, sin = np.cos(np.radians(-3.0)), np.sin(np.radians(-3.0))
    seen[8] = seen[8] @ np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]]).T
    assert measure.figures(pair({"landmarks": seen}), ALL)["nod"] == pytest.approx(3.0)
    silent = Take(FRAMES, np.zeros(20 * 640, np.float32), "one")
    assert "nod" not in measure.figures(pair({"landmarks": seen}, silent), ALL)


def test_seeds_that_roll_the_head():
    still = landmarks(np.zeros(SEEDS * MOMENTS))
    assert measure.seed_diversity({"landmarks": still}) == {"seed_diversity": pytest.approx(0.0)}
    angle = np.radians(np.repeat(np.tile([10.0, -10.0], SEEDS // 2), MOMENTS))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    rolled = still.copy()
    rolled[..., :2] = np.einsum("tki,ijt->tkj", still[..., :2], turn)
    # ±10° of roll and none of the other two angles.
    found = measure.seed_diversity({"landmarks": rolled})
    assert found["seed_diversity"] == pytest.approx(10 / 3, rel=1e-4)
    rolled[3] = np.nan  # a moment without a face counts for no seed
    found = measure.seed_diversity({"landmarks": rolled})
    assert found["seed_diversity"] == pytest.approx(10 / 3, rel=1e-4)
    assert measure.seed_diversity({}) == {}


def test_sound_that_comes_late():
    moments = np.random.default_rng(0).normal(size=(60, 8))
    moments /= np.linalg.norm(moments, axis=1, keepdims=True)
    late = {"sync_video": moments, "sync_sound": np.roll(moments, 3, axis=0)}
    found = measure.figures(pair(late), frozenset({"sync"}))
    assert (found["av_offset"], found["in_sync"]) == (3.0, 0.0)
    assert "shift_rejected" not in found  # only of the truth: it tells of the judge
    even = {"sync_video": moments, "sync_sound": moments}
    found = measure.figures(pair(even, itself=True), frozenset({"sync"}))
    assert (found["in_sync"], found["shift_rejected"]) == (1.0, (2.0, 2.0))


def test_frames_without_a_face_are_bridged_or_given_up():
    values = np.array([1.0, np.nan, 3.0, 4.0])
    np.testing.assert_allclose(measure.filled(values), [1, 2, 3, 4])
    assert measure.filled(np.array([1.0, np.nan, np.nan])) is None


def test_groups_that_mean_nothing_for_a_row_are_left_out():
    found = measure.figures(pair({"transcript": np.array("one")}), ALL - {"speech"})
    assert "wer" not in found
