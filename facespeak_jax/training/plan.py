"""A stage's training step on a mesh, known from shapes alone: nothing here needs a device."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from facespeak_jax.stages.stage import Batch, Stage
from facespeak_jax.training import metrics, sharding, state, step
from facespeak_jax.training.metrics import Accumulator
from facespeak_jax.training.state import TrainState

Shapes = Mapping[str, Any]  # a batch, or the shapes and shardings of one


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the loop compiles for a stage, and where the arrays of its state live."""

    stage: Stage
    train: ConfigDict
    mesh: Mesh
    optimizers: dict[str, optax.GradientTransformation]
    state: TrainState  # of shapes, each with its sharding

    @property
    def layout(self) -> TrainState:
        """The sharding of every array of the state."""
        return jax.tree.map(lambda shape: shape.sharding, self.state)

    def fresh(self, key: jax.Array, batch: Batch) -> TrainState:
        """The state before the first step; the batch gives shapes only."""
        return state.create(self.stage.init(key, batch), self.optimizers)

    def programs(self, batch: Shapes) -> tuple[step.Step, Callable[[], Accumulator]]:
        """One step, and what it adds to; both compiled when they are first called."""
        names = step.metric_names(self.stage, self.train, self.optimizers, self.state.params, batch)
        whole = NamedSharding(self.mesh, P())
        advance = jax.jit(
            step.make(self.stage, self.train, self.optimizers),
            donate_argnums=(0, 1),
            out_shardings=(self.layout, whole, whole),
        )
        return advance, jax.jit(lambda: metrics.empty(names), out_shardings=whole)


def make(stage: Stage, config: ConfigDict, mesh: Mesh, batch: Shapes) -> Plan:
    """The plan of `config` on a mesh."""
    params = jax.eval_shape(lambda given: stage.init(jax.random.key(0), given), batch)
    optimizers = state.optimizers(config.optim, config.train.steps, params)
    shapes = jax.eval_shape(lambda made: state.create(made, optimizers), params)
    placed: Any = jax.tree.map(
        lambda shape, where: jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=where),
        shapes,
        sharding.infer(shapes, mesh),
    )
    return Plan(stage, config.train, mesh, optimizers, placed)
