import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax.speech import durations

KEY = jax.random.key(0)


def brute_force(score):
    """The greatest total score over all monotonic durations, and every way to reach it."""
    length, frames = score.shape
    best, found = -np.inf, []
    for cuts in itertools.combinations(range(1, frames), length - 1):
        spans = np.diff([0, *cuts, frames])
        rows = np.repeat(np.arange(length), spans)
        total = float(score[rows, np.arange(frames)].sum())
        if total > best + 1e-4:
            best, found = total, [spans]
        elif total > best - 1e-4:
            found.append(spans)
    return best, found


@pytest.mark.parametrize("seed", range(6))
def test_maximum_path_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    bucket = rng.normal(size=(3, 5, 9)).astype(np.float32)
    lengths, frames = rng.integers(1, 6, 3), rng.integers(5, 10, 3)
    path = np.asarray(
        durations.maximum_path(jnp.asarray(bucket), jnp.asarray(lengths), jnp.asarray(frames))
    )
    for row, (length, m) in enumerate(zip(lengths, frames, strict=True)):
        _, found = brute_force(bucket[row, :length, :m])
        np.testing.assert_array_equal(path[row].sum(-1)[:length], found[0])
        assert path[row, length:].sum() == 0
        assert path[row, :, m:].sum() == 0
        np.testing.assert_array_equal(path[row, :, :m].sum(0), 1.0)


def test_a_tie_stays_with_the_phoneme():
    path = durations.maximum_path(jnp.zeros((1, 3, 7)), jnp.array([3]), jnp.array([7]))
    best, found = brute_force(np.zeros((3, 7)))
    spans = np.asarray(path[0].sum(-1)).tolist()
    assert best == 0.0
    assert spans in [list(x) for x in found]
    assert spans == [1, 1, 5]  # going back from the end, it stays as long as it can


def test_one_frame_a_phoneme_is_the_diagonal():
    score = jax.random.normal(KEY, (1, 6, 6))
    path = durations.maximum_path(score, jnp.array([6]), jnp.array([6]))
    np.testing.assert_array_equal(path[0], np.eye(6))


def test_log_prior_is_the_normal_density_up_to_a_constant():
    prior, mel = jax.random.normal(KEY, (2, 3, 4)), jax.random.normal(jax.random.key(1), (2, 5, 4))
    expected = -0.5 * jnp.square(prior[:, :, None, :] - mel[:, None, :, :]).sum(-1)
    np.testing.assert_allclose(durations.log_prior(prior, mel), expected, atol=1e-4)


def test_search_finds_the_alignment_the_mel_was_made_from():
    prior = 3.0 * jax.random.normal(KEY, (1, 6, 8))
    spans = jnp.array([[4, 1, 7, 2, 3, 3]])
    mel = durations.upsample(prior, spans, 20) + 0.1 * jax.random.normal(KEY, (1, 20, 8))
    path = durations.maximum_path(durations.log_prior(prior, mel), jnp.array([6]), jnp.array([20]))
    np.testing.assert_array_equal(path.sum(-1), spans)


def test_upsample_repeats_and_its_gradient_counts():
    x, spans = jax.random.normal(KEY, (2, 4, 3)), jnp.array([[2, 0, 3, 1], [1, 1, 0, 0]])
    out = durations.upsample(x, spans, 8)
    for row in range(2):
        repeated = np.repeat(np.asarray(x[row]), np.asarray(spans[row]), axis=0)
        np.testing.assert_array_equal(out[row, : len(repeated)], repeated)
        assert not np.asarray(out[row, len(repeated) :]).any()
    gradient = jax.grad(lambda y: durations.upsample(y, spans, 8).sum())(x)
    np.testing.assert_array_equal(gradient, jnp.broadcast_to(spans[:, :, None], x.shape))


def test_upsample_cuts_what_does_not_fit():
    x = jnp.arange(3.0).reshape(1, 3, 1)
    np.testing.assert_array_equal(
        durations.upsample(x, jnp.array([[2, 2, 2]]), 4)[0, :, 0], [0, 0, 1, 1]
    )


def test_a_window_of_durations_upsamples_to_that_stretch():
    x, spans = jax.random.normal(KEY, (2, 4, 3)), jnp.array([[2, 0, 6, 1], [3, 3, 2, 0]])
    whole = durations.upsample(x, spans, 12)
    start = jnp.array([4, 1])
    part = durations.upsample(x, durations.window(spans, start, 4), 4)
    np.testing.assert_array_equal(part[0], whole[0, 4:8])
    np.testing.assert_array_equal(part[1], whole[1, 1:5])


def test_to_frames_inverts_to_log():
    spans = jnp.array([[3, 0, 4, 1], [9, 3, 0, 0]])
    out = durations.to_frames(durations.to_log(spans), jnp.array([4, 2]))
    np.testing.assert_array_equal(out, spans)


def test_to_frames_gives_whole_video_frames_without_drift():
    log_d = jnp.log1p(jnp.full((1, 41), 2.4))
    out = np.asarray(durations.to_frames(log_d, jnp.array([40])))[0]
    assert out.sum() % 4 == 0
    assert abs(np.cumsum(out)[:39] - 2.4 * np.arange(1, 40)).max() <= 0.5 + 1e-3
    assert out[40] == 0
    halved = np.asarray(durations.to_frames(log_d, jnp.array([40]), pace=2.0))[0]
    assert halved.sum() == 48
    silent = durations.to_frames(jnp.full((1, 3), -5.0), jnp.array([2]))
    np.testing.assert_array_equal(silent, [[0, 4, 0]])


def test_predictor_ignores_padding_and_spares_the_text_encoder():
    module = durations.DurationPredictor(width=16)
    e_t, code = jax.random.normal(KEY, (2, 7, 12)), jax.random.normal(KEY, (2, 8))
    params = jax.jit(module.init)(KEY, e_t, jnp.array([7, 4]), code)
    out = module.apply(params, e_t, jnp.array([7, 4]), code)
    alone = module.apply(params, e_t[1:, :4], jnp.array([4]), code[1:])
    np.testing.assert_allclose(out[1, :4], alone[0], atol=1e-5)
    assert not np.asarray(out[1, 4:]).any()
    gradient = jax.grad(lambda x: module.apply(params, x, jnp.array([7, 4]), code).sum())(e_t)
    assert not np.asarray(gradient).any()
