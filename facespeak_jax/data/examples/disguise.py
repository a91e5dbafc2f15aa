"""Changes of a picture that leave the person the same: light, surroundings, lens and file."""

import io

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image, ImageFilter

from facespeak_jax.data.schema import decode_image

# Rotation of the chroma plane in YIQ, whose first row is luma: hue turns and nothing else moves.
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


def colour_change(
    rng: np.random.Generator, strength: float
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, " 3"]]:
    """A matrix and shift of RGB in [0, 1]: hue, saturation, contrast about mid-grey, brightness."""
    hue, saturation, contrast, brightness, warmth = strength * rng.uniform(-1, 1, size=5)
    turn = 0.2 * hue
    rotation = np.array(
        [[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]
    )
    chroma = np.diag([1, 1 + 0.3 * saturation, 1 + 0.3 * saturation])
    balance = np.diag([1 + 0.06 * warmth, 1, 1 - 0.06 * warmth])
    matrix = (1 + 0.2 * contrast) * balance @ _FROM_YIQ @ rotation @ chroma @ _TO_YIQ
    return matrix, 0.5 - (1 + 0.2 * contrast) * 0.5 + 0.1 * brightness * np.ones(3)


def recoloured(
    image: UInt8[np.ndarray, "h w 3"],
    *changes: tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, " 3"]],
) -> UInt8[np.ndarray, "h w 3"]:
    """The image after changes of colour, one after the other; colours are clipped at the end."""
    values = image.astype(np.float32) / 255
    for matrix, shift in changes:
        values = values @ matrix.T.astype(np.float32) + shift.astype(np.float32)
    return np.round(255 * values.clip(0, 1)).astype(np.uint8)


def disguised(
    image: UInt8[np.ndarray, "s s 3"], rng: np.random.Generator, strength: float
) -> UInt8[np.ndarray, "s s 3"]:
    """Other surroundings, a softer lens, a poorer file; each only sometimes."""
    share = 0.4 * strength
    if rng.random() < share:
        # Where a person has one clip only, the wall behind would tell them from all others.
        moved = elsewhere(image.astype(np.float32) / 255, rng)
        image = np.round(255 * moved).astype(np.uint8)
    if rng.random() < share:
        lens = ImageFilter.GaussianBlur(rng.uniform(0.3, 1.5) * len(image) / 128)
        image = np.asarray(Image.fromarray(image).filter(lens))
    if rng.random() < share:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=int(rng.integers(20, 90)))
        image = decode_image(buffer.getvalue())
    return image


def elsewhere(
    pixels: Float32[np.ndarray, "s s 3"], rng: np.random.Generator
) -> Float32[np.ndarray, "s s 3"]:
    """Everything outside an ellipse round the head faded into a gradient of two random colours."""
    grid = (np.arange(len(pixels)) + 0.5) / len(pixels) - 0.5
    x, y = grid[None, :], grid[:, None]
    inside = np.clip(8.0 * (1.1 - np.hypot(x / 0.38, y / 0.46)), 0, 1)[:, :, None]
    angle = rng.uniform(0, 2 * np.pi)
    share = (0.5 + x * np.cos(angle) + y * np.sin(angle)).clip(0, 1)[:, :, None]
    one, other = rng.uniform(0, 1, size=(2, 3))
    wall = share * one + (1 - share) * other
    return (inside * pixels + (1 - inside) * wall).astype(np.float32)
