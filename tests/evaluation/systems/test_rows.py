import numpy as np
import pytest

from facespeak_jax.evaluation.experiments.experiment import Machines
from facespeak_jax.evaluation.experiments.motion_codes import MotionCodes
from facespeak_jax.evaluation.experiments.robustness import robustness
from facespeak_jax.evaluation.run import Run
from facespeak_jax.evaluation.suites import Case, Suite
from facespeak_jax.evaluation.systems import rows
from facespeak_jax.evaluation.systems.machine import Machine, Spoken
from facespeak_jax.evaluation.take import Take
from tests.faces import astronaut


class Recorder(Machine):
    """Remembers the seeds it was given."""

    size = 64

    def __init__(self):
        self.seeds = []

    def speak(self, crop, text, *, seed=0, motion_seed=None):
        self.seeds.append(seed)
        wave, sounds = np.zeros(640, np.float32), np.zeros(0, np.int32)
        return Spoken(crop[None], wave, [], sounds, {"mel": 0.0})

    def voice(self, crop, text, *, seed=0):
        return self.speak(crop, text, seed=seed)

    def motions(self, crop, text, seeds):
        self.seeds.extend(seeds)
        return None, [(np.zeros((3, 2), np.float32),) * 2 for _ in seeds]

    def draw(self, face, alphas):
        return np.zeros((len(alphas[0]), 4, 4, 3), np.uint8)


class Nobody(Suite):
    """Of whom nothing is asked."""

    def __init__(self):
        self.name = "nobody"


def case(name):
    truth = Take(astronaut()[None], np.zeros(640, np.float32), "hello")
    return Case(name, "anna", "hello", truth, np.zeros((0, 3), np.float32))


@pytest.mark.parametrize("row", [rows.Ours, rows.Voice])
def test_cases_are_drawn_from_noise_of_their_own(row):
    # With one seed for all, the heads of a whole row turned alike: DIV too small, FID too large.
    one, other = Recorder(), Recorder()
    for name in ("a", "b", "c"):
        row(one).make(case(name))
        row(other).make(case(name))
    assert len(set(one.seeds)) == 3
    assert one.seeds == other.seeds  # rows are compared in pairs


def test_seeds_of_a_case_are_no_other_cases(tmp_path):
    machine, run = Recorder(), Run(Nobody(), {}, {}, tmp_path, 0)
    for name in ("a", "b"):
        rows.Seeds(machine).make(case(name))
        MotionCodes(Machines(machine, {})).look(run, "ours", case(name))
    assert len(machine.seeds) == 4 * rows.SEEDS
    assert len(set(machine.seeds)) == 2 * rows.SEEDS
    assert max(machine.seeds) < 2**31


def test_a_portrait_is_disturbed_and_its_noise_is_not():
    machine = Recorder()
    table = robustness(Machines(machine, {}))
    for name in ("plain_1", "dimmed_0.5"):
        table.rows[name].make(case("a"))
    assert machine.seeds == [case("a").seed] * 2
