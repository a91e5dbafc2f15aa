"""The training program: `python -m facespeak_jax.main --config configs/lite.py:face --workdir W`.

The same command again resumes where the last checkpoint was. Everything else is in
`training/loop.py`, so that tests and notebooks can call it.
"""

import logging as stdlib_logging
import os
import sys

import jax
from absl import app, flags, logging
from clu import platform
from ml_collections import config_flags

from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.training import chips, compiling, processes

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
# A TPU pod names its processes itself; elsewhere these three do.
_ADDRESS = flags.DEFINE_string("coordinator_address", None, "host:port of process 0.")
_COUNT = flags.DEFINE_integer("num_processes", None, "How many processes train together.")
_INDEX = flags.DEFINE_integer("process_id", None, "Which of them this one is, from 0.")
_WAIT = flags.DEFINE_float("wait_seconds", 300, "How long all may take to come.", 1)
_SILENCE = flags.DEFINE_float("silence_seconds", 100, "After which a process is lost.", 1)


def main(argv: list[str]) -> None:
    """Trains as the flags say; exit code 1 and one line for an error a user can act on."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
    logging.get_absl_handler().addFilter(_ours)
    try:
        group = processes.group(_ADDRESS.value, _COUNT.value, _INDEX.value, _WAIT.value)
        with processes.Joined(group, wait=_WAIT.value, silence=_SILENCE.value):
            chips.require(os.environ)
            compiling.keep(_WORKDIR.value)
            logging.info("JAX process %d of %d", jax.process_index(), jax.process_count())
            logging.info("Devices: %s", jax.devices())
            status = f"process {jax.process_index()} of {jax.process_count()}"
            platform.work_unit().set_task_status(status)
            from facespeak_jax.training import loop  # slow, so not before all else is right

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
