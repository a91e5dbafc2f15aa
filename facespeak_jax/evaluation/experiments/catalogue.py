"""The experiments by name."""

from collections.abc import Callable

from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.evaluation.experiments import tables
from facespeak_jax.evaluation.experiments.experiment import Machines, Probe, Table
from facespeak_jax.evaluation.experiments.motion_codes import MotionCodes
from facespeak_jax.evaluation.experiments.robustness import robustness
from facespeak_jax.evaluation.experiments.voice_consistency import VoiceConsistency

EXPERIMENTS: dict[str, Callable[[Machines], Table | Probe]] = {
    "voice-consistency": VoiceConsistency,
    "noise-reducer": tables.noise_reducer,
    "mapper": tables.mapper,
    "motion-codes": MotionCodes,
    "solver-steps": tables.solver_steps,
    "robustness": robustness,
}


class UnknownExperiment(FaceSpeakError):
    """There is no experiment of that name."""


def open_experiment(name: str, machines: Machines) -> Table | Probe:
    """The experiment, or the whole table for an empty name. Raises UnknownExperiment."""
    if not name:
        return tables.everything(machines)
    if name not in EXPERIMENTS:
        raise UnknownExperiment(f"no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name](machines)
