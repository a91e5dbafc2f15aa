"""Metric sums kept on the device between log lines, and the first step that was not finite."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from clu import metrics as clu_metrics
from jaxtyping import Array, Bool, Int


@flax.struct.dataclass
class Accumulator:
    """What a window of training steps has gathered.

    averages: metric name -> clu Average.  bad_step: the first non-finite step of the window, or -1.
    """

    averages: dict[str, Any]
    bad_step: Any

    def add(
        self, values: dict[str, Array], step: Int[Array, ""], finite: Bool[Array, ""]
    ) -> "Accumulator":
        """With the metrics of one step."""
        averages = {
            name: self.averages[name].merge(clu_metrics.Average.from_model_output(value))
            for name, value in values.items()
        }
        bad = jnp.where((self.bad_step < 0) & ~finite, step, self.bad_step)
        return Accumulator(averages, bad)

    def compute(self) -> dict[str, float]:
        """The means, on the host."""
        return {name: float(average.compute()) for name, average in self.averages.items()}


def empty(names: list[str]) -> Accumulator:
    """Nothing gathered yet."""
    averages = {name: clu_metrics.Average.empty() for name in names}
    return Accumulator(averages, jnp.int32(-1))


def all_finite(tree: Any) -> Bool[Array, ""]:
    """Whether every number of a tree is finite."""
    leaves = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]
    return jnp.stack(leaves).all()
