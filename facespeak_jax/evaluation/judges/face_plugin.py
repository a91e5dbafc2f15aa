"""The package with the face judge (MIT), and how a face is cut out for it."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from facespeak_jax.data.assets import Archive
from facespeak_jax.face import portrait

TARBALL = "7ea06031d9a3f83753254fcff60506a07b81b46fc84d4ee024cd041f260ec1ba"


def archive(model: str, sha256: str) -> tuple[Archive]:
    """The package, of which one network is kept."""
    return (
        Archive(
            "npm",
            "faceplugin-face-recognition-js",
            "0.0.1",
            "faceplugin-face-recognition-js-0.0.1.tgz",
            {f"package/model/{model}": model},
            TARBALL,
            {model: sha256},
        ),
    )


def largest(frame: UInt8[np.ndarray, "h w 3"]) -> portrait.Face | None:
    """The largest face in a frame, if there is one."""
    return max(portrait.find_faces(frame), key=lambda face: face.size, default=None)


def similarity(
    source: Float[np.ndarray, "n 2"], target: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "2 3"]:
    """The turn, scale and shift that bring the source points nearest to the target points.

    Least squares, without mirroring (Umeyama 1991).
    """
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    left, size, right = np.linalg.svd(b.T @ a / len(a))
    sign = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    scale = size @ sign / np.square(a).sum(axis=1).mean()
    turn = scale * (left * sign[None, :]) @ right
    return np.concatenate([turn, (target.mean(0) - turn @ source.mean(0))[:, None]], axis=1)


def aligned(
    frame: UInt8[np.ndarray, "h w 3"],
    points: Float[np.ndarray, "5 2"],
    target: Float[np.ndarray, "5 2"],
    size: int,
) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """The frame turned, scaled and shifted so that its points lie on the target's."""
    turn = similarity(points.astype(np.float64), target)
    # Pillow wants where each pixel of the result comes from.
    back = np.linalg.inv(np.concatenate([turn, [[0.0, 0.0, 1.0]]]))[:2]
    image = Image.fromarray(frame).transform(
        (size, size), Image.Transform.AFFINE, back.ravel().tolist(), Image.Resampling.BILINEAR
    )
    return np.asarray(image)
