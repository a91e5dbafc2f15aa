"""Do lips and sound belong together: a network of the project's own that no loss has ever used."""

import functools
import hashlib
from pathlib import Path
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jaxtyping import Float, UInt8

from facespeak_jax.data.assets import AssetMissing, cache_directory
from facespeak_jax.errors import NoFace
from facespeak_jax.evaluation.judges import face_plugin
from facespeak_jax.evaluation.judges.sync import mouths
from facespeak_jax.evaluation.judges.sync.network import FRAMES, SIZE, SyncNetwork, middle, placed
from facespeak_jax.evaluation.take import Take
from facespeak_jax.rates import MELS_PER_FRAME, SAMPLES_PER_FRAME
from facespeak_jax.speech.mel import log_mel

FILE = "weights.safetensors"
SHIPPED = Path(__file__).parent / FILE
EVERY = 5  # frames: faces are found in these, and lie between in the others
_BUCKET = 64  # frames: clips are filled up to a multiple of it


class LipSync:
    """Observes `sync_video` and `sync_sound` (t − 4, d): unit embeddings of each moment.

    Its weights come with the package or, where they do not, from `training` in the cache.
    """

    name = "sync"

    @property
    def file(self) -> Path:
        """Where its weights are, or would be."""
        return SHIPPED if SHIPPED.exists() else trained_file()

    @property
    def version(self) -> str:
        return "matching network, by this project"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.file.read_bytes()).hexdigest() if self.available() else ""

    def available(self) -> bool:
        return self.file.exists()

    def advice(self) -> str:
        return (
            "train it on people of their own: "
            "python -m facespeak_jax.evaluation.judges.sync.training --corpus DIR --workdir W"
        )

    def fetch(self) -> None:
        """Nothing can be fetched. Raises AssetMissing where it was not trained."""
        if not self.available():
            raise AssetMissing(f"{self.name}: its weights are not shipped; {self.advice()}")

    def observe(self, take: Take) -> dict[str, np.ndarray]:
        """Raises NoFace, and ValueError for a clip of fewer than FRAMES frames."""
        found = mouths.cut(take.frames, landmarks_of(take.frames))
        video, sound = self.embed(found, take.audio)
        return {"sync_video": video, "sync_sound": sound}

    def embed(
        self, found: UInt8[np.ndarray, "t s s"], audio: Float[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, "m d"], Float[np.ndarray, "m d"]]:
        """Unit embeddings of the moments of mouths and of the sound beside them."""
        return embed(self._network, self._params, found, audio)

    @functools.cached_property
    def _params(self) -> dict[str, Any]:
        return load(self.file)

    @functools.cached_property
    def _network(self) -> SyncNetwork:
        return network_of(self._params)


def trained_file() -> Path:
    """Where training puts the weights unless told otherwise."""
    return cache_directory() / "judges" / "sync" / FILE


def load(file: Path) -> dict[str, Any]:
    """Parameters from a file of tensors."""
    flat = safetensors.numpy.load(file.read_bytes())
    params: dict[str, Any] = flax.traverse_util.unflatten_dict(
        {name: value.astype(np.float32) for name, value in flat.items()}, sep="/"
    )
    return params


def network_of(params: dict[str, Any]) -> SyncNetwork:
    """The network that has these parameters: its two sizes show in their shapes."""
    return SyncNetwork(
        features=params["mouth"]["leave"]["kernel"].shape[1],
        width=params["seen_0"]["down"]["kernel"].shape[-1],
    )


def embed(
    network: SyncNetwork,
    params: dict[str, Any],
    found: UInt8[np.ndarray, "t s s"],
    audio: Float[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, "m d"], Float[np.ndarray, "m d"]]:
    """Unit embeddings of a clip's moments, in picture and sound. Raises ValueError if too short."""
    length = len(found)
    if length < FRAMES:
        raise ValueError(f"{length} frames are no moment; one takes {FRAMES}")
    missing = -length % _BUCKET
    filled = np.pad(found, [(0, missing), (0, 0), (0, 0)], mode="edge")
    samples = SAMPLES_PER_FRAME * (length + missing)
    wave = np.pad(audio, (0, max(samples - len(audio), 0)))[:samples]
    seen, heard = _embed(network, params, filled[None], wave[None].astype(np.float32))
    kept = length - FRAMES + 1
    return np.asarray(placed(seen[0, :kept])), np.asarray(placed(heard[0, :kept]))


@functools.partial(jax.jit, static_argnums=0)
def _embed(
    network: SyncNetwork, params: dict[str, Any], found: jax.Array, wave: jax.Array
) -> tuple[Any, Any]:
    inside = middle(found, SIZE).astype(jnp.float32) / 255.0
    mel = log_mel(wave)[:, : MELS_PER_FRAME * found.shape[1]]
    variables = {"params": params}
    return (
        network.apply(variables, inside, method="watch"),
        network.apply(variables, mel, method="listen"),
    )


def landmarks_of(frames: UInt8[np.ndarray, "t h w 3"]) -> Float[np.ndarray, "t 5 2"]:
    """The five points of the largest face in [0, 1] of the frame, found in every EVERY-th frame and
    on straight lines between. Raises NoFace where none shows one."""
    height, width = frames.shape[1:3]
    looked = sorted({*range(0, len(frames), EVERY), len(frames) - 1})
    found = {at: face_plugin.largest(frames[at]) for at in looked}
    known = {at: face.landmarks for at, face in found.items() if face is not None}
    if not known:
        raise NoFace("no frame of the clip shows a face")
    points = np.stack(list(known.values())).reshape(len(known), 10)
    at = np.arange(len(frames))
    lines = [np.interp(at, list(known), points[:, column]) for column in range(10)]
    return np.stack(lines, axis=1).reshape(-1, 5, 2) / np.array([width, height])
