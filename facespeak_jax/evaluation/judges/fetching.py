"""`facespeak judges`: get the judges, and say which are there."""

import sys
from collections.abc import Sequence

from facespeak_jax.data.assets import AssetMissing
from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.evaluation.judges import all_judges
from facespeak_jax.evaluation.judges.sync.judge import LipSync


class UnknownJudge(FaceSpeakError):
    """There is no judge of that name."""


def fetch(names: Sequence[str]) -> str:
    """Fetches and verifies the judges named, or all; the table of `table` afterwards.

    All but the sync judge, which is trained here and comes from nowhere else. One that cannot be
    had does not keep the others from being fetched. Raises UnknownJudge, and AssetMissing when any
    failed.
    """
    judges = all_judges()
    if unknown := [name for name in names if name not in judges]:
        raise UnknownJudge(f"no judge {', '.join(unknown)}; there are {', '.join(judges)}")
    failed = []
    for name in names or [name for name in judges if name != LipSync.name]:
        print(f"fetching {name}", file=sys.stderr)
        try:
            judges[name].fetch()
        except AssetMissing as error:
            failed.append(str(error))
    if failed:
        raise AssetMissing("\n".join(failed))
    return table()


def table() -> str:
    """One line a judge: its name, version, the digest of its weights, and whether it is there."""
    rows = [
        (judge.name, judge.version, judge.sha256[:12], "ready" if judge.available() else "missing")
        + (("",) if judge.available() else (judge.advice(),))
        for judge in all_judges().values()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip()
        for row in rows
    )
