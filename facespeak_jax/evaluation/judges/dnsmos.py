"""How good speech sounds: DNSMOS P.808 (Reddy et al. 2021; MIT, in the package speechmos)."""

from functools import cached_property

import numpy as np
import onnxruntime
from jaxtyping import Float

from facespeak_jax.data.assets import Archive
from facespeak_jax.evaluation.judges.judge import Packaged, session
from facespeak_jax.evaluation.take import Take
from facespeak_jax.rates import HOP, SAMPLE_RATE

WINDOW = int(9.01 * SAMPLE_RATE)  # samples the network hears at once


class SpeechQuality(Packaged):
    """Observes `p808`, a mean opinion score from 1 to 5."""

    name = "dnsmos"
    version = "P.808, speechmos 0.0.1.1"
    sha256 = "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91"
    archives = (
        Archive(
            "pip",
            "speechmos",
            "0.0.1.1",
            "speechmos-0.0.1.1-py3-none-any.whl",
            {"speechmos/dnsmos_models/model_v8.onnx": "p808.onnx"},
            "31c4c9d3234f6ee10102edff74333014c50006a3f389daf7ecacae34e68ebbf7",
            {"p808.onnx": sha256},
        ),
    )
    needs = ("librosa",)

    def observe(self, take: Take) -> dict[str, np.ndarray]:
        scores = [self._score(window) for window in windows(take.audio)]
        return {"p808": np.array(np.mean(scores))}

    def _score(self, wave: Float[np.ndarray, " n"]) -> float:
        import librosa  # of the extra `eval`

        mel = librosa.feature.melspectrogram(
            y=wave[:-HOP], sr=SAMPLE_RATE, n_fft=321, hop_length=HOP, n_mels=120
        )
        decibels = (librosa.power_to_db(mel, ref=np.max) + 40) / 40
        given = {"input_1": decibels.T[None].astype(np.float32)}
        return float(np.asarray(self._network.run(None, given)[0])[0, 0])

    @cached_property
    def _network(self) -> onnxruntime.InferenceSession:
        return session(self.folder / "p808.onnx")


def windows(wave: Float[np.ndarray, " n"]) -> list[Float[np.ndarray, " w"]]:
    """Pieces of 9.01 s, a second apart; a shorter wave is repeated until it fills one."""
    while len(wave) < WINDOW:
        wave = np.concatenate([wave, wave])
    starts = range(0, len(wave) - WINDOW + 1, SAMPLE_RATE)
    return [wave[start : start + WINDOW].astype(np.float32) for start in starts]
