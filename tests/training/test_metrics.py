import jax
import jax.numpy as jnp
import numpy as np

from facespeak_jax.training import metrics


def test_means_and_the_first_bad_step():
    seen = metrics.empty(["a/b", "c"])
    add = jax.jit(lambda s, x, i: s.add({"a/b": x, "c": 2 * x}, i, jnp.isfinite(x)))
    for i, x in enumerate([1.0, 2.0, 6.0]):
        seen = add(seen, jnp.float32(x), jnp.int32(i))
    assert seen.compute() == {"a/b": 3.0, "c": 6.0}
    assert int(seen.bad_step) == -1
    for i, x in [(7, np.inf), (8, 1.0), (9, np.nan)]:
        seen = add(seen, jnp.float32(x), jnp.int32(i))
    assert int(seen.bad_step) == 7


def test_all_finite_sees_every_leaf():
    assert metrics.all_finite({"a": jnp.ones(3), "b": [jnp.zeros(())]})
    assert not metrics.all_finite({"a": jnp.ones(3), "b": [jnp.float32(np.inf)]})
