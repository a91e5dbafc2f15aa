"""`python -m launch.aot.warps`: what the TPU compiler makes of each way to warp, scale by scale.

Every scale of `configs/base.py`, for one chip; needs `pip install '.[aot]'`, and no TPU. It goes on
where it was interrupted.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from configs import base
from facespeak_jax.face.kernels import maps, running
from launch.aot import compiling
from launch.aot.warp_cases import FRAMES, TOPOLOGY, Case

HERE = Path(__file__).parent
METHODS = ("gather", "tent", "two passes", "kernel")
HEAD = f"""# Ways to warp, as the TPU compiler sees them

Made by `python -m launch.aot.warps`; no TPU was used. Every scale of `configs/base.py`: {FRAMES}
frames, each of a source of its own, on one chip of a {TOPOLOGY}. Maps are bfloat16, with the
gradients of features and flow; the photograph (3 channels) is float32, with that of the flow.

- **gather** reads four rows a pixel; **tent** multiplies by the whole matrix of bilinear weights;
  **two passes** multiply by the weights of columns and then of rows; **kernel** keeps the source in
  the chip's fast memory and makes the weights there (`facespeak_jax/face/kernels`). All give the
  same numbers to 1e-5 (`tests/face`).
- **HBM**: bytes to and from HBM, read off the compiled program; a kernel's blocks are moved once
  each. **XLA**: bytes as XLA counts them, whatever memory they are in.
- **GFLOP** of a kernel are those of flows that differ by {running.REACH:.0%} of the frame's height
  within a tile of {maps.TILE} pixels: it does as much work as the flow asks for.
- **Cycles** are what the compiler states; of kernels and of some gathers it says nothing.
- The ways that `base` takes are in bold.
"""


def main(arguments: list[str] | None = None) -> int:
    """Compiles what is missing and writes `warps.json` and `warps.md`."""
    parser = argparse.ArgumentParser(prog="python -m launch.aot.warps", description=__doc__)
    parser.add_argument("--again", metavar="METHOD", choices=METHODS, help="what to make anew")
    parser.add_argument("--out", type=Path, default=HERE, help="where the tables are")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / "warps.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    for case in cases():
        if case.name in found and case.method != given.again:
            continue
        found[case.name] = _apart(case)
        print(case.name, found[case.name], flush=True)
        file.write_text(json.dumps(found, indent=1) + "\n")
    (given.out / "warps.md").write_text(markdown(found))
    return 0


def scales() -> list[tuple[int, int]]:
    """Resolution and channels of everything `base` warps, the photograph last."""
    widths = base.MODEL["generator"]["widths"]
    return [(8 * 2**level, width) for level, width in enumerate(widths)] + [(base.MODEL["size"], 3)]


def chosen(size: int) -> str:
    """The way `base` takes at a resolution."""
    generator = base.MODEL["generator"]
    larger = "kernel" if generator["kernels"] else "gather"
    return "tent" if size < generator["tent_below"] else larger


def cases() -> Iterator[Case]:
    """Everything that is compiled."""
    for size, channels in scales():
        for method in METHODS:
            for backward in (False, True):
                yield Case(size, channels, method, backward)


def _apart(case: Case) -> dict[str, Any]:
    """What is made of a case, in a process of its own; never raises for its failures."""
    given = json.dumps(dataclasses.asdict(case))
    done = subprocess.run(
        [sys.executable, "-m", "launch.aot.warp_cases", given],
        env={**os.environ, **compiling.ENVIRONMENT},
        cwd=compiling.ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        full = compiling.out_of_memory(done.stderr)
        return {"failed": full or compiling.last_error(done.stderr)}
    return json.loads(done.stdout)


def markdown(found: dict[str, dict[str, Any]]) -> str:
    """The tables: forward, forward and backward, and what the choice saves."""
    parts = [HEAD]
    for backward, title in ((False, "Forward"), (True, "Forward and backward")):
        head = (
            "| scale | way | HBM MB | XLA MB | GFLOP | temporaries MB | code MiB | compile s "
            "| 10⁶ cycles |"
        )
        rows = [_row(case, found.get(case.name)) for case in cases() if case.backward == backward]
        parts += [f"## {title}\n", "\n".join([head, "|---" * 9 + "|", *filter(None, rows)]) + "\n"]
    return "\n".join([*parts, *_saved(found)])


def _row(case: Case, found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    name = f"**{case.method}**" if case.method == chosen(case.size) else case.method
    start = f"| {case.size} × {case.channels} | {name} |"
    if "failed" in found:
        return f"{start} {found['failed'].replace('|', '/')[:120]}" + " |" * 7
    cells = (
        f"{1e-6 * found['hbm']:.4g}",
        f"{1e-6 * found['moved']:.4g}",
        f"{1e-9 * found['flops']:.3g}",
        f"{1e-6 * found['temporaries']:.4g}",
        f"{found['code'] / 2**20:.2f}",
        f"{found['compile_seconds']:.1f}",
        f"{1e-6 * found['cycles']:.3g}" if found["cycles"] else "",
    )
    return f"{start} {' | '.join(cells)} |"


def _saved(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    """All scales together: the row gather beside what was chosen."""
    for count, title in (("hbm", "through HBM"), ("moved", "as XLA counts them")):
        total = {}
        for name in ("gather", "chosen"):
            of = [
                Case(*scale, chosen(scale[0]) if name == "chosen" else name, True)
                for scale in scales()
            ]
            if any(count not in found.get(case.name, {}) for case in of):
                return
            total[name] = sum(found[case.name][count] for case in of)
        yield (
            f"All scales, forward and backward, bytes {title}: "
            f"{1e-9 * total['gather']:.3g} GB by the row gather, "
            f"{1e-9 * total['chosen']:.3g} GB as chosen, "
            f"{total['gather'] / total['chosen']:.1f} times fewer.\n"
        )


if __name__ == "__main__":
    sys.exit(main())
