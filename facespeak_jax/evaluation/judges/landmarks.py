"""Lips and eyes: the 478 face landmarks of mediapipe (Apache-2.0), which needs its own environment.

The last version with its networks inside asks for packages that exclude this project's, so it runs
in a virtual environment in the cache, as a process that is given files and writes files.
"""

import atexit
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from facespeak_jax.data.assets import AssetMissing, cache_directory
from facespeak_jax.evaluation.take import Take

VERSION = "0.10.14"
_NETWORKS = {
    "modules/face_landmark/face_landmark_with_attention.tflite": (
        "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4"
    ),
    "modules/face_detection/face_detection_short_range.tflite": (
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8"
    ),
}
# Numbers of landmarks: corners of the eyes, lids, and the inner edge of the lips.
_EYES = ((33, 133), (362, 263))
_LIDS = ((159, 145), (386, 374))
_INNER_LIPS = ((13, 14), (81, 178), (311, 402))
_TOP, _CHIN, _NOSE = 10, 152, 2  # the nose's base, above the lip


class Landmarks:
    """Observes `landmarks` (t, 478, 3): x and y in [0, 1] of the frame, depth in about the same
    unit; NaN where no face is found."""

    name = "mediapipe"
    version = VERSION
    sha256 = _NETWORKS["modules/face_landmark/face_landmark_with_attention.tflite"]

    @property
    def environment(self) -> Path:
        """The virtual environment."""
        return cache_directory() / "environments" / f"mediapipe-{VERSION}"

    @property
    def _python(self) -> Path:
        return self.environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def available(self) -> bool:
        return (self.environment / "verified").exists()

    def advice(self) -> str:
        return f"facespeak judges fetch {self.name}"

    def fetch(self) -> None:
        """Makes the environment with pip and verifies the networks in it. Raises AssetMissing."""
        if self.available():
            return
        shutil.rmtree(self.environment, ignore_errors=True)
        try:
            venv.create(self.environment, with_pip=True)
            command = [str(self._python), "-m", "pip", "install", f"mediapipe=={VERSION}"]
            subprocess.run(command, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            last = ((error.stderr or "").strip() or "no message").splitlines()[-1]
            raise AssetMissing(
                f"mediapipe {VERSION}: pip could not install it into {self.environment} ({last}). "
                f"It has wheels for Python 3.9 to 3.12; this is {sys.version.split()[0]}."
            ) from error
        self._verify()
        (self.environment / "verified").touch()

    def _verify(self) -> None:
        for name, digest in _NETWORKS.items():
            found = list(self.environment.glob(f"lib/python*/site-packages/mediapipe/{name}"))
            found += self.environment.glob(f"Lib/site-packages/mediapipe/{name}")
            if not found or hashlib.sha256(found[0].read_bytes()).hexdigest() != digest:
                raise AssetMissing(
                    f"mediapipe {VERSION}: {name} is not the recorded file; remove "
                    f"{self.environment} and fetch it again."
                )

    def observe(self, take: Take) -> dict[str, np.ndarray]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with tempfile.TemporaryDirectory() as scratch:
            source, target = (Path(scratch) / f"{name}.npy" for name in ("frames", "landmarks"))
            np.save(source, take.frames)
            process.stdin.write(f"{source}\t{target}\n")
            process.stdin.flush()
            if process.stdout.readline() != "done\n":
                del self._process  # the next take gets a new one
                raise RuntimeError("mediapipe ended without an answer")
            return {"landmarks": np.load(target, allow_pickle=False)}

    @cached_property
    def _process(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(self._python), str(Path(__file__).with_name("landmarks_program.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": "", "MPLBACKEND": "Agg"},
        )
        atexit.register(process.kill)
        return process


def eye_distance(landmarks: Float[np.ndarray, "t 478 3"]) -> Float[np.ndarray, " t"]:
    """Between the middles of the eyes."""
    left, right = (landmarks[:, list(corners), :2].mean(axis=1) for corners in _EYES)
    return np.linalg.norm(left - right, axis=-1)


def lip_gap(landmarks: Float[np.ndarray, "t 478 3"]) -> Float[np.ndarray, " t"]:
    """Between the inner edges of the lips, over the clip's median eye distance.

    The mean of three places; a head that turns must not seem to open its mouth, so the eye distance
    is not taken frame by frame.
    """
    gaps = [_apart(landmarks, pair) for pair in _INNER_LIPS]
    return np.mean(gaps, axis=0) / np.nanmedian(eye_distance(landmarks))


def eye_opening(landmarks: Float[np.ndarray, "t 478 3"]) -> Float[np.ndarray, " t"]:
    """Between the lids, over the width of the eye; mean of both eyes."""
    ratios = [
        _apart(landmarks, lids) / _apart(landmarks, corners)
        for lids, corners in zip(_LIDS, _EYES, strict=True)
    ]
    return np.mean(ratios, axis=0)


def head_pose(landmarks: Float[np.ndarray, "t 478 3"]) -> Float[np.ndarray, "t 3"]:
    """Yaw (to image right), pitch (up) and roll (clockwise in the image) in degrees.

    The face's axes are those from eye to eye and from forehead to chin, in space.
    """
    return _turned(landmarks, _CHIN)


def pitch_above_mouth(landmarks: Float[np.ndarray, "t 478 3"]) -> Float[np.ndarray, " t"]:
    """Pitch (up) in degrees by the forehead and the base of the nose.

    A chin goes down with every vowel, and by it a head would seem to nod that does not.
    """
    return _turned(landmarks, _NOSE)[:, 1]


def _turned(landmarks: Float[np.ndarray, "t 478 3"], below: int) -> Float[np.ndarray, "t 3"]:
    """Yaw, pitch and roll, where the face's upright axis ends at the landmark `below`."""
    across = landmarks[:, _EYES[1][1]] - landmarks[:, _EYES[0][0]]
    down = landmarks[:, below] - landmarks[:, _TOP]
    away = np.cross(across, down)
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    yaw, pitch = np.arctan2(-away[:, 0], away[:, 2]), np.arcsin(away[:, 1])
    roll = np.arctan2(across[:, 1], across[:, 0])
    return np.degrees(np.stack([yaw, pitch, roll], axis=-1))


def _apart(landmarks: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    return np.linalg.norm(landmarks[:, pair[0], :2] - landmarks[:, pair[1], :2], axis=-1)
