"""Portraits as people take them: dark, bright, blurred, compressed, noisy, askew, covered."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFilter

from facespeak_jax import sampling
from facespeak_jax.evaluation.experiments.experiment import Machines, Table
from facespeak_jax.evaluation.suites import Case
from facespeak_jax.evaluation.systems.machine import Machine
from facespeak_jax.evaluation.systems.rows import GroundTruth, take_of
from facespeak_jax.evaluation.take import Take
from facespeak_jax.face import portrait

Picture = UInt8[np.ndarray, "h w 3"]


def lit(picture: Picture, gain: float) -> Picture:
    """Darker below a gain of 1, brighter above, until colours are clipped."""
    return np.clip(np.rint(picture * gain), 0, 255).astype(np.uint8)


def blurred(picture: Picture, radius: float) -> Picture:
    """A Gaussian blur of a deviation in pixels."""
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def compressed(picture: Picture, quality: float) -> Picture:
    """Through JPEG."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=int(quality))
    return np.asarray(Image.open(file))


def noisy(picture: Picture, deviation: float) -> Picture:
    """Normal noise of a deviation in levels, the same every time."""
    noise = np.random.default_rng(0).normal(0.0, deviation, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def turned(picture: Picture, degrees: float) -> Picture:
    """Turned clockwise about its middle; what comes into view repeats the edge."""
    height, width = picture.shape[:2]
    wide = np.pad(picture, [(height // 2,) * 2, (width // 2,) * 2, (0, 0)], mode="edge")
    rotated = Image.fromarray(wide).rotate(-degrees, Image.Resampling.BICUBIC)
    inside = np.asarray(rotated)[height // 2 :, width // 2 :]
    return inside[:height, :width]


def covered(picture: Picture, share: float) -> Picture:
    """A grey square over a cheek and half of the mouth; its side is a share of the picture's."""
    hidden = picture.copy()
    height, width = picture.shape[:2]
    top = height // 2
    hidden[top : top + int(share * height), width // 2 : width // 2 + int(share * width)] = 128
    return hidden


DISTURBANCES: dict[str, tuple[Callable[[Picture, float], Picture], tuple[float, ...]]] = {
    "plain": (lit, (1.0,)),
    "dimmed": (lit, (0.5, 0.25, 0.1)),
    "brightened": (lit, (1.5, 2.0, 3.0)),
    "blurred": (blurred, (1.0, 2.0, 4.0)),
    "compressed": (compressed, (30.0, 15.0, 5.0)),
    "noisy": (noisy, (10.0, 25.0, 50.0)),
    "turned": (turned, (10.0, 20.0, 30.0, 40.0, 50.0, 60.0)),
    "covered": (covered, (0.2, 0.3, 0.4)),
}


@dataclass(frozen=True)
class Disturbed:
    """Ours from a portrait that is not as it should be; the face is found in it first."""

    machine: Machine
    disturb: Callable[[Picture, float], Picture]
    strength: float
    columns: frozenset[str] = frozenset({"speech", "face"})
    aligned: bool = False
    kept: bool = True

    def missing(self) -> list[str]:
        return self.machine.missing((*sampling.FACE, *sampling.SPEECH, *sampling.MOTION))

    def make(self, case: Case) -> Take:
        """Raises NoFace and SeveralFaces."""
        given = self.disturb(case.portrait, self.strength)
        crop = portrait.align(given, size=self.machine.size).crop
        spoken = self.machine.speak(crop, case.text, seed=case.seed)
        return take_of(spoken, case.text, sum(spoken.seconds.values()))


def robustness(machines: Machines) -> Table:
    """A row a disturbance and strength."""
    rows = {
        f"{name}_{strength:g}": Disturbed(machines.ours, disturb, strength)
        for name, (disturb, strengths) in DISTURBANCES.items()
        for strength in strengths
    }
    return Table(
        "How bad may a portrait be? The number in a row's name is a gain (dimmed, brightened), a "
        "blur's deviation in pixels, JPEG's quality, the noise's deviation in levels, degrees, or "
        "the covered share of the side. A portrait in which no face is found is an error below, "
        "and is missing from n.",
        frozenset({"whisper", "resemblyzer", "arcface"}),
        {"ground_truth": GroundTruth(), **rows},
        against={name: "plain_1" for name in rows if name != "plain_1"},
    )
