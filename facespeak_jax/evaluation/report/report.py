"""The table: every figure with its interval, its number of clips and the judge it comes from."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facespeak_jax.evaluation.judges import Judge
from facespeak_jax.evaluation.metrics.intervals import Interval
from facespeak_jax.evaluation.report import bars
from facespeak_jax.evaluation.report.cells import Cells, Differences
from facespeak_jax.evaluation.report.columns import COLUMNS, GROUPS, PROBES, Column

_ARROWS = {"up": " ↑", "down": " ↓", "near": " ≈", "": ""}


def compose(
    suite: str,
    rows: Mapping[str, Cells],
    judges: Mapping[str, Judge],
    *,
    differences: Differences,
    facts: Mapping[str, Any],
    errors: Sequence[Mapping[str, str]],
    left_out: Mapping[str, str],
) -> dict[str, Any]:
    """The whole report as it is written to `report.json`."""
    systems = {row: _named(cells, judges) for row, cells in rows.items()}
    return {
        "suite": suite,
        **facts,
        "systems": systems,
        "differences": {
            row: {"from": other, "columns": _named(cells, judges)}
            for row, (other, cells) in differences.items()
        },
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


def _named(cells: Cells, judges: Mapping[str, Judge]) -> dict[str, dict[str, Any]]:
    return {name: _cell(interval, COLUMNS[name], judges) for name, interval in cells.items()}


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
        "Means with 95 % intervals over clips, and the number of clips. ↑ higher is "
        "better, ↓ lower, ≈ the ground truth's own value is best.",
        "",
    ]
    if report["differences"]:
        lines += [
            "Below them what a row has more than another over the same clips, in italics where the "
            "interval holds zero: no difference is shown.",
            "",
        ]
    for group in (*GROUPS, PROBES):
        if columns := _shown_columns(report, group):
            lines += [f"## {group.capitalize()}", "", *table(report, columns), ""]
            lines += _apart(report, columns)
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


def _apart(report: Mapping[str, Any], columns: Mapping[str, Column]) -> list[str]:
    """The differences in some columns that have a better end, and an empty line; or nothing."""
    judged = {name: column for name, column in columns.items() if column.better}
    lines = []
    for row, found in report["differences"].items():
        cells = [_shown(found["columns"].get(name), judged[name], "+") for name in judged]
        if any(cells):
            pair = f"{row} − {found['from']}".replace("_", " ")
            lines.append(f"| {pair} | " + " | ".join(cells) + " |")
    if not lines:
        return []
    heads = [column.label + _ARROWS[column.better] for column in judged.values()]
    return ["| | " + " | ".join(heads) + " |", "|---" * (len(judged) + 1) + "|", *lines, ""]


def _shown(cell: Mapping[str, Any] | None, column: Column, sign: str = "") -> str:
    """A cell as it is read; with a "+" for a sign, a difference."""
    if cell is None:
        return ""
    factor = 100 if column.percent else 1
    numbers = [None if cell[key] is None else factor * cell[key] for key in ("mean", "low", "high")]
    mean, low, high = (None if number is None else f"{number:{sign}.3g}" for number in numbers)
    interval = "" if low is None else f" ({low} – {high})"
    shown = f"{mean}{interval}, {cell['n']}"
    none = sign and low is not None and cell["low"] <= 0 <= cell["high"]
    return f"*{shown}*" if none else shown


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
