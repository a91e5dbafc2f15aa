"""What a compiled program's text says: collectives, loops, work done twice for want of memory."""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterator

SIZES = {"pred": 1, "bf16": 2, "token": 0}  # bytes; of other types the name says the bits
KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")

_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
_COLLECTIVE = re.compile(rf"= (.+?) ({'|'.join(KINDS)})(-start)?\(")
_CALLED = re.compile(r"(?:calls|to_apply|body|branch_computations)=\{?((?:%?[\w.\-]+(?:, )?)+)\}?")
_LOOP = re.compile(r" while\(.*condition=%?([\w.\-]+), body=%?([\w.\-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_CONSTANT = re.compile(r"= [su]\d+\[\]\S* constant\((\d+)\)")
_ARRAY = re.compile(r"\b([a-z]+\d*[a-z\d]*)\[([\d,]*)\]")


@dataclasses.dataclass(frozen=True)
class Collective:
    """A kind of exchange between the devices of groups of one size."""

    kind: str
    group: int  # devices
    count: int  # in one run of the program
    bytes: int  # of the whole arrays that are exchanged, for one device
    sent: int  # bytes that a device has to send, at least
    largest: str = ""  # the operation that sends most of them


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program's computations, and how often each runs."""

    lines: dict[str, list[str]]
    times: Counter[str]
    loops: tuple[int, ...]  # how often each loop runs, loops in loops multiplied out
    devices: int


def parse(text: str) -> Program:
    """The program behind `Compiled.as_text()`."""
    found = re.search(r"num_partitions=(\d+)", text[: text.find("\n")])
    lines, entry = _computations(text)
    times: Counter[str] = Counter()
    loops: list[int] = []

    def visit(name: str, count: int) -> None:
        times[name] += count
        for line in lines.get(name, ()):
            if loop := _LOOP.search(line):
                condition, body = loop.groups()
                trips = count * _trips(line, condition, lines)
                loops.append(trips)
                visit(body, trips)
            else:
                for called in _called(line):
                    visit(called, count)

    visit(entry, 1)
    return Program(lines, times, tuple(loops), int(found[1]) if found else 1)


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
    lines: dict[str, list[str]] = {}
    entry = name = ""
    for line in text.splitlines():
        if header := _HEADER.match(line):
            name = header[2]
            lines[name] = []
            entry = name if header[1] else entry
        elif line.startswith("}"):
            name = ""
        elif name:
            lines[name].append(line)
    return lines, entry


def _called(line: str) -> Iterator[str]:
    for names in _CALLED.findall(line):
        yield from (name.lstrip("%") for name in names.split(", ") if name)


def _trips(line: str, condition: str, lines: dict[str, list[str]]) -> int:
    """How often a loop runs: what XLA says, else the number its counter is compared with."""
    if known := _TRIPS.search(line):
        return int(known[1])
    inside = list(lines.get(condition, ()))
    inside += [own for one in inside for name in _called(one) for own in lines.get(name, ())]
    return max((int(n) for one in inside for n in _CONSTANT.findall(one)), default=1)


def collectives(program: Program) -> list[Collective]:
    """Every exchange, summed by kind and size of the group; the largest senders first."""
    total: dict[tuple[str, int], list[Collective]] = {}
    seen: set[tuple[str, int, str]] = set()
    for name, lines in program.lines.items():
        for line in lines:
            if not (match := _COLLECTIVE.search(line)):
                continue
            one = _exchange(match, line, name, program)
            # Fusions that hide an exchange behind other work repeat it under its number. But what
            # was put together from several has the number of the first, as others may have, too.
            if channel := re.search(r"channel_id=(\d+)", line):
                each = one.bytes // max(one.count, 1)
                known = (channel[1], each, name if one.kind == "reduce-scatter" else "")
                if known in seen:
                    continue
                seen.add(known)
            total.setdefault((one.kind, one.group), []).append(one)
    return sorted(map(_summed, total.values()), key=lambda one: (-one.sent, one.kind, one.group))


def _exchange(match: re.Match[str], line: str, name: str, program: Program) -> Collective:
    """The exchange of one line of the computation `name`, as often as that runs."""
    shape, kind, start = match.groups()
    size, group = _size(shape, kind, bool(start)), _group(line, program.devices)
    if kind == "all-reduce" and "all-reduce-scatter" in name:
        kind = "reduce-scatter"  # written as a reduction of which a slice is kept
    elif kind == "reduce-scatter":
        size *= group
    times, source = program.times[name], re.search(r'op_name="([^"]*)"', line)
    sent = times * _sent(kind, group, size)
    return Collective(kind, group, times, times * size, sent, source[1] if source else "")


def _summed(found: list[Collective]) -> Collective:
    largest = max(found, key=lambda one: one.sent)
    count, size, sent = (
        sum(numbers) for numbers in zip(*((o.count, o.bytes, o.sent) for o in found), strict=True)
    )
    return Collective(largest.kind, largest.group, count, size, sent, largest.largest)


def _size(shape: str, kind: str, started: bool) -> int:
    """Bytes of what an exchange results in."""
    arrays = [(name, dimensions) for name, dimensions in _ARRAY.findall(shape)]
    if started and kind != "all-reduce":  # (operands, results, contexts)
        arrays = [array for array in arrays if array != ("u32", "")]
        arrays = arrays[len(arrays) // 2 :]
    return sum(
        bytes_of(name) * math.prod(int(n) for n in dimensions.split(",") if n)
        for name, dimensions in arrays
    )


def bytes_of(name: str) -> int:
    """Of a number of a type, as XLA names it; at least one."""
    if name in SIZES:
        return SIZES[name]
    bits = re.search(r"\d+", name)
    return max(int(bits[0]) // 8, 1) if bits else 0


def _group(line: str, devices: int) -> int:
    """How many devices exchange with one another, in any of XLA's four ways to write groups."""
    if listed := re.search(r"replica_groups=\{\{([\d,]+)\}", line):
        return listed[1].count(",") + 1
    if counted := re.search(r"replica_groups=\[\d+,(\d+)\]<=", line):
        return int(counted[1])
    if axes := re.search(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}", line):
        sizes = dict(re.findall(r"'?([\w.]+)'?=(\d+)", axes[1]))
        chosen = re.findall(r"'?([a-zA-Z_][\w.]*)'?(?::\(\d+\)(\d+))?", axes[2])
        return math.prod(int(part or sizes[axis]) for axis, part in chosen)
    return devices


def _sent(kind: str, group: int, size: int) -> int:
    """Bytes a device sends, at least, for an exchange of `size` bytes among `group`."""
    if kind == "collective-permute":
        return size
    return (2 if kind == "all-reduce" else 1) * size * (group - 1) // group


def rematerialised(text: str) -> int:
    """How many results XLA computes twice because they do not fit; not those we asked for."""
    return len(re.findall(r"^\s*(?:ROOT )?%?[\w\-.]+\.remat[\w.]* = ", text, re.MULTILINE))


def replicated(log: str) -> list[str]:
    """The operations that XLA's log says had to be gathered whole to be split in another way."""
    found = re.findall(r"Involuntary full rematerialization\..*", log)
    names = (re.search(r'op_name="([^"]*)"', line) for line in found)
    return sorted({name[1] if name else "unnamed" for name in names})
