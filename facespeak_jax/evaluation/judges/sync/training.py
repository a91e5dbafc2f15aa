"""Trains the sync judge: `python -m facespeak_jax.evaluation.judges.sync.training`.

On people who are in no other training and in no test: a corpus of another seed. The same command
again goes on where it stopped; in the end it says how the judge does on the corpus's own test clips
and puts the weights where `facespeak evaluate` finds them. No stage can reach any of this.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from absl import logging
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from facespeak_jax.data import records, schema
from facespeak_jax.data.records import Clips
from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.evaluation.judges.sync import judge, mouths
from facespeak_jax.evaluation.judges.sync.examples import MomentExamples
from facespeak_jax.evaluation.judges.sync.network import (
    SIZE,
    SyncNetwork,
    found_within,
    matching_loss,
    middle,
)
from facespeak_jax.evaluation.metrics import sync
from facespeak_jax.rates import MELS_PER_FRAME
from facespeak_jax.speech.mel import log_mel
from facespeak_jax.stages.stage import Batch, Metrics, Outputs, Params

PART = "sync_judge"
SEED = 77_003  # no other training has it
WIDEST = 16  # of 80 mel bins


class JudgeStage:
    """See `stages.stage.Stage`. Trains `sync_judge`, whose arguments are `config.judge`."""

    def __init__(self, config: ConfigDict):
        self.config: Any = config
        self.network = SyncNetwork(**config.judge)
        self._evaluate = jax.jit(self._logits)

    def example(self) -> MomentExamples:
        return MomentExamples(self.config.data.frames)

    def init(self, key: jax.Array, batch: Batch) -> Params:
        seen, heard = self._inputs({name: x[:1] for name, x in batch.items()})
        return {"model": {PART: self.network.init(key, seen, heard)["params"]}}

    def loss(
        self, params: Params, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[Float[Array, ""], Outputs]:
        del step
        change, hide, drop = jax.random.split(key, 3)
        seen, mel = self._inputs(self._augmented(batch, change))
        variables = {"params": params["model"][PART]}
        logits: Any = self.network.apply(
            variables, seen, band_hidden(mel, hide), train=True, rngs={"dropout": drop}
        )
        return matching_loss(logits), Outputs({"within_1": found_within(logits, 1)})

    def eval(
        self, params: Params, batch: Batch, key: jax.Array
    ) -> tuple[Metrics, dict[str, np.ndarray], dict[str, np.ndarray]]:
        del key
        logits = self._evaluate(params, batch)
        found = {f"within_{frames}": found_within(logits, frames) for frames in (0, 1)}
        rows = np.concatenate(list(np.asarray(batch["mouths"][0])), axis=1)
        pictures = {"mouths": np.repeat(rows[:, :, None], 3, axis=2)}
        return {"loss": matching_loss(logits), **found}, pictures, {}

    def _logits(self, params: Params, batch: Batch) -> Float[Array, "b n n"]:
        logits: Any = self.network.apply({"params": params["model"][PART]}, *self._inputs(batch))
        return logits

    def _inputs(self, batch: Batch) -> tuple[Float[Array, "b t s s"], Float[Array, "b m k"]]:
        seen = batch["mouths"].astype(jnp.float32) / 255.0
        if seen.shape[-1] != SIZE:
            seen = middle(seen, SIZE)
        mel = log_mel(batch["waves"])[:, MELS_PER_FRAME:-MELS_PER_FRAME]
        return seen, mel

    def _augmented(self, batch: Batch, key: jax.Array) -> Batch:
        """Each clip cut out elsewhere, mirrored, brighter or darker, louder or softer."""
        seen, waves = batch["mouths"].astype(jnp.float32), batch["waves"]
        b, t = seen.shape[:2]
        flip, shift, light, gain = jax.random.split(key, 4)
        corners = jax.random.randint(shift, (b, 2), 0, seen.shape[-1] - SIZE + 1)

        def cut(clip: Float[Array, "t h w"], corner: Array) -> Float[Array, "t s s"]:
            start = (jnp.int32(0), corner[0], corner[1])
            return jax.lax.dynamic_slice(clip, start, (t, SIZE, SIZE))

        seen = jax.vmap(cut)(seen, corners)
        mirrored = jax.random.bernoulli(flip, 0.5, (b, 1, 1, 1))
        seen = jnp.where(mirrored, seen[..., ::-1], seen)
        contrast, brightness = jax.random.uniform(light, (2, b, 1, 1, 1), minval=-1.0)
        seen = (1.0 + 0.3 * contrast) * seen + 30.0 * brightness
        loudness = jnp.exp(0.4 * jax.random.normal(gain, (b, 1)))
        return {"mouths": jnp.clip(seen, 0.0, 255.0), "waves": waves * loudness}


def band_hidden(mel: Float[Array, "b m k"], key: jax.Array) -> Float[Array, "b m k"]:
    """A band of up to WIDEST bins of each clip at the clip's mean: no pitch or formant of a few
    voices may be what is listened for (Park et al. 2019, "SpecAugment")."""
    place, size = jax.random.split(key)
    b, _, k = mel.shape
    width = jax.random.randint(size, (b, 1), 0, WIDEST + 1)
    first = jax.random.randint(place, (b, 1), 0, k - WIDEST + 1)
    bins = jnp.arange(k)[None, :]
    hidden = (bins >= first) & (bins < first + width)
    mean = jnp.mean(mel, axis=(1, 2), keepdims=True)
    return jnp.where(hidden[:, None, :], mean, mel)


def config_of(
    corpora: Sequence[str], *, steps: int, batch: int = 12, frames: int = 40, **sizes: int
) -> ConfigDict:
    """What the training loop reads; `sizes` are the network's arguments."""
    return ConfigDict(
        {
            "stage": PART,
            "seed": SEED,
            "judge": sizes,
            "data": {
                "paths": tuple(corpora),
                "weights": (1.0,) * len(corpora),
                "split": "train",
                "eval_split": "validation",
                "batch": batch,
                "frames": frames,
                "threads": 1,
                "workers": 0,
            },
            "optim": {
                "model": {
                    "lr": 1e-3,
                    "schedule": "cosine",
                    "warmup": min(200, steps // 4),
                    "b1": 0.9,
                    "b2": 0.98,
                    "weight_decay": 0.01,
                    "clip": 1.0,
                }
            },
            "mesh": {"data": -1, "fsdp": 1, "tensor": 1},
            "train": {
                "steps": steps,
                "log_every": 50,
                "eval_every": 500,
                "eval_batches": 4,
                "checkpoint_every": 250,
                "keep": 1,
                "keep_every": 0,
                "allow_older_checkpoint": False,
                "ema": 0.998,
                "accumulate": 1,
                "dtype": "float32",
                "only": (),
                "remat": False,
                "profile": False,
            },
            "upstream": {},
        }
    )


class Verdict(NamedTuple):
    """How a judge does on real clips: shares, and how many clips it was asked about."""

    in_sync: float
    shifts_rejected: float
    clips: int


def verdict(params: dict[str, Any], clips: Clips) -> Verdict:
    """Asks a judge about real clips, as they are and with their sound shifted."""
    network = judge.network_of(params)
    within, rejected, asked = 0, 0, 0
    for clip in map(clips.__getitem__, range(len(clips))):
        found = mouths.cut(frames_of(clip), clip.landmarks.astype(np.float64))
        video, sound = judge.embed(network, params, found, clip.audio / np.float32(32768))
        if len(video) <= 2 * sync.SHIFT:
            continue
        within += sync.judge(video, sound).in_sync
        rejected += sync.rejections(video, sound)
        asked += 1
    return Verdict(within / max(asked, 1), rejected / max(2 * asked, 1), asked)


def frames_of(clip: schema.Clip) -> np.ndarray:
    """All frames of a clip (t, h, w, 3)."""
    return np.stack([schema.decode_image(frame) for frame in clip.frames])


def save(params: dict[str, Any], file: Path) -> None:
    """Writes parameters as float16 tensors."""
    flat = flax.traverse_util.flatten_dict(params, sep="/")
    half = {name: np.asarray(value, np.float16) for name, value in sorted(flat.items())}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(safetensors.numpy.save(half))


class Stopped(FaceSpeakError):
    """A training was asked to stop before its end."""


def train(config: ConfigDict, workdir: str, out: Path) -> Verdict:
    """Trains, writes `out`, and says how the judge does on the test clips of the first corpus.

    Raises Stopped after a SIGTERM, and what the loop raises.
    """
    from facespeak_jax.training import checkpoint, loop  # TensorFlow comes with it

    step = int(loop.run(JudgeStage(config), config, workdir).step)
    if step < config.train.steps:
        raise Stopped(f"stopped at step {step} of {config.train.steps}; the same command goes on")
    save(checkpoint.load_parts(workdir, [PART])[PART], out)
    return verdict(judge.load(out), records.open_split(config.data.paths[0], "test"))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 and one line on stderr for an error a user can act on."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", nargs="+", required=True, metavar="DIR")
    parser.add_argument("--workdir", required=True, metavar="DIR", help="for checkpoints")
    parser.add_argument("--out", type=Path, default=judge.trained_file(), metavar="FILE")
    parser.add_argument("--steps", type=int, default=4000)
    options = parser.parse_args(arguments)
    logging.set_verbosity(logging.INFO)
    try:
        found = train(config_of(options.corpus, steps=options.steps), options.workdir, options.out)
    except FaceSpeakError as error:
        print(f"facespeak: {error}", file=sys.stderr)
        return 1
    print(
        f"{options.out}: of {found.clips} test clips {found.in_sync:.1%} within a frame; "
        f"{found.shifts_rejected:.1%} of shifts by {sync.SHIFT} frames rejected"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
