"""The rows of the table: who makes the clip that is judged.

A system is anything with these attributes and `make`; a twin of ours, with a part ablated or the
order of things changed, is `Ours` with other weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from facespeak_jax import sampling
from facespeak_jax.evaluation.machine import Machine
from facespeak_jax.evaluation.suites import Case
from facespeak_jax.evaluation.take import Take

ALL = frozenset({"speech", "face", "sync", "motion"})


@runtime_checkable
class System(Protocol):
    """`columns` are the groups of metrics that mean something for it; `aligned` says that its
    frames correspond to the truth's one by one; `kept` that its takes are worth storing."""

    @property
    def columns(self) -> frozenset[str]: ...

    @property
    def aligned(self) -> bool: ...

    @property
    def kept(self) -> bool: ...

    def missing(self) -> list[str]:
        """The parts of the model it lacks; nothing where it can be run."""
        ...

    def make(self, case: Case) -> Take:
        """Its clip for a case."""
        ...


@dataclass(frozen=True)
class GroundTruth:
    """The clip itself."""

    columns: frozenset[str] = ALL
    aligned: bool = True
    kept: bool = False

    def missing(self) -> list[str]:
        return []

    def make(self, case: Case) -> Take:
        return case.truth


@dataclass(frozen=True)
class Still:
    """The portrait, held for as long as the truth lasts: a copy that any model must beat."""

    columns: frozenset[str] = ALL - {"speech"}
    aligned: bool = True
    kept: bool = False

    def missing(self) -> list[str]:
        return []

    def make(self, case: Case) -> Take:
        truth = case.truth
        frames = np.repeat(case.portrait[None], len(truth.frames), axis=0)
        return Take(frames, truth.audio, truth.text, truth.phonemes, truth.durations)


@dataclass(frozen=True)
class Codec:
    """The truth through our codec: frames drawn again from the portrait and the motion seen in
    them, the wave from its mel; what the weights cannot do stays empty."""

    machine: Machine
    aligned: bool = True
    kept: bool = True

    @property
    def columns(self) -> frozenset[str]:
        voice = self.machine.missing(("vocoder",))
        return ALL - {"speech"} if voice else ALL

    def missing(self) -> list[str]:
        return self.machine.missing(sampling.FACE)

    def make(self, case: Case) -> Take:
        truth = case.truth
        frames = self.machine.reconstruct(case.portrait, truth.frames)
        audio = self.machine.revocode(truth.audio) if "speech" in self.columns else truth.audio
        return Take(frames, audio, truth.text, truth.phonemes, truth.durations)


@dataclass(frozen=True)
class Ours:
    """The portrait says the text, everything else invented."""

    machine: Machine
    columns: frozenset[str] = ALL
    aligned: bool = False
    kept: bool = True

    def missing(self) -> list[str]:
        return self.machine.missing((*sampling.FACE, *sampling.SPEECH, *sampling.MOTION))

    def make(self, case: Case) -> Take:
        spoken = self.machine.speak(case.portrait, case.text)
        seconds = sum(spoken.seconds.values())
        return Take(
            spoken.frames, spoken.audio, case.text, spoken.phonemes, spoken.durations, seconds
        )


def registry(machine: Machine, twins: Mapping[str, Machine]) -> dict[str, System]:
    """The rows in the order of the table."""
    return {
        "ground_truth": GroundTruth(),
        "codec": Codec(machine),
        "ours": Ours(machine),
        **{name: Ours(twin) for name, twin in twins.items()},
        "still": Still(),
    }
