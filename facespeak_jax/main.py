"""The training program: `python -m facespeak_jax.main --config configs/lite.py:face --workdir W`.

The same command again resumes where the last checkpoint was. Everything else is in
`training/loop.py`, so that tests and notebooks can call it.
"""

import logging as stdlib_logging
import sys

import jax
from absl import app, flags, logging
from clu import platform
from ml_collections import config_flags

from facespeak_jax.errors import FaceSpeakError

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "configs/<size>.py:<stage>; single values: --config.train.steps=100",
    lock_config=True,
)
flags.mark_flag_as_required("config")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Where checkpoints, summaries and config.json go.", required=True
)


def main(argv: list[str]) -> None:
    """Trains as the flags say; exit code 1 and one line for an error a user can act on."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
    from facespeak_jax.training import (
        loop,
    )  # TensorFlow comes with it, so not before flags are right

    logging.get_absl_handler().addFilter(_ours)
    logging.info("JAX process %d of %d", jax.process_index(), jax.process_count())
    logging.info("Devices: %s", jax.devices())
    platform.work_unit().set_task_status(f"process {jax.process_index()} of {jax.process_count()}")
    try:
        loop.train(_CONFIG.value, _WORKDIR.value)
    except FaceSpeakError as error:
        logging.error("%s", error)
        sys.exit(1)


def _ours(record: stdlib_logging.LogRecord) -> bool:
    """Checkpointing tells every detail of its work; only its warnings are news."""
    return record.levelno >= stdlib_logging.WARNING or "orbax" not in record.pathname


if __name__ == "__main__":
    jax.config.config_with_absl()
    app.run(main)
