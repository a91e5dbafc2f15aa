"""The report: one JSON file that is continued, and the tables made from it."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from launch.aot import roofline
from launch.aot.compiling import Entry
from launch.aot.pairs import Pair
from launch.aot.roofline import Roofline

GIB = 2**30
HEAD = """# What the TPU compiler makes of the programs

Compiled ahead of time by `python -m launch.aot --all`; no TPU was used. Every figure is of one
device (a chip; half of one for tpu7x) and one run of the program.

- **HBM**: what the program holds at its peak, and what is left of the chip's.
- **TFLOP**: operations that XLA counts in the compiled program; in brackets those of the matrix
  products and convolutions that the model needs.
- **Moved**: bytes that XLA counts between operations. What stays in the chip's fast memory counts
  as well, so HBM moves less.
- **Sent**: bytes that a device sends to others, at least.
- **Roofline**: the least time that compute, HBM and links (ICI) would each take. The longest, in
  bold, binds.
- **MFU**: the share of peak compute that the useful operations can reach at that time.
- **Twice**: results computed twice for want of memory, and arrays gathered whole to be split in
  another way.
- **Loops**: how often each runs. XLA counts what is moved and done inside a loop once; the useful
  operations and what is sent are counted as often as they happen.
"""


def load(file: Path) -> dict[str, Entry]:
    """The entries by the names of their pairs; none if there is no report yet."""
    return json.loads(file.read_text()) if file.exists() else {}


def write(directory: Path, entries: dict[str, Entry]) -> None:
    """Writes `report.json` and `report.md`; what was there stays whole until they are."""
    for entry in entries.values():
        for program in entry.get("programs", ()):
            bounds = _bound(_pair(entry), program)
            program["roofline"] = dataclasses.asdict(bounds) | {"binds": bounds.binds}
    for name, text in (("json", json.dumps(entries, indent=1) + "\n"), ("md", markdown(entries))):
        part = directory / f"report.{name}.part"
        part.write_text(text)
        part.replace(directory / f"report.{name}")


def finished(entry: Entry | None) -> bool:
    """Whether there is nothing to be gained from compiling the pair again."""
    return entry is not None and "error" not in entry


def markdown(entries: dict[str, Entry]) -> str:
    """The report's tables."""
    parts = [HEAD, _table(entries), *_scaling(entries), *_exchanges(entries)]
    versions = {tuple(e["versions"].items()) for e in entries.values() if "versions" in e}
    parts += [", ".join(f"{name} {number}" for name, number in v) + ".\n" for v in sorted(versions)]
    return "\n".join(parts)


def lines(entry: Entry) -> list[str]:
    """The rows of an entry in the main table."""
    pair = _pair(entry)
    options = ", ".join(f"{key}={value}" for key, value in pair.override)
    label = f"{pair.config.removeprefix('configs/').replace('.py:', ' ')}"
    start = f"| {label} | {pair.topology} | {pair.rows} | {options} "
    if failure := entry.get("out_of_memory") or entry.get("error"):
        words = failure.replace("|", "/").replace("\n", " ")[:200]
        what = "does not fit" if "out_of_memory" in entry else "failed"
        return [f"{start}| {pair.what} | **{what}**: {words}" + " |" * 9]
    return [start + _row(pair, entry, program) for program in entry["programs"]]


def _table(entries: dict[str, Entry]) -> str:
    head = (
        "| config | slice | rows | options | program | HBM GiB (free) | TFLOP (useful) "
        "| GB moved | GB sent | roofline ms: compute, HBM, ICI | MFU ≤ | twice "
        "| code MiB, compile s | loops |"
    )
    rows = [line for entry in entries.values() for line in lines(entry)]
    return "\n".join([head, "|---" * 14 + "|", *rows]) + "\n"


def _row(pair: Pair, entry: Entry, program: dict[str, Any]) -> str:
    held = sum(program[name] for name in ("arguments", "outputs", "temporaries", "code"))
    room = GIB * pair.chip.hbm_gb / pair.chip.devices
    bounds = _bound(pair, program)
    times = {"compute": bounds.compute, "HBM": bounds.hbm, "ICI": bounds.ici}
    shown = (
        f"**{1e3 * seconds:.3g}**" if name == bounds.binds else f"{1e3 * seconds:.3g}"
        for name, seconds in times.items()
    )
    cells = (
        program["name"],
        f"{held / GIB:.2f} ({1 - held / room:.0%})",
        f"{1e-12 * program['flops']:.3g} ({1e-12 * program['useful']:.3g})",
        f"{1e-9 * program['moved']:.3g}",
        f"{1e-9 * _sent(program):.3g}",
        ", ".join(shown),
        f"{bounds.mfu:.1%}",
        str(program["rematerialised"] + len(entry["replicated"])),
        f"{program['code'] / 2**20:.1f}, {program['compile_seconds']:.0f}",
        " ".join(map(str, program["loops"])),
    )
    return "| " + " | ".join(cells) + " |"


def _scaling(entries: dict[str, Entry]) -> Iterator[str]:
    """The same work for each device on more and more devices of one kind."""
    groups: dict[tuple, list[Entry]] = {}
    for entry in entries.values():
        pair = _pair(entry)
        if "programs" in entry and pair.what == "step":
            chip = pair.topology.partition(":")[0]
            groups.setdefault((pair.config, chip, pair.rows, pair.override), []).append(entry)
    rows = []
    for (config, chip, count, _), found in groups.items():
        for entry in sorted(found, key=lambda e: e["devices"]) if len(found) > 1 else ():
            (program,) = entry["programs"]
            held = sum(program[name] for name in ("arguments", "outputs", "temporaries", "code"))
            rows.append(
                f"| {config.removeprefix('configs/').replace('.py:', ' ')} | {chip} | {count} | "
                f"{entry['devices']} | {held / GIB:.2f} | {1e-12 * program['flops']:.3g} | "
                f"{1e-9 * program['moved']:.3g} | {1e-9 * _sent(program):.3g} |"
            )
    if rows:
        head = "| config | chip | rows | devices | HBM GiB | TFLOP | GB moved | GB sent |"
        yield "\n".join(["## More devices\n", head, "|---" * 8 + "|", *rows]) + "\n"


def _exchanges(entries: dict[str, Entry]) -> Iterator[str]:
    """Which collectives the bytes sent come from."""
    rows = [
        f"| {name} | {program['name']} | {one['kind']} | {one['group']} | {one['count']} | "
        f"{1e-6 * one['bytes']:.4g} | {1e-6 * one['sent']:.4g} | {one['largest']} |"
        for name, entry in entries.items()
        for program in entry.get("programs", ())
        for one in program["collectives"]
    ]
    if rows:
        head = "| pair | program | kind | devices | count | MB | MB sent | most of them for |"
        yield "\n".join(["## Collectives\n", head, "|---" * 8 + "|", *rows]) + "\n"


def _bound(pair: Pair, program: dict[str, Any]) -> Roofline:
    figures = {name: program[name] for name in ("flops", "useful", "moved")}
    return roofline.bound(pair.chip, **figures, sent=_sent(program))


def _sent(program: dict[str, Any]) -> int:
    return sum(one["sent"] for one in program["collectives"])


def _pair(entry: Entry) -> Pair:
    given = entry["pair"]
    return Pair(**{**given, "override": tuple(tuple(one) for one in given["override"])})
