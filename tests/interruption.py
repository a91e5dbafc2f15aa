"""Trainings that are asked to stop, as a machine that is about to be taken away does."""

import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from absl import logging
from jax.experimental import multihost_utils

from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.training import checkpoint, loop, processes, sharding
from tests import toy

PHASES = ("begin", "start-up", "compile", "step", "evaluation", "save", "end")
DIGEST = "digest.txt"

# Processes that have imported everything before they begin: TensorFlow alone takes seconds.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.interruption"])


def after(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends this process SIGTERM when a run has done `step` steps, until the patch is undone."""
    hooks = loop._Run.hooks

    def terminate(done: int) -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop._Run, "hooks", lambda run: [*hooks(run), terminate])


@dataclasses.dataclass(frozen=True)
class Plan:
    """A training of the toy stage in processes of its own."""

    corpus: str
    workdir: str
    cache: str  # of compiled programs
    devices: int = 1
    group: processes.Group | None = None
    pause: float = 0.0  # seconds after every step
    file_size: int = 0  # bytes no file may exceed: a full disk; 0 for no limit
    silence: float = 20.0
    workers: int = 0  # that make batches
    mesh: dict[str, int] = dataclasses.field(default_factory=dict)
    order: tuple[int, ...] = ()  # of the devices in the mesh
    train: dict[str, Any] = dataclasses.field(default_factory=dict)


class Training:
    """A running process; `phase` is what it is at."""

    def __init__(self, plan: Plan):
        self._phase = FORKS.Value("i", 0)
        self.log = Path(plan.workdir + f".{plan.group.index if plan.group else 0}.log")
        self.process = FORKS.Process(target=_train, args=(plan, self._phase, str(self.log)))
        self.process.start()

    @property
    def phase(self) -> str:
        return PHASES[self._phase.value]

    def wait_for(self, *phases: str, seconds: float = 600) -> None:
        """Returns when the process is at one of `phases`."""
        until = time.monotonic() + seconds
        while self.phase not in phases:
            assert time.monotonic() < until, f"still at {self.phase}: {self.said()}"
            assert self.process.is_alive(), f"ended at {self.phase}: {self.said()}"
            time.sleep(0.001)

    def send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def children(self) -> list[int]:
        """The processes that it has begun and that have not ended; Linux tells."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]

    def end(self, seconds: float = 600) -> int:
        """The exit code; -15 for one that died of SIGTERM."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"no end after {seconds} s at {self.phase}: {self.said()}")
        return self.process.exitcode

    def said(self) -> str:
        """Its log, without what checkpointing tells of every detail of its work."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return "\n".join(line for line in lines if "[process=" not in line and "_Meta" not in line)


def begin(plan: Plan, count: int = 1, **of_last: Any) -> list[Training]:
    """Starts the plan in one process or several, which find each other at a free port.

    `of_last` is what the last of several processes has otherwise.
    """
    if count == 1:
        return [Training(plan)]
    with socket.create_server(("", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    groups = [processes.Group(address, count, index) for index in range(count)]
    plans = [dataclasses.replace(plan, group=group) for group in groups]
    plans[-1] = dataclasses.replace(plans[-1], **of_last)
    return [Training(each) for each in plans]


def finish(plan: Plan, count: int = 1) -> str:
    """Runs the plan to its end and returns the digest of the last state."""
    for training in begin(plan, count):
        assert training.end() == 0, training.said()
    return (Path(plan.workdir) / DIGEST).read_text()


def saved(workdir: str) -> list[int]:
    """The steps of complete checkpoints."""
    found = Path(workdir, "checkpoints")
    return sorted(int(path.name) for path in found.glob("*") if path.name.isdigit())


def _train(plan: Plan, phase: Any, log: str) -> None:
    """What the process does; as `main` does it, but with the toy stage."""
    with open(log, "a") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    logging.set_verbosity(logging.INFO)
    logging.use_absl_handler()
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", plan.devices)
    jax.config.update("jax_disable_most_optimizations", True)
    jax.config.update("jax_compilation_cache_dir", plan.cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    _follow(phase, plan.pause, Path(log).with_suffix(".clips"))
    if plan.file_size:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (plan.file_size, plan.file_size))
    if plan.order:
        _reorder(plan.order)
    config = toy.config(plan.corpus, **plan.train)
    config.mesh.update(plan.mesh)
    config.data.workers = plan.workers
    try:
        with processes.Joined(plan.group, wait=60.0, silence=plan.silence):
            state = loop.run(toy.ToyStage(config), config, plan.workdir)
            if int(state.step) == config.train.steps:
                digest = _digest(state)
                if jax.process_index() == 0:
                    (Path(plan.workdir) / DIGEST).write_text(digest)
    except FaceSpeakError as error:
        logging.error("%s", error)
        logging.flush()
        sys.exit(1)


def clips(training: Training) -> list[list[str]]:
    """The clips behind the process's rows of the first steps it trained on."""
    return json.loads(training.log.with_suffix(".clips").read_text())


def _reorder(order: tuple[int, ...]) -> None:
    """Has a mesh go through the devices otherwise, as on a pod, where a host holds a block."""
    make = sharding.make_mesh

    def mixed(sizes: Any) -> jax.sharding.Mesh:
        mesh = make(sizes)
        devices = mesh.devices.reshape(-1)[list(order)].reshape(mesh.devices.shape)
        return jax.sharding.Mesh(devices, mesh.axis_names, axis_types=mesh.axis_types)

    sharding.make_mesh = mixed


def _follow(phase: Any, pause: float, record: Path) -> None:
    """Writes into `phase` what the loop is at, and into `record` what it trains on."""

    def during(name: str, function: Callable, then: str = "") -> Callable:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            phase.value = PHASES.index(name)
            result = function(*arguments, **options)
            if then:
                phase.value = PHASES.index(then)
            return result

        return wrapped

    def step(_: int) -> None:
        phase.value = PHASES.index("step")
        time.sleep(pause)

    def programs(run: Any, now: Any, planned: Any) -> Any:
        start = int(now.step)
        ids = [run.batches.clip_ids(i) for i in range(start, start + 10)]
        record.write_text(json.dumps(ids))
        return make(run, now, planned)

    hooks, run, make = loop._Run.hooks, loop._Run, loop._Run.programs
    run.hooks = lambda self: [*hooks(self), step]
    run.initialise = during("start-up", run.initialise)
    run.programs = during("compile", programs)
    run.evaluate = during("evaluation", run.evaluate, "step")
    checkpoints = checkpoint.Checkpoints
    checkpoints.save = during("save", checkpoints.save)
    checkpoints.close = during("save", checkpoints.close, "end")


def _digest(state: Any) -> str:
    """Of every number of a state, however it is laid out."""
    if jax.process_count() > 1:
        state = multihost_utils.process_allgather(state, tiled=True)
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        found.update(jax.tree_util.keystr(path).encode() + np.asarray(leaf).tobytes())
    return found.hexdigest()
