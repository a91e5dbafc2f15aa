import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from facespeak_jax.motion.sync import SYNC_FRAMES, SYNC_MELS, SyncExpert, crop, mouth_crops, square

KEY = jax.random.key(0)


def test_crop_of_whole_pixels_is_a_slice():
    image = jax.random.normal(KEY, (2, 16, 20, 3))
    boxes = jnp.array([[4 / 20, 2 / 16, 12 / 20, 10 / 16]] * 2)
    np.testing.assert_allclose(crop(image, boxes, 8), image[:, 2:10, 4:12], atol=1e-5)


def test_crop_equals_an_independent_bilinear_interpolation():
    image = np.random.default_rng(0).normal(size=(1, 12, 12, 1)).astype(np.float32)
    x0, y0, x1, y1, size = 0.21, 0.33, 0.62, 0.71, 9
    steps = (np.arange(size) + 0.5) / size
    rows = (y0 + (y1 - y0) * steps) * 12 - 0.5
    columns = (x0 + (x1 - x0) * steps) * 12 - 0.5
    expected = ndimage.map_coordinates(
        image[0, :, :, 0], np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest"
    )
    found = crop(jnp.array(image), jnp.array([[x0, y0, x1, y1]]), size)[0, :, :, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_crop_outside_repeats_the_edge_and_shrinking_averages():
    ramp = jnp.broadcast_to(jnp.arange(8.0)[None, None, :, None], (1, 8, 8, 1))
    outside = crop(ramp, jnp.array([[-1.0, 0.0, 0.0, 1.0]]), 8)
    np.testing.assert_allclose(outside, 0.0, atol=1e-5)
    checks = (jnp.arange(32)[:, None] + jnp.arange(32)[None, :]) % 2
    shrunk = crop(
        checks[None, :, :, None].astype(jnp.float32), jnp.array([[0.0, 0.0, 1.0, 1.0]]), 8
    )
    np.testing.assert_allclose(shrunk[:, 1:-1, 1:-1], 0.5, atol=1e-5)


def test_square_keeps_the_centre_and_takes_the_longer_side():
    box = square(jnp.array([[0.2, 0.4, 0.6, 0.5]]))
    np.testing.assert_allclose(box, [[0.2, 0.25, 0.6, 0.65]], atol=1e-6)


def test_one_box_cuts_all_frames_so_that_motion_shows():
    frames = jnp.broadcast_to(jnp.arange(32.0)[None, None, None, :, None], (1, 2, 32, 32, 3))
    boxes = jnp.array([[[0.2, 0.3, 0.5, 0.6], [0.4, 0.3, 0.7, 0.6]]])
    crops = mouth_crops(frames, boxes, 8)
    np.testing.assert_array_equal(crops[:, 0], crops[:, 1])


def expert():
    part = SyncExpert(size=24, features=16, width=8)
    frames = jax.random.uniform(KEY, (2, SYNC_FRAMES, 32, 32, 3), minval=-1.0)
    boxes = jnp.broadcast_to(jnp.array([0.3, 0.5, 0.7, 0.8])[None, None, :], (2, SYNC_FRAMES, 4))
    mel = jax.random.normal(KEY, (2, SYNC_MELS, 80))
    params = jax.jit(part.init)(KEY, mouth_crops(frames, boxes, 24), mel)
    return part, params, frames, boxes, mel


def test_gradient_reaches_the_pixels_of_the_mouth_and_no_others():
    part, params, frames, boxes, mel = expert()

    def score(images):
        return part.apply(params, mouth_crops(images, boxes, part.size), mel).sum()

    gradient = np.abs(np.asarray(jax.jit(jax.grad(score))(frames))).max(axis=(0, 4))
    assert (gradient[:, 18:22, 12:20] > 0).all()
    assert gradient[:, :8].max() == 0.0


def test_embeddings_have_length_one_and_logits_follow_the_cosine():
    part, params, frames, boxes, mel = expert()
    crops = mouth_crops(frames, boxes, part.size)
    face = part.apply(params, crops, method="face")
    speech = part.apply(params, mel, method="speech")
    np.testing.assert_allclose(jnp.linalg.norm(face, axis=-1), 1.0, atol=1e-4)
    np.testing.assert_allclose(jnp.linalg.norm(speech, axis=-1), 1.0, atol=1e-4)
    together = part.apply(params, crops, mel)
    np.testing.assert_allclose(
        part.apply(params, face, speech, method="logit"), together, atol=1e-5
    )
    assert (part.apply(params, face, face, method="logit") >= together).all()


def test_an_example_does_not_depend_on_its_batch():
    part, params, frames, boxes, mel = expert()
    crops = mouth_crops(frames, boxes, part.size)
    apply = jax.jit(part.apply)
    both = apply(params, crops, mel)
    np.testing.assert_allclose(apply(params, crops[:1], mel[:1]), both[:1], atol=1e-5)
