import json
import logging
import os
import re
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from configs import base, lite, recipe, smoke
from facespeak_jax import main, model, stages
from facespeak_jax.data import pipeline
from facespeak_jax.training import loop

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


def test_an_error_is_one_line_and_exit_code_one(tmp_path):
    command = [sys.executable, "-m", "facespeak_jax.main", "--config", "configs/smoke.py:face"]
    command += ["--workdir", str(tmp_path), "--config.data.paths=('/nowhere',)"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "/nowhere should be, or hold exactly one, directory of clips" in done.stderr
    assert "Traceback" not in done.stderr


def train(stage: str, workdir: str, *, stop: int = -1):
    """The smoke run, asked to stop while example `stop` is made."""
    config = smoke.get_config(stage)
    config.train.steps = 12
    config.train.eval_every = 100
    built = stages.build(config)
    if stop >= 0:
        built.example = Interrupted(built.example(), stop).maker
    return loop.run(built, config, workdir)


class Interrupted:
    """An example maker that asks the process to stop, as a preempted machine would."""

    def __init__(self, example: pipeline.ExampleMaker, at: int):
        self.example, self.at, self.made = example, at, 0

    def maker(self) -> pipeline.ExampleMaker:
        return self

    def __call__(self, clips, rng, position):
        self.made += 1
        if self.made == self.at:
            os.kill(os.getpid(), signal.SIGTERM)
        return self.example(clips, rng, position)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_stop_and_resume_equals_an_uninterrupted_run_bit_for_bit(stage, tmp_path):
    whole = train(stage, str(tmp_path / "whole"))
    stopped = train(stage, str(tmp_path / "parts"), stop=4 * 7)
    assert 0 < int(stopped.step) < 12
    resumed = train(stage, str(tmp_path / "parts"))
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_smoke_losses_fall(stage, tmp_path, caplog):
    config = smoke.get_config(stage)
    with caplog.at_level(logging.INFO):
        loop.train(config, str(tmp_path))
    losses = [float(x) for x in re.findall(r"\[\d+\] .*\bloss=([-0-9.e]+)", caplog.text)]
    assert len(losses) == 6
    assert losses[-1] < losses[0]
    assert "eval/" in caplog.text
