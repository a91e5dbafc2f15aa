"""What a training stage is: the loop knows stages only through this Protocol."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jaxtyping import Array, Float, Float32, Int, UInt8
from ml_collections import ConfigDict

from facespeak_jax.data.pipeline import ExampleMaker
from facespeak_jax.data.records import Clips

Params = dict[str, dict[str, Any]]  # group ("model", "critic", "frozen") -> part -> parameters
Batch = dict[str, Array]
Metrics = dict[str, Float[Array, ""]]


class Outputs(NamedTuple):
    """What `Stage.loss` gives beside the loss: metrics to average, and what critics compare."""

    metrics: Metrics
    carry: Any = None


@runtime_checkable
class Stage(Protocol):
    """One training stage; constructed from the whole config (`config.model`, `config.loss`, …).

    `params` is always the whole dictionary of groups. `loss` is differentiated with respect to
    `params["model"]` alone; "frozen" holds upstream parts that are only applied. `init` and `loss`
    are pure and are jitted by the loop; `eval` is called on device arrays outside jit and jits what
    it needs. A part whose gradient is exactly zero in a step is left untouched by the optimizer, so
    a loss may train parts in turn. Upstream weights are put in by the loop after `init`.
    """

    config: ConfigDict

    def example(self) -> ExampleMaker: ...

    def init(self, key: jax.Array, batch: Batch) -> Params: ...

    def loss(
        self, params: Params, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[Float[Array, ""], Outputs]: ...

    def eval(
        self, params: Params, batch: Batch, key: jax.Array
    ) -> tuple[
        Metrics, dict[str, UInt8[np.ndarray, "h w 3"]], dict[str, Float32[np.ndarray, " n"]]
    ]: ...


@runtime_checkable
class Adversarial(Protocol):
    """A stage that can train against critics; it does where its `init` puts any into "critic".

    `critic_loss` is pure and is differentiated with respect to `params["critic"]` alone; `carry` is
    what `loss` gave in the same step, without gradient.
    """

    def critic_loss(
        self, params: Params, carry: Any, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[Float[Array, ""], Metrics]: ...


@runtime_checkable
class Prepared(Protocol):
    """A stage with something to compute from its first parameters before examples can be made.

    The loop calls `prepare` with the clips of every split it reads, after the parameters are there
    (fresh or restored) and before the first batch that is trained on. Only the first batch is made
    earlier, for its shapes.
    """

    def prepare(
        self, params: Params, sources: Sequence[Clips], workdir: epath.PathLike
    ) -> None: ...


def started(step: Int[Array, ""], first: int) -> Float[Array, ""]:
    """1 from step `first` on, 0 before: a factor of what critics say while they are to wait.

    A factor and no `lax.cond`: on CPU a convolution's weight gradient takes five to eight times as
    long inside one. To save the critics' time early on, train without them (gan = feature = 0) and
    name that run upstream.
    """
    return (step >= first).astype(jnp.float32)
