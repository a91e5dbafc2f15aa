"""`python -m launch.aot`: do the programs compile for these TPUs, fit, and how fast can they be?

One pair, or with `--all` every pair of `pairs.py` that `report.json` has no result of yet, so that
a run can be interrupted and continued. Needs `pip install '.[aot]'`, and no TPU.
"""

import argparse
import ast
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from facespeak_jax.training import chips
from launch.aot import compiling, report, tables
from launch.aot.pairs import PAIRS, Pair, What, rows_of

HERE = Path(__file__).parent


def main(arguments: list[str] | None = None) -> int:
    """Compiles, prints and stores; 1 if a pair failed."""
    parser = argparse.ArgumentParser(prog="python -m launch.aot", description=__doc__)
    parser.add_argument("--all", action="store_true", help="every pair of the list")
    parser.add_argument("--config", help="configs/<size>.py:<stage>")
    parser.add_argument("--topology", help="<chip>:<chips along each axis>, as in v5e:16x16")
    parser.add_argument("--what", choices=get_args(What), default="step")
    parser.add_argument("--rows", type=int, help="for each device; default: the list's, or 1")
    parser.add_argument(
        "--override", action="append", default=[], metavar="NAME=VALUE", help="of the config"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="where the report is")
    parser.add_argument("--texts", type=Path, help="where to keep the programs and the log")
    given = parser.parse_args(arguments)
    if given.all == bool(given.config or given.topology):
        parser.error("give --all, or --config and --topology")
    if not given.all and not (given.config and given.topology):
        parser.error("--config and --topology belong together")
    if given.topology and given.topology.partition(":")[0] not in chips.CHIPS:
        parser.error(f"no chip of {given.topology!r} is known; there are {', '.join(chips.CHIPS)}")
    pairs = PAIRS if given.all else [_one(given)]
    return _run(pairs, given.out, given.texts, again=not given.all)


def _one(given: argparse.Namespace) -> Pair:
    rows = given.rows or rows_of(given.config, given.topology, given.what) or 1
    override = tuple((name, _value(x)) for name, _, x in (o.partition("=") for o in given.override))
    return Pair(given.config, given.topology, rows, given.what, override)


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _run(pairs: Sequence[Pair], out: Path, texts: Path | None, *, again: bool) -> int:
    """Compiles what is missing, the report written after each; `again` also what is there."""
    out.mkdir(parents=True, exist_ok=True)  # not after an hour of compiling
    failed = 0
    for pair in pairs:
        if report.finished(report.load(out / "report.json").get(pair.name)) and not again:
            continue
        print(pair.name, file=sys.stderr, flush=True)
        entry = compiling.run(pair, texts)
        report.write(out, report.load(out / "report.json") | {pair.name: entry})
        print("\n".join(tables.lines(entry)), flush=True)
        failed += not report.finished(entry)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
