"""The training stages by name."""

import importlib

from ml_collections import ConfigDict

from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.stages.stage import Stage

STAGES = {
    "face": "FaceStage",
    "sync": "SyncStage",
    "vocoder": "VocoderStage",
    "speech": "SpeechStage",
    "motion": "MotionStage",
    "joint": "JointStage",
}


class UnknownStage(FaceSpeakError):
    """The config names a stage that does not exist."""


def build(config: ConfigDict) -> Stage:
    """The stage `config.stage`, from `facespeak_jax/stages/<name>.py`. Raises UnknownStage."""
    if config.stage not in STAGES:
        raise UnknownStage(f"no stage {config.stage!r}; the stages are {', '.join(STAGES)}")
    module = importlib.import_module(f"facespeak_jax.stages.{config.stage}")
    return getattr(module, STAGES[config.stage])(config)
