"""Who is seen: a face embedding in the manner of ArcFace (MIT, an ONNX network from npm)."""

from functools import cached_property

import numpy as np
import onnxruntime
from jaxtyping import Float, UInt8

from facespeak_jax.evaluation.judges import face_plugin
from facespeak_jax.evaluation.judges.judge import Packaged, look_at_each, session
from facespeak_jax.evaluation.take import Take

MODEL = "fr_feature.onnx"
SIZE = 112
EVERY = 5  # frames: a face does not become another's from one to the next
# Where the five landmarks lie in the crop that such networks are trained on.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.73, 92.2]]
)


class FaceIdentity(Packaged):
    """Observes `faces` (k, 512) of every EVERY-th frame; rows of NaN where no face is found."""

    name = "arcface"
    version = "faceplugin 0.0.1"
    sha256 = "87aacdfe57510db2af90c0251df680e8eec88f122ee94712121d09bcaaaf3581"
    archives = face_plugin.archive(MODEL, sha256)

    def observe(self, take: Take) -> dict[str, np.ndarray]:
        return {"faces": look_at_each(take.frames[::EVERY], self.embed)}

    def embed(self, frame: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "512"]:
        """The face in one picture; NaN without a face."""
        face = face_plugin.largest(frame)
        if face is None:
            return np.full(512, np.nan, np.float32)
        crop = face_plugin.aligned(frame, face.landmarks, TEMPLATE, SIZE)
        given = (crop.astype(np.float32).transpose(2, 0, 1)[None] - 127.0) / 128.0
        return np.asarray(self._network.run(None, {"input": given})[0])[0]

    @cached_property
    def _network(self) -> onnxruntime.InferenceSession:
        return session(self.folder / MODEL)
