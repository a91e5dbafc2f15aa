import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax import flow

KEY = jax.random.key(0)


def pair(seed=0, shape=(3, 5, 2)):
    first, second = jax.random.split(jax.random.fold_in(KEY, seed))
    return jax.random.normal(first, shape), jax.random.normal(second, shape)


def test_path_begins_at_noise_and_ends_sigma_from_data():
    x0, x1 = pair()
    path = flow.OTCFM(sigma=0.1)
    np.testing.assert_allclose(path.path(x0, x1, jnp.zeros(3))[0], x0, atol=1e-6)
    np.testing.assert_allclose(path.path(x0, x1, jnp.ones(3))[0], x1 + 0.1 * x0, atol=1e-6)


def test_target_is_the_derivative_of_the_path():
    x0, x1 = pair()
    t = jnp.array([0.1, 0.5, 0.9])
    path = flow.OTCFM()
    _, derivative = jax.jvp(lambda s: path.path(x0, x1, s)[0], (t,), (jnp.ones(3),))
    np.testing.assert_allclose(derivative, path.path(x0, x1, t)[1], atol=1e-5)


def test_loss_is_zero_for_the_true_velocity_and_ignores_padding():
    x0, x1 = pair()
    valid = jnp.arange(5)[None, :] < jnp.array([5, 3, 1])[:, None]
    t, path = jnp.array([0.2, 0.4, 0.6]), flow.OTCFM()
    target = path.path(x0, x1, t)[1]
    wrong_in_padding = jnp.where(valid[:, :, None], target, 1e6)
    assert float(path.loss(lambda x, s: wrong_in_padding, x0, x1, t, valid)) == 0.0
    assert float(path.loss(lambda x, s: target + 2.0, x0, x1, t, valid)) == pytest.approx(
        4.0, rel=1e-5
    )


@pytest.mark.parametrize(
    ("solver", "order"), [(flow.Euler(), 1), (flow.Midpoint(), 2), (flow.Heun(), 2)]
)
def test_order_of_convergence(solver, order):
    """dx/dt = 2x exp(-t) has the solution x0 exp(2 - 2 exp(-t))."""
    x0 = jnp.ones((1, 1, 1))
    exact = np.exp(2.0 - 2.0 * np.exp(-1.0))

    def error(steps):
        end = solver.solve(lambda x, t: 2.0 * x * jnp.exp(-t)[:, None, None], x0, steps)
        return abs(float(end[0, 0, 0]) - exact)

    assert np.log2(error(8) / error(16)) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("solver", [flow.Euler(), flow.Midpoint(), flow.Heun()])
def test_straight_paths_need_one_step(solver):
    x0, x1 = pair()
    np.testing.assert_allclose(solver.solve(lambda x, t: x1 - x0, x0, 1), x1, atol=1e-5)
    np.testing.assert_allclose(solver.solve(lambda x, t: x1 - x0, x0, 7), x1, atol=1e-5)


def test_solver_is_differentiable_and_jits():
    x0, _ = pair()

    def end(rate):
        return flow.Heun().solve(lambda x, t: rate * x, x0, 16).sum()

    gradient = jax.jit(jax.grad(end))(0.5)
    assert float(gradient) == pytest.approx(float(x0.sum() * jnp.exp(0.5)), rel=1e-2)


def test_solver_refuses_no_steps():
    with pytest.raises(ValueError, match="at least one"):
        flow.Euler().solve(lambda x, t: x, pair()[0], 0)


def test_longer_noise_only_appends():
    short, long = flow.frame_noise(KEY, 7, 80), flow.frame_noise(KEY, 64, 80)
    np.testing.assert_array_equal(short, long[:7])
    many = np.asarray(flow.frame_noise(KEY, 2000, 6))
    assert abs(many.mean()) < 0.03
    assert abs(many.std() - 1.0) < 0.03
    assert np.abs(np.corrcoef(many[:-1, 0], many[1:, 0])[0, 1]) < 0.08
