import json
import logging
import os
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from configs import base, lite, recipe, smoke
from facespeak_jax import main, model
from facespeak_jax.training import loop
from tests import interruption

STAGES = sorted(recipe.PARTS)


@pytest.mark.parametrize("size", [smoke, lite, base])
@pytest.mark.parametrize("stage", STAGES)
def test_every_config_builds_its_parts_and_is_locked(size, stage):
    config = size.get_config(stage)
    assert config.is_locked
    model.build(config.model)
    with pytest.raises(AttributeError):
        config.train.stepz = 3
    json.loads(config.to_json_best_effort())


def test_unknown_stages_and_names_are_refused():
    with pytest.raises(ValueError, match="no stage 'fase'; the stages are face"):
        smoke.get_config("fase")
    with pytest.raises(KeyError, match="stepz"):
        recipe.experiment(
            "face",
            model=smoke.MODEL,
            sync=smoke.SYNC,
            paths=("x",),
            batch=1,
            override={"train": {"stepz": 1}},
        )


def test_the_program_is_short():
    with open(main.__file__) as file:
        assert len(file.readlines()) < 80


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            "--config.data.paths=('/nowhere',)",
            "/nowhere should be, or hold exactly one, directory of clips",
        ),
        ("--process_id=1", "give --coordinator_address, --num_processes and --process_id together"),
        ("TPU_ACCELERATOR_TYPE=v5litepod-8", "a TPU is expected (TPU_ACCELERATOR_TYPE is set) but"),
    ],
)
def test_an_error_is_one_line_and_exit_code_one(tmp_path, given, reason):
    command = [sys.executable, "-m", "facespeak_jax.main", "--config", "configs/smoke.py:face"]
    command += ["--workdir", str(tmp_path), *([given] if given.startswith("--") else [])]
    environment = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"}
    if not given.startswith("--"):
        environment |= dict([given.split("=")])
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def train(stage: str, workdir: str):
    """The smoke run, shortened."""
    config = smoke.get_config(stage)
    config.train.steps = 12
    config.train.eval_every = 100
    return loop.train(config, workdir)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_stop_and_resume_equals_an_uninterrupted_run_bit_for_bit(stage, tmp_path, monkeypatch):
    whole = train(stage, str(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        interruption.after(5, patch)
        stopped = train(stage, str(tmp_path / "parts"))
    assert int(stopped.step) == 5
    resumed = train(stage, str(tmp_path / "parts"))
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_smoke_losses_fall(stage, tmp_path, caplog):
    config = smoke.get_config(stage)
    with caplog.at_level(logging.INFO):
        loop.train(config, str(tmp_path))
    losses = [float(x) for x in re.findall(r"\[\d+\] .*(?<![/\w])loss=([-0-9.e]+)", caplog.text)]
    assert len(losses) == config.train.steps // config.train.log_every
    assert losses[-1] < losses[0]
    assert "eval/" in caplog.text
