"""Trainings in two processes: the same as in one, and how they end when one of them does."""

import multiprocessing
import signal
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from facespeak_jax.training import checkpoint
from tests import interruption
from tests.interruption import Plan

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("compiled"))


@pytest.fixture
def plan(corpus, cache, tmp_path):
    def make(name, devices, **options):
        train = {"steps": 6} | options.pop("train", {})
        return Plan(corpus, str(tmp_path / name), cache, devices, train=train, **options)

    return make


@pytest.fixture(autouse=True)
def nothing_goes_on():
    """A test that fails leaves no training behind that others would wait for."""
    before = multiprocessing.active_children()
    yield
    for process in multiprocessing.active_children():
        if process not in before:
            process.kill()
            process.join()


def weights(plan):
    """Of the last checkpoint, flat."""
    parts = checkpoint.model_parts(plan.workdir)
    found = checkpoint.load_parts(plan.workdir, parts, use_ema=False)
    return np.concatenate([x.reshape(-1) for x in jax.tree.leaves(found)])


def ran(plan, count=1):
    """The clips of the first steps, process by process."""
    begun = interruption.begin(plan, count)
    for training in begun:
        assert training.end() == 0, training.said()
    return [interruption.clips(training) for training in begun]


def test_two_processes_of_four_devices_equal_one_of_eight(plan):
    one, two, mixed = plan("one", 8), plan("two", 4), plan("m", 4, order=(0, 4, 1, 5, 2, 3, 6, 7))
    (whole,) = ran(one)
    for other in (two, mixed):
        parts = ran(other, 2)
        np.testing.assert_allclose(weights(other), weights(one), rtol=2e-4, atol=2e-6)
        for step, clips in enumerate(whole):
            first, second = (part[step] for part in parts)
            assert len(first) == len(second) == 4
            # A batch of 8 is an epoch of the 8 clips: none is lost, none comes twice.
            assert sorted(first + second) == sorted(clips)
            assert len(set(clips)) == 8
            if other is two:
                assert first + second == clips
            else:  # the first process holds devices 0 to 3, at places 0, 2, 4 and 5 of the mesh
                assert first == [clips[row] for row in (0, 2, 4, 5)]


def test_a_state_is_the_same_on_any_number_of_devices_and_processes(plan):
    """Sharded over all devices, saved by two processes, restored and read again by others."""
    mesh = {"data": 1, "fsdp": -1, "tensor": 1}
    begun = plan("W", 4, mesh=mesh)
    digest = interruption.finish(begun, 2)
    for devices, count in ((1, 1), (8, 1), (4, 1), (4, 2)):
        (Path(begun.workdir) / interruption.DIGEST).unlink()
        assert interruption.finish(plan("W", devices, mesh=mesh), count) == digest


def test_a_training_moves_between_topologies(plan):
    whole = plan("whole", 1, train={"steps": 9})
    moved = [plan("moved", devices, pause=0.05, train={"steps": 9}) for devices in (8, 4, 1)]
    (clips,) = ran(whole)
    for part, count in zip(moved, (1, 2, 1), strict=True):
        before = interruption.saved(part.workdir)
        begun = interruption.begin(part, count)
        if part is not moved[-1]:
            begun[0].wait_for("step")
            begun[0].send(signal.SIGTERM)
        assert [training.end() for training in begun] == [0] * count
        if before:
            seen = [clip for training in begun for clip in interruption.clips(training)[0]]
            assert seen == clips[before[-1]]
    assert interruption.saved(moved[0].workdir)[-1] == 9
    np.testing.assert_allclose(weights(moved[0]), weights(whole), rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("told", [(1,), (0, 1)])
def test_a_signal_to_any_process_stops_all_at_the_same_step(plan, told):
    train = {"steps": 30, "checkpoint_every": 100}
    digest = interruption.finish(plan("whole", 1, train=train), 2)
    parts = plan("parts", 1, pause=0.05, train=train)
    begun = interruption.begin(parts, 2)
    begun[0].wait_for("step")
    for index in told:
        begun[index].send(signal.SIGTERM)
        time.sleep(0.12)
    assert [training.end() for training in begun] == [0, 0], begun[0].said()
    (step,) = interruption.saved(parts.workdir)
    assert 0 < step < 30
    assert all(f"saved step {step}" in training.said() for training in begun)
    assert interruption.finish(parts, 2) == digest


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_process_ends_the_other_soon(plan, lost):
    parts = plan("parts", 1, silence=10.0, pause=0.05, train={"steps": 2000})
    begun = interruption.begin(parts, 2)
    begun[lost].wait_for("step")
    while not interruption.saved(parts.workdir):
        time.sleep(0.01)
    begun[lost].send(signal.SIGKILL)
    start = time.monotonic()
    assert begun[1 - lost].end() not in (0, None)
    assert time.monotonic() - start < 120  # silence, and what a loaded machine adds
    assert checkpoint.read_whole(parts.workdir) > 0
    # The same command goes on.
    again = interruption.begin(parts, 2)
    again[0].wait_for("step")
    again[1].send(signal.SIGTERM)
    assert [training.end() for training in again] == [0, 0]


def test_an_error_of_one_process_ends_both(plan):
    first, second = interruption.begin(plan("parts", 1, silence=10.0), 2, corpus="/nowhere")
    assert second.end() == 1
    assert "/nowhere should be, or hold" in second.said()
    assert first.end() not in (0, None)
