"""The averaged weights of several stages as one weights directory, ready to sample with.

`python -m facespeak_jax.training.merge --workdirs W1 W2 … --out DIR`
"""

import argparse
import json
from collections.abc import Iterable
from typing import Any

from etils import epath

from facespeak_jax import export
from facespeak_jax.speech.text import SYMBOLS
from facespeak_jax.training import checkpoint


def merge(workdirs: Iterable[epath.PathLike], out: epath.PathLike) -> None:
    """Writes the averaged model parts of each workdir; of a part trained twice the last counts.

    Raises export.BadWeights if the workdirs disagree about a part's constructor arguments.
    """
    params: dict[str, Any] = {}
    model: dict[str, Any] = {}
    for workdir in workdirs:
        config = json.loads((epath.Path(workdir) / export.CONFIG).read_text())
        for part, arguments in config["model"].items():
            if model.setdefault(part, arguments) != arguments:
                raise export.BadWeights(
                    f"{workdir} has model.{part} = {arguments}, an earlier one {model[part]}"
                )
        trained = [part for part in checkpoint.model_parts(workdir) if part in config["model"]]
        params |= checkpoint.load_parts(workdir, trained)
    export.save(out, params, {"model": model, "symbols": list(SYMBOLS)})


def main() -> None:
    """The command line of `merge`."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdirs", nargs="+", required=True, help="of the stages, in order")
    parser.add_argument("--out", required=True, help="the weights directory to write")
    arguments = parser.parse_args()
    merge(arguments.workdirs, arguments.out)


if __name__ == "__main__":
    main()
