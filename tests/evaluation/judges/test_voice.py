import numpy as np
import pytest

from facespeak_jax.evaluation.judges import voice


def weights(inputs, width, seed=0):
    rng = np.random.default_rng(seed)
    found = {}
    for layer in range(voice.LAYERS):
        fan_in = inputs if layer == 0 else width
        shapes = {
            "weight_ih": (4 * width, fan_in),
            "weight_hh": (4 * width, width),
            "bias_ih": (4 * width,),
            "bias_hh": (4 * width,),
        }
        for name, shape in shapes.items():
            found[f"lstm.{name}_l{layer}"] = 0.5 * rng.normal(size=shape).astype(np.float32)
    return found


def one_layer_by_hand(sequence, w, layer, width):
    """Hochreiter & Schmidhuber's cell, unit by unit."""
    h, c, out = np.zeros(width), np.zeros(width), []
    for x in sequence:
        g = (
            w[f"lstm.weight_ih_l{layer}"] @ x
            + w[f"lstm.bias_ih_l{layer}"]
            + w[f"lstm.weight_hh_l{layer}"] @ h
            + w[f"lstm.bias_hh_l{layer}"]
        )
        new_c = np.zeros(width)
        for k in range(width):
            enter, forget, leave = (1 / (1 + np.exp(-g[gate * width + k])) for gate in (0, 1, 3))
            new_c[k] = forget * c[k] + enter * np.tanh(g[2 * width + k])
            h = h.copy()
            h[k] = leave * np.tanh(new_c[k])
        c = new_c
        out.append(h)
    return np.array(out)


def test_lstm_equals_the_equations():
    w = weights(5, 3)
    sequence = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
    expected = sequence
    for layer in range(voice.LAYERS):
        expected = one_layer_by_hand(expected, w, layer, 3)
    found = voice.lstm(np.stack([sequence, sequence]), w)
    np.testing.assert_allclose(found, np.stack([expected[-1]] * 2), atol=1e-5)


def test_long_pauses_go_and_short_ones_stay():
    rng = np.random.default_rng(0)
    loud = 0.1 * rng.normal(size=16_000)
    short, long = np.zeros(1600), np.zeros(32_000)
    kept = voice.shorten_pauses(np.concatenate([loud, short, loud, long, loud]))
    assert 3 * 16_000 + 1600 <= len(kept) < 3 * 16_000 + 1600 + 6 * voice.PAUSE + 3 * voice.PAUSE
    silent = np.zeros(4800)
    np.testing.assert_array_equal(voice.shorten_pauses(silent), silent)


@pytest.mark.parametrize(("seconds", "count"), [(0.5, 1), (1.6, 1), (4.0, 4)])
def test_windows(seconds, count):
    pytest.importorskip("librosa")
    wave = np.random.default_rng(0).normal(size=int(16_000 * seconds))
    found = voice._windows(wave)
    assert len(found) == count
    assert {window.shape for window in found} == {(160, 40)}
