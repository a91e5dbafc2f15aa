"""The report: one JSON file that is continued, and the tables made from it."""

import dataclasses
import json
from pathlib import Path

from launch.aot import tables
from launch.aot.compiling import Entry
from launch.aot.pairs import PAIRS


def load(file: Path) -> dict[str, Entry]:
    """The entries by the names of their pairs; none if there is no report yet."""
    return json.loads(file.read_text()) if file.exists() else {}


def write(directory: Path, entries: dict[str, Entry]) -> None:
    """Writes `report.json` and `report.md`; what was there stays whole until they are.

    In the order of the list, and then what is not on it.
    """
    order = [pair.name for pair in PAIRS]
    entries = {name: entries[name] for name in (*order, *entries) if name in entries}
    for entry in entries.values():
        for program in entry.get("programs", ()):
            bounds = tables.bound(tables.pair_of(entry), program)
            program["roofline"] = dataclasses.asdict(bounds) | {"binds": bounds.binds}
    texts = {"json": json.dumps(entries, indent=1) + "\n", "md": tables.markdown(entries)}
    for name, text in texts.items():
        part = directory / f"report.{name}.part"
        part.write_text(text)
        part.replace(directory / f"report.{name}")


def finished(entry: Entry | None) -> bool:
    """Whether there is nothing to be gained from compiling the pair again."""
    return entry is not None and "error" not in entry
