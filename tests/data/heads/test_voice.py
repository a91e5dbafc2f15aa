import numpy as np
import pytest

from facespeak_jax.data.heads import voice as module
from facespeak_jax.data.heads.identity import draw_identity
from facespeak_jax.data.heads.voice import NeuralVoice, TooLong, vocabulary, voice_of, voice_tokens
from facespeak_jax.errors import UnknownSymbol
from facespeak_jax.speech.text import PAD, SYMBOLS

SPOKEN = [symbol for symbol in SYMBOLS if symbol != PAD]


def attributes(**values):
    base = dict.fromkeys(draw_identity(0).attributes(), 0.0)
    assert not values.keys() - base.keys()
    return base | {"gender": 0.8} | values


def test_every_symbol_has_tokens_of_the_voice(kokoro):
    known = vocabulary()
    for symbol in SPOKEN:
        tokens = voice_tokens(symbol)
        assert 1 <= len(tokens) <= 3
        assert all(token in known for token in tokens)


def test_no_two_sounds_share_their_tokens():
    sounding = [symbol for symbol in SPOKEN if not symbol.startswith("<")]
    assert len({voice_tokens(symbol) for symbol in sounding}) == len(sounding)


@pytest.mark.parametrize("symbol", [PAD, "AH", "Q", ""])
def test_what_is_no_symbol_has_no_sound(symbol):
    with pytest.raises(UnknownSymbol):
        voice_tokens(symbol)


def test_units_of_25_ms_become_mel_frames_that_fill_the_wave():
    rng = np.random.default_rng(0)
    for _ in range(50):
        units = rng.integers(1, 9, 20)
        units[0] += 5
        wave = rng.standard_normal(600 * units.sum()).astype(np.float32)
        speech = module._at_project_rates(wave, np.cumsum(units).astype(np.float32))
        ends = np.cumsum(speech.durations)
        assert ends[-1] % 4 == 0
        assert len(speech.wave) == 160 * ends[-1]
        assert 0 <= ends[-1] - 2.5 * units.sum() < 4
        assert (speech.durations >= 0).all()
        expected = 2.5 * (np.cumsum(units)[:-1] - module._LATE)
        assert np.abs(ends[:-1] - expected).max() <= 0.5


def test_resampling_keeps_a_tone():
    seconds = np.arange(24_000) / 24_000
    tone = np.sin(2 * np.pi * 1000 * seconds).astype(np.float32)
    speech = module._at_project_rates(tone, np.array([3.0, 40.0], np.float32))
    inner = speech.wave[2000:-2000]
    expected = np.sin(2 * np.pi * 1000 * (np.arange(16_000) / 16_000))[2000:-2000]
    assert np.allclose(inner / inner.max(), expected, atol=2e-3)
    alias = np.sin(2 * np.pi * 10_000 * seconds).astype(np.float32)
    both = module._at_project_rates(tone + alias, np.array([3.0, 40.0], np.float32)).wave
    assert np.allclose(both[2000:-2000] / both[2000:-2000].max(), expected, atol=5e-3)


def test_loudness_is_of_speech_and_never_clips():
    speech = np.concatenate([np.zeros(8000), 0.01 * np.sin(np.arange(8000))]).astype(np.float32)
    levelled = module._levelled(speech)
    assert np.sqrt(np.square(levelled[8000:]).mean()) == pytest.approx(module._ACTIVE_RMS, rel=0.02)
    click = np.zeros(16_000, np.float32)
    click[100] = 0.5
    assert np.abs(module._levelled(click)).max() == pytest.approx(0.98)
    assert not module._levelled(np.zeros(1600, np.float32)).any()


def test_a_voice_is_a_mixture_with_standard_coordinates(kokoro):
    people = [draw_identity(seed).attributes() for seed in range(60)]
    coordinates = np.stack([voice_of(person).coordinates for person in people])
    assert coordinates.shape == (60, 16)
    assert np.abs(coordinates).max() < 6
    assert (coordinates.std(axis=0) > 0.3).all()
    ages = np.array([person["age"] for person in people])
    np.testing.assert_allclose(coordinates[:, 1], 2.0 * ages, atol=1e-5)
    distance = np.linalg.norm(coordinates[:, None] - coordinates[None], axis=-1)
    assert distance[~np.eye(60, dtype=bool)].min() > 0.05
    one, again = voice_of(people[0]), voice_of(people[0])
    assert np.array_equal(one.style, again.style)
    assert one.speed == again.speed
    styles = np.stack([module._style(name) for name in (*module._WOMEN, *module._MEN)])
    assert (one.style <= styles.max(axis=0) + 1e-5).all()
    assert (one.style >= styles.min(axis=0) - 1e-5).all()


def test_the_voice_changes_smoothly_with_the_face(kokoro):
    ages = np.linspace(-1, 1, 201)
    path = np.stack([voice_of(attributes(age=age)).coordinates for age in ages])
    step = np.linalg.norm(np.diff(path, axis=0), axis=1)
    assert step.max() < 0.05 * np.linalg.norm(path.max(axis=0) - path.min(axis=0)) * 2
    assert np.linalg.norm(path[0] - path[-1]) > 1


def test_gender_outweighs_and_colours_do_not_matter(kokoro):
    man = voice_of(attributes()).coordinates
    assert np.array_equal(man, voice_of(attributes(skin=1.0, hair_light=-1.0)).coordinates)
    woman = voice_of(attributes(gender=-0.8)).coordinates
    assert np.linalg.norm(man - woman) > 2
    assert voice_of(attributes(age=1.0)).speed < voice_of(attributes(age=-1.0)).speed


def test_shares_sum_to_one_and_prefer_the_nearest():
    anchors = module._anchors(5)
    for k, name in enumerate("abcde"):
        shares = module._near(anchors[k], "abcde")
        assert shares.sum() == pytest.approx(1)
        assert shares.argmax() == "abcde".index(name)


@pytest.mark.slow
def test_speech_is_deterministic_and_timed(kokoro):
    phonemes = ["<bos>", "HH", "AH0", "L", "OW1", ".", "<eos>"]
    voice = voice_of(draw_identity(0).attributes())
    first = NeuralVoice().synthesize(phonemes, voice.style, voice.speed)
    again = NeuralVoice().synthesize(phonemes, voice.style, voice.speed)
    assert np.array_equal(first.wave, again.wave)
    assert np.array_equal(first.durations, again.durations)
    assert len(first.durations) == len(phonemes)
    # The vowel is louder than the silence before the word.
    ends = 160 * np.cumsum(first.durations)
    vowel, silence = first.wave[ends[3] : ends[4]], first.wave[: ends[0] // 2]
    assert np.square(vowel).mean() > 100 * np.square(silence).mean()
    with pytest.raises(TooLong):
        NeuralVoice().synthesize(["<bos>", *["AA1"] * 300, "<eos>"], voice.style, 1.0)
