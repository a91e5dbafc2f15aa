"""The training loop of every stage; imports TensorFlow, for clu's writers and hooks."""

import collections
import contextlib
import dataclasses
import signal
import threading
from collections.abc import Iterator
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
from facespeak_jax.training import checkpoint, metrics, sharding, state, step
from facespeak_jax.training.state import TrainState

RUN_AHEAD = 2  # steps the host may be ahead of the device, so that batches do not pile up there


class NotFinite(FaceSpeakError):
    """A loss or a gradient was not finite; the message says where and what was kept."""


def train(config: ConfigDict, workdir: str) -> TrainState:
    """Trains `config.stage` in `workdir`, from its newest checkpoint if there is one.

    Returns the last state; on SIGTERM that is an earlier one, saved. Raises NotFinite, and what the
    data, the checkpoints and the mesh raise.
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
        metric_writers.ensure_flushes(writer),
        contextlib.closing(checkpoints),
        jax.set_mesh(mesh),
        _Stop() as stop,
    ):
        return _Run(stage, config, workdir, mesh, writer, checkpoints).go(stop)


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
        self.held_out = pipeline.batches(config, make, split=config.data.eval_split, rows=rows)
        self.optimizers: dict[str, optax.GradientTransformation] = {}  # filled by `initialise`
        self.mesh = mesh

    def go(self, stop: "_Stop") -> TrainState:
        """Everything, in order."""
        train = self.config.train
        now, layout = self.initialise()
        if isinstance(self.stage, Prepared):
            sources = [*self.batches.sources, *self.held_out.sources]
            self.stage.prepare(now.params, sources, self.workdir)
        start = int(now.step)
        names = step.metric_names(
            self.stage, train, self.optimizers, now.params, self.on_device(self.batches[start])
        )
        empty = jax.jit(lambda: metrics.empty(names), out_shardings=self.whole)
        advance = jax.jit(
            step.make(self.stage, train, self.optimizers),
            donate_argnums=(0, 1),
            out_shardings=(layout, self.whole, self.whole),
        )
        hooks = self.hooks()
        seen = empty()
        waiting: collections.deque[jax.Array] = collections.deque()
        for i, batch in zip(range(start, train.steps), self.ahead(start), strict=True):
            # Evaluation and checkpoints come before the step and see the old state, so that a
            # checkpoint's step, state and next batch agree. Do not change this order.
            if i > start and i % train.eval_every == 0:
                self.evaluate(now, i)
            if stop.asked or (i > start and i % train.checkpoint_every == 0):
                self.require_finite(now, seen)
                self.checkpoints.save(now, i)
                if stop.asked:
                    logging.info("Asked to stop: saved step %d", i)
                    return now
            with jax.profiler.StepTraceAnnotation("train", step_num=i):
                now, seen, token = advance(now, seen, self.on_device(batch), self.key)
            waiting.append(token)
            if len(waiting) > RUN_AHEAD:
                waiting.popleft().block_until_ready()
            for hook in hooks:
                hook(i + 1)
            if (i + 1) % train.log_every == 0 or i + 1 == train.steps:
                self.require_finite(now, seen)
                self.log(i + 1, seen)
                seen = empty()
        if start < train.steps:
            self.evaluate(now, train.steps)
            self.checkpoints.save(now, train.steps)
        return now

    def initialise(self) -> tuple[TrainState, TrainState]:
        """The state to start from, and its shardings: the newest checkpoint, else a fresh one."""
        batch = self.on_device(self.batches[0])
        params = jax.eval_shape(self.stage.init, self.key, batch)
        self.optimizers = state.optimizers(self.config.optim, self.config.train.steps, params)

        def fresh(key: jax.Array, batch: Any) -> TrainState:
            return state.create(self.stage.init(key, batch), self.optimizers)

        shapes = jax.eval_shape(lambda made: state.create(made, self.optimizers), params)
        layout = sharding.infer(shapes, self.mesh)
        if self.checkpoints.latest is not None:
            abstract = jax.tree.map(
                lambda s, where: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=where),
                shapes,
                layout,
            )
            now = self.checkpoints.restore(abstract)
            logging.info("Resumed %s at step %d", self.workdir, int(now.step))
            return now, layout
        now = jax.jit(fresh, out_shardings=layout, compiler_options=_run_once())(self.key, batch)
        upstream = {part: path for part, path in self.config.upstream.items() if path}
        now = put_upstream(now, upstream)
        parameter_overview.log_parameter_overview(
            now.params, include_stats="sharding", msg="Parameters:"
        )
        if jax.process_index() == 0:
            self.workdir.mkdir(parents=True, exist_ok=True)
            text = self.config.to_json_best_effort(indent=1, sort_keys=True)
            (self.workdir / "config.json").write_text(text + "\n")
        return now, layout

    def ahead(self, start: int) -> Iterator[pipeline.Example]:
        return pipeline.prefetch(
            self.batches, start, self.config.train.steps, self.config.data.threads
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

    def log(self, i: int, seen: metrics.Accumulator) -> None:
        values = seen.compute()
        for group in self.optimizers:
            rate: Any = state.schedule(self.config.optim[group], self.config.train.steps)(i - 1)
            values[f"learning_rate/{group}"] = float(rate)
        values["data/replaced"] = self.batches.replaced
        self.writer.write_scalars(i, values)

    def evaluate(self, now: TrainState, i: int) -> None:
        """Metrics of held-out batches with the averaged weights; pictures, sounds of the first."""
        params = now.params | {"model": now.ema}
        totals: list[dict[str, float]] = []
        for index in range(self.config.train.eval_batches):
            batch = self.on_device(self.held_out[index])
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
        file = self.workdir / f"not_finite_step_{bad}.npz"
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
                group[part] = jax.tree.map(
                    lambda new, old: jax.device_put(np.asarray(new, old.dtype), old.sharding),
                    loaded[part],
                    group[part],
                )
    return dataclasses.replace(
        now, params=params, ema=jax.tree.map(jax.numpy.copy, params["model"])
    )


class _Stop:
    """Turns SIGTERM into a request that the loop sees before its next step."""

    def __init__(self):
        self.asked = False

    def __enter__(self) -> "_Stop":
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:  # only there may handlers be set; elsewhere the signal keeps its meaning
            self._before = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGTERM, self._before)

    def _ask(self, *_: object) -> None:
        self.asked = True


def keep_tensorflow_small() -> None:
    """TensorFlow only writes summaries here: no accelerator, one thread."""
    tf.config.set_visible_devices([], "GPU")
    with contextlib.suppress(RuntimeError):  # already running, in a notebook: then so be it
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
