"""The report's tables."""

import importlib
from collections.abc import Iterator
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
- **Moved**: bytes to and from HBM, read off the compiled program; in brackets as XLA counts them,
  which is between operations, whatever memory is in between, and once for a loop.
- **Sent**: bytes that a device sends to others, at least.
- **Roofline**: the least time that compute, HBM and links (ICI) would each take. The longest, in
  bold, binds.
- **MFU**: the share of peak compute that the useful operations can reach at that time.
- **Twice**: results computed twice for want of memory, and arrays gathered whole to be split in
  another way.
- **Loops**: how often each runs. XLA counts what is done inside a loop once; the useful operations,
  what is moved and what is sent are counted as often as they happen.
"""

SCALING = """## More devices

The same work for each device. Kernels are fetched within the few of `fsdp`, however many devices
there are. Gradients are scattered, (n − 1) / n of their bytes, where those few are all; over more
groups the compiler sums them whole among all, which is 2 (n − 1) / n. So from four devices to any
number what is sent grows by 8/3 at most.
"""


def markdown(entries: dict[str, Entry]) -> str:
    """The report's tables."""
    parts = [HEAD, _table(entries), *_generators(entries), *_costs(entries), *_scaling(entries)]
    parts += _exchanges(entries)
    versions = {tuple(e["versions"].items()) for e in entries.values() if "versions" in e}
    parts += [", ".join(f"{name} {number}" for name, number in v) + ".\n" for v in sorted(versions)]
    return "\n".join(parts)


def lines(entry: Entry) -> list[str]:
    """The rows of an entry in the main table."""
    pair = pair_of(entry)
    options = ", ".join(f"{key}={value}" for key, value in pair.override)
    start = f"| {_label(pair)} | {pair.topology} | {pair.rows} | {options} "
    if failure := entry.get("out_of_memory") or entry.get("error"):
        words = failure.replace("|", "/").replace("\n", " ")[:200]
        what = "does not fit" if "out_of_memory" in entry else "failed"
        return [f"{start}| {pair.what} | **{what}**: {words}" + " |" * 9]
    return [start + _row(pair, entry, program) for program in entry["programs"]]


def _label(pair: Pair) -> str:
    return pair.config.removeprefix("configs/").replace(".py:", " ")


def _table(entries: dict[str, Entry]) -> str:
    head = (
        "| config | slice | rows | options | program | HBM GiB (free) | TFLOP (useful) "
        "| GB moved (XLA's) | GB sent | roofline ms: compute, HBM, ICI | MFU ≤ | twice "
        "| code MiB, compile s | loops |"
    )
    rows = [line for entry in entries.values() for line in lines(entry)]
    return "\n".join([head, "|---" * 14 + "|", *rows]) + "\n"


def _row(pair: Pair, entry: Entry, program: dict[str, Any]) -> str:
    held = sum(program[name] for name in ("arguments", "outputs", "temporaries", "code"))
    room = GIB * pair.chip.hbm_gb / pair.chip.devices
    bounds = bound(pair, program)
    times = {"compute": bounds.compute, "HBM": bounds.hbm, "ICI": bounds.ici}
    shown = (
        f"**{1e3 * seconds:.3g}**" if name == bounds.binds else f"{1e3 * seconds:.3g}"
        for name, seconds in times.items()
    )
    name = program["name"]
    cells = (
        f"{pair.what} {name}" if "generator" in pair.what else name,
        f"{held / GIB:.2f} ({1 - held / room:.0%})",
        f"{1e-12 * program['flops']:.3g} ({1e-12 * program['useful']:.3g})",
        f"{1e-9 * program['hbm']:.3g} ({1e-9 * program['moved']:.3g})",
        f"{1e-9 * _sent(program):.3g}",
        ", ".join(shown),
        f"{bounds.mfu:.1%}",
        str(program["rematerialised"] + len(entry["replicated"])),
        f"{program['code'] / 2**20:.1f}, {program['compile_seconds']:.0f}",
        " ".join(map(str, program["loops"])),
    )
    return "| " + " | ".join(cells) + " |"


def _generators(entries: dict[str, Entry]) -> Iterator[str]:
    """The shipped generator beside the plain one: what a frame takes, and equal operations."""
    found = [
        (pair_of(entry), program)
        for entry in entries.values()
        if "generator" in pair_of(entry).what
        for program in entry.get("programs", ())
    ]
    plain = {program["name"]: program for pair, program in found if pair.what != "generator"}
    rows = []
    for pair, program in found:
        beside = plain.get(program["name"], program)
        cells = [f"{1e-9 * program['useful'] / pair.rows:.3g}"]
        for count in ("moved", "hbm"):
            own, other = (one[count] / one["useful"] for one in (program, beside))
            frame = 1e-9 * program[count] / pair.rows
            cells += [f"{frame:.3g}", f"{1e3 * own:.3g}", f"{other / own:.2f}"]
        name = "plain, LIA's size" if pair.what != "generator" else _label(pair)
        rows.append(f"| {name} | {program['name']} | {' | '.join(cells)} |")
    if rows:
        count = "GB a frame | bytes for 1000 FLOP | times fewer"
        head = f"| generator | program | GFLOP a frame | XLA's {count} | HBM {count} |"
        yield "\n".join(["## The generator by itself\n", head, "|---" * 9 + "|", *rows]) + "\n"


def _costs(entries: dict[str, Entry]) -> Iterator[str]:
    """What training as the configs say takes at least, on each slice a stage was compiled for."""
    rows = []
    for entry in entries.values():
        pair = pair_of(entry)
        if "programs" not in entry or pair.what != "step" or "smoke" in pair.config:
            continue
        path, _, stage = pair.config.partition(":")
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
        config = module.get_config(stage)
        (program,) = entry["programs"]
        seconds = bound(pair, program).seconds / pair.rows / pair.chip.devices  # of a chip
        examples = config.train.steps * config.data.batch
        rows.append(
            f"| {_label(pair)} | {pair.topology} | {config.train.steps} | {config.data.batch} | "
            f"{1e3 * seconds:.3g} | {examples * seconds / 3600:.3g} |"
        )
    if rows:
        head = "| config | slice | steps | batch | chip ms an example, at least | chip-hours |"
        yield "\n".join(["## What a training costs\n", head, "|---" * 6 + "|", *rows]) + "\n"


def _scaling(entries: dict[str, Entry]) -> Iterator[str]:
    """The same work for each device on more and more devices of one kind."""
    groups: dict[tuple, list[Entry]] = {}
    for entry in entries.values():
        pair = pair_of(entry)
        if "programs" in entry and pair.what == "step":
            chip = pair.topology.partition(":")[0]
            groups.setdefault((pair.config, chip, pair.rows, pair.override), []).append(entry)
    rows = []
    for (_, chip, count, _), found in groups.items():
        for entry in sorted(found, key=lambda e: e["devices"]) if len(found) > 1 else ():
            (program,) = entry["programs"]
            held = sum(program[name] for name in ("arguments", "outputs", "temporaries", "code"))
            rows.append(
                f"| {_label(pair_of(entry))} | {chip} | {count} | "
                f"{entry['devices']} | {held / GIB:.2f} | {1e-12 * program['flops']:.3g} | "
                f"{1e-9 * program['hbm']:.3g} | {1e-9 * _sent(program):.3g} |"
            )
    if rows:
        head = "| config | chip | rows | devices | HBM GiB | TFLOP | GB moved | GB sent |"
        yield "\n".join([SCALING, head, "|---" * 8 + "|", *rows]) + "\n"


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


def bound(pair: Pair, program: dict[str, Any]) -> Roofline:
    figures = {name: program[name] for name in ("flops", "useful")}
    return roofline.bound(pair.chip, **figures, moved=program["hbm"], sent=_sent(program))


def _sent(program: dict[str, Any]) -> int:
    return sum(one["sent"] for one in program["collectives"])


def pair_of(entry: Entry) -> Pair:
    given = entry["pair"]
    return Pair(**{**given, "override": tuple(tuple(one) for one in given["override"])})
