"""The paper's size: 256 px, for TPU pods; bfloat16 compute, large arrays split over `fsdp`.

What is not said here is as in `lite.py`.

python -m facespeak_jax.main --config configs/base.py:face --workdir gs://BUCKET/face \\
  --config.data.paths='("gs://BUCKET/data",)'

The other stages take parts of earlier ones, for instance --config.upstream.encoder=gs://BUCKET/face.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import lite, recipe

WIDTHS = (512, 512, 512, 256, 128)  # of the maps at 8, 16, 32, 64, 128: those of LIA

LITE: dict[str, Any] = lite.MODEL
MODEL = LITE | {
    "size": 256,
    "mel_mean": -6.0,
    "mel_std": 2.5,
    "encoder": {"style": 512, "widths": WIDTHS, "bottleneck": 512},
    "motion_basis": LITE["motion_basis"] | {"width": 512, "depth": 3},
    "generator": LITE["generator"]
    | {
        "widths": WIDTHS,
        "flow_width": 64,
        "kernels": True,
        "spline": False,  # what it would cost on a TPU has not been looked at
        "lip_layers": ("16b", "32b", "32flow", "64b", "64flow", "128b", "128flow", "image"),
    },
    "text_encoder": LITE["text_encoder"]
    | {"width": 256, "depth": 6, "heads": 4, "expand": 4, "prenet": 3},
    "durations": LITE["durations"] | {"width": 256, "dropout": 0.3},
    "mel_decoder": LITE["mel_decoder"]
    | {"width": 384, "blocks": 3, "middle": 4, "heads": 6, "expand": 4},
    "vocoder": {
        "kind": "hifigan",
        "width": 512,
        "rates": (5, 4, 4, 2),
        "kernels": (3, 7, 11),
        "dilations": (1, 3, 5),
    },
    "lip_mapper": LITE["lip_mapper"] | {"width": 256, "stages": 3},
    "reducer": LITE["reducer"] | {"width": 128, "depth": 3},
    "motion_prior": LITE["motion_prior"] | {"cues": 8, "width": 256, "kernel": 31, "expand": 4},
    "motion_field": LITE["motion_field"] | {"width": 256, "depth": 6, "expand": 4},
}
SYNC = {"size": 96, "features": 512, "width": 64}

BATCH = {"face": 256, "sync": 512, "vocoder": 128, "speech": 256, "motion": 256, "joint": 128}
STEPS = {
    "face": 200_000,
    "sync": 100_000,
    "vocoder": 500_000,
    "speech": 200_000,
    "motion": 100_000,
    "joint": 50_000,
}
# Of pixels two by two: 64 channels at 256 x 256 would move more bytes than all else together.
CRITIC = {"widths": (128, 256, 512, 512), "patch": 2}
LOSS = {
    "face": {"critic": CRITIC, "critic_from": 10_000},
    "joint": {"face": {"critic": CRITIC}},
}


def get_config(stage: str = "face") -> ConfigDict:
    """The base run of a stage; `data.paths` is to be given."""
    override = {
        "loss": LOSS.get(stage, {}),
        "data": {"threads": 4, "workers": 8},
        "mesh": {"data": -1, "fsdp": 4},
        "train": {
            "steps": STEPS.get(stage, 50_000),
            "checkpoint_every": 1000,
            "keep_every": 20_000,
            "ema": 0.9999,
            "dtype": "bfloat16",
            "profile": True,
        },
    }
    return recipe.experiment(
        stage,
        model=MODEL,
        sync=SYNC,
        paths=("data",),
        batch=BATCH.get(stage, 128),
        override=override,
    )
