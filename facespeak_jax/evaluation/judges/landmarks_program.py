"""Runs in an environment of its own, where mediapipe is: frames in one file, landmarks in another.

Each line on stdin names a file of frames (.npy, uint8 (t, h, w, 3)) and the file to write
(.npy, float32 (t, 478, 3), NaN where there is no face), parted by a tab; x and y are in [0, 1] of
the frame and z, the depth, in about the unit of x;
each answer on stdout is one line. Nothing of the project is imported here.
"""

import sys

import mediapipe  # pyright: ignore[reportMissingImports]
import numpy as np
from PIL import Image

POINTS = 478
SIDE = 384  # small frames are enlarged: the detector was made for larger faces


def main() -> None:
    """Answers until stdin ends."""
    # Every frame by itself: what follows the face from frame to frame would smooth what is judged.
    mesh = mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True,
        max_num_faces=1,
        refine_landmarks=True,
        min_detection_confidence=0.3,
    )
    for line in sys.stdin:
        source, target = line.rstrip("\n").split("\t")
        frames = np.load(source, allow_pickle=False)
        found = []
        for at, frame in enumerate(frames):
            repeats = at > 0 and np.array_equal(frame, frames[at - 1])
            found.append(found[-1] if repeats else look(mesh, frame))
        np.save(target, np.stack(found))
        print("done", flush=True)


def look(mesh, frame: np.ndarray) -> np.ndarray:
    """The landmarks of one frame."""
    height, width = frame.shape[:2]
    scale = max(1.0, SIDE / max(height, width))
    size = round(width * scale), round(height * scale)
    picture = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
    found = mesh.process(picture).multi_face_landmarks
    if not found:
        return np.full((POINTS, 3), np.nan, np.float32)
    return np.array([[point.x, point.y, point.z] for point in found[0].landmark], np.float32)


if __name__ == "__main__":
    main()
