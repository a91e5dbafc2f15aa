"""Does one face keep one voice, whatever it does on the portrait?"""

from collections.abc import Mapping

import numpy as np

from facespeak_jax.evaluation.experiments.experiment import Machines
from facespeak_jax.evaluation.metrics import intervals, similarity
from facespeak_jax.evaluation.report.cells import Cells, Differences
from facespeak_jax.evaluation.run import Run, Seen
from facespeak_jax.evaluation.suites import Case
from facespeak_jax.evaluation.systems import twins
from facespeak_jax.evaluation.systems.rows import take_of

PORTRAITS = 10
JUDGE = "resemblyzer"


class VoiceConsistency:
    """The same text by the same person from PORTRAITS frames of a clip: cosines of the voices.

    See `experiment.Probe`.
    """

    question = (
        f"Does a face keep its voice? The same text from {PORTRAITS} frames of a clip, evenly "
        "spaced: the mean cosine of all pairs of voices, and that to other people's. The ground "
        "truth's is between up to as many clips of the person, which say different things."
    )
    judges = frozenset({JUDGE})
    twins = ("voice_control", "with_motion")

    def __init__(self, machines: Machines):
        self._machines = {"ours": machines.ours, **machines.twins}
        self.rows = ("ground_truth", *self._machines)

    def look(self, run: Run, row: str, case: Case) -> Mapping[str, np.ndarray]:
        """`voices` (k, d). Raises LookupError for a person with one clip only."""
        judge = run.judges[JUDGE]
        if row == "ground_truth":
            takes = [take for _, take in run.suite.of_speaker(case.speaker, PORTRAITS)]
            if len(takes) < 2:
                raise LookupError(f"there is one clip of {case.speaker} only")
            voices = [judge.observe(take)["voice"] for take in takes]
        else:
            frames = case.truth.frames
            at = np.linspace(0, len(frames) - 1, PORTRAITS).round().astype(int)
            machine = self._machines[row]
            said = [machine.voice(frame, case.text, seed=case.seed) for frame in frames[at]]
            voices = [judge.observe(take_of(one, case.text, 0.0))["voice"] for one in said]
        return {"voices": np.stack(voices)}

    def cells(
        self, seen: Mapping[str, Mapping[str, Seen]], cases: Mapping[str, Case]
    ) -> dict[str, Cells]:
        """Each row's consistency and likeness to others."""
        made: dict[str, Cells] = {}
        for row, found in seen.items():
            if not found:
                continue
            pairs = [similarity.pairwise(one["voices"]) for one in found.values()]
            made[row] = {"voice_consistency": intervals.of_mean(np.array(pairs))}
            centres = {name: similarity.centre(one["voices"]) for name, one in found.items()}
            others = [_to_others(name, centres, cases) for name in centres]
            known = np.array([value for value in others if value == value])
            if len(known):
                made[row]["voice_others"] = intervals.of_mean(known)
        return made

    def differences(self, seen: Mapping[str, Mapping[str, Seen]]) -> Differences:
        """Of the twins' consistency and their controls'."""
        made: Differences = {}
        for row in self.rows[2:]:
            other = twins.control_of(row, [row for row in self.rows if seen[row]])
            shared = [name for name in seen[row] if name in seen[other]]
            if shared:
                one, two = (
                    np.array([similarity.pairwise(seen[side][name]["voices"]) for name in shared])
                    for side in (row, other)
                )
                made[row] = (other, {"voice_consistency": intervals.of_mean(one - two)})
        return made


def _to_others(name: str, centres: Mapping[str, np.ndarray], cases: Mapping[str, Case]) -> float:
    """The mean cosine of a case's voice with those of other speakers; NaN without any."""
    speaker = cases[name].speaker
    others = [centre for other, centre in centres.items() if cases[other].speaker != speaker]
    return float(np.mean(similarity.cosine(centres[name], np.stack(others)))) if others else np.nan
