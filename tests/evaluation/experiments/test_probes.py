"""The experiments that look for themselves, on made-up findings."""

import numpy as np
import pytest

from facespeak_jax.evaluation.experiments.experiment import Machines, Probe
from facespeak_jax.evaluation.experiments.motion_codes import MotionCodes
from facespeak_jax.evaluation.experiments.voice_consistency import VoiceConsistency
from facespeak_jax.evaluation.run import Run
from facespeak_jax.evaluation.suites import Case, Suite
from facespeak_jax.evaluation.systems.machine import Machine, Spoken
from facespeak_jax.evaluation.take import Take
from tests.evaluation.standin import Present

RNG = np.random.default_rng(0)


class Parrot(Machine):
    """A machine whose voice depends on the frame's colour alone, or on nothing."""

    def __init__(self, steady=True):
        self.steady = steady

    def voice(self, crop, text, *, seed=0):
        level = 0.5 if self.steady else crop.mean() / 255
        return Spoken(crop[None][:0], np.full(640, level), [], np.zeros(0, np.int32))


class Ear(Present):
    name = "resemblyzer"

    def observe(self, take):
        return {"voice": np.array([np.cos(take.audio[0]), np.sin(take.audio[0])])}


class People(Suite):
    """Of whom one has a single clip."""

    def __init__(self):
        self.name = "people"

    def of_speaker(self, speaker, count):
        for level in (0.2,) if speaker == "alone" else (0.2, 0.4):
            yield "clip", Take(np.zeros((1, 4, 4, 3), np.uint8), np.full(640, level, np.float32))


def case(name, speaker):
    frames = np.linspace(0, 255, 30).astype(np.uint8)[:, None, None, None]
    truth = Take(np.tile(frames, (1, 4, 4, 3)), np.zeros(30 * 640, np.float32), "hello")
    return Case(name, speaker, "hello", truth, np.zeros((0, 3), np.float32))


@pytest.fixture
def voices():
    return VoiceConsistency(Machines(Parrot(), {"with_motion": Parrot(steady=False)}))


def test_a_voice_that_heeds_the_face_only_is_consistent(voices, tmp_path):
    assert isinstance(voices, Probe)
    assert voices.rows == ("ground_truth", "ours", "with_motion")
    run = Run(People(), {}, {"resemblyzer": Ear()}, tmp_path, 2)
    cases = {name: case(name, speaker) for name, speaker in (("a", "anna"), ("b", "bea"))}
    seen = {
        row: {name: voices.look(run, row, one) for name, one in cases.items()}
        for row in voices.rows
    }
    assert seen["ours"]["a"]["voices"].shape == (10, 2)
    cells = voices.cells(seen, cases)
    assert cells["ours"]["voice_consistency"].mean == pytest.approx(1.0)
    assert cells["ours"]["voice_others"].mean == pytest.approx(1.0)  # everybody sounds alike
    levels = np.linspace(0, 1, 10)
    angles = np.abs(levels[:, None] - levels[None, :])[~np.eye(10, dtype=bool)]
    assert cells["with_motion"]["voice_consistency"].mean == pytest.approx(
        np.cos(angles).mean(), abs=0.01
    )
    assert cells["ground_truth"]["voice_consistency"].mean == pytest.approx(np.cos(0.2))
    other, apart = voices.differences(seen)["with_motion"]
    assert other == "ours"  # its control was not given
    both = [cells[row]["voice_consistency"].mean for row in ("with_motion", "ours")]
    assert apart["voice_consistency"].mean == pytest.approx(both[0] - both[1])
    assert apart["voice_consistency"].high < 0
    with pytest.raises(LookupError, match="one clip"):
        voices.look(run, "ground_truth", case("c", "alone"))


def test_what_codes_know():
    """f_id tells the person, f_m the pose; sampled motion is half as wide and twice as fast."""
    probe = MotionCodes(Machines(Parrot(), {}))
    truth, sampled, cases = {}, {}, {}
    for person in range(6):
        for clip in range(2):
            name = f"{person}-{clip}"
            pose = 20 * RNG.normal(size=(12, 3))
            t = np.arange(50)[:, None]
            alpha = np.sin(2 * np.pi * (t / 25 + RNG.uniform(size=(1, 4))))
            truth[name] = {
                "f_id": 5 * np.eye(8)[person] + 0.1 * RNG.normal(size=(12, 8)),
                "f_m": pose @ np.eye(3, 8) + 0.1 * RNG.normal(size=(12, 8)),
                "pose": pose,
                "alpha": alpha,
            }
            phases = RNG.uniform(size=(4, 1, 4))
            sampled[name] = {"sampled": 0.5 * np.sin(2 * np.pi * (2 * t[None] / 25 + phases))}
            cases[name] = case(name, str(person))
    cells = probe.cells({"ground_truth": truth, "ours": sampled}, cases)
    assert cells["f_id"]["person_found"].mean == 1.0
    assert cells["f_m"]["person_found"].mean < 0.5
    assert cells["f_m"]["yaw_known"].mean > 0.95
    assert cells["f_m"]["pitch_known"].mean > 0.95
    assert cells["f_id"]["yaw_known"].mean < 0.1
    assert cells["f_id"]["person_found"].n == 12
    step = cells["ground_truth"]["code_step"].mean
    assert step == pytest.approx(2 * np.sin(np.pi / 25), rel=0.02)
    assert cells["ours"]["code_step"].mean == pytest.approx(2 * np.sin(2 * np.pi / 25), rel=0.02)
    assert cells["ours"]["code_range"].mean == pytest.approx(0.5, rel=0.05)
    assert 0.3 < cells["ours"]["code_diversity"].mean < 0.55
    # A corpus that knows no poses leaves those cells empty.
    for seen in truth.values():
        seen["pose"] = np.zeros((0, 3))
    cells = probe.cells({"ground_truth": truth, "ours": {}}, cases)
    assert set(cells["f_m"]) == {"person_found"}
    assert "ours" not in cells
