import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax.evaluation.judges.sync import network
from facespeak_jax.motion.sync import SyncExpert

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def small():
    """A network, its parameters, mouths of 12 frames, and their sound."""
    judge = network.SyncNetwork(features=8, width=4)
    mouths = jax.random.uniform(KEY, (1, 12, network.SIZE, network.SIZE))
    mel = -6.0 + jax.random.normal(KEY, (1, 48, 80))
    return judge, jax.jit(judge.init)(KEY, mouths, mel), mouths, mel


def test_a_moment_knows_its_five_frames_only(small):
    judge, params, mouths, mel = small
    watch = jax.jit(lambda x: judge.apply(params, x, method="watch"))
    seen = watch(mouths)
    assert seen.shape == (1, 8, 8)
    changed = np.abs(watch(mouths.at[:, 9].add(0.5)) - seen).max(-1)[0] > 1e-6
    assert changed.tolist() == [False] * 5 + [True] * 3
    heard = judge.apply(params, mel, method="listen")
    assert heard.shape == seen.shape
    louder = np.abs(judge.apply(params, mel.at[:, 40:].add(1.0), method="listen") - heard).max(-1)
    assert (louder[0, :3] < 1e-6).all()
    assert (louder[0, 6:] > 1e-6).all()


def test_what_training_drops_is_gone_from_the_whole_clip(small):
    judge, params, mouths, _ = small
    same = jnp.repeat(mouths[:, :1], 12, axis=1)

    def watched(key):
        dropped = {"dropout": jax.random.key(key)}
        return judge.apply(params, same, train=True, rngs=dropped, method="watch")

    one, other = watched(1), watched(2)
    assert float(jnp.abs(one - other).max()) > 1e-3
    np.testing.assert_allclose(one, jnp.repeat(one[:, :1], 8, axis=1), atol=1e-5)


def test_it_is_not_the_network_of_the_loss(small):
    inputs = jnp.zeros((1, 5, 48, 48, 3)), jnp.zeros((1, 20, 80))
    expert = jax.eval_shape(SyncExpert(size=48).init, KEY, *inputs)
    assert not set(expert["params"]) & (set(small[1]["params"]) - {"log_scale"})


def test_the_loss_of_chance_and_of_certainty():
    assert float(network.matching_loss(jnp.zeros((2, 6, 6)))) == pytest.approx(np.log(6))
    sure = 50.0 * jnp.eye(6)[None]
    assert float(network.matching_loss(sure)) == pytest.approx(0.0, abs=1e-5)
    # One pair swapped: four of twelve searches lose 50 each.
    swapped = sure[:, jnp.array([1, 0, 2, 3, 4, 5])]
    assert float(network.matching_loss(swapped)) == pytest.approx(50.0 * 4 / 12, rel=1e-4)
    assert float(network.found_within(swapped, 0)) == pytest.approx(4 / 6)
    assert float(network.found_within(swapped, 1)) == 1.0


def test_where_a_moment_lies_among_the_others():
    moments = jnp.array([[1.0, 5], [3, 5], [2, 9]])
    np.testing.assert_allclose(network.placed(moments + 7), network.placed(moments), atol=1e-5)
    np.testing.assert_allclose(jnp.linalg.norm(network.placed(moments), axis=-1), 1.0, atol=1e-4)
    np.testing.assert_array_equal(network.placed(jnp.ones((4, 2))), jnp.zeros((4, 2)))


def test_the_middle():
    grid = jnp.arange(36).reshape(1, 6, 6)
    np.testing.assert_array_equal(network.middle(grid, 2)[0], [[14, 15], [20, 21]])
