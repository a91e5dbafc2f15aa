import hashlib

import av
import numpy as np
import pytest
import soundfile

from facespeak_jax import errors, video
from facespeak_jax.rates import FPS, SAMPLE_RATE
from tests.faces import tone

FRAMES = 30


def picture(frames: int, height: int = 64, width: int = 96) -> np.ndarray:
    """A coloured gradient that moves."""
    t, y, x = np.mgrid[:frames, :height, :width]
    return np.stack([(2 * x + 3 * t) % 200, 3 * y, np.full_like(x, 60) + 2 * t], -1).astype(
        np.uint8
    )


@pytest.mark.parametrize("extension", [".mp4", ".mov"])
def test_round_trip(tmp_path, extension):
    path = video.save(tmp_path / f"clip{extension}", picture(FRAMES), tone(FRAMES))
    footage = video.read(path)
    assert footage.frames.shape == (FRAMES, 64, 96, 3)
    assert footage.audio.shape == (FRAMES * 640,)
    assert np.abs(footage.frames.astype(int) - picture(FRAMES)).mean() < 4
    assert np.corrcoef(footage.audio, tone(FRAMES))[0, 1] > 0.99


@pytest.mark.parametrize("frames", [1, 7, 30])
@pytest.mark.parametrize("extension", [".mp4", ".mov"])
def test_video_and_audio_end_within_half_a_frame(tmp_path, extension, frames):
    path = video.save(tmp_path / f"clip{extension}", picture(frames), tone(frames))
    with av.open(path) as container:
        assert container.streams.video[0].average_rate == FPS
        assert container.streams.audio[0].rate == SAMPLE_RATE
        ends = [float(stream.duration * stream.time_base) for stream in container.streams]
    assert abs(ends[0] - ends[1]) <= 0.5 / FPS
    assert ends[0] == pytest.approx(frames / FPS, abs=0.5 / FPS)


@pytest.mark.parametrize("extension", [".mp4", ".mov", ".wav"])
def test_the_same_clip_gives_the_same_bytes(tmp_path, extension):
    sums = set()
    for name in ("first", "second"):
        path = video.save(tmp_path / f"{name}{extension}", picture(FRAMES), tone(FRAMES))
        sums.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(sums) == 1


def test_odd_sides_are_padded_to_even_ones(tmp_path):
    path = video.save(tmp_path / "odd.mp4", picture(3, 33, 35), tone(3))
    assert video.read(path).frames.shape == (3, 34, 36, 3)


def test_wave_file(tmp_path):
    path = video.save(tmp_path / "sound.wav", picture(FRAMES), tone(FRAMES))
    samples, rate = soundfile.read(path)
    assert rate == SAMPLE_RATE
    np.testing.assert_allclose(samples, tone(FRAMES), atol=1e-4)


@pytest.mark.parametrize("name", ["frames.png", "frames/"])
def test_frames_go_into_a_directory(tmp_path, name):
    path = video.save(f"{tmp_path}/{name}", picture(3), tone(3))
    assert path == tmp_path / "frames"
    assert sorted(p.name for p in path.iterdir()) == ["00000.png", "00001.png", "00002.png"]
    with pytest.raises(errors.OutputExists):
        video.save(f"{tmp_path}/{name}", picture(3), tone(3))


def test_unknown_extension(tmp_path):
    with pytest.raises(errors.UnknownOutput, match=r"\.mp4"):
        video.save(tmp_path / "clip.gif", picture(3), tone(3))
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_when_writing_fails(tmp_path, monkeypatch):
    (tmp_path / "kept.mp4").write_bytes(b"earlier")

    def broken(pixels, index):
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(video, "_picture", broken)
    for name in ("new.mp4", "kept.mp4"):
        with pytest.raises(RuntimeError):
            video.save(tmp_path / name, picture(3), tone(3))
    assert [p.name for p in tmp_path.iterdir()] == ["kept.mp4"]
    assert (tmp_path / "kept.mp4").read_bytes() == b"earlier"


@pytest.mark.parametrize("rate", [50, 30, 15])
def test_other_frame_rates_become_25(tmp_path, rate):
    """Frame k shows the instant k / 25: its brightness gives the instant away."""
    seconds = 2
    with av.open(tmp_path / "rate.mkv", "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.width = stream.height = 32
        stream.pix_fmt = "bgr0"
        for index in range(seconds * rate):
            level = np.full((32, 32, 3), round(index / rate * 100), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(level, format="rgb24")))
        container.mux(stream.encode())
    levels = np.array([frame.mean() for frame in video.frames_of(tmp_path / "rate.mkv")])
    assert len(levels) == seconds * FPS
    late = 1.0 / rate if rate < FPS else 0.5 / rate
    np.testing.assert_allclose(levels / 100, np.arange(len(levels)) / FPS, atol=late + 0.011)


def test_sound_that_starts_late_stays_late(tmp_path):
    with av.open(tmp_path / "late.mkv", "w") as container:
        pictures = container.add_stream("ffv1", rate=FPS)
        pictures.width = pictures.height = 32
        pictures.pix_fmt = "bgr0"
        sound = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        for _ in range(25):
            black = np.zeros((32, 32, 3), np.uint8)
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(black, format="rgb24")))
        loud = av.AudioFrame.from_ndarray(np.full((1, 8000), 9999, np.int16), "s16", "mono")
        loud.sample_rate, loud.pts = SAMPLE_RATE, 8000
        container.mux(sound.encode(loud))
        container.mux(pictures.encode())
        container.mux(sound.encode())
    audio = video.read(tmp_path / "late.mkv").audio
    assert len(audio) == 16_000
    assert np.flatnonzero(np.abs(audio) > 0.1)[0] == pytest.approx(8000, abs=80)


def test_what_is_no_video_is_unreadable(tmp_path):
    (tmp_path / "text.mp4").write_text("hello")
    soundfile.write(tmp_path / "sound.wav", tone(3), SAMPLE_RATE)
    for name in ("missing.mp4", "text.mp4", "sound.wav"):
        with pytest.raises(errors.UnreadableVideo):
            video.read(tmp_path / name)
