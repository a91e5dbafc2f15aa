"""The shapes of a stage's batch, from its own example maker and a clip made up for it."""

import numpy as np
from jax import ShapeDtypeStruct
from jax.sharding import NamedSharding

from facespeak_jax.data import schema
from facespeak_jax.data.records import Clips
from facespeak_jax.data.schema import Clip
from facespeak_jax.rates import MELS_PER_FRAME, SAMPLES_PER_FRAME
from facespeak_jax.stages.stage import Stage

FRAMES = 128  # five seconds: enough for every stage, and within every bucket
PIXELS = 64  # example makers bring frames to the size they want


def batch(stage: Stage, rows: int, where: NamedSharding) -> dict[str, ShapeDtypeStruct]:
    """What `pipeline.to_device` would give the step, without the numbers; `rows` over all."""
    example = stage.example()(_clips(), np.random.default_rng(0), 0)
    return {
        name: ShapeDtypeStruct((rows, *value.shape), value.dtype, sharding=where)
        for name, value in example.items()
    }


def _clips() -> Clips:
    """A split of one clip, read as if from a file."""
    record = schema.to_record(_clip())
    record = {name: x.encode() if isinstance(x, str) else x for name, x in record.items()}
    index = {"clip_id": ["grey"], "speaker": ["nobody"], "frames": [FRAMES]}
    return Clips([record], index, name="made up")


def _clip() -> Clip:
    """Five seconds of a grey picture and silence."""
    picture = schema.encode_image(np.full((PIXELS, PIXELS, 3), 128, np.uint8))
    box = np.tile(np.float32([0.4, 0.4, 0.6, 0.6]), (FRAMES, 1))
    return Clip(
        clip_id="grey",
        speaker="nobody",
        text="Ah.",
        frames=[picture] * FRAMES,
        audio=np.zeros(FRAMES * SAMPLES_PER_FRAME, np.int16),
        mouth_box=box,
        eye_box=box,
        landmarks=np.full((FRAMES, 5, 2), 0.5, np.float32),
        phonemes="<bos> AA1 . <eos>",
        durations=np.full(4, FRAMES * MELS_PER_FRAME // 4, np.int32),
    )
