"""Real signals to real trainings, at any moment: the last state is that of an uninterrupted one."""

import collections
import dataclasses
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

from facespeak_jax.training import checkpoint
from tests import interruption
from tests.interruption import Plan

pytestmark = pytest.mark.slow
MOMENTS = 24
TRAIN = {"steps": 24, "eval_every": 9, "checkpoint_every": 7, "log_every": 10}


@pytest.fixture(scope="module")
def plan(corpus, tmp_path_factory):
    root = tmp_path_factory.mktemp("survival")
    return Plan(corpus, str(root / "whole"), str(root / "compiled"), pause=0.02, train=TRAIN)


@pytest.fixture(scope="module")
def digest(plan):
    return interruption.finish(plan)


def elsewhere(plan, name):
    return dataclasses.replace(plan, workdir=f"{plan.workdir}-{name}")


@pytest.mark.parametrize("phase", interruption.PHASES[:-1])
def test_a_signal_in_every_phase(plan, digest, phase):
    parts = elsewhere(plan, phase)
    (training,) = interruption.begin(parts)
    training.wait_for(phase)
    training.send(signal.SIGTERM)
    code = training.end()
    # Before there is anything to save the signal simply ends the process.
    assert code == (-signal.SIGTERM if phase == "begin" else 0), training.said()
    if code == 0:
        (newest,) = interruption.saved(parts.workdir)[-1:]
        assert checkpoint.read_whole(parts.workdir) == newest
        assert newest < TRAIN["steps"]
    assert interruption.finish(parts) == digest


def test_signals_at_random_moments(plan, digest):
    """24 SIGTERMs; every third is followed by SIGKILL, as where there is no time left to save."""
    rng = random.Random(0)
    start = time.monotonic()
    assert interruption.finish(elsewhere(plan, "timed")) == digest
    whole = time.monotonic() - start
    met: collections.Counter[str] = collections.Counter()
    round_, newest = 0, 0
    while met.total() < MOMENTS:
        parts = elsewhere(plan, f"random-{round_}")
        (training,) = interruption.begin(parts)
        time.sleep(rng.uniform(0.0, 0.8 * whole))
        phase = training.phase
        training.send(signal.SIGTERM)
        if met.total() % 3 == 2:
            time.sleep(rng.uniform(0.0, 0.3))
            training.send(signal.SIGKILL)
        code = training.end()
        assert code in (0, -signal.SIGTERM, -signal.SIGKILL), training.said()
        assert code != -signal.SIGTERM or phase in ("begin", "start-up", "end")
        met[phase] += phase != "end"
        steps = interruption.saved(parts.workdir)
        assert (steps or [0])[-1] >= newest
        newest = (steps or [0])[-1]
        if steps:
            assert checkpoint.read_whole(parts.workdir) == newest
        if newest == TRAIN["steps"]:
            assert interruption.finish(parts) == digest
            round_, newest = round_ + 1, 0
    print("signals met:", dict(met))
    assert interruption.finish(elsewhere(plan, f"random-{round_}")) == digest


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_signals_to_the_processes_that_make_batches(plan, digest):
    """Whoever asks a training to stop may ask its children too; whoever kills it forgets them."""
    parts = dataclasses.replace(elsewhere(plan, "workers"), workers=2)
    (training,) = interruption.begin(parts)
    training.wait_for("step")
    for child in training.children():
        os.kill(child, signal.SIGTERM)
    training.send(signal.SIGTERM)
    assert training.end() == 0, training.said()
    (training,) = interruption.begin(parts)
    training.wait_for("step")
    children = training.children()
    assert len(children) >= 2
    training.send(signal.SIGKILL)
    assert training.end() == -signal.SIGKILL
    until = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < until, children
        time.sleep(0.1)
    assert interruption.finish(parts) == digest


def test_a_full_disk(plan):
    parts = dataclasses.replace(elsewhere(plan, "full"), file_size=60_000)
    (training,) = interruption.begin(parts)
    assert training.end() == 1, training.said()
    assert "could not be written" in training.said()
    assert "there is none. Make room" in training.said()
    assert interruption.saved(parts.workdir) == []
