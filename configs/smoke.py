"""Seconds on a laptop, from an empty workdir, on the clips in `tests/fixture`: nothing is learned.

python -m facespeak_jax.main --config configs/smoke.py:face --workdir /tmp/smoke
"""

import pathlib

from ml_collections import ConfigDict

from configs import recipe
from facespeak_jax.speech.text import SYMBOLS

FIXTURE = str(pathlib.Path(__file__).parent.parent / "tests" / "fixture" / "heads64")
WIDTHS = (16, 12, 8)

MODEL = {
    "size": 64,
    "mel_mean": -6.0,
    "mel_std": 2.5,
    "encoder": {"style": 32, "widths": WIDTHS, "bottleneck": 16},
    "motion_basis": {"width": 32, "head": 6, "lip": 4, "depth": 1},
    "generator": {
        "widths": WIDTHS,
        "flow_width": 8,
        "lip_layers": ("16b", "32b", "32flow", "image"),
        "plain": False,
        "tent_below": 0,
        "spline": True,
    },
    "voice_reader": {"width": 16},
    "voice_code": {"size": 16, "noise": 0.1},
    "text_encoder": {
        "symbols": len(SYMBOLS),
        "width": 32,
        "depth": 1,
        "heads": 2,
        "expand": 2,
        "kernel": 3,
        "prenet": 1,
        "dropout": 0.0,
    },
    "durations": {"width": 16, "depth": 1, "kernel": 3, "dropout": 0.0},
    "mel_decoder": {
        "width": 32,
        "blocks": 1,
        "middle": 1,
        "heads": 2,
        "window": 16,
        "expand": 2,
        "dropout": 0.0,
    },
    "vocoder": {"kind": "istft", "width": 32, "depth": 1, "expand": 2, "kernel": 7},
    "lip_mapper": {
        "lip": 4,
        "width": 16,
        "stages": 1,
        "kernels": (3, 5),
        "dilations": (1, 3),
        "dropout": 0.0,
    },
    "reducer": {"head": 6, "latent": 3, "width": 16, "depth": 1, "kernel": 5},
    "motion_prior": {
        "latent": 3,
        "cues": 2,
        "width": 16,
        "depth": 1,
        "heads": 2,
        "window": 16,
        "kernel": 5,
        "expand": 2,
        "dropout": 0.0,
    },
    "motion_field": {
        "latent": 3,
        "width": 16,
        "depth": 1,
        "heads": 2,
        "window": 16,
        "expand": 2,
        "kernel": 3,
        "dropout": 0.0,
    },
}
SYNC = {"size": 24, "features": 16, "width": 8}

LOSS = {
    "face": {"critic_from": 2, "critic": {"widths": (8, 16), "patch": 4}},
    "vocoder": {
        "critic_from": 2,
        "periods": {"periods": (2, 5), "widths": (4, 8)},
        "resolutions": {"windows": (640,), "width": 4, "depth": 2},
    },
    "motion": {"reducer_steps": 10},
    "joint": {"face": {"critic": {"widths": (8, 16), "patch": 4}}},
}
DATA = {
    "vocoder": {"frames": 24},
    "speech": {"tokens": 128, "mels": 800, "crop": 48},
    "motion": {"shortest": 16, "frames": 32, "tokens": 128},
    "joint": {"frames": 20, "tokens": 128, "mels": 800, "crop": 48},
}


def get_config(stage: str = "face") -> ConfigDict:
    """The smoke run of a stage."""
    override = {
        "loss": LOSS.get(stage, {}),
        "data": {"threads": 1, **DATA.get(stage, {})},
        "optim": {"model": {"lr": 2e-3, "warmup": 5}, "critic": {"lr": 1e-3, "warmup": 5}},
        "train": {
            "steps": 30,
            "log_every": 5,
            "eval_every": 15,
            "eval_batches": 1,
            "checkpoint_every": 15,
            "ema": 0.9,
        },
    }
    return recipe.experiment(
        stage, model=MODEL, sync=SYNC, paths=(FIXTURE,), batch=4, override=override
    )
