import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from facespeak_jax import export, flow, layers, model, pipeline
from facespeak_jax.motion import sampler
from facespeak_jax.motion.lip_mapper import LipMapper
from facespeak_jax.motion.reducer import NoiseReducer

KEY = jax.random.key(0)
TEXT, HEAD, LATENT = 10, 16, 6
SMALL = {"latent": LATENT, "width": 16, "depth": 2, "heads": 2, "window": 6}
PRIOR, FIELD = sampler.MotionPrior(**SMALL, kernel=5), sampler.MotionField(**SMALL)


def noise(seed, *shape):
    return jnp.array(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def randomised(part, *inputs, seed=9):
    """Parameters none of which is zero: zero-initialised outputs would hide what is behind them."""
    shapes, tree = jax.tree.flatten(jax.eval_shape(part.init, KEY, *inputs))
    leaves = [0.3 * noise(seed + i, *leaf.shape) for i, leaf in enumerate(shapes)]
    return tree.unflatten(leaves)


@functools.cache
def prior_params():
    return randomised(PRIOR, noise(1, 1, 4, TEXT), noise(2, 1, HEAD), jnp.array([4]))


def field_inputs(frames, batch=2):
    return (
        noise(3, batch, frames, LATENT),
        jnp.full((batch,), 0.4),
        noise(4, batch, frames, LATENT),
        noise(5, batch, HEAD),
        noise(6, batch, sampler.HISTORY, LATENT),
    )


@functools.cache
def field_params():
    return randomised(FIELD, *field_inputs(12), jnp.array([12, 12]), seed=50)


def test_pool_is_the_mean_of_four():
    x = noise(0, 2, 12, 3)
    np.testing.assert_allclose(
        sampler.pool(x), np.asarray(x).reshape(2, 3, 4, 3).mean(2), atol=1e-6
    )


def test_padding_changes_neither_mean_nor_velocity():
    lengths = jnp.array([20, 13])
    text, source = noise(1, 2, 20, TEXT), noise(2, 2, HEAD)
    params = prior_params()
    bucket = mean_of(params, text, source, lengths)
    alone = mean_of(params, text[1:, :13], source[1:], lengths[1:])
    assert float(jnp.abs(bucket[1:, :13] - alone).max() / jnp.abs(alone).max()) < 1e-5

    x, time, mu, source, history = field_inputs(20)
    params = field_params()
    bucket = velocity_of(params, x, time, mu, source, history, lengths)
    alone = velocity_of(
        params, x[1:, :13], time[1:], mu[1:, :13], source[1:], history[1:], lengths[1:]
    )
    assert float(jnp.abs(bucket[1:, :13] - alone).max() / jnp.abs(alone).max()) < 1e-5
    assert float(jnp.abs(bucket[1, 13:]).max()) == 0.0


def test_a_held_pose_is_the_code_of_a_long_rest():
    """Whatever frame of it is read: as if the head had never moved, and no edge were near."""
    part = NoiseReducer(head=HEAD, latent=LATENT, width=16, depth=2, kernel=5)
    pose = noise(1, 2, HEAD)
    shape = jnp.zeros((1, 8, HEAD)), jnp.zeros((1, HEAD)), jnp.array([8])
    params = randomised(part, *shape)
    found = sampler.held(part, params["params"], pose)
    assert found.shape == (2, sampler.HISTORY, LATENT)
    rest = jnp.repeat(pose[:, None], 60, axis=1)
    code = part.apply(params, rest, jnp.array([60, 60]), method="encode")
    np.testing.assert_allclose(found, code[:, 26 : 26 + sampler.HISTORY], rtol=1e-5)
    assert float(jnp.abs(code[:, 0] - found[:, 0]).max()) > 1e-2


def test_a_pose_held_for_a_plain_reducer_is_that_pose():
    """A plain reducer's code is the pose itself, in its own units."""
    part, pose = NoiseReducer(head=HEAD, latent=HEAD, plain=True), noise(1, 2, HEAD)
    params = randomised(part, jnp.zeros((1, 8, HEAD)), jnp.zeros((1, HEAD)), jnp.array([8]))
    held = sampler.held(part, params["params"], pose)
    alpha = part.apply(params, held, pose, jnp.array([8, 8]), method="decode")
    np.testing.assert_allclose(alpha, jnp.repeat(pose[:, None], 8, axis=1), atol=1e-5)


def test_prior_knows_of_the_text_what_its_cues_tell():
    """So that it has no sentence to learn by heart: whatever leaves the cues as they are, such as
    louder features, changes nothing."""
    text, source, lengths = noise(1, 1, 30, TEXT), noise(2, 1, HEAD), jnp.array([30])
    params = prior_params()
    kernel = np.asarray(params["params"]["response"]["listen"]["kernel"])
    assert kernel.shape == (TEXT, PRIOR.cues)
    # Directions that no cue reads, and that keep the mean and the length of what they are added to.
    normal = np.asarray(text[0]) - np.asarray(text[0]).mean(-1, keepdims=True)
    turned = []
    for row in normal:
        seen = np.linalg.qr(np.column_stack([np.ones(TEXT), kernel]))[0]
        hidden = row - seen @ (seen.T @ row)
        other = np.roll(row, 3) - seen @ (seen.T @ np.roll(row, 3))
        other *= np.linalg.norm(hidden) / np.linalg.norm(other)
        turned.append(row - hidden + other)
    turned = jnp.array(np.array(turned)[None], jnp.float32)
    assert float(jnp.abs(turned - text).max()) > 0.1
    mean = mean_of(params, text, source, lengths)
    np.testing.assert_allclose(mean_of(params, turned, source, lengths), mean, atol=1e-4)
    assert float(jnp.abs(mean_of(params, -text, source, lengths) - mean).max()) > 1e-2


def test_prior_sees_no_further_than_its_layers_reach():
    reach = PRIOR.depth * (PRIOR.window + PRIOR.kernel // 2)
    frames = 2 * reach + 21
    text, source, lengths = noise(1, 1, frames, TEXT), noise(2, 1, HEAD), jnp.array([frames])
    params = prior_params()
    at = frames // 2

    def mean(x):
        return PRIOR.apply(params, x, source, lengths)[0, at].sum()

    gradient = jax.jit(jax.grad(mean))(text)
    touched = np.flatnonzero(np.abs(np.asarray(gradient[0])).max(-1) > 0)
    assert touched.min() >= at - reach
    assert touched.max() <= at + reach
    assert touched.min() < at - PRIOR.window
    assert touched.max() > at + PRIOR.window


mean_of = jax.jit(PRIOR.apply)
velocity_of = jax.jit(FIELD.apply)


def sample(frames, lengths, keys, window=12):
    mu, source = noise(4, len(lengths), frames, LATENT), noise(5, len(lengths), HEAD)
    past = noise(6, len(lengths), sampler.HISTORY, LATENT)
    draws = jax.vmap(lambda key: flow.frame_noise(key, frames, LATENT))(keys)
    return sampler.chain(
        FIELD,
        field_params(),
        layers.hide(mu, layers.mask(lengths, frames)),
        source,
        past,
        lengths,
        draws,
        solver=flow.Euler(),
        steps=3,
        window=window,
    )


def test_first_window_is_one_plain_solve():
    lengths, keys = jnp.array([12]), jax.random.split(KEY, 1)
    chained = sample(30, jnp.array([30]), keys)[:, :12]
    mu, source = noise(4, 1, 30, LATENT)[:, :12], noise(5, 1, HEAD)
    past, params = noise(6, 1, sampler.HISTORY, LATENT), field_params()
    x0 = mu + flow.frame_noise(keys[0], 12, LATENT)[None]
    alone = flow.Euler().solve(
        lambda x, t: FIELD.apply(params, x, t, mu, source, past, lengths), x0, 3
    )
    np.testing.assert_allclose(chained, alone, atol=1e-5)


def test_second_window_continues_the_first():
    lengths, keys = jnp.array([24]), jax.random.split(KEY, 1)
    chained = sample(24, lengths, keys)
    mu, source = noise(4, 1, 24, LATENT), noise(5, 1, HEAD)
    params, left = field_params(), jnp.array([12])
    x0 = (mu + flow.frame_noise(keys[0], 24, LATENT)[None])[:, 12:]
    history = chained[:, 4:12]
    again = flow.Euler().solve(
        lambda x, t: FIELD.apply(params, x, t, mu[:, 12:], source, history, left), x0, 3
    )
    np.testing.assert_allclose(chained[:, 12:], again, atol=1e-5)


def test_motion_is_the_same_alone_and_in_a_longer_bucket():
    part = NoiseReducer(head=HEAD, latent=LATENT, width=16)
    reducer = jax.jit(part.init)(KEY, noise(1, 1, 8, HEAD), noise(2, 1, HEAD), jnp.array([8]))
    params = {
        "motion_prior": prior_params()["params"],
        "motion_field": field_params()["params"],
        "reducer": reducer["params"],
    }
    lengths, keys = jnp.array([150, 37]), jax.random.split(KEY, 2)
    text, source = noise(7, 2, 4 * 200, TEXT), noise(8, 2, HEAD)

    @jax.jit
    def run(text, source, lengths, keys):
        return sampler.sample_motion(
            PRIOR, FIELD, part, params, text, source, lengths, keys, solver=flow.Midpoint(), steps=2
        )

    bucket = run(text, source, lengths, keys)
    for row, length in enumerate(lengths.tolist()):
        rows = slice(row, row + 1)
        alone = run(text[rows, : 4 * length], source[rows], lengths[rows], keys[rows])
        np.testing.assert_allclose(bucket[rows, :length], alone, atol=1e-4)
        assert float(jnp.abs(bucket[row, length:]).max()) == 0.0
    other = run(text, source, lengths, jax.random.split(jax.random.key(1), 2))
    assert float(jnp.abs(other - bucket)[0, :150].mean()) > 1e-2


def test_what_is_sampled_is_moved_by_the_accent():
    """The flow is of what the text leaves: without another way in, a text adds its accent to each
    frame of what the same noise gives without one, over all windows."""
    part = NoiseReducer(head=LATENT, latent=LATENT, plain=True)
    of_prior = {**prior_params()["params"]}
    of_prior["text"] = jax.tree.map(jnp.zeros_like, of_prior["text"])
    shapes = noise(1, 1, 8, LATENT), noise(2, 1, LATENT), jnp.array([8])
    of_prior["source"] = {"kernel": noise(20, LATENT, 16), "bias": of_prior["source"]["bias"]}
    source = noise(8, 1, LATENT)
    params = {
        "motion_prior": of_prior,
        "motion_field": FIELD.init(
            KEY,
            *(x[:1] for x in field_inputs(12)[:3]),
            source,
            field_inputs(12)[4][:1],
            jnp.array([12]),
        )["params"],
        "reducer": randomised(part, *shapes)["params"],
    }
    frames = sampler.WINDOW + 30
    text, lengths = noise(7, 1, 4 * frames, TEXT), jnp.array([frames])

    @jax.jit
    def run(text):
        alpha = sampler.sample_motion(
            PRIOR,
            FIELD,
            part,
            params,
            text,
            source,
            lengths,
            KEY[None],
            solver=flow.Midpoint(),
            steps=2,
        )
        return part.apply({"params": params["reducer"]}, alpha, lengths, method="encode")

    accent = PRIOR.apply({"params": of_prior}, sampler.pool(text), lengths, method="accent")
    assert float(jnp.abs(accent).mean()) > 1e-2
    np.testing.assert_allclose(run(text) - run(0 * text), accent, atol=1e-3)


@pytest.fixture(scope="module")
def gaussian():
    """A small field trained on frames of N(mean, deviation)."""
    mean, deviation = jnp.linspace(-1.0, 1.0, LATENT), jnp.linspace(0.3, 1.2, LATENT)
    field = sampler.MotionField(latent=LATENT, width=32, depth=1, heads=2, window=4)
    batch, frames = 32, 8
    lengths, path = jnp.full((batch,), frames), flow.OTCFM()
    source = jnp.zeros((batch, 2))
    valid = layers.mask(lengths, frames)
    mu = jnp.zeros((batch, frames, LATENT))
    optimizer = optax.adam(optax.cosine_decay_schedule(5e-3, 800))

    @jax.jit
    def step(params, state, key):
        keys = jax.random.split(key, 3)
        draw = jax.random.normal(keys[0], (batch, 8 + frames, LATENT))
        draw = mean[None, None, :] + deviation[None, None, :] * draw
        x0 = jax.random.normal(keys[1], (batch, frames, LATENT))
        t = jax.random.uniform(keys[2], (batch,))

        def loss(p):
            def velocity(x, time):
                return field.apply(p, x, time, mu, source, draw[:, :8], lengths)

            return path.loss(velocity, x0, draw[:, 8:], t, valid)

        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    params = jax.jit(field.init)(KEY, mu, jnp.zeros(batch), mu, source, mu, lengths)
    state = optimizer.init(params)
    for index in range(800):
        params, state = step(params, state, jax.random.fold_in(KEY, index))
    return field, params, mean, deviation


def test_samples_of_a_gaussian_have_its_mean_and_deviation(gaussian):
    field, params, mean, deviation = gaussian
    batch, frames = 128, 24  # three windows, so the history at work is sampled, not given
    draws = noise(11, batch, frames, LATENT)
    lengths = jnp.full((batch,), frames)
    mu, source = jnp.zeros((batch, frames, LATENT)), jnp.zeros((batch, 2))
    past = mean[None, None] + deviation[None, None] * noise(12, batch, sampler.HISTORY, LATENT)
    chain = jax.jit(
        lambda p: sampler.chain(
            field, p, mu, source, past, lengths, draws, solver=flow.Midpoint(), steps=8, window=8
        )
    )
    codes = chain(params)
    for part in (codes[:, :8], codes[:, 16:]):
        np.testing.assert_allclose(jnp.mean(part, axis=(0, 1)), mean, atol=0.15)
        np.testing.assert_allclose(jnp.std(part, axis=(0, 1)), deviation, rtol=0.15)


def test_shipped_heads_set_out_from_where_they_are():
    """And go elsewhere from there: of eight poses, each moved by noise of its own."""
    names = ("reducer", "motion_prior", "motion_field")
    weights = export.load(pipeline.WEIGHTS, names)
    params = jax.device_put(weights.params)
    reducer, prior, field = (model.part(name, weights.config["model"][name]) for name in names)
    poses, frames = 8, 64
    lengths = jnp.full(poses, frames)
    code = jnp.repeat(noise(1, poses, 1, reducer.latent), frames, axis=1)
    decode = jax.jit(functools.partial(reducer.apply, method="decode"))
    anybody = jnp.zeros((poses, HEAD))
    pose = decode({"params": params["reducer"]}, code, anybody, lengths)[:, frames // 2]
    alpha = jax.jit(
        lambda keys: sampler.sample_motion(
            prior, field, reducer, params, jnp.zeros((poses, 4 * frames, 160)), pose,
            lengths, keys, solver=flow.Midpoint(), steps=5,
        )
    )(jax.random.split(KEY, poses))  # fmt: skip
    away = jnp.sqrt(jnp.mean(jnp.square(alpha - pose[:, None]), axis=(0, 2)))
    assert float(away[0]) < 0.4 * float(away[25:].mean())


def test_lite_is_at_most_four_million_parameters_with_the_mapper():
    frames, text = 8, noise(1, 1, 32, 160)
    pooled, lengths, source = sampler.pool(text), jnp.array([frames]), noise(2, 1, HEAD)
    mu, past = noise(3, 1, frames, 6), noise(4, 1, 8, 6)
    trees = [
        jax.eval_shape(sampler.MotionPrior().init, KEY, pooled, source, lengths),
        jax.eval_shape(
            sampler.MotionField().init,
            KEY, mu, jnp.zeros(1), mu, source, past, lengths,
        ),
        jax.eval_shape(NoiseReducer().init, KEY, noise(5, 1, frames, HEAD), source, lengths),
        jax.eval_shape(
            LipMapper().init,
            KEY, text, noise(6, 1, 32, 80), noise(7, 1, 32), noise(8, 1, 8), lengths,
        ),
    ]  # fmt: skip
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in trees]
    assert sum(sizes) <= 4_000_000
