"""Features of pictures for FID and KID: an InceptionV3 (Szegedy et al. 2016).

From the package nsfwjs, MIT; trained to tell kinds of pictures apart, with weights in 8 bits:
figures are comparable among the rows of one report, and not with anybody's published FID.
"""

from functools import cached_property

import numpy as np
import onnxruntime
from PIL import Image

from facespeak_jax.data.assets import Archive
from facespeak_jax.evaluation.judges import keras_script
from facespeak_jax.evaluation.judges.judge import Packaged, look_at_each, session
from facespeak_jax.evaluation.take import Take

SIZE = 171  # frames are 128 px: the network's usual 299 would cost three times as much
EVERY = 2  # frames: distributions want many pictures
SHARDS = 6
_MODEL = "package/dist/models/inception_v3"


class PictureFeatures(Packaged):
    """Observes `features` (k, 2048) of every EVERY-th frame."""

    name = "inception"
    version = f"nsfwjs 4.3.0, {SIZE} px"
    sha256 = "4496790efc9bdc6f3e85a826a8e482c1fa1e9db4b3d18c095e98cc0c73cfb12f"
    archives = (
        Archive("npm", "nsfwjs", "4.3.0", "nsfwjs-4.3.0.tgz", {_MODEL: "inception"}, sha256),
    )

    def observe(self, take: Take) -> dict[str, np.ndarray]:
        return {"features": look_at_each(take.frames[::EVERY], self.look)}

    def look(self, frame: np.ndarray) -> np.ndarray:
        """The features (2048,) of one picture (h, w, 3)."""
        picture = Image.fromarray(frame).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        given = np.asarray(picture, np.float32).transpose(2, 0, 1)[None] / 255.0
        return np.asarray(self._network.run(None, {"picture": given})[0])[0]

    @cached_property
    def _network(self) -> onnxruntime.InferenceSession:
        folder = self.folder / "inception"
        shards = [folder / f"group1-shard{i + 1}of{SHARDS}.min.js" for i in range(SHARDS)]
        topology, weights = keras_script.read(folder / "model.min.js", shards)
        return session(keras_script.to_onnx(topology, weights).SerializeToString())
