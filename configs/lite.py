"""The shipped size: 128 px, trained on two CPU cores, speaking on them in real time.

python -m facespeak_jax.main --config configs/lite.py:face --workdir W/face \\
  --config.data.paths='("DIR",)'

The other stages take parts of earlier ones, for instance --config.upstream.encoder=W/face.
"""

from ml_collections import ConfigDict

from configs import recipe
from facespeak_jax.speech.text import SYMBOLS

WIDTHS = (192, 128, 64, 48)  # of the maps at 8, 16, 32, 64

MODEL = {
    "size": 128,
    "mel_mean": -6.5,  # of 200 clips of `heads`: -6.50 and 2.97
    "mel_std": 3.0,
    "encoder": {"style": 256, "widths": WIDTHS, "bottleneck": 256},
    "motion_basis": {"width": 256, "head": 16, "lip": 8, "depth": 2},
    "generator": {
        "widths": WIDTHS,
        "flow_width": 32,
        "lip_layers": ("16b", "32b", "32flow", "64b", "64flow", "image"),
        "plain": False,
        "tent_below": 0,
        "spline": True,
    },
    "voice_reader": {"width": 256},
    "voice_code": {"size": 64, "noise": 0.2},
    "text_encoder": {
        "symbols": len(SYMBOLS),
        "width": 160,
        "depth": 4,
        "heads": 2,
        "expand": 2,
        "kernel": 3,
        "prenet": 2,
        "dropout": 0.1,
    },
    "durations": {"width": 160, "depth": 2, "kernel": 3, "dropout": 0.2},
    "mel_decoder": {
        "width": 160,
        "blocks": 2,
        "middle": 2,
        "heads": 2,
        "window": 48,
        "expand": 2,
        "dropout": 0.05,
    },
    "vocoder": {"kind": "istft", "width": 256, "depth": 6, "expand": 3, "kernel": 7},
    "lip_mapper": {
        "lip": 8,
        "width": 128,
        "stages": 2,
        "kernels": (3, 7, 11),
        "dilations": (1, 3, 5),
        "dropout": 0.1,
    },
    "reducer": {"head": 16, "latent": 6, "width": 64, "depth": 2, "kernel": 7},
    "motion_prior": {
        "latent": 6,
        "cues": 2,
        "width": 128,
        "depth": 4,
        "heads": 4,
        "window": 32,
        "kernel": 13,
        "expand": 2,
        "dropout": 0.1,
    },
    "motion_field": {
        "latent": 6,
        "width": 128,
        "depth": 4,
        "heads": 4,
        "window": 32,
        "expand": 2,
        "kernel": 3,
        "dropout": 0.0,
    },
}
SYNC = {"size": 48, "features": 128, "width": 24}

RUNS = {
    "face": {
        "train": {"steps": 20_000, "ema": 0.998},
        "loss": {"critic_from": 6000},
        "optim": {"model": {"lr": 1e-3, "warmup": 100}},
    },
    "sync": {"train": {"steps": 8000}},
    "vocoder": {
        "train": {"steps": 20_000},
        "data": {"frames": 60},
        "loss": {
            "periods": {"periods": (2, 3, 5), "widths": (16, 32, 64, 64)},
            "resolutions": {"windows": (320, 1280), "width": 16, "depth": 3},
        },
    },
    "speech": {
        "train": {"steps": 20_000},
        "data": {"tokens": 112, "mels": 800},
        "optim": {"model": {"lr": 6e-4}},
    },
    "motion": {"train": {"steps": 10_000}},
    "joint": {
        "train": {"steps": 2000},
        "data": {"tokens": 112, "mels": 800},
        "optim": {"model": {"lr": 5e-5}, "critic": {"lr": 5e-5}},
    },
}
BATCH = {"face": 8, "sync": 32, "vocoder": 16, "speech": 16, "motion": 32, "joint": 4}


def get_config(stage: str = "face") -> ConfigDict:
    """The lite run of a stage; `data.paths` is to be given."""
    return recipe.experiment(
        stage,
        model=MODEL,
        sync=SYNC,
        paths=("data/heads",),
        batch=BATCH.get(stage, 8),
        override=RUNS.get(stage, {}),
    )
