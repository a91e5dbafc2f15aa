"""The log-mel spectrogram every spoken part shares, computed on the device.

n_fft 1024, Hann window 640, hop 160, reflected ends: a wave of 160·m samples has exactly m frames,
frame i centred on the middle of its own 160 samples. 80 Slaney bins from 0 to 8000 Hz, natural log.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int, UInt8

from facespeak_jax.rates import HOP, MELS, SAMPLE_RATE

N_FFT = 1024
WINDOW = 640
FLOOR = 1e-5  # magnitudes below it are silence

_TINY = 1e-14  # keeps the root's gradient finite where the spectrum is zero


def hann(window: int) -> np.ndarray:
    """Periodic Hann window (window,), float32."""
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(window) / window)).astype(np.float32)


def reflect(
    wave: Float[Array, "b n"], lengths: Int[Array, " b"], margin: int
) -> Float[Array, "b p"]:
    """Each wave mirrored `margin` samples beyond its own ends, (b, n + 2·margin); then zeros."""
    n = wave.shape[1]
    last = jnp.maximum(lengths - 1, 1)[:, None]
    position = jnp.arange(-margin, n + margin)[None, :]
    phase = jnp.abs(position) % (2 * last)
    inside = jnp.minimum(phase, 2 * last - phase)
    mirrored = jnp.take_along_axis(wave, inside, axis=1)
    return jnp.where(position < lengths[:, None] + margin, mirrored, 0.0)


def frames(padded: Float[Array, "b p"], window: int, hop: int) -> Float[Array, "b m {window}"]:
    """Windows of a wave, `hop` samples apart, without a gather; hop must divide window and p."""
    if window % hop or padded.shape[1] % hop:
        raise ValueError(f"hop {hop} must divide the window {window} and {padded.shape[1]} samples")
    blocks = padded.reshape(padded.shape[0], -1, hop)
    parts, m = window // hop, blocks.shape[1] - window // hop + 1
    return jnp.concatenate([blocks[:, part : part + m] for part in range(parts)], axis=-1)


def spectrum(
    wave: Float[Array, "b n"],
    lengths: Int[Array, " b"] | None = None,
    *,
    window: int = WINDOW,
    hop: int = HOP,
    n_fft: int = WINDOW,
) -> Complex[Array, "b m f"]:
    """Short-time spectrum, n/hop frames of n_fft/2 + 1 bins; `lengths` in samples, n by default."""
    margin = (window - hop) // 2
    if lengths is None:
        padded = jnp.pad(wave, ((0, 0), (margin, margin)), mode="reflect")
    else:
        padded = reflect(wave, lengths, margin)
    return jnp.fft.rfft(frames(padded, window, hop) * hann(window)[None, None, :], n=n_fft)


def magnitude(spectrum: Complex[Array, "b m f"]) -> Float[Array, "b m f"]:
    """Absolute value with a finite gradient at zero."""
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    return jnp.sqrt(jnp.maximum(power, _TINY))


def _to_mel(hertz: np.ndarray) -> np.ndarray:
    """Slaney's scale: linear (200/3 Hz a mel) to 1 kHz, logarithmic above."""
    linear = hertz * 3.0 / 200.0
    return np.where(
        hertz < 1000.0, linear, 15.0 + 27.0 * np.log(np.maximum(hertz, 1e-9) / 1e3) / np.log(6.4)
    )


def _to_hertz(mel: np.ndarray) -> np.ndarray:
    return np.where(
        mel < 15.0, mel * 200.0 / 3.0, 1000.0 * np.exp((mel - 15.0) * np.log(6.4) / 27.0)
    )


@functools.cache
def filterbank(bins: int = MELS, n_fft: int = N_FFT) -> np.ndarray:
    """Triangles of unit area (n_fft/2 + 1, bins), equally wide in mel, 0 to 8000 Hz; float32."""
    edges = _to_hertz(np.linspace(0.0, _to_mel(np.array(SAMPLE_RATE / 2.0)), bins + 2))
    hertz = np.linspace(0.0, SAMPLE_RATE / 2.0, n_fft // 2 + 1)[:, None]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return (triangles * 2.0 / (edges[2:] - edges[:-2])).astype(np.float32)


def log_mel(
    wave: Float[Array, "b n"],
    lengths: Int[Array, " b"] | None = None,
    *,
    bins: int = MELS,
    window: int = WINDOW,
    hop: int = HOP,
    n_fft: int = N_FFT,
) -> Float[Array, "b m bins"]:
    """Wave in [-1, 1] to log-mel magnitudes (b, n/hop, bins), natural log, at least log(1e-5).

    `lengths` (samples) says where each wave of a padded batch ends: its frames are those it has
    alone, and the frames behind it are silence.
    """
    linear = magnitude(spectrum(wave, lengths, window=window, hop=hop, n_fft=n_fft))
    # HIGHEST: the default precision on a TPU would round the spectrum to eight bits.
    mel = jnp.einsum("bmf,fk->bmk", linear, filterbank(bins, n_fft), precision="highest")
    if lengths is not None:
        valid = jnp.arange(mel.shape[1])[None, :] * hop < lengths[:, None]
        mel = jnp.where(valid[:, :, None], mel, 0.0)
    return jnp.log(jnp.maximum(mel, FLOOR))


def picture(log_mel: Float[np.ndarray, "m k"]) -> UInt8[np.ndarray, "k m 3"]:
    """A log-mel to look at: time to the right, pitch upwards, dark to light over its own range."""
    low, high = float(log_mel.min()), float(log_mel.max())
    level = (log_mel.T[::-1] - low) / max(high - low, 1e-6)
    stops = np.array([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]])
    at = np.linspace(0.0, 1.0, len(stops))
    channels = [np.interp(level, at, stops[:, channel]) for channel in range(3)]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)
