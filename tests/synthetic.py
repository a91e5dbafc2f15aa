"""Made-up clips for tests: a disc of a head that sways, a mouth that opens with a tone."""

import numpy as np

from facespeak_jax.data import records, schema
from facespeak_jax.data.schema import Clip
from facespeak_jax.rates import MELS_PER_FRAME, SAMPLE_RATE, SAMPLES_PER_FRAME

PHONEMES = ("<bos>", "HH", "AH0", "L", "OW1", "_", "W", "ER1", "L", "D", ".", "<eos>")


def clip(speaker: int, take: int, *, frames: int = 48, size: int = 64, crossed: int = 2) -> Clip:
    """One clip with every field; the disc's colour and the tone's pitch belong to the speaker."""
    rng = np.random.default_rng((speaker, take))
    t = np.arange(frames) / 25
    yaw = 20 * np.sin(2 * np.pi * (0.4 * t + rng.uniform()))
    gap = 0.5 + 0.5 * np.sin(2 * np.pi * (3 * t + rng.uniform()))
    centre = np.stack([0.5 + 0.004 * yaw, np.full(frames, 0.5)], -1)
    images = [_picture(speaker, take, centre[i], gap[i], size) for i in range(frames)]
    heads, lips = rng.integers(frames, size=(2, crossed)).astype(np.int32)
    units = np.zeros((frames, schema.UNITS), np.float32)
    units[:, 0] = gap
    offsets = np.array([[-0.1, -0.1], [0.1, -0.1], [0, 0], [-0.08, 0.12], [0.08, 0.12]])
    samples = np.arange(frames * SAMPLES_PER_FRAME)
    loudness = 0.1 + 0.3 * np.interp(samples / SAMPLE_RATE, t, gap)
    tone = loudness * np.sin(2 * np.pi * (110 + 40 * speaker) * samples / SAMPLE_RATE)
    cuts = np.linspace(0, MELS_PER_FRAME * frames, len(PHONEMES) + 1).round().astype(np.int32)
    return Clip(
        clip_id=f"s{speaker}-{take}",
        speaker=f"s{speaker}",
        text="Hello world.",
        frames=images,
        audio=(tone * 32767).astype(np.int16),
        mouth_box=_box(centre + np.array([0, 0.12]), 0.12, 0.08),
        eye_box=_box(centre - np.array([0, 0.1]), 0.18, 0.06),
        landmarks=(centre[:, None] + offsets).astype(np.float32),
        phonemes=" ".join(PHONEMES),
        durations=np.diff(cuts).astype(np.int32),
        pose=np.stack([yaw, 0 * yaw, 0 * yaw], -1).astype(np.float32),
        units=units,
        lip_opening=(0.3 * gap).astype(np.float32),
        voice=np.cos(np.arange(schema.VOICE) * speaker).astype(np.float32),
        crossed_frames=[
            _picture(speaker, take, centre[h], gap[v], size)
            for h, v in zip(heads, lips, strict=True)
        ],
        crossed_head=heads,
        crossed_lips=lips,
    )


def _box(centre: np.ndarray, width: float, height: float) -> np.ndarray:
    half = np.array([width, height])
    return np.concatenate([centre - half, centre + half], -1).astype(np.float32)


def _picture(speaker: int, take: int, centre: np.ndarray, gap: float, size: int) -> bytes:
    grid = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(grid, grid)
    skin = 120 + 100 * np.abs(np.cos(speaker + np.arange(3)))
    image = np.broadcast_to(60 + 40 * np.cos(take + np.arange(3)), (size, size, 3)).copy()
    image[np.hypot(x - centre[0], y - centre[1]) < 0.32] = skin
    for side in (-0.1, 0.1):
        image[np.hypot(x - centre[0] - side, y - centre[1] + 0.1) < 0.04] = 20
    mouth = np.hypot((x - centre[0]) / 0.08, (y - centre[1] - 0.12) / (0.01 + 0.05 * gap)) < 1
    image[mouth] = (150, 20, 30)
    return schema.encode_image(image.clip(0, 255).astype(np.uint8))


def write(directory: str, *, speakers: int = 6, takes: int = 2, **options: int) -> str:
    """Writes a corpus; the last two speakers are the validation and the test split."""
    who = {
        "train": range(speakers - 2),
        "validation": range(speakers - 2, speakers - 1),
        "test": range(speakers - 1, speakers),
    }
    splits = {
        split: [clip(s, take, **options) for s in people for take in range(takes)]
        for split, people in who.items()
    }
    records.write(directory, splits, name="synthetic")
    return directory
