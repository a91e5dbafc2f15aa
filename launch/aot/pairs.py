"""What is compiled for which TPUs, with what each chip is given so that it fits."""

import dataclasses
from typing import Any, Literal

from facespeak_jax.training import chips
from facespeak_jax.training.chips import Chip

# A generator is looked at by itself, on one chip; the plain one is what ours is measured against.
What = Literal["step", "sampler", "generator", "plain generator"]


@dataclasses.dataclass(frozen=True)
class Pair:
    """One program, or the few of the sampler, on one slice of TPUs."""

    config: str  # configs/<size>.py:<stage>
    topology: str  # <chip>:<chips along each axis>
    rows: int  # for each device: examples of a batch, clips of the sampler, frames of a generator
    what: What = "step"
    override: tuple[tuple[str, Any], ...] = ()  # of the config

    @property
    def name(self) -> str:
        """Tells it from every other."""
        options = " ".join(f"{key}={value}" for key, value in self.override)
        return f"{self.config} {self.what} {self.topology} rows={self.rows} {options}".strip()

    @property
    def chip(self) -> Chip:
        """The published figures of its chips. Raises KeyError."""
        return chips.CHIPS[self.topology.partition(":")[0]]


def _base(stage: str, topology: str, rows: int, *override: tuple[str, Any]) -> Pair:
    return Pair(f"configs/base.py:{stage}", topology, rows, override=override)


SMALL, LARGE = "v5e:2x2", "v5e:16x16"
# Rows on a chip of 16 GB. Each example of the joint stage is 60 pictures and a sentence, each of
# the face stage six pictures.
ROWS = {"face": 4, "sync": 16, "vocoder": 8, "speech": 8, "motion": 16, "joint": 1}
# The more important first: the list is meant to be interrupted and continued.
PAIRS = (
    # What the shipped generator is measured against, and itself.
    Pair("configs/base.py:face", SMALL, 8, "plain generator"),
    Pair("configs/base.py:face", SMALL, 8, "generator"),
    Pair("configs/smoke.py:face", SMALL, 2),
    _base("joint", SMALL, ROWS["joint"]),
    _base("face", SMALL, ROWS["face"]),
    *(_base(stage, SMALL, ROWS[stage]) for stage in ("sync", "vocoder", "speech", "motion")),
    Pair("configs/base.py:joint", SMALL, 1, "sampler"),
    _base("joint", LARGE, ROWS["joint"]),
    _base("joint", "v5e:4x4", ROWS["joint"]),
    _base("joint", "v5p:4x4x8", ROWS["joint"]),
    _base("joint", "v6e:16x16", ROWS["joint"]),
    _base("joint", "v4:2x2x1", ROWS["joint"]),
    *(_base(stage, LARGE, ROWS[stage]) for stage in ("face", "sync", "vocoder", "speech")),
    _base("motion", LARGE, ROWS["motion"]),
    Pair("configs/base.py:joint", LARGE, 1, "sampler"),
    # As much as a chip can hold.
    _base("joint", SMALL, 9),
    # 512 pixels.
    _base("joint", SMALL, 1, ("model.size", 512)),
)


def rows_of(config: str, topology: str, what: What) -> int | None:
    """What the list gives a device in such a case; None if it has none."""
    found = (p for p in PAIRS if (p.config, p.topology, p.what) == (config, topology, what))
    return next((pair.rows for pair in found), None)
