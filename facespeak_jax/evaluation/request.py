"""What an evaluation was asked for, and what is to be looked at for it."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facespeak_jax import export, pipeline
from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.evaluation.experiments.catalogue import open_experiment
from facespeak_jax.evaluation.experiments.experiment import Machines, Probe, Table
from facespeak_jax.evaluation.judges import all_judges
from facespeak_jax.evaluation.run import PROTOCOL, Run
from facespeak_jax.evaluation.suites import Suite, open_suite
from facespeak_jax.evaluation.systems import twins
from facespeak_jax.evaluation.systems.machine import Machine
from facespeak_jax.evaluation.systems.rows import System

Plan = Table | Probe


class BadRow(FaceSpeakError):
    """A row is not given as NAME=WEIGHTS, and no twin that ships has its name."""


@dataclass(frozen=True)
class Request:
    """As `evaluate` was called. `rows` are the weights of further rows, by their names."""

    weights: str
    suite: str
    out: Path
    experiment: str
    clips: int | None
    corpus: str | None
    rows: Mapping[str, str]

    def plan(self) -> tuple[Plan, int]:
        """What is to be looked at of our weights and their twins, in frames of so many pixels.

        Raises BadWeights, UnknownExperiment, and BadRow for a twin that ships beside weights that
        it is no twin of.
        """
        for name, path in self.rows.items():
            if Path(path) == twins.shipped(name) and not self._ships():
                raise BadRow(
                    f"the {name} that ships is a twin of the shipped weights, not of "
                    f"{self.weights}: train configs/twins.py:{name} from those, "
                    f"give --row {name}=DIR"
                )
        ours = Machine(export.load(self.weights))
        given = {
            name: Machine(twins.overlaid(ours.weights, export.load(path)), twins.manner_of(name))
            for name, path in self.rows.items()
        }
        return open_experiment(self.experiment, Machines(ours, given)), ours.size

    def _ships(self) -> bool:
        return _digest(self.weights) == _digest(os.fspath(pipeline.WEIGHTS))

    def open(self, size: int, workers: int) -> Suite:
        """The suite, made by as many processes if it is not there; see `suites.open_suite`."""
        return open_suite(
            self.suite,
            size=size,
            corpus=self.corpus,
            out=self.out,
            clips=self.clips,
            workers=workers,
        )

    def facts(self, suite: Suite) -> dict[str, Any]:
        """What must be the same for work that is there to be gone on with."""
        return {
            "weights": _digest(self.weights),
            "rows": {name: _digest(path) for name, path in self.rows.items()},
            "suite_digest": suite.digest,
            "protocol": PROTOCOL,
            **({"experiment": self.experiment} if self.experiment else {}),
        }

    def run(self, plan: Plan, suite: Suite) -> Run:
        """The work, none of it done."""
        return Run(
            suite,
            _able(plan) if isinstance(plan, Table) else {},
            {name: judge for name, judge in all_judges().items() if name in plan.judges},
            self.out,
            len(suite) if self.clips is None else min(self.clips, len(suite)),
        )

    def left_out(self, plan: Plan) -> dict[str, str]:
        """A word for each row without weights, or with too few parts."""
        systems = plan.rows if isinstance(plan, Table) else {}
        lacking = {name: ", ".join(system.missing()) for name, system in systems.items()}
        return {name: twins.advice(name) for name in plan.twins if name not in self.rows} | {
            name: f"the weights lack {parts}" for name, parts in lacking.items() if parts
        }


def named(row: str) -> tuple[str, str]:
    """Name and weights of a row that is given as NAME=WEIGHTS, or as NAME if it is a twin that
    ships. Raises BadRow."""
    if found := twins.shipped(row):
        return row, os.fspath(found)
    name, equals, path = row.partition("=")
    taken = ("ground_truth", "codec", "codec_reduced", "ours", "still")
    if not (name.isidentifier() and equals and path) or name in taken:
        raise BadRow(f"{row!r} should be NAME=WEIGHTS, with a name of its own such as no_energy")
    return name, path


def seeds_of(row: str) -> str:
    """The name of what tells a row's diversity over seeds and the distribution of its pictures: not
    a row itself."""
    return f"{row}-seeds"


def _able(plan: Table) -> dict[str, System]:
    everything = {**plan.rows, **{seeds_of(row): system for row, system in plan.seeds.items()}}
    return {name: system for name, system in everything.items() if not system.missing()}


def _digest(weights: str) -> str:
    """Of the sums that a weights directory was checked against."""
    return hashlib.sha256((Path(weights) / export.SUMS).read_bytes()).hexdigest()
