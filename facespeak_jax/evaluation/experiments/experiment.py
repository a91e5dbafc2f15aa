"""What an experiment is: a question, rows of its own, and the cells that answer it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from facespeak_jax.evaluation.report.cells import Cells, Differences
from facespeak_jax.evaluation.run import Run, Seen
from facespeak_jax.evaluation.suites import Case
from facespeak_jax.evaluation.systems.machine import Machine
from facespeak_jax.evaluation.systems.rows import System


@dataclass(frozen=True)
class Machines:
    """Our weights, and the twins that were given."""

    ours: Machine
    twins: Mapping[str, Machine]


@dataclass(frozen=True)
class Table:
    """An experiment that is the common table of other rows: each a system that makes takes.

    `judges` are asked; `twins` are rows that are missed where no weights are given for them;
    `seeds` give the diversity over seeds of the rows of the same names, and the distribution of
    their pictures; `against` says which row's figures a row's are to be compared with.
    """

    question: str
    judges: frozenset[str]
    rows: dict[str, System]
    twins: tuple[str, ...] = ()
    seeds: dict[str, System] = field(default_factory=dict)
    against: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Probe(Protocol):
    """An experiment that looks at something other than clips."""

    @property
    def question(self) -> str: ...

    @property
    def judges(self) -> frozenset[str]: ...

    @property
    def rows(self) -> tuple[str, ...]:
        """What is looked at, a step of work each."""
        ...

    @property
    def twins(self) -> tuple[str, ...]: ...

    def look(self, run: Run, row: str, case: Case) -> Mapping[str, np.ndarray]:
        """What is found of a case, to be kept; raises what a clip may fail with."""
        ...

    def cells(
        self, seen: Mapping[str, Mapping[str, Seen]], cases: Mapping[str, Case]
    ) -> dict[str, Cells]:
        """The table, from what was found by row and case name."""
        ...

    def differences(self, seen: Mapping[str, Mapping[str, Seen]]) -> Differences:
        """What rows have more than those that they are to be compared with."""
        ...
