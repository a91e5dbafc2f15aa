"""The voices of `heads`: a neural multi-speaker voice driven by this project's phonemes.

The voice is Kokoro-82M (Apache-2.0, int8 ONNX). Each project symbol becomes one to three of its
tokens and each token belongs to one symbol, so the network's own durations, in units of 25 ms, are
durations of the phonemes that the models read.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import onnx
import onnxruntime
from jaxtyping import Float32, Float64, Int32
from scipy.signal import resample_poly
from scipy.stats import norm

from facespeak_jax.data.assets import resolve
from facespeak_jax.errors import FaceSpeakError, UnknownSymbol
from facespeak_jax.rates import HOP, MELS_PER_FRAME
from facespeak_jax.speech.text import BOS, EOS, PUNCTUATION, SYMBOLS

_DURATIONS = (
    "/encoder/Clip_output_0"  # the graph's durations before they are spent on the alignment
)
_FRAMES_PER_UNIT = 2.5  # mel frames in the network's 25 ms
_LATE = 2.0  # units by which the network's durations trail its sound, measured over its voices
_MOST_TOKENS = 510
_ACTIVE_RMS = 0.08  # loudness of speech in every clip

# fmt: off
_CONSONANTS = {
    "B": "b", "CH": "ʧ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "ʤ",
    "K": "k", "L": "l", "M": "m", "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s",
    "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}
_VOWELS = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "W", "AY": "I", "EH": "ɛ", "ER": "ɜɹ",
    "EY": "A", "IH": "ɪ", "IY": "i", "OW": "O", "OY": "Y", "UH": "ʊ", "UW": "u",
}
# The English voices from low to high, without a whisperer and a Santa Claus.
_WOMEN = (
    "af_alloy", "af_kore", "af_nova", "af_sky", "bf_emma", "af_river", "af_aoede", "af_sarah",
    "bf_lily", "af_bella", "af_heart", "bf_isabella", "af_jessica", "bf_alice",
)
_MEN = (
    "am_onyx", "bm_lewis", "am_echo", "bm_fable", "am_puck", "am_michael", "am_adam", "am_liam",
    "bm_daniel", "am_fenrir", "bm_george", "am_eric",
)
# fmt: on
# Age, build and coarseness of features; each of about unit deviation among people.
_AXES: tuple[dict[str, float], ...] = (
    {"age": 2.0},
    {"weight": 2.2},
    {"coarseness": 2.2},
)
_REACH = 0.45  # how far from its place a voice is heard
_REDUCED = {"AH0": "ə", "ER0": "əɹ"}
_STRESS = {"0": "", "1": "ˈ", "2": "ˌ"}


class TooLong(FaceSpeakError):
    """A sentence has more phonemes than the neural voice can speak at once."""


@dataclass(frozen=True)
class Speech:
    """A spoken sentence: 16 kHz samples, and how many 10 ms mel frames each symbol lasts."""

    wave: Float32[np.ndarray, " samples"]
    durations: Int32[np.ndarray, " symbols"]


@dataclass(frozen=True)
class Voice:
    """How a person sounds: a style by number of tokens, pace (1 is usual) and 16 coordinates.

    Coordinates, each of about unit deviation: which voices it is mixed of (how much a man's, and a
    place along three axes, all plain functions of the face), 11 principal axes of its style, pace.
    """

    style: Float32[np.ndarray, "510 256"]
    speed: float
    coordinates: Float32[np.ndarray, " 16"]


def voice_tokens(symbol: str) -> str:
    """The neural voice's tokens (one character each) for a project symbol; "$" is its padding.

    Raises UnknownSymbol for anything that is not spoken, such as "<pad>".
    """
    if symbol in (BOS, EOS):
        return "$"
    if symbol == " " or symbol in PUNCTUATION:
        return symbol
    if symbol in _CONSONANTS:
        return _CONSONANTS[symbol]
    if symbol in SYMBOLS and symbol[:-1] in _VOWELS:
        return _REDUCED.get(symbol, _STRESS[symbol[-1]] + _VOWELS[symbol[:-1]])
    raise UnknownSymbol(f"{symbol!r} has no sound.")


class NeuralVoice:
    """Phonemes to speech on one thread, so that the same phonemes always give the same bytes.

    Raises AssetMissing where the network cannot be found or fetched.
    """

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        return vocabulary()

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        folder = resolve("kokoro")
        model = onnx.load_from_string(
            b"".join((folder / f"part{n}.bin").read_bytes() for n in (1, 2, 3, 4))
        )
        model.graph.output.append(
            onnx.helper.make_tensor_value_info(_DURATIONS, onnx.TensorProto.FLOAT, None)
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def synthesize(
        self, phonemes: Sequence[str], style: Float32[np.ndarray, "510 256"], speed: float
    ) -> Speech:
        """Speak project symbols ("<bos>" … "<eos>") in a style; `speed` 1 is the voice's own pace.

        Raises TooLong beyond 510 tokens, UnknownSymbol.
        """
        tokens = [voice_tokens(symbol) for symbol in phonemes]
        ids = [self._vocabulary[token] for group in tokens for token in group]
        if len(ids) - 2 > _MOST_TOKENS:
            raise TooLong(
                f"{len(ids)} tokens; the voice speaks {_MOST_TOKENS} at once. Split the text."
            )
        spoken: Any = self._session.run(
            None,
            {
                "tokens": np.array([ids], np.int64),
                "style": style[None, len(ids) - 3],
                "speed": np.array([speed], np.float32),
            },
        )
        wave, units = spoken
        ends = np.cumsum([len(group) for group in tokens]) - 1
        return _at_project_rates(wave, np.cumsum(units.ravel())[ends])


def _at_project_rates(
    wave: Float32[np.ndarray, " samples"], ends: Float32[np.ndarray, " symbols"]
) -> Speech:
    """24 kHz and ends in 25 ms units as 16 kHz and mel frames: whole video frames of both."""
    total = np.ceil(_FRAMES_PER_UNIT * ends[-1] / MELS_PER_FRAME) * MELS_PER_FRAME
    last = np.floor(_FRAMES_PER_UNIT * np.maximum(ends - _LATE, 0) + 0.5).astype(np.int32)
    last[-1] = total
    durations = np.diff(last, prepend=np.int32(0))
    resampled = resample_poly(wave, 2, 3, window=("kaiser", 9.0)).astype(np.float32)
    padded = np.zeros(last[-1] * HOP, np.float32)
    padded[: len(resampled)] = resampled[: len(padded)]
    return Speech(_levelled(padded), durations)


def _levelled(wave: Float32[np.ndarray, " samples"]) -> Float32[np.ndarray, " samples"]:
    """The wave with its speech (not its pauses) at the corpus's loudness, never clipped."""
    power = np.square(wave).reshape(-1, HOP).mean(axis=1)
    speech = power[power > 0.01 * power.max()] if power.any() else np.ones(1)
    gain = _ACTIVE_RMS / np.sqrt(speech.mean())
    return (wave * min(gain, 0.98 / max(np.abs(wave).max(), 1e-9))).astype(np.float32)


@cache
def vocabulary() -> dict[str, int]:
    """Token -> id of the neural voice; "$" is the padding at both ends."""
    return {"$": 0, **json.loads((resolve("kokoro") / "vocab.json").read_text("utf-8"))["vocab"]}


@cache
def _style(name: str) -> Float32[np.ndarray, "510 256"]:
    path = resolve("kokoro") / "voices" / f"{name}.bin"
    return np.fromfile(path, np.float32).reshape(_MOST_TOKENS, 256)


def voice_of(attributes: Mapping[str, float]) -> Voice:
    """The voice that goes with a face: a fixed smooth function of what can be seen of a person.

    `attributes` are those of `Identity.attributes()`, in −1…1. Gender chooses between the women's
    and the men's voices; age, build and features choose which few of those are mixed: the older,
    heavier and coarser, the lower. Skin and hair tell nothing about the voice.
    """
    place = np.array(
        [sum(attributes[name] * by for name, by in axis.items()) for axis in _AXES], np.float64
    )
    man = 1 / (1 + np.exp(-6 * attributes["gender"]))
    weights = np.concatenate([(1 - man) * _near(place, _WOMEN), man * _near(place, _MEN)])
    pace = float(np.clip(-0.06 * place[0] - 0.03 * place[1], -0.15, 0.15))
    names = [*_WOMEN, *_MEN]
    style = sum(w * _style(name) for w, name in zip(weights, names, strict=True) if w > 1e-4)
    # A style jumps from voice to voice along the axes, so the place is easier read off a face.
    coordinates = [2 * man - 1, *place, *(weights @ _basis()), pace / 0.07]
    return Voice(
        (style / weights[weights > 1e-4].sum()).astype(np.float32),
        float(np.exp(pace)),
        np.array(coordinates, np.float32),
    )


def _near(
    place: Float64[np.ndarray, " axes"], names: Sequence[str]
) -> Float64[np.ndarray, " voices"]:
    """The share of each voice at a place: mostly the nearest one's, changing smoothly."""
    distance = np.square(place - _anchors(len(names))).sum(axis=1)
    share = np.exp((distance.min() - distance) / (2 * _REACH**2))
    return share / share.sum()


@cache
def _anchors(count: int) -> Float64[np.ndarray, "count axes"]:
    """Where voices live among people: spread like people are, from the low end to the high one.

    The points are an additive recurrence of the plastic number's kin (Roberts 2018), through the
    normal quantile.
    """
    step = 1.2207440846057596 ** -np.arange(1.0, len(_AXES) + 1)
    points = 0.8 * norm.ppf((0.5 + np.arange(1, count + 1)[:, None] * step[None, :]) % 1)
    return points[np.argsort(-points.sum(axis=1))]


@cache
def _basis() -> Float64[np.ndarray, "voices 11"]:
    """Each voice along the first principal axes of their mean styles, of unit deviation."""
    means = np.stack([_style(name).mean(axis=0, dtype=np.float64) for name in (*_WOMEN, *_MEN)])
    left, _, right = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
    # An axis has no sign of its own: its largest entry is made positive.
    sign = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    return (left * sign[None, :] * np.sqrt(len(means)))[:, :11]
