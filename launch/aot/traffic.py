"""What a compiled TPU program moves through HBM, and the cycles it states, read off its text.

XLA's own count takes what lies in a chip's fast memory for moved, and the body of a loop for run
once. Here every instruction outside of fusions reads its operands and writes its results, as often
as it runs: those in HBM alone, with the padding of their tiles; of an array that is read or written
in slices the slices count.
"""

import dataclasses
import math
import re
from collections.abc import Iterable

from launch.aot.hlo import Program, bytes_of

_INSTRUCTION = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = (.*?) ([\w\-]+)\((.*)$")
_ARRAY = re.compile(r"\b([a-z]+\d*[a-z\d]*)\[([\d,]*)\](?:\{([^}]*)\})?")
_TILE = re.compile(r"([\d,]*):T\((?:(\d+),)?(\d+)\)")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
# What only names arrays, or counts where it was started or in the computation it calls.
_FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"),
    *("while", "conditional", "call", "opt-barrier", "partition-id", "replica-id"),
}
_SLICES = {"slice", "dynamic-slice", "gather"}
_SAME = {"bitcast", "copy", "convert"}  # as far as bytes of a parameter go


@dataclasses.dataclass(frozen=True)
class Instruction:
    """A line of a computation."""

    name: str
    shape: str
    kind: str
    operands: tuple[str, ...]
    line: str
    root: bool


Computation = dict[str, Instruction]


def moved(program: Program) -> int:
    """Bytes between a device and its HBM in one run of the program."""
    found = {name: _instructions(lines) for name, lines in program.lines.items()}
    inside = {name for lines in found.values() for one in lines.values() for name in _parts(one)}
    return sum(
        program.times[name] * sum(_traffic(one, lines, found) for one in lines.values())
        for name, lines in found.items()
        if name not in inside
    )


def cycles(program: Program) -> int:
    """What the compiler states; it says nothing of kernels and some gathers."""
    return sum(
        program.times[name] * sum(int(count) for line in lines for count in _CYCLES.findall(line))
        for name, lines in program.lines.items()
    )


def _instructions(lines: Iterable[str]) -> Computation:
    found = {}
    for line in lines:
        if match := _INSTRUCTION.match(line):
            root, name, shape, kind, rest = match.groups()
            operands = tuple(re.findall(r"%([\w.\-]+)", rest[: _end(rest)]))
            found[name] = Instruction(name, shape, kind, operands, line, bool(root))
    return found


def _end(text: str) -> int:
    """Where the bracket closes that was opened before `text`."""
    depth = 1
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return place
    return len(text)


def _parts(one: Instruction) -> list[str]:
    """The computations that are a part of the instruction, as those of a fusion are."""
    if one.kind in _FREE:
        return []
    return re.findall(r"(?:calls|to_apply)=%?([\w.\-]+)", one.line)


def _traffic(one: Instruction, around: Computation, program: dict[str, Computation]) -> int:
    if one.kind in _FREE or one.kind.endswith("-done"):
        return 0
    if one.kind in ("copy-start", "slice-start"):
        return _copied(one)
    body = next((program[name] for name in _parts(one)), {}) if one.kind == "fusion" else {}
    read = sum(
        _read(around[name].shape, _parameter(index, body), body)
        for index, name in enumerate(one.operands)
        if name in around
    )
    return read + _written(one, body)


def _copied(one: Instruction) -> int:
    """An asynchronous copy: as many bytes on either side as arrive."""
    first, second = _ARRAY.findall(one.shape)[:2]
    target, source = (first, second) if one.kind == "copy-start" else (second, first)
    kind, dimensions, layout = target
    return _padded(kind, dimensions, layout) * (_in_hbm(source[2]) + _in_hbm(layout))


def _parameter(index: int, body: Computation) -> Instruction | None:
    wanted = f" parameter({index})"
    return next((one for one in body.values() if wanted in one.line), None)


def _read(shape: str, parameter: Instruction | None, body: Computation) -> int:
    """Bytes of an operand: all of it, or what its slices in a fusion take."""
    whole = _size(shape)
    if parameter is None or not whole:
        return whole
    taken, names = 0, [parameter.name]
    while names:
        name = names.pop()
        for use in (one for one in body.values() if name in one.operands):
            if use.kind in _SLICES and use.operands[0] == name:
                taken += _size(use.shape, anywhere=True)
            elif use.kind in _SAME:
                names.append(use.name)
            elif use.kind == "dynamic-update-slice" and use.operands[0] == name:
                continue  # written in place
            else:
                return whole
    return min(taken, whole)


def _written(one: Instruction, body: Computation) -> int:
    """Bytes of the results: all of them, or of an array updated in place the update."""
    root = next((inner for inner in body.values() if inner.root), one)
    while root.kind == "bitcast" and root.operands[0] in body:
        root = body[root.operands[0]]
    if root.kind == "dynamic-update-slice" and root.operands[1] in body and _size(one.shape):
        return _size(body[root.operands[1]].shape, anywhere=True)
    return _size(one.shape)


def _size(shape: str, *, anywhere: bool = False) -> int:
    """Bytes of the arrays of a shape that are in HBM."""
    return sum(
        _padded(kind, dimensions, layout)
        for kind, dimensions, layout in _ARRAY.findall(shape)
        if anywhere or _in_hbm(layout)
    )


def _in_hbm(layout: str) -> bool:
    return "S(" not in layout


def _padded(kind: str, dimensions: str, layout: str) -> int:
    """Bytes of an array whose tiles are whole."""
    sizes = [int(n) for n in dimensions.split(",") if n]
    if (tile := _TILE.match(layout)) and sizes:
        order = [int(axis) for axis in tile[1].split(",") if axis]
        for axis, whole in zip(order, (tile[3], tile[2] or 1), strict=False):
            sizes[axis] = -(-sizes[axis] // int(whole)) * int(whole)
    return bytes_of(kind) * math.prod(sizes)
