"""The bars that shipped weights must clear, each read off a report."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Rows = Mapping[str, Mapping[str, Mapping[str, Any]]]  # report["systems"]

PAPER_ID_SIM = 0.864


class Bar(NamedTuple):
    """`value` and `limit` are None where the report lacks what they are made from."""

    name: str
    what: str
    value: Callable[["Figures"], float | None]
    limit: Callable[["Figures"], float | None]
    at_most: bool = False
    suites: tuple[str, ...] = ("heads",)
    experiment: str = ""


class Figures:
    """Means of a report, None where there is none; arithmetic with None gives None."""

    def __init__(self, rows: Rows):
        self._rows = rows

    def __call__(self, row: str, column: str) -> float | None:
        entry = self._rows.get(row, {}).get(column)
        return None if entry is None else entry["mean"]

    def times(self, factor: float, row: str, column: str) -> float | None:
        """A multiple of a figure."""
        figure = self(row, column)
        return None if figure is None else factor * figure

    def minus(self, row: str, column: str, other: str) -> float | None:
        """A row's figure in one column less that in another."""
        one, two = self(row, column), self(row, other)
        return None if one is None or two is None else one - two

    def apart(self, row: str, other: str, column: str) -> float | None:
        """How far two rows are apart, as a share of the second."""
        one, two = self(row, column), self(other, column)
        return None if one is None or not two else abs(one / two - 1)


def _of(row: str, column: str) -> Callable[[Figures], float | None]:
    return lambda figures: figures(row, column)


def _share(factor: float, row: str, column: str) -> Callable[[Figures], float | None]:
    return lambda figures: figures.times(factor, row, column)


def _fixed(limit: float) -> Callable[[Figures], float | None]:
    return lambda figures: limit


def _difference(row: str, column: str, other: str) -> Callable[[Figures], float | None]:
    return lambda figures: figures.minus(row, column, other)


OURS, TRUTH, CODEC, STILL, CASCADE = "ours", "ground_truth", "codec", "still", "cascade"
FIRST, FINAL, JUDGE = "first weights", "final weights", "the sync judge"
BARS = (
    Bar(FIRST, "WER at most 30 %", _of(OURS, "wer"), _fixed(0.30), True, ("heads", "grid")),
    Bar(
        FIRST,
        "C-SIM 0.15 above other people's",
        _difference(OURS, "c_sim", "c_sim_others"),
        _fixed(0.15),
    ),
    Bar(
        FIRST,
        "C-SIM 0.05 above others of like pitch",
        _difference(OURS, "c_sim", "c_sim_group"),
        _fixed(0.05),
    ),
    Bar(FIRST, "lip correlation at least 0.5", _of(OURS, "lip_correlation"), _fixed(0.5)),
    Bar(
        FIRST,
        "closure at least 0.8 × ground truth",
        _of(OURS, "closure"),
        _share(0.8, TRUTH, "closure"),
    ),
    Bar(FIRST, "yaw deviation at least 1°", _of(OURS, "yaw_deviation"), _fixed(1.0)),
    Bar(FIRST, "L1 40 % below the source's", _of(CODEC, "l1"), _share(0.6, STILL, "l1"), True),
    Bar(
        FIRST,
        "L1 15 % below the source's",
        _of(CODEC, "l1"),
        _share(0.85, STILL, "l1"),
        True,
        ("grid",),
    ),
    Bar(FINAL, "WER at most 14.56 %", _of(OURS, "wer"), _fixed(0.1456), True),
    Bar(
        FINAL,
        "DNSMOS at least 0.85 × ground truth",
        _of(OURS, "dnsmos"),
        _share(0.85, TRUTH, "dnsmos"),
    ),
    Bar(
        FINAL,
        "C-SIM at least 0.85 × ground truth",
        _of(OURS, "c_sim"),
        _share(0.85, TRUTH, "c_sim"),
    ),
    Bar(
        FINAL,
        "C-SIM 0.10 above others of like pitch",
        _difference(OURS, "c_sim", "c_sim_group"),
        _fixed(0.10),
    ),
    Bar(
        FINAL,
        f"ID-SIM at least 0.95 × ground truth (the paper has {PAPER_ID_SIM})",
        _of(OURS, "id_sim"),
        _share(0.95, TRUTH, "id_sim"),
    ),
    Bar(FINAL, "ID-SIM at least 0.80", _of(OURS, "id_sim"), _fixed(0.80), suites=("grid",)),
    Bar(
        FINAL, "LSE-C at least 0.9 × ground truth", _of(OURS, "lse_c"), _share(0.9, TRUTH, "lse_c")
    ),
    Bar(
        FINAL,
        "LSE-D at most 1.1 × ground truth",
        _of(OURS, "lse_d"),
        _share(1.1, TRUTH, "lse_d"),
        True,
    ),
    Bar(
        FINAL,
        "lip correlation at least 0.9 × ground truth",
        _of(OURS, "lip_correlation"),
        _share(0.9, TRUTH, "lip_correlation"),
    ),
    Bar(
        FINAL,
        "closure at least 0.9 × ground truth",
        _of(OURS, "closure"),
        _share(0.9, TRUTH, "closure"),
    ),
    Bar(FINAL, "offset within a frame on 95 % of clips", _of(OURS, "in_sync"), _fixed(0.95)),
    Bar(JUDGE, "offset within a frame on 90 % of ground truth", _of(TRUTH, "in_sync"), _fixed(0.9)),
    Bar(
        JUDGE,
        "90 % of shifts of 5 frames in ground truth rejected",
        _of(TRUTH, "shift_rejected"),
        _fixed(0.9),
    ),
    Bar(
        FINAL,
        "voice consistency at least 0.95 × ground truth",
        _of(OURS, "voice_consistency"),
        _share(0.95, TRUTH, "voice_consistency"),
        suites=("heads", "grid"),
        experiment="voice-consistency",
    ),
    Bar(
        FINAL,
        "DIV within 20 % of ground truth",
        lambda figures: figures.apart(OURS, TRUTH, "div"),
        _fixed(0.20),
        True,
    ),
    Bar(
        FINAL,
        "jitter at most 1.2 × ground truth",
        _of(OURS, "jitter"),
        _share(1.2, TRUTH, "jitter"),
        True,
    ),
    Bar(FINAL, "KID below the still source's", _of(OURS, "kid"), _of(STILL, "kid"), True),
    Bar(FINAL, "KID below the cascade's", _of(OURS, "kid"), _of(CASCADE, "kid"), True),
    Bar(FINAL, "FID below the still source's", _of(OURS, "fid"), _of(STILL, "fid"), True),
    Bar(FINAL, "FID below the cascade's", _of(OURS, "fid"), _of(CASCADE, "fid"), True),
)


def view(suite: str, rows: Rows, experiment: str = "") -> list[dict[str, Any]]:
    """Every bar of a suite, or of an experiment on it, with its value, its limit, and whether it is
    met (None: unknown)."""
    figures = Figures(rows)
    found = []
    for bar in BARS:
        if suite not in bar.suites or experiment != bar.experiment:
            continue
        value, limit = bar.value(figures), bar.limit(figures)
        met = None
        if value is not None and limit is not None:
            met = value <= limit if bar.at_most else value >= limit
        found.append({"for": bar.name, "bar": bar.what, "value": value, "limit": limit, "met": met})
    return found
