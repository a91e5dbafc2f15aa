import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax import layers

KEY = jax.random.key(0)
WIDTH, LENGTH, BUCKET = 16, 11, 19

PARTS = {
    "conv": layers.Conv1d(24, 5),
    "dilated": layers.Conv1d(24, 3, dilation=3),
    "depthwise": layers.DepthwiseConv1d(7),
    "group_norm": layers.GroupNorm(4),
    "attention": layers.Attention(2),
    "windowed": layers.Attention(2, window=3),
    "forward": layers.FeedForward(2, kernel=3),
    "transformer": layers.TransformerBlock(2, kernel=3),
    "convnext": layers.ConvNeXtBlock(2),
}


def noise(seed, *shape):
    return jax.random.normal(jax.random.fold_in(KEY, seed), shape)


def randomised(params, seed=9):
    """Zero-initialised gates would hide what is behind them."""
    leaves, tree = jax.tree.flatten(params)
    return tree.unflatten([0.3 * noise(seed + i, *leaf.shape) for i, leaf in enumerate(leaves)])


@pytest.mark.parametrize("name", PARTS)
def test_padding_never_changes_a_result(name):
    part = PARTS[name]
    x = noise(1, 2, LENGTH, WIDTH)
    padded = jnp.concatenate([x, 50.0 * noise(2, 2, BUCKET - LENGTH, WIDTH)], axis=1)
    lengths = jnp.array([LENGTH, LENGTH - 4])
    params = randomised(jax.jit(part.init)(KEY, x, layers.mask(lengths, LENGTH)))
    apply = jax.jit(part.apply)
    alone = apply(params, x, layers.mask(lengths, LENGTH))
    bucket = apply(params, padded, layers.mask(lengths, BUCKET))
    for row, length in enumerate(lengths.tolist()):
        np.testing.assert_allclose(alone[row, :length], bucket[row, :length], atol=1e-5)
        single = part.apply(
            params, x[row : row + 1, :length], layers.mask(jnp.array([length]), length)
        )
        np.testing.assert_allclose(single[0], alone[row, :length], atol=1e-5)


@pytest.mark.parametrize(("kernel", "dilation"), [(7, 1), (3, 2), (4, 1)])
def test_depthwise_equals_grouped_convolution(kernel, dilation):
    part = layers.DepthwiseConv1d(kernel, dilation)
    x, valid = noise(1, 2, LENGTH, WIDTH), jnp.ones((2, LENGTH), bool)
    params = randomised(part.init(KEY, x, valid))
    reach = dilation * (kernel - 1)
    expected = jax.lax.conv_general_dilated(
        x,
        params["params"]["kernel"][:, None, :],
        (1,),
        [(reach // 2, reach - reach // 2)],
        rhs_dilation=(dilation,),
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=WIDTH,
    )
    expected = expected + params["params"]["bias"][None, None, :]
    np.testing.assert_allclose(part.apply(params, x, valid), expected, atol=1e-5)


def test_group_norm_has_unit_moments_over_valid_positions():
    x, lengths = 3.0 + 5.0 * noise(1, 2, LENGTH, WIDTH), jnp.array([LENGTH, 5])
    part, valid = layers.GroupNorm(4), layers.mask(lengths, LENGTH)
    out = part.apply(part.init(KEY, x, valid), x, valid)
    for row, length in enumerate(lengths.tolist()):
        groups = np.asarray(out[row, :length]).reshape(length, 4, -1)
        np.testing.assert_allclose(groups.mean((0, 2)), 0.0, atol=1e-5)
        np.testing.assert_allclose(groups.std((0, 2)), 1.0, atol=1e-4)


def test_group_norm_refuses_uneven_groups():
    with pytest.raises(ValueError, match="groups"):
        layers.GroupNorm(5).init(KEY, noise(1, 1, 4, WIDTH), jnp.ones((1, 4), bool))


def test_rotary_products_depend_on_distance_only():
    query, key = noise(1, 1, 1, 1, 8), noise(2, 1, 1, 1, 8)
    turned_query = layers.rotary(jnp.broadcast_to(query, (1, 12, 1, 8)))[0, :, 0]
    turned_key = layers.rotary(jnp.broadcast_to(key, (1, 12, 1, 8)))[0, :, 0]
    product = np.asarray(turned_query @ turned_key.T)
    np.testing.assert_allclose(product[:-1, :-1], product[1:, 1:], atol=1e-4)
    assert np.abs(product[0] - product[0, 0]).max() > 1e-2


def test_window_bounds_what_attention_sees():
    part, x = layers.Attention(2, window=2), noise(1, 1, LENGTH, WIDTH)
    valid = jnp.ones((1, LENGTH), bool)
    params = part.init(KEY, x, valid)
    reach = jax.grad(lambda y: part.apply(params, y, valid)[0, 5].sum())(x)[0]
    touched = np.abs(np.asarray(reach)).max(-1) > 1e-8
    np.testing.assert_array_equal(np.flatnonzero(touched), [3, 4, 5, 6, 7])


def test_padding_full_of_nan_is_harmless():
    part, x = layers.TransformerBlock(2), noise(1, 1, LENGTH, WIDTH).at[:, 6:].set(jnp.nan)
    valid = layers.mask(jnp.array([6]), LENGTH)
    out = part.apply(part.init(KEY, jnp.zeros_like(x), valid), layers.hide(x, valid), valid)
    assert jnp.isfinite(out).all()


def test_conditioned_blocks_start_as_identity_or_norm():
    x, valid, condition = noise(1, 2, LENGTH, WIDTH), jnp.ones((2, LENGTH), bool), noise(2, 2, 6)
    block = layers.TransformerBlock(2)
    params = block.init(KEY, x, valid, condition)
    np.testing.assert_allclose(block.apply(params, x, valid, condition), x, atol=1e-6)
    norm = layers.AdaptiveNorm()
    out = norm.apply(norm.init(KEY, x, condition), x, condition)
    np.testing.assert_allclose(np.asarray(out).mean(-1), 0.0, atol=1e-5)


def test_condition_per_position_equals_a_repeated_one():
    x, condition = noise(1, 2, LENGTH, WIDTH), noise(2, 2, 6)
    norm = layers.AdaptiveNorm()
    params = randomised(norm.init(KEY, x, condition))
    repeated = jnp.broadcast_to(condition[:, None, :], (2, LENGTH, 6))
    np.testing.assert_allclose(
        norm.apply(params, x, condition), norm.apply(params, x, repeated), atol=1e-5
    )


def test_timestep_embedding_tells_times_apart():
    grid = layers.timestep_embedding(jnp.linspace(0.0, 1.0, 11), 32)
    distance = jnp.linalg.norm(grid[:, None, :] - grid[None, :, :], axis=-1)
    assert float((distance + 10.0 * jnp.eye(11)).min()) > 0.5
    np.testing.assert_allclose(grid[0], np.r_[np.zeros(16), np.ones(16)], atol=1e-6)


def test_masked_mean_counts_only_what_is_valid():
    x = jnp.arange(12.0).reshape(2, 3, 2)
    assert float(layers.masked_mean(x, layers.mask(jnp.array([1, 2]), 3))) == pytest.approx(
        np.mean([0, 1, 6, 7, 8, 9])
    )


def test_dropout_only_in_training():
    part, x, valid = (
        layers.TransformerBlock(2, dropout=0.5),
        noise(1, 1, 8, WIDTH),
        jnp.ones((1, 8), bool),
    )
    params = part.init(KEY, x, valid)
    np.testing.assert_array_equal(part.apply(params, x, valid), part.apply(params, x, valid))
    noisy = [
        part.apply(params, x, valid, train=True, rngs={"dropout": jax.random.key(i)})
        for i in (1, 2)
    ]
    assert float(jnp.abs(noisy[0] - noisy[1]).max()) > 1e-3
