"""The training loop of every stage; imports TensorFlow, for clu's writers and hooks."""

import collections
import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import optax
import tensorflow as tf
from absl import logging
from clu import metric_writers, parameter_overview, periodic_actions
from etils import epath
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from facespeak_jax import export, stages
from facespeak_jax.data import pipeline
from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.rates import SAMPLE_RATE
from facespeak_jax.stages.stage import Prepared, Stage
from facespeak_jax.training import (
    checkpoint,
    chips,
    compiling,
    metrics,
    plan,
    sharding,
    speed,
    state,
    step,
)
from facespeak_jax.training.state import TrainState
from facespeak_jax.training.stop import Agreement, Stop

RUN_AHEAD = 2  # steps the host may be ahead of the device, so that batches do not pile up there


class NotFinite(FaceSpeakError):
    """A loss or a gradient was not finite; the message says where and what was kept."""


def train(config: ConfigDict, workdir: str) -> TrainState:
    """Trains `config.stage` in `workdir`, from its newest checkpoint if there is one.

    Returns the last state; on SIGTERM that is an earlier one, saved. Raises NotFinite, and what the
    data, the checkpoints and the mesh raise. Several processes must share the workdir; they stop
    and save together.
    """
    return run(stages.build(config), config, workdir)


def run(stage: Stage, config: ConfigDict, workdir: str) -> TrainState:
    """`train` with a stage already built."""
    keep_tensorflow_small()
    mesh = sharding.make_mesh(dict(config.mesh))
    sharding.check_batch(config.data.batch, mesh)
    writer = metric_writers.create_default_writer(
        workdir, just_logging=jax.process_index() > 0, asynchronous=True
    )
    checkpoints = checkpoint.Checkpoints(
        workdir, keep=config.train.keep, keep_every=config.train.keep_every
    )
    with (
        Stop() as stop,  # outermost: a second signal must not spoil what the first asked for
        metric_writers.ensure_flushes(writer),
        contextlib.closing(checkpoints),
        compiling.Counter() as compiled,
        jax.set_mesh(mesh),
    ):
        return _Run(stage, config, workdir, mesh, writer, checkpoints).go(stop, compiled)


class _Run:
    """One call of `run`: what every phase of the loop needs."""

    def __init__(
        self,
        stage: Stage,
        config: ConfigDict,
        workdir: str,
        mesh: Mesh,
        writer: metric_writers.MetricWriter,
        checkpoints: checkpoint.Checkpoints,
    ):
        self.stage, self.config, self.workdir = stage, config, epath.Path(workdir)
        self.writer, self.checkpoints = writer, checkpoints
        self.key = jax.random.key(config.seed)
        self.split = sharding.batch_sharding(mesh)
        self.whole = NamedSharding(mesh, P())
        rows = pipeline.local_rows(self.split, config.data.batch)
        make = stage.example()
        self.batches = pipeline.batches(config, make, split=config.data.split, rows=rows)
        # Pictures need arrays that are whole here. Several processes evaluate as many examples as
        # one device trains on, all the same, so that they fit.
        self.together = jax.process_count() > 1
        if self.together:
            rows = range(self.split.shard_shape((config.data.batch,))[0])
        self.held_out = pipeline.batches(config, make, split=config.data.eval_split, rows=rows)
        self.copied = jax.jit(lambda tree: tree, out_shardings=self.whole)
        self.optimizers: dict[str, optax.GradientTransformation] = {}  # filled by `initialise`
        self.mesh = mesh

    def go(self, stop: Stop, compiled: compiling.Counter) -> TrainState:
        """Everything, in order."""
        train = self.config.train
        now, planned = self.initialise()
        if isinstance(self.stage, Prepared):
            sources = [*self.batches.sources, *self.held_out.sources]
            self.stage.prepare(now.params, sources, self.workdir)
        start = int(now.step)
        advance, empty = self.programs(now, planned)
        seen, hooks = empty(), self.hooks()
        meter = speed.Meter(clips=self.config.data.batch, flops=self.operations(now, seen))
        goodput, watch = speed.Goodput(self.workdir, start), compiling.Watch()
        agreement = Agreement(stop, self.mesh, RUN_AHEAD)
        waiting: collections.deque[jax.Array] = collections.deque()
        batches = meter.inputs(self.ahead(start))
        for i, batch in zip(range(start, train.steps), batches, strict=True):
            # Evaluation and checkpoints come before the step and see the old state, so that a
            # checkpoint's step, state and next batch agree. Do not change this order.
            stopping = agreement.reached()
            with meter.aside():
                if i > start and i % train.eval_every == 0 and not stopping:
                    self.evaluate(now, i)
                if stopping or (i > start and i % train.checkpoint_every == 0):
                    self.require_finite(now, seen)
                    self.checkpoints.save(now, i)
                    goodput.saved(i, meter.useful)
            if stopping:
                logging.info("Asked to stop: saved step %d", i)
                return now
            watch.see(batch, i)
            with jax.profiler.StepTraceAnnotation("train", step_num=i):
                now, seen, token = advance(now, seen, self.on_device(batch), self.key)
            waiting.append(token)
            if len(waiting) > RUN_AHEAD:
                waiting.popleft().block_until_ready()
            if i == start:
                logging.info("The first step is compiled; %s", compiled)
            meter.step(count=i > start)  # the first had to be compiled
            for hook in hooks:
                hook(i + 1)
            if (i + 1) % train.log_every == 0 or i + 1 == train.steps:
                self.require_finite(now, seen)
                told = meter.values() | {"speed/goodput": goodput.share(meter.useful)}
                self.log(i + 1, seen, told | {"speed/recompilations": float(watch.again)})
                seen = empty()
        if start < train.steps:
            self.evaluate(now, train.steps)
            self.checkpoints.save(now, train.steps)
            goodput.saved(train.steps, meter.useful)
        return now

    def programs(
        self, now: TrainState, planned: plan.Plan
    ) -> tuple[step.Step, Callable[[], metrics.Accumulator]]:
        """One step, and what it adds to; both compiled when they are first called."""
        return planned.programs(self.on_device(self.batches[int(now.step)]))

    def operations(self, now: TrainState, seen: metrics.Accumulator) -> float:
        """Of one step, without those done twice to save memory; 0 unless the chip's peak is known.

        XLA counts them before it optimises; for that the step is traced once more.
        """
        if chips.of(jax.devices()[0].device_kind) is None:
            return 0.0
        plain = self.config.train.copy_and_resolve_references()
        with plain.unlocked():
            plain.update({"accumulate": 1, "remat": False})
        program = jax.jit(step.make(self.stage, plain, self.optimizers))
        batch = self.on_device(self.batches[int(now.step)])
        try:
            cost = program.lower(now, seen, batch, self.key).cost_analysis() or {}
        except (NotImplementedError, RuntimeError) as error:  # a figure less is no reason to stop
            logging.warning("The step's operations cannot be counted: %s", error)
            cost = {}
        return float(cost.get("flops", 0.0))

    def initialise(self) -> tuple[TrainState, plan.Plan]:
        """The state to start from, the newest checkpoint or else a fresh one, and the plan."""
        batch = self.on_device(self.batches[0])
        planned = plan.make(self.stage, self.config, self.mesh, batch)
        self.optimizers = planned.optimizers
        if self.checkpoints.latest is not None:
            older = self.config.train.allow_older_checkpoint
            now = self.checkpoints.restore(planned.state, older=older)
            logging.info("Resumed %s at step %d", self.workdir, int(now.step))
            return now, planned
        options = _run_once()
        fresh = jax.jit(planned.fresh, out_shardings=planned.layout, compiler_options=options)
        now = fresh(self.key, batch)
        upstream = {part: path for part, path in self.config.upstream.items() if path}
        now = put_upstream(now, upstream)
        parameter_overview.log_parameter_overview(
            now.params, include_stats="sharding", msg="Parameters:"
        )
        if jax.process_index() == 0:
            self.workdir.mkdir(parents=True, exist_ok=True)
            text = self.config.to_json_best_effort(indent=1, sort_keys=True)
            (self.workdir / "config.json").write_text(text + "\n")
        return now, planned

    def ahead(self, start: int) -> Iterator[pipeline.Example]:
        data, stop = self.config.data, self.config.train.steps
        return pipeline.prefetch(
            self.batches, start, stop, threads=data.threads, workers=data.workers
        )

    def on_device(self, batch: pipeline.Example) -> dict[str, jax.Array]:
        return pipeline.to_device(batch, self.split)

    def hooks(self) -> list[periodic_actions.PeriodicAction]:
        steps = self.config.train.steps
        found: list[periodic_actions.PeriodicAction] = [
            periodic_actions.ReportProgress(
                num_train_steps=steps, writer=self.writer, every_secs=60
            )
        ]
        if self.config.train.profile and jax.process_index() == 0:
            found.append(periodic_actions.Profile(logdir=str(self.workdir), num_profile_steps=5))
        return found

    def log(self, i: int, seen: metrics.Accumulator, told: dict[str, float]) -> None:
        values = seen.compute() | told
        for group in self.optimizers:
            rate: Any = state.schedule(self.config.optim[group], self.config.train.steps)(i - 1)
            values[f"learning_rate/{group}"] = float(rate)
        values["data/replaced"] = self.batches.replaced
        self.writer.write_scalars(i, values)

    def evaluate(self, now: TrainState, i: int) -> None:
        """Metrics of held-out batches with the averaged weights; pictures, sounds of the first."""
        params = now.params | {"model": now.ema}
        where = self.split
        if self.together:
            params, where = self.copied(params), self.whole
        totals: list[dict[str, float]] = []
        for index in range(self.config.train.eval_batches):
            batch = pipeline.to_device(self.held_out[index], where)
            values, pictures, sounds = self.stage.eval(
                params, batch, jax.random.fold_in(self.key, index)
            )
            totals.append({name: float(value) for name, value in values.items()})
            if index == 0:
                self.writer.write_images(i, {f"eval/{k}": v[None] for k, v in pictures.items()})
                waves = {f"eval/{k}": v[None, :, None] for k, v in sounds.items()}
                self.writer.write_audios(i, waves, sample_rate=SAMPLE_RATE)
        mean = {f"eval/{k}": float(np.mean([t[k] for t in totals])) for k in totals[0]}
        self.writer.write_scalars(i, mean)

    def require_finite(self, now: TrainState, seen: metrics.Accumulator) -> None:
        """Raises NotFinite, with a report, if a step since the last log line was not finite."""
        bad = int(seen.bad_step)
        if bad < 0:
            return
        batch: dict[str, Any] = self.batches[bad]
        key = jax.random.fold_in(self.key, bad)
        grads, values = jax.jit(
            lambda p, b: step.accumulated(
                self.stage, p, b, key, np.int32(bad), train=self.config.train
            )
        )(now.params, self.on_device(batch))
        culprits = [name for name, value in values.items() if not np.isfinite(value)]
        flat = jax.tree_util.tree_flatten_with_path(grads)[0]
        broken = [
            "gradient of " + jax.tree_util.keystr(path, simple=True, separator="/")
            for path, leaf in flat
            if not bool(metrics.all_finite(leaf))
        ]
        own = f"_process_{jax.process_index()}" if self.together else ""
        file = self.workdir / f"not_finite_step_{bad}{own}.npz"
        with file.open("wb") as out:
            np.savez(out, **batch)
        clips = ", ".join(self.batches.clip_ids(bad))
        raise NotFinite(
            f"stage {self.config.stage!r} was not finite at step {bad}: "
            f"{', '.join([*culprits, *broken[:5]])}. Clips: {clips}. "
            f"The batch is in {file}; the parameters were not touched by it, and the newest "
            f"checkpoint is step {self.checkpoints.latest}"
        )


def _run_once() -> dict[str, Any]:
    """Compiler options for a program that runs once: on CPU, optimising it takes half a minute."""
    return {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}


def put_upstream(now: TrainState, upstream: dict[str, str]) -> TrainState:
    """Replaces parts by those of `upstream` (part -> workdir or weights directory)."""
    ours = {part for group in now.params.values() for part in group}
    unknown = sorted(set(upstream) - ours)
    if unknown:
        raise checkpoint.BadCheckpoint(
            f"config.upstream names {', '.join(unknown)}; this stage has {', '.join(sorted(ours))}"
        )
    for part in sorted(ours - set(upstream)):
        logging.info("Part %r starts from a seeded random initialisation", part)
    params = {group: dict(parts) for group, parts in now.params.items()}
    for path in sorted(set(upstream.values())):
        loaded = checkpoint.load_parts(path, [p for p in upstream if upstream[p] == path])
        for group in params.values():
            for part in loaded.keys() & group.keys():
                export.check_shapes(loaded[part], group[part], f"{path}: {part}")
                group[part] = jax.tree.map(_in_place_of, group[part], loaded[part])
    return dataclasses.replace(
        now, params=params, ema=jax.tree.map(jax.numpy.copy, params["model"])
    )


def _in_place_of(old: jax.Array, new: np.ndarray) -> jax.Array:
    """The new values laid out as the old ones, each process placing what is its own.

    `jax.device_put` would have the processes compare the values first, in an order that must be the
    same on all of them.
    """
    values = np.asarray(new, old.dtype)
    return jax.make_array_from_callback(old.shape, old.sharding, lambda index: values[index])


def keep_tensorflow_small() -> None:
    """TensorFlow only writes summaries here: no accelerator, one thread."""
    tf.config.set_visible_devices([], "GPU")
    with contextlib.suppress(RuntimeError):  # already running, in a notebook: then so be it
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
