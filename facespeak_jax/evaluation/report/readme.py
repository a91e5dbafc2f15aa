"""Puts the main figures of a report where a text has room for them.

`python -m facespeak_jax.evaluation.report.readme --report E/report.json --into README.md` replaces
what is between the lines `<!-- figures -->` and `<!-- end of figures -->`.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.evaluation.report import report
from facespeak_jax.evaluation.report.columns import COLUMNS

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
MAIN = (
    "wer",
    "c_sim",
    "dnsmos",
    "id_sim",
    "kid",
    "lse_c",
    "lip_correlation",
    "closure",
    "div",
    "jitter",
)


class NoPlace(FaceSpeakError):
    """The text does not say where figures belong."""


def fill(text: str, made: Mapping[str, Any]) -> str:
    """The text with the report's main figures in their place. Raises NoPlace."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoPlace(f"the text has no lines {BEGIN} and {END} to put the figures between")
    shown = [name for name in MAIN if any(name in cells for cells in made["systems"].values())]
    columns = {name: COLUMNS[name] for name in shown}
    table = "\n".join(report.table(made, columns))
    said = (
        f"`{made['suite']}`, {made['clips']} clips of people never trained on; means with 95 % "
        "intervals over clips, and the number of clips."
    )
    return f"{before}{BEGIN}\n{table}\n\n{said}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 and one line on stderr for an error a user can act on."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", required=True, type=Path, metavar="JSON")
    parser.add_argument("--into", required=True, type=Path, metavar="TEXT")
    options = parser.parse_args(arguments)
    try:
        made = json.loads(options.report.read_text("utf-8"))
        options.into.write_text(fill(options.into.read_text("utf-8"), made), "utf-8")
    except (FaceSpeakError, OSError) as error:
        print(f"facespeak: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
