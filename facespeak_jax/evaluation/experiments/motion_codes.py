"""What f_id and f_m know; whether invented head motion is smooth, wide and different by seed."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from facespeak_jax.evaluation.experiments.experiment import Machines
from facespeak_jax.evaluation.metrics import codes, intervals, probes
from facespeak_jax.evaluation.metrics.intervals import Interval
from facespeak_jax.evaluation.report.cells import Cells, Differences
from facespeak_jax.evaluation.run import Run, Seen
from facespeak_jax.evaluation.suites import Case
from facespeak_jax.evaluation.systems.rows import SEEDS

LOOKED_AT = 12  # frames of each clip that are probed
ANGLES = {"yaw_known": 0, "pitch_known": 1}


class MotionCodes:
    """See `experiment.Probe`."""

    question = (
        "Does f_id tell who it is and not how the head is held, and f_m the reverse? The nearest "
        "neighbour among frames of other clips, and angles read by a line that was fitted to other "
        "people. Is α_head, sampled for the same text under several seeds, as smooth and as wide "
        "as what the encoder sees in real frames?"
    )
    judges: frozenset[str] = frozenset()
    twins: tuple[str, ...] = ()

    def __init__(self, machines: Machines):
        self._machines = {"ours": machines.ours, **machines.twins}
        self.rows = ("ground_truth", *self._machines)

    def look(self, run: Run, row: str, case: Case) -> Mapping[str, np.ndarray]:
        """Of the truth, f_id, f_m and the pose of a few frames and every α_head; else sampled
        α_head (seeds, t, d)."""
        if row != "ground_truth":
            seeds = range(case.seed, case.seed + SEEDS)
            _, motions = self._machines[row].motions(case.portrait, case.text, seeds)
            return {"sampled": np.stack([head for head, _ in motions])}
        found = self._machines["ours"].codes(case.truth.frames)
        at = np.linspace(0, len(found.identity) - 1, LOOKED_AT).round().astype(int)
        pose = case.pose[at] if len(case.pose) else np.zeros((0, 3), np.float32)
        return {
            "f_id": found.identity[at],
            "f_m": found.motion[at],
            "pose": pose,
            "alpha": found.alpha_head,
        }

    def cells(
        self, seen: Mapping[str, Mapping[str, Seen]], cases: Mapping[str, Case]
    ) -> dict[str, Cells]:
        """Rows f_id and f_m, then smoothness and range of real and of sampled α_head."""
        truth = seen["ground_truth"]
        if not truth:
            return {}
        speakers = [cases[name].speaker for name in truth]
        rows = {code: _known(code, truth, speakers) for code in ("f_id", "f_m")}
        real = [found["alpha"] for found in truth.values()]
        rows["ground_truth"] = _mean("code_step", [codes.step(alpha) for alpha in real])
        whole = np.concatenate(real)
        for row in self._machines:
            sampled = [found["sampled"] for found in seen[row].values()]
            if sampled:
                rows[row] = _sampled(sampled, whole)
        return rows

    def differences(self, seen: Mapping[str, Mapping[str, Seen]]) -> Differences:
        """None: its rows are of different kinds."""
        del seen
        return {}


def _known(code: str, truth: Mapping[str, Seen], speakers: Sequence[str]) -> Cells:
    """What one code knows of the person and of the pose, over all clips."""
    found = list(truth.values())
    sizes = [len(seen[code]) for seen in found]
    rows = np.concatenate([seen[code] for seen in found])
    people, clips = np.repeat(speakers, sizes), np.repeat(list(truth), sizes)
    cells: Cells = {}
    if len(set(speakers)) < 2:
        return cells
    hits = probes.same_person_nearest(rows, people.tolist(), clips.tolist())
    per_clip = [part.mean() for part in np.split(hits, np.cumsum(sizes)[:-1])]
    cells["person_found"] = intervals.of_mean(np.array(per_clip))
    if any(len(seen["pose"]) != size for seen, size in zip(found, sizes, strict=True)):
        return cells
    pose = np.concatenate([seen["pose"] for seen in found]).astype(np.float64)
    for column, angle in ANGLES.items():
        read = probes.read_linearly(rows.astype(np.float64), pose[:, angle], people.tolist())
        both = np.stack([pose[:, angle], read], axis=1)
        cell = intervals.of_sets(np.split(both, np.cumsum(sizes)[:-1]), _explained)
        if np.isfinite(cell.mean):
            cells[column] = cell
    return cells


def _explained(groups: Sequence[np.ndarray]) -> float:
    values, read = np.concatenate(groups).T
    return probes.explained(values, read)


def _sampled(sampled: Sequence[Float[np.ndarray, "seeds _ d"]], real: np.ndarray) -> Cells:
    spread = [codes.seed_spread(one, real) for one in sampled]
    cells = _mean("code_step", [codes.step(one[0]) for one in sampled])
    cells |= _mean("code_diversity", spread)

    def width(groups: Sequence[np.ndarray]) -> float:
        return codes.covered_range(np.concatenate(groups), real)

    cell = intervals.of_sets([one.reshape(-1, one.shape[-1]) for one in sampled], width)
    return cells | ({"code_range": cell} if np.isfinite(cell.mean) else {})


def _mean(column: str, values: Sequence[float]) -> dict[str, Interval]:
    known = np.array([value for value in values if value == value])
    return {column: intervals.of_mean(known)} if len(known) else {}
