"""Independent judges, for evaluation only and never in a loss: networks trained by others, and one
for lips and sound that this project trains for nothing else."""

from facespeak_jax.evaluation.judges.dnsmos import SpeechQuality
from facespeak_jax.evaluation.judges.face import FaceIdentity
from facespeak_jax.evaluation.judges.inception import PictureFeatures
from facespeak_jax.evaluation.judges.judge import Judge
from facespeak_jax.evaluation.judges.landmarks import Landmarks
from facespeak_jax.evaluation.judges.signals import Signals
from facespeak_jax.evaluation.judges.sync.judge import LipSync
from facespeak_jax.evaluation.judges.voice import VoiceIdentity
from facespeak_jax.evaluation.judges.whisper import Transcriber

__all__ = ["Judge", "all_judges"]


def all_judges() -> dict[str, Judge]:
    """Every judge by its name; none is fetched or loaded before it is asked."""
    judges: tuple[Judge, ...] = (
        Signals(),
        Transcriber(),
        VoiceIdentity(),
        SpeechQuality(),
        FaceIdentity(),
        Landmarks(),
        PictureFeatures(),
        LipSync(),
    )
    return {judge.name: judge for judge in judges}
