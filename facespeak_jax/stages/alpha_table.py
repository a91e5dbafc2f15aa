"""What the encoder sees in every frame of a corpus, computed once and kept in files.

Encoding every frame of every example again would take most of the motion stage's training.
"""

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from etils import epath
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, UInt8
from tqdm import tqdm

from facespeak_jax import model
from facespeak_jax.data.examples.motion import AlphaTable
from facespeak_jax.data.examples.sync import pictures
from facespeak_jax.data.records import Clips
from facespeak_jax.data.schema import BadExample
from facespeak_jax.stages.sync import to_float

ENCODED_AT_ONCE = 64  # frames
CLIPS_A_FILE = 64
IDENTITIES = 4  # frames of a clip whose f_id is kept
POLL_SECONDS = 1.0  # between looks for what other processes write


def alpha_and_identity(
    machine: model.FaceSpeak, image: Float[Array, "b h w 3"]
) -> tuple[Array, Array]:
    """alpha (head and lip) and f_id of images: a method of FaceSpeak for `init` and `apply`."""
    motion = machine.split(machine.encode(image)[0])
    return jnp.concatenate([motion.alpha_head, motion.alpha_lip], axis=-1), motion.identity


def fingerprint(params: Any) -> str:
    """A hash of every parameter's name and value."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]


def encode_corpus(
    machine: model.FaceSpeak,
    params: Any,
    clips: Clips,
    directory: epath.PathLike,
    size: int,
) -> AlphaTable:
    """alpha of every frame and f_id of a few frames of every clip, float16.

    Files of CLIPS_A_FILE clips each lie in a subdirectory of `directory` named after the weights
    and the clips; those that are there already are not made again. With several processes each
    makes its share and waits for the others' (the directory must be one they all see). A clip that
    cannot be read is NaN.
    """
    params = jax.tree.map(np.asarray, _gathered(params))
    names = hashlib.sha256("\n".join([str(size), *clips.clip_ids]).encode()).hexdigest()[:16]
    place = epath.Path(directory) / f"{fingerprint(params)}-{names}"
    place.mkdir(parents=True, exist_ok=True)
    files = [place / f"{start:08d}.npz" for start in range(0, len(clips), CLIPS_A_FILE)]
    mine = range(jax.process_index(), len(files), jax.process_count())
    todo = [index for index in mine if not files[index].exists()]
    encode = _Encode(machine, params)
    for index in tqdm(todo, desc=f"encode {clips.name}", disable=not todo):
        first = index * CLIPS_A_FILE
        _write(
            files[index], clips, range(first, min(first + CLIPS_A_FILE, len(clips))), encode, size
        )
    _await(files)
    return _read(files, clips)


def _gathered(params: Any) -> Any:
    """Parameters of which some may be spread over processes, whole in each."""
    leaves, structure = jax.tree.flatten(params)
    spread = [isinstance(x, jax.Array) and not x.is_fully_addressable for x in leaves]
    # Only these: what every process has whole would come back once for each of them.
    parts = [x for x, is_spread in zip(leaves, spread, strict=True) if is_spread]
    whole = iter(multihost_utils.process_allgather(parts, tiled=True) if parts else ())
    return structure.unflatten(
        next(whole) if is_spread else x for x, is_spread in zip(leaves, spread, strict=True)
    )


def _await(files: Sequence[epath.Path]) -> None:
    """Returns when all files are there.

    The files say it themselves: a meeting of processes may have a time limit, and their shares of a
    large corpus take unequal time. A process that is lost ends all others, this one too.
    """
    missing = [file for file in files if not file.exists()]
    while missing:
        logging.log_every_n_seconds(
            logging.INFO, "%d files of other processes are missing yet", 60, len(missing)
        )
        time.sleep(POLL_SECONDS)
        missing = [file for file in missing if not file.exists()]


class _Encode:
    """Any number of frames to alpha and f_id, on the local devices, in batches of one size."""

    def __init__(self, machine: model.FaceSpeak, params: Any):
        mesh = Mesh(np.array(jax.local_devices()), ("frames",))
        self.count = -(-ENCODED_AT_ONCE // mesh.size) * mesh.size
        self.split = NamedSharding(mesh, P("frames"))
        self.params = jax.device_put(params, NamedSharding(mesh, P()))
        self.apply = jax.jit(
            lambda p, images: machine.apply(
                {"params": p}, to_float(images), method=alpha_and_identity
            )
        )
        self.mesh = mesh

    def __call__(
        self, images: UInt8[np.ndarray, "n h w 3"]
    ) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n s"]]:
        found = []
        with jax.set_mesh(self.mesh):
            for start in range(0, len(images), self.count):
                part = images[start : start + self.count]
                padded = np.zeros((self.count, *images.shape[1:]), np.uint8)
                padded[: len(part)] = part
                out = self.apply(self.params, jax.device_put(padded, self.split))
                found.append([np.asarray(x, np.float16)[: len(part)] for x in out])
        alpha, identity = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return alpha, identity


def _write(
    file: epath.Path, clips: Clips, positions: Sequence[int], encode: _Encode, size: int
) -> None:
    alphas, identities = [], []
    for position in positions:
        try:
            alpha, identity = encode(pictures(clips[position].frames, size))
        except BadExample as error:
            logging.warning("Clip %s is left out: %s", clips.clip_ids[position], error)
            alpha, identity = encode(
                np.zeros((int(clips.lengths[position]), size, size, 3), np.uint8)
            )
            alpha, identity = np.full_like(alpha, np.nan), np.full_like(identity, np.nan)
        kept = np.linspace(0, len(identity) - 1, IDENTITIES).round().astype(int)
        alphas.append(alpha)
        identities.append(identity[kept])
    unfinished = file.with_name(file.name + ".unfinished")
    with unfinished.open("wb") as out:
        np.savez(out, alpha=np.concatenate(alphas), identity=np.stack(identities))
    unfinished.replace(file)  # by another run too, whose file is the same


def _read(files: Sequence[epath.Path], clips: Clips) -> AlphaTable:
    parts = []
    for file in files:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            parts.append((arrays["alpha"], arrays["identity"]))
    alpha, identity = (np.concatenate(part) for part in zip(*parts, strict=True))
    return AlphaTable(alpha, identity, np.concatenate([[0], np.cumsum(clips.lengths)]))
