"""Who is heard: the GE2E speaker embedding of Resemblyzer (Apache-2.0), computed in numpy.

Wan et al. 2018: 40 mel bins every 10 ms, three LSTM layers of 256, the last state through a linear
layer and a rectifier; the mean over windows of 1.6 s.
"""

from functools import cached_property

import numpy as np
from jaxtyping import Float

from facespeak_jax.data.assets import Archive
from facespeak_jax.evaluation.judges import torch_file
from facespeak_jax.evaluation.judges.judge import Packaged
from facespeak_jax.evaluation.take import Take
from facespeak_jax.rates import HOP, SAMPLE_RATE

WINDOW = 160  # mel frames, 1.6 s
STEP = 77  # between windows: 1.3 of them a second
COVERED = 0.75  # of the last window, or it is left out
LAYERS = 3
LOUDNESS = 10 ** (-30 / 20)  # quieter waves are raised to it
PAUSE = HOP * 3  # samples: silence is found in such pieces
SILENCE = 0.02  # of the loudest piece
KEPT = 6  # pieces kept around speech


class VoiceIdentity(Packaged):
    """Observes `voice` (256,), of unit length."""

    name = "resemblyzer"
    version = "0.1.4"
    sha256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
    archives = (
        Archive(
            "pip",
            "Resemblyzer",
            "0.1.4",
            "Resemblyzer-0.1.4-py3-none-any.whl",
            {"resemblyzer/pretrained.pt": "pretrained.pt"},
            "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
            {"pretrained.pt": sha256},
        ),
    )
    needs = ("librosa",)

    def observe(self, take: Take) -> dict[str, np.ndarray]:
        return {"voice": self.embed(take.audio)}

    def embed(self, wave: Float[np.ndarray, " n"]) -> Float[np.ndarray, "256"]:
        """The voice of an utterance at 16 kHz; pauses are shortened first."""
        windows = np.stack(_windows(shorten_pauses(_raised(wave))))
        raw = lstm(windows, self._weights) @ self._weights["linear.weight"].T
        embeddings = np.maximum(raw + self._weights["linear.bias"], 0.0)
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        mean = embeddings.mean(axis=0)
        return mean / np.linalg.norm(mean)

    @cached_property
    def _weights(self) -> dict[str, np.ndarray]:
        return torch_file.read(self.folder / "pretrained.pt")["model_state"]


def lstm(
    inputs: Float[np.ndarray, "b t k"], weights: dict[str, np.ndarray]
) -> Float[np.ndarray, "b h"]:
    """The last state of LAYERS stacked LSTMs; names and gate order (i, f, g, o) are torch's."""
    sequence = inputs
    for layer in range(LAYERS):
        into, back = (weights[f"lstm.weight_{way}_l{layer}"].T for way in ("ih", "hh"))
        bias = weights[f"lstm.bias_ih_l{layer}"] + weights[f"lstm.bias_hh_l{layer}"]
        driven = sequence @ into + bias
        state = cell = np.zeros((len(inputs), len(back)), np.float32)
        states = []
        for step in range(driven.shape[1]):
            gates = driven[:, step] + state @ back
            enter, forget, new, leave = np.split(gates, 4, axis=1)
            cell = _sigmoid(forget) * cell + _sigmoid(enter) * np.tanh(new)
            state = _sigmoid(leave) * np.tanh(cell)
            states.append(state)
        sequence = np.stack(states, axis=1)
    return sequence[:, -1]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _raised(wave: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    loudness = float(np.sqrt(np.mean(np.square(wave))))
    return wave * (LOUDNESS / loudness) if 0 < loudness < LOUDNESS else wave


def shorten_pauses(wave: Float[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
    """The wave without what is silent for longer than KEPT pieces; where all is, the wave."""
    pieces = wave[: len(wave) // PAUSE * PAUSE].reshape(-1, PAUSE)
    if not len(pieces):
        return wave
    loudness = np.sqrt(np.square(pieces).mean(axis=1))
    speech = loudness > SILENCE * loudness.max()
    near = np.convolve(speech, np.ones(KEPT + 1), mode="same") > 0
    return pieces[near].reshape(-1) if near.any() else wave


def _windows(wave: Float[np.ndarray, " n"]) -> list[np.ndarray]:
    """Mel windows (160, 40), half overlapping; a short wave is filled up with silence."""
    import librosa  # of the extra `eval`

    count = -(-(len(wave) + 1) // HOP)
    starts = list(range(0, max(1, count - WINDOW + STEP + 1), STEP))
    while len(starts) > 1 and len(wave) - starts[-1] * HOP < COVERED * WINDOW * HOP:
        starts.pop()
    missing = max(0, (starts[-1] + WINDOW) * HOP - len(wave))
    mel = librosa.feature.melspectrogram(
        y=np.pad(wave, (0, missing)).astype(np.float32),
        sr=SAMPLE_RATE,
        n_fft=400,
        hop_length=HOP,
        n_mels=40,
    ).T
    return [mel[start : start + WINDOW].astype(np.float32) for start in starts]
