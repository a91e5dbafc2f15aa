"""The rows of the table: who makes the clip that is judged.

A system is anything with these attributes and `make`. A twin of ours, with a part ablated or the
order of things changed, is `Ours` on a machine with other weights, run in another manner.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from facespeak_jax import sampling
from facespeak_jax.evaluation.suites import Case
from facespeak_jax.evaluation.systems.machine import Machine, Spoken
from facespeak_jax.evaluation.take import Take

ALL = frozenset({"speech", "face", "pictures", "sync", "motion"})
SEEDS = 8  # motion seeds by which diversity and the distribution of pictures are known
MOMENTS = 7  # frames of each that are drawn for it


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
    groups: frozenset[str] = ALL
    aligned: bool = True
    kept: bool = True

    @property
    def columns(self) -> frozenset[str]:
        voice = self.machine.missing(("vocoder",))
        return self.groups - {"speech"} if voice else self.groups

    def missing(self) -> list[str]:
        return self.machine.missing(sampling.FACE)

    def make(self, case: Case) -> Take:
        truth = case.truth
        frames = self.machine.reconstruct(case.portrait, truth.frames)
        audio = self.machine.revocode(truth.audio) if "speech" in self.columns else truth.audio
        return Take(frames, audio, truth.text, truth.phonemes, truth.durations)


@dataclass(frozen=True)
class Ours:
    """The portrait says the text, everything else invented. The seconds of compute are those of the
    step `timed`, or of all. `Seeds` is what tells the distribution of its pictures."""

    machine: Machine
    timed: str = ""
    columns: frozenset[str] = ALL - {"pictures"}
    aligned: bool = False
    kept: bool = True

    def missing(self) -> list[str]:
        return self.machine.missing((*sampling.FACE, *sampling.SPEECH, *sampling.MOTION))

    def make(self, case: Case) -> Take:
        spoken = self.machine.speak(case.portrait, case.text, seed=case.seed)
        seconds = spoken.seconds[self.timed] if self.timed else sum(spoken.seconds.values())
        return take_of(spoken, case.text, seconds)


@dataclass(frozen=True)
class Voice:
    """What `Ours` says, without a picture; the seconds of compute are the mel's."""

    machine: Machine
    columns: frozenset[str] = frozenset({"speech"})
    aligned: bool = False
    kept: bool = True

    def missing(self) -> list[str]:
        return self.machine.missing((*sampling.FACE, *sampling.SPEECH))

    def make(self, case: Case) -> Take:
        spoken = self.machine.voice(case.portrait, case.text, seed=case.seed)
        return take_of(spoken, case.text, spoken.seconds["mel"])


@dataclass(frozen=True)
class Seeds:
    """The same face to the same speech under SEEDS motion seeds: MOMENTS frames of each, evenly
    spaced, one seed after the other.

    By one draw of the heads alone, KID and FID would tell more of its luck than of the system.
    Their judge looks at every second frame: MOMENTS is odd, so that every moment gets its turn.
    """

    machine: Machine
    columns: frozenset[str] = frozenset({"pictures", "motion"})
    aligned: bool = False
    kept: bool = True

    def missing(self) -> list[str]:
        return Ours(self.machine).missing()

    def make(self, case: Case) -> Take:
        seeds = range(case.seed, case.seed + SEEDS)
        face, motions = self.machine.motions(case.portrait, case.text, seeds)
        at = np.linspace(0, len(motions[0][0]) - 1, MOMENTS).round().astype(int)
        frames = [self.machine.draw(face, (head[at], lip[at])) for head, lip in motions]
        return Take(np.concatenate(frames), np.zeros(0, np.float32), case.text)


def take_of(spoken: Spoken, text: str, seconds: float) -> Take:
    """A clip of a machine as it is judged."""
    return Take(spoken.frames, spoken.audio, text, spoken.phonemes, spoken.durations, seconds)
