"""What can be measured of a clip without any network: its melody and its spectrogram."""

from importlib import metadata, util

import jax.numpy as jnp
import numpy as np

from facespeak_jax.data.assets import AssetMissing
from facespeak_jax.evaluation.metrics import pitch
from facespeak_jax.evaluation.take import Take
from facespeak_jax.speech.mel import log_mel


class Signals:
    """Observes `melody` (m,) in hertz, NaN where unvoiced, and `mel` (m, 80). Has no weights."""

    name = "signals"
    sha256 = ""

    @property
    def version(self) -> str:
        return f"pYIN of librosa {metadata.version('librosa')}" if self.available() else "pYIN"

    def available(self) -> bool:
        return util.find_spec("librosa") is not None

    def advice(self) -> str:
        return "librosa missing: pip install 'facespeak_jax[eval]'"

    def fetch(self) -> None:
        if not self.available():
            raise AssetMissing(self.advice())

    def observe(self, take: Take) -> dict[str, np.ndarray]:
        mel = np.asarray(log_mel(jnp.asarray(take.audio[None])))[0]
        return {"melody": pitch.melody(take.audio), "mel": mel.astype(np.float32)}
