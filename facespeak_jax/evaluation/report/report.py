"""The table: every figure with its interval, its number of clips and the judge it comes from."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facespeak_jax.evaluation.judges import Judge
from facespeak_jax.evaluation.judges import landmarks as face_points
from facespeak_jax.evaluation.metrics import distributions, intervals, motion
from facespeak_jax.evaluation.metrics.intervals import Interval
from facespeak_jax.evaluation.report import bars
from facespeak_jax.evaluation.report.columns import COLUMNS, GROUPS, PROBES, Column
from facespeak_jax.evaluation.report.measure import Figure

Cells = dict[str, Interval]
_ARROWS = {"up": " ↑", "down": " ↓", "near": " ≈", "": ""}


def averages(clips: Mapping[str, Mapping[str, Figure]]) -> Cells:
    """A row's cells from the figures of its clips: means, and sums over sums for rates."""
    cells = {}
    for column in COLUMNS:
        found = [figures[column] for figures in clips.values() if column in figures]
        if not found:
            continue
        if isinstance(found[0], tuple):
            above, below = np.array(found, float).T
            if below.sum():
                cells[column] = intervals.of_ratio(above, below)
        else:
            cells[column] = intervals.of_mean(np.array(found, float))
    return cells


def of_all(
    seen: Mapping[str, Mapping[str, np.ndarray]], truth: Mapping[str, Mapping[str, np.ndarray]]
) -> Cells:
    """A row's cells that belong to all its clips together: FID, KID and DIV.

    `seen` holds what judges saw in each clip of the row, `truth` that in the ground truth's.
    """
    cells: Cells = {}
    poses = [
        face_points.head_pose(observed["landmarks"])
        for observed in seen.values()
        if "landmarks" in observed
    ]
    known = [pose[np.isfinite(pose).all(axis=1)] for pose in poses]
    known = [pose for pose in known if len(pose)]
    if known:
        cells["div"] = intervals.of_sets(known, lambda drawn: motion.diversity(list(drawn)))
    shared = [
        name for name in seen if "features" in seen[name] and "features" in truth.get(name, {})
    ]
    if seen is truth or len(shared) < 2:
        return cells
    found, real = (
        np.concatenate([side[name]["features"] for name in shared]) for side in (seen, truth)
    )
    at = np.arange(len(shared))
    found_clip, real_clip = (
        np.repeat(at, [len(side[name]["features"]) for name in shared]) for side in (seen, truth)
    )
    cells["kid"] = distributions.kernel(found, real, found_clip, real_clip)
    distance = distributions.frechet(found, real)
    # Its bias depends on the number of pictures, so resampled clips would not enclose it.
    cells["fid"] = Interval(distance, np.nan, np.nan, len(shared))
    return cells


def compose(
    suite: str,
    rows: Mapping[str, Cells],
    judges: Mapping[str, Judge],
    *,
    facts: Mapping[str, Any],
    errors: Sequence[Mapping[str, str]],
    left_out: Mapping[str, str],
) -> dict[str, Any]:
    """The whole report as it is written to `report.json`."""
    systems = {
        row: {
            column: _cell(interval, COLUMNS[column], judges) for column, interval in cells.items()
        }
        for row, cells in rows.items()
    }
    return {
        "suite": suite,
        **facts,
        "systems": systems,
        "columns": {
            name: {"label": column.label, "group": column.group, "better": column.better}
            for name, column in COLUMNS.items()
        },
        "judges": {
            name: {
                "version": judge.version,
                "sha256": judge.sha256,
                "available": judge.available(),
                **({} if judge.available() else {"how_to_get_it": judge.advice()}),
            }
            for name, judge in judges.items()
        },
        "bars": bars.view(suite, systems, facts.get("experiment", "")),
        "left_out": dict(left_out),
        "errors": list(errors),
    }


def _cell(interval: Interval, column: Column, judges: Mapping[str, Judge]) -> dict[str, Any]:
    judge = judges.get(column.judge)
    return {
        "mean": interval.mean,
        "low": interval.low if np.isfinite(interval.low) else None,
        "high": interval.high if np.isfinite(interval.high) else None,
        "n": interval.n,
        "judge": f"{judge.name} {judge.version}" if judge else "",
        "sha256": judge.sha256 if judge else "",
    }


def write(out: Path, report: Mapping[str, Any]) -> Path:
    """Writes `report.json` and `report.md`; returns the latter's path."""
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    (out / "report.json").write_text(text + "\n", encoding="utf-8")
    path = out / "report.md"
    path.write_text(markdown(report), encoding="utf-8")
    return path


def markdown(report: Mapping[str, Any]) -> str:
    """The report to be read."""
    lines = [f"# Evaluation on `{report['suite']}`", ""]
    if "experiment" in report:
        lines = [f"# {report['experiment']} on `{report['suite']}`", "", report["question"], ""]
    lines += [
        "Means with 95 % bootstrap intervals over clips, and the number of clips. ↑ higher is "
        "better, ↓ lower, ≈ the ground truth's own value is best.",
        "",
    ]
    for group in (*GROUPS, PROBES):
        if columns := _shown_columns(report, group):
            lines += [f"## {group.capitalize()}", "", *table(report, columns), ""]
    if report["bars"]:
        lines += ["## Bars", "", *_bars(report["bars"]), ""]
    lines += ["## Judges", "", *_judges(report), ""]
    for row, reason in report["left_out"].items():
        lines.append(f"- row `{row}` left out: {reason}")
    lines += _errors(report["errors"])
    return "\n".join(lines).rstrip() + "\n"


def _shown_columns(report: Mapping[str, Any], group: str) -> dict[str, Column]:
    """A group's columns: of the whole table all, of an experiment those that have a cell."""
    columns = {name: column for name, column in COLUMNS.items() if column.group == group}
    if "experiment" not in report:
        return {} if group == PROBES else columns
    known = {name for cells in report["systems"].values() for name in cells}
    return {name: column for name, column in columns.items() if name in known}


def table(report: Mapping[str, Any], columns: Mapping[str, Column]) -> list[str]:
    """Some columns as Markdown; rows are systems. Empty cells could not be measured."""
    heads = [column.label + _ARROWS[column.better] for column in columns.values()]
    lines = ["| system | " + " | ".join(heads) + " |", "|---" * (len(columns) + 1) + "|"]
    for row, cells in report["systems"].items():
        shown = [_shown(cells.get(name), column) for name, column in columns.items()]
        lines.append(f"| {row.replace('_', ' ')} | " + " | ".join(shown) + " |")
    return lines


def _shown(cell: Mapping[str, Any] | None, column: Column) -> str:
    if cell is None:
        return ""
    factor = 100 if column.percent else 1
    numbers = [None if cell[key] is None else factor * cell[key] for key in ("mean", "low", "high")]
    mean, low, high = (None if number is None else f"{number:.3g}" for number in numbers)
    interval = "" if low is None else f" ({low} – {high})"
    return f"{mean}{interval}, {cell['n']}"


def _bars(found: Sequence[Mapping[str, Any]]) -> list[str]:
    marks = {True: "met", False: "missed", None: "unknown"}
    lines = ["| for | bar | value | limit | |", "|---|---|---|---|---|"]
    for bar in found:
        value, limit = ("" if bar[k] is None else f"{bar[k]:.3g}" for k in ("value", "limit"))
        lines.append(f"| {bar['for']} | {bar['bar']} | {value} | {limit} | {marks[bar['met']]} |")
    return lines


def _judges(report: Mapping[str, Any]) -> list[str]:
    lines = ["| judge | version | sha256 of its weights | |", "|---|---|---|---|"]
    for name, judge in report["judges"].items():
        advice = "" if judge["available"] else f"missing: {judge['how_to_get_it']}"
        lines.append(f"| {name} | {judge['version']} | `{judge['sha256'][:16]}` | {advice} |")
    return lines


def _errors(errors: Sequence[Mapping[str, str]]) -> list[str]:
    if not errors:
        return []
    return ["", "## Errors", ""] + [
        f"- {error['system']}, {error['clip']}: {error['error']}" for error in errors
    ]
