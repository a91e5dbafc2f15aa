"""What every size shares: the parts a stage holds, its losses, its data, and how it is trained.

A size (`smoke.py`, `lite.py`, `base.py`) gives the constructor arguments of the parts and overrides
values by name; a name that is not here raises.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

FACE = ("encoder", "motion_basis", "generator", "voice_reader")
SPEECH = ("voice_reader", "voice_code", "text_encoder", "durations", "mel_decoder")
MOTION = ("reducer", "motion_prior", "motion_field", "lip_mapper")

# Every part a stage builds; what it does not train comes from `upstream` and stays as it is.
PARTS = {
    "face": FACE,
    "sync": (),
    "vocoder": ("vocoder",),
    "speech": ("encoder", "motion_basis", *SPEECH, "vocoder"),
    "motion": ("encoder", "motion_basis", "voice_reader", "voice_code", "text_encoder", *MOTION),
    "joint": (*dict.fromkeys((*FACE, *SPEECH)), *MOTION, "vocoder"),
}
# Parts outside the model that may come from upstream too: what only training needs.
OUTSIDE = {
    "face": ("readout", "critic"),
    "vocoder": ("periods", "resolutions"),
    "joint": ("sync_expert", "critic"),
}

LOSS = {
    "face": {
        "pixel": 1.0,
        "gradient": 1.0,
        "warped": 1.0,  # the warped source alone
        "landmark": 5.0,  # the flow at the landmarks
        "box": 12.0,  # weight of mouth and eye pixels
        "identity": 0.3,
        "identity_frame": "other",  # "source" is the paper's plain form
        "contrast": 0.1,
        "temperature": 0.1,
        "pose": 1.0,
        "units": 6.0,  # much: from pictures alone the mouth is learned last
        "voice": 4.0,  # the voice's coordinates read off f_id
        "consistency": 0.1,
        "gan": 0.1,
        "feature": 0.5,
        "critic_from": 2000,  # step
        "critic_smooth": 10.0,
        "critic": {"widths": (32, 64, 128, 128), "patch": 2},
        "perceptual": 0.1,
        "perceptual_weights": "",  # a file; without one there is no such loss
    },
    "sync": {},
    "vocoder": {
        "mel": 45.0,
        "linear": 10.0,
        "gan": 1.0,
        "feature": 2.0,
        "critic_from": 2000,
        "periods": {"periods": (2, 3, 5, 7, 11), "widths": (32, 128, 512, 1024, 1024)},
        "resolutions": {"windows": (320, 640, 1280), "width": 64, "depth": 4},
    },
    "speech": {
        "prior": 1.0,
        "duration": 1.0,
        "flow": 1.0,
        "guess": 0.0,  # the voice read off the face against the known one: the face stage's task
        "told": 1.0,  # share of sentences said in a known voice, where there is one
        "voice_of": "identity",  # "style" leaves the motion in
    },
    "motion": {
        "ae": 1.0,
        "prior": 1.0,
        "cfm": 1.0,
        "lip": 1.0,
        "lip_change": 1.0,
        "predicted_energy": 0.5,  # share of clips whose energy is the predicted one
        "lips_hear": ("text", "prior", "energy"),  # see motion/hearing.py
        "head_hears": True,  # the text
        "reducer_steps": 2000,
    },
}
LOSS["joint"] = {
    "gan": 0.1,
    "rec": 1.0,
    "id": 0.3,
    "sync": 0.1,  # 0 without a trained sync expert, and so is
    "mouth": 0.1,  # how unlike real mouths rendered ones are to that expert
    "cfm": 0.1,
    "ae": 1.0,
    "prior": 0.1,
    "tts": 1.0,
    "lip": 1.0,
    "lip_change": 1.0,
    "predicted_energy": 0.5,
    "lips_hear": ("text", "prior", "energy"),
    "head_hears": True,
    "teacher_lips": 0.5,  # share of clips rendered with the encoder's own lips
    "face": LOSS["face"] | {"critic_from": 0},
    "speech": LOSS["speech"],
}
DATA = {
    "face": {"crossed": 0.5, "augment": 1.0},
    "sync": {"negatives": 3},
    "vocoder": {"frames": 32},
    "speech": {"tokens": 192, "mels": 800, "crop": 200, "augment": 1.0},
    "motion": {"shortest": 64, "frames": 128, "tokens": 192},
    "joint": {"frames": 48, "tokens": 192, "mels": 800, "crop": 200, "augment": 1.0},
}
SHARED_DATA = {
    "split": "train",
    "eval_split": "validation",
    "threads": 2,  # that make batches, in each of
    "workers": 0,  # processes; 0 for this one
}
OPTIM = {
    "lr": 3e-4,
    "schedule": "cosine",  # or "constant"
    "warmup": 500,
    "b1": 0.9,
    "b2": 0.98,
    "weight_decay": 0.0,
    "clip": 1.0,
}
CRITIC = OPTIM | {"schedule": "constant", "b1": 0.5, "b2": 0.9}
TRAIN = {
    "steps": 20_000,
    "log_every": 50,
    "eval_every": 1000,
    "eval_batches": 4,
    "checkpoint_every": 500,
    "keep": 2,
    "keep_every": 0,  # steps between checkpoints kept for good; 0 for none
    "allow_older_checkpoint": False,  # where the newest cannot be read; it is put aside
    "ema": 0.999,
    "accumulate": 1,
    "dtype": "float32",  # or "bfloat16"; parameters are float32 always
    "only": (),  # the parts that train; all if none is named
    "remat": False,  # keep only convolutions and matrix products for the backward pass
    "profile": False,
}


def experiment(
    stage: str,
    *,
    model: Mapping[str, Any],
    sync: Mapping[str, Any],
    paths: tuple[str, ...],
    batch: int,
    override: Mapping[str, Any],
) -> ConfigDict:
    """The locked config of one stage. `model` holds every part; those of the stage are taken.

    Raises ValueError for an unknown stage, KeyError for an unknown name in `override`.
    """
    if stage not in PARTS:
        raise ValueError(f"no stage {stage!r}; the stages are {', '.join(PARTS)}")
    numbers = {name: model[name] for name in ("size", "mel_mean", "mel_std")}
    config = ConfigDict(
        {
            "stage": stage,
            "seed": 0,
            "model": numbers | {part: model[part] for part in PARTS[stage]},
            "sync": sync,
            "loss": LOSS[stage],
            "optim": {"model": OPTIM, "critic": CRITIC},
            "data": {
                "paths": paths,
                "weights": (1.0,) * len(paths),
                "batch": batch,
                **SHARED_DATA,
                **DATA[stage],
            },
            "mesh": {"data": -1, "fsdp": 1, "tensor": 1},  # devices; -1 takes what is left
            "train": TRAIN,
            # Workdirs or weights directories to start parts from; "" is a random start.
            "upstream": dict.fromkeys((*PARTS[stage], *OUTSIDE.get(stage, ())), ""),
        }
    )
    config.lock()
    config.update(ConfigDict(override))
    return config
