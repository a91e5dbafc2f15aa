"""A stage small enough to train in a test: a blurred frame from another, with a critic."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from facespeak_jax.data import schema
from facespeak_jax.stages.stage import Outputs


def config(*paths: str, **train: object) -> ConfigDict:
    """The config of a toy run."""
    optim = {"lr": 1e-3, "schedule": "cosine", "warmup": 2, "b1": 0.9, "b2": 0.99}
    optim |= {"weight_decay": 1e-2, "clip": 1.0}
    found = {
        "stage": "toy",
        "seed": 0,
        "model": {"decoder": {"width": 64}},
        "optim": {"model": optim, "critic": optim},
        "data": {
            "paths": paths,
            "weights": (1.0,) * len(paths),
            "split": "train",
            "eval_split": "validation",
            "batch": 8,
            "threads": 1,
            "workers": 0,
        },
        "mesh": {"data": -1, "fsdp": 1, "tensor": 1},
        "upstream": {},
        "train": {
            "steps": 6,
            "log_every": 2,
            "eval_every": 4,
            "eval_batches": 1,
            "checkpoint_every": 4,
            "keep": 2,
            "keep_every": 0,
            "allow_older_checkpoint": False,
            "ema": 0.99,
            "accumulate": 1,
            "dtype": "float32",
            "only": (),
            "remat": False,
            "profile": False,
        },
    }
    found["train"] |= train
    return ConfigDict(found)


def example(clips, rng, position):
    """A frame, shrunk to 8×8, and noise."""
    clip = clips[position]
    frame = schema.decode_image(clip.frames[rng.integers(len(clip.frames))])
    return {"image": frame[::8, ::8].reshape(-1), "noise": rng.normal(size=4).astype(np.float32)}


class Decoder(nn.Module):
    """Noise and half an image -> the image."""

    width: int = 64

    @nn.compact
    def __call__(self, x):
        """(b, n) -> (b, 192)."""
        return nn.Dense(192)(nn.gelu(nn.Dense(self.width * 4)(x)))


class ToyStage:
    """Reconstruction with a critic; `broken` makes the loss NaN at one step."""

    def __init__(self, config: ConfigDict, broken: int = -1):
        self.config, self.broken = config, broken
        self.decoder, self.critic = Decoder(**config.model.decoder), nn.Dense(1)

    def example(self):
        """See `example`."""
        return example

    def _image(self, batch):
        return batch["image"] / 127.5 - 1

    def _run(self, model, batch, key):
        x = jnp.concatenate([self._image(batch)[:, ::2], batch["noise"]], -1)
        return self.decoder.apply(
            {"params": model["decoder"]}, x + 0.1 * jax.random.normal(key, x.shape)
        )

    def init(self, key, batch):
        """All three groups."""
        one, two = jax.random.split(key)
        x = jnp.zeros((1, 100))
        unused = {"weight": jnp.ones((3, 3))}
        return {
            "model": {"decoder": self.decoder.init(one, x)["params"], "unused": unused},
            "critic": {"linear": self.critic.init(two, jnp.zeros((1, 192)))["params"]},
            "frozen": {"scale": {"value": jnp.ones(())}},
        }

    def loss(self, params, batch, key, step):
        """Squared error and a term of the critic."""
        made = self._run(params["model"], batch, key) * params["frozen"]["scale"]["value"]
        error = jnp.square(made - self._image(batch)).mean()
        fooled = self.critic.apply({"params": params["critic"]["linear"]}, made).mean()
        error = error * jnp.where(step == self.broken, jnp.nan, 1.0)
        return error - 0.01 * fooled, Outputs({"error": error, "fooled": fooled}, made)

    def critic_loss(self, params, carry, batch, key, step):
        """Least squares."""
        judge = lambda x: self.critic.apply({"params": params["critic"]["linear"]}, x)  # noqa: E731
        real, made = judge(self._image(batch)), judge(carry)
        loss = jnp.square(real - 1).mean() + jnp.square(made).mean()
        return loss, {"real": real.mean()}

    def eval(self, params, batch, key):
        """The error, a picture and a sound."""
        made = self._run(params["model"], batch, key)
        picture = np.zeros((8, 8, 3), np.uint8)
        error = jnp.square(made - self._image(batch)).mean()
        return {"error": error}, {"picture": picture}, {"sound": np.zeros(160, np.float32)}
