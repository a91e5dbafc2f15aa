"""The face stage: encoder, motion split, generator and image critic, from images alone.

A target is rendered from a source's pixels with the head motion of one frame, the lip motion of
another and the identity of a third, from another clip; where the two driving frames differ the
target is a crossed one (the head of one frame with the mouth of another), so each half of the
motion code is told what it may not carry. f_id is pulled together within a person and apart between
people.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

from facespeak_jax.data.examples.face import LIP_UNITS, ROLES, FaceExamples
from facespeak_jax.face import perceptual
from facespeak_jax.face.convolution import halve
from facespeak_jax.face.critic import ImageCritic
from facespeak_jax.face.generator import Render
from facespeak_jax.face.motion_basis import Motion
from facespeak_jax.model import part
from facespeak_jax.stages.stage import Batch, Metrics, Outputs, Params, started

SOURCE, TARGET, HEAD, LIPS, IDENTITY = range(len(ROLES))
POSE_UNIT = 15.0  # degrees of one unit of the readout
FACE_UNIT = 0.25  # of a face unit
LIP_GAIN = 5.0  # units of the readout for one of α_lip


class Carry(NamedTuple):
    """What the critic compares."""

    fake: Float[Array, "b h w 3"]
    real: Float[Array, "b h w 3"]


class Readout(nn.Module):
    """Linear reading of what is known from α, so that it is about it; of no use later.

    The mouth's units are read through orthonormal directions of a fixed gain: were the gain free,
    α_lip could be a whisper that the readout amplifies and the generator never hears.
    """

    @nn.compact
    def __call__(
        self,
        alpha_head: Float[Array, "b r d"],
        alpha_lip: Float[Array, "b r l"],
    ) -> tuple[Float[Array, "b r 3"], Float[Array, "b r u"]]:
        """Returns the pose and the face units: the mouth's from α_lip, others from α_head."""
        pose = nn.Dense(3, name="pose")(alpha_head)
        upper = nn.Dense(len(LIP_UNITS), name="upper")(alpha_head)
        shape = (len(LIP_UNITS), alpha_lip.shape[-1])
        mouth = self.param("mouth", nn.initializers.orthogonal(), shape)
        rest = self.param("rest", nn.initializers.zeros, shape[:1])  # a mouth at rest
        lips = LIP_GAIN * jnp.einsum("brl,ul->bru", alpha_lip, jnp.linalg.qr(mouth)[0])
        units = jnp.where(LIP_UNITS[None, None, :], lips + rest[None, None, :], upper)
        return pose, units


class FaceStage:
    """See `stages.stage.Stage`. Parts: encoder, motion_basis, generator, voice_reader, and a
    readout that nobody else needs.

    The voice is read off f_id because what of a face tells its voice (sex, age, build) tells the
    person in any clothes; walls and colours alone would tell the few people of a corpus apart.
    """

    def __init__(self, config: ConfigDict):
        self.config: Any = config
        self.weight: Any = config.loss
        dtype = jnp.dtype(self.config.train.dtype)
        self.encoder: Any
        self.motion_basis: Any
        self.generator: Any
        self.voice_reader: Any
        self.encoder, self.motion_basis, self.generator, self.voice_reader = (
            part(name, self.config.model[name], dtype)
            for name in ("encoder", "motion_basis", "generator", "voice_reader")
        )
        self.readout = Readout()
        self.critic = ImageCritic(dtype=dtype, **self.weight.critic)
        self._perceptual = None
        if self.weight.perceptual_weights:
            self._perceptual = perceptual.load(self.weight.perceptual_weights)
        else:
            logging.info("No loss.perceptual_weights: the perceptual loss has weight 0")
        self._evaluate = jax.jit(self._evaluation)

    def example(self) -> FaceExamples:
        """The maker of the examples this stage reads."""
        data = self.config.data
        return FaceExamples(self.config.model.size, data.crossed, data.augment)

    def init(self, key: jax.Array, batch: Batch) -> Params:
        """Fresh parameters; the batch gives shapes only."""
        keys = jax.random.split(key, 6)
        image = _floats(batch["source"])
        encoder = self.encoder.init(keys[0], image)["params"]
        f, pyramid = self.encoder.apply({"params": encoder}, image)
        basis = self.motion_basis.init(keys[1], f)["params"]
        motion = self.motion_basis.apply({"params": basis}, f)
        slot = f[:, None, :]
        inputs = (image, pyramid, motion.motion, slot, slot)
        generator = self.generator.init(keys[2], *inputs)["params"]
        found = (motion.alpha_head, motion.alpha_lip)
        readout = self.readout.init(keys[3], *(x[:, None] for x in found))["params"]
        model = {
            "encoder": encoder,
            "motion_basis": basis,
            "generator": generator,
            "voice_reader": self.voice_reader.init(keys[5], motion.identity)["params"],
            "readout": readout,
        }
        critic = {}
        if self.weight.gan or self.weight.feature:
            critic["critic"] = self.critic.init(keys[4], image)["params"]
        frozen = {} if self._perceptual is None else {"perceptual": dict(self._perceptual)}
        return {"model": model, "critic": critic, "frozen": frozen}

    def loss(
        self, params: Params, batch: Batch, key: jax.Array, step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], Outputs]:
        """Weighted sum of the terms below; each appears unweighted in the metrics."""
        del key  # nothing here is random but the examples
        motion, render = self.render(params, batch)
        fake, real = render.image[:, 0], _floats(batch["target"])
        where = attention(batch, self.weight.box, real.shape[1])
        terms = {"pixel": pyramid_l1(fake, real, where), "gradient": edge_l1(fake, real, where)}
        terms["landmark"] = landmark_error(render.flow[:, 0], batch)
        # The warp alone: else painting learns first, and takes the flow's gradient with its mask.
        terms["warped"] = pyramid_l1(render.warped[:, 0], real, where)
        terms |= self._identity(motion, batch["speaker"])
        terms |= self._readings(params, motion, batch)
        if self._perceptual is not None:
            terms["perceptual"] = perceptual.distance(params["frozen"]["perceptual"], fake, real)
        if params["critic"]:
            terms |= self.critic_terms(params, fake, real, step)
        total = jnp.stack([self.weight[name] * value for name, value in terms.items()]).sum()
        copy = jnp.abs(_floats(batch["source"]) - real).mean()
        terms["ratio"] = jnp.abs(fake - real).mean() / copy
        carry = Carry(jax.lax.stop_gradient(fake), real)
        return total, Outputs({f"face/{name}": value for name, value in terms.items()}, carry)

    def render(self, params: Params, batch: Batch) -> tuple[Motion, Render]:
        """Motion (b, 5, …) of the images by role, and the target rendered from the others."""
        of = {name: {"params": values} for name, values in params["model"].items()}
        images = jnp.stack([_floats(batch[role]) for role in ROLES], axis=1)
        b, roles = images.shape[:2]
        # Roles fold in behind the batch, so that each device keeps the images of its own examples.
        f, pyramid = self.encoder.apply(of["encoder"], images.reshape(-1, *images.shape[2:]))
        motion = self.motion_basis.apply(of["motion_basis"], f.reshape(b, roles, -1))
        pyramid = tuple(level.reshape(b, roles, *level.shape[1:])[:, SOURCE] for level in pyramid)
        head = self.motion_basis.apply(
            of["motion_basis"], motion.alpha_head[:, HEAD], method="head_motion"
        )
        lip = self.motion_basis.apply(
            of["motion_basis"], motion.alpha_lip[:, LIPS], method="lip_motion"
        )
        who = {"other": IDENTITY, "source": SOURCE}[self.weight.identity_frame]
        identity = motion.identity[:, who]
        render = self.generator.apply(
            of["generator"],
            images[:, SOURCE],
            pyramid,
            motion.motion[:, SOURCE],
            (identity + head)[:, None],
            (identity + lip)[:, None],
        )
        return motion, render

    def _identity(self, motion: Motion, speaker: Int[Array, " b"]) -> Metrics:
        """Cosine of f_id of two clips of a person, and InfoNCE against the batch's other people."""
        one, two = (_unit(motion.identity[:, role]) for role in (IDENTITY, SOURCE))
        cosine = jnp.einsum("is,js->ij", one, two)
        same = jnp.diagonal(cosine)
        rivals = speaker[:, None] != speaker[None, :]
        logits = cosine / self.weight.temperature
        allowed = rivals | jnp.eye(len(speaker), dtype=bool)
        logits = jnp.where(allowed, logits, -jnp.inf)
        contrast = jax.nn.logsumexp(logits, axis=1) - jnp.diagonal(logits)
        return {"identity": (1 - same).mean(), "contrast": contrast.mean()}

    def _readings(self, params: Params, motion: Motion, batch: Batch) -> Metrics:
        """What is known read off α and f_id; the target's own α against those that drove it."""
        of = {name: {"params": values} for name, values in params["model"].items()}
        read: Any = self.readout.apply(of["readout"], motion.alpha_head, motion.alpha_lip)
        pose, units = read
        own = motion.identity[:, jnp.array([SOURCE, IDENTITY])]  # the others only drive
        voice = self.voice_reader.apply(of["voice_reader"], own)
        pose = _where_known(jnp.square(pose - batch["pose"] / POSE_UNIT), batch["posed"])
        units = _where_known(jnp.square(units - batch["units"] / FACE_UNIT), batch["has_units"])
        wrong = jnp.square(voice - batch["voice"][:, None]).mean(1, keepdims=True)
        voice = _where_known(wrong, batch["voiced"][:, None])
        head = disagreement(motion.alpha_head, HEAD)
        lip = disagreement(motion.alpha_lip, LIPS)
        return {"pose": pose, "units": units, "voice": voice, "consistency": head + lip}

    def critic_terms(
        self,
        params: Params,
        fake: Float[Array, "b h w 3"],
        real: Float[Array, "b h w 3"],
        step: Int[Array, ""],
    ) -> Metrics:
        """Feature matching and the non-saturating GAN loss, from step `loss.critic_from` on."""
        critic = {"params": params["critic"]["critic"]}
        judged: Any = self.critic.apply(critic, _folded(fake, real))
        logits, features = judged
        distances = [
            jnp.abs(made - wanted).mean() / (jnp.abs(wanted).mean() + 1e-3)
            for made, wanted in (_unfolded(x.astype(jnp.float32), 2) for x in features)
        ]
        on = started(step, self.weight.critic_from)
        gan = on * jax.nn.softplus(-_unfolded(logits, 2)[0]).mean()
        return {"gan": gan, "feature": on * jnp.stack(distances).mean()}

    def critic_loss(
        self, params: Params, carry: Carry, batch: Batch, key: jax.Array, step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], Metrics]:
        """Logistic loss on real and rendered frames, with the approximate R1 of Lin et al. 2025.

        That penalty asks for the same logits on real frames and on the same with a little noise: a
        gradient penalty by finite difference, without second derivatives. Zero before
        `loss.critic_from`.
        """
        del batch
        critic = {"params": params["critic"]["critic"]}

        noisy = carry.real + 0.03 * jax.random.normal(key, carry.real.shape)
        judged: Any = self.critic.apply(critic, _folded(carry.real, noisy, carry.fake))
        real, shaken, fake = _unfolded(judged[0], 3)
        on = started(step, self.weight.critic_from)
        logistic = on * (jax.nn.softplus(-real).mean() + jax.nn.softplus(fake).mean())
        smooth = on * jnp.square(shaken - real).mean()
        right = 0.5 * ((real > 0).mean() + (fake < 0).mean())
        metrics = {"critic/logistic": logistic, "critic/smooth": smooth, "critic/right": right}
        return logistic + self.weight.critic_smooth * smooth, metrics

    def eval(
        self, params: Params, batch: Batch, key: jax.Array
    ) -> tuple[Metrics, dict[str, np.ndarray], dict[str, np.ndarray]]:
        """L1 in the frame and the mouth box beside copying the source; a strip of pictures.

        `ratio` is the batch's mean L1 over that of copying; rows of the strip are source, driven,
        target, flow (red: from the right, green: from below), shares (red: moved, green: still,
        blue: painted).
        """
        del key
        metrics, rows = self._evaluate(params, batch)
        strip = np.concatenate(np.concatenate(np.asarray(rows), axis=1), axis=1)
        return metrics, {"strip": strip}, {}

    def _evaluation(self, params: Params, batch: Batch) -> tuple[Metrics, Array]:
        motion, render = self.render(params, batch)
        source, target = _floats(batch["source"]), _floats(batch["target"])
        fake = render.image[:, 0].clip(-1, 1)
        error, copied = jnp.abs(fake - target), jnp.abs(source - target)
        mouth = inside(batch["mouth_box"], fake.shape[1])[..., None]
        crossed = batch["is_crossed"][:, None, None, None] * jnp.ones_like(error)

        def mean(values: jax.Array, where: jax.Array) -> jax.Array:
            where = jnp.broadcast_to(where, values.shape)
            return (values * where).sum() / jnp.maximum(where.sum(), 1)

        metrics = {
            "l1": error.mean(),
            "copy_l1": copied.mean(),
            "ratio": error.mean() / copied.mean(),
            "mouth_l1": mean(error, mouth),
            "mouth_copy_l1": mean(copied, mouth),
            "crossed_l1": mean(error, crossed),
            **self._readings(params, motion, batch),
            **self._identity(motion, batch["speaker"]),
        }
        flow = 0.5 + 4 * jnp.pad(render.flow[:, 0], [(0, 0)] * 3 + [(0, 1)])
        rows = [_half(source), _half(fake), _half(target), flow, render.shares[:, 0]]
        pictures = jnp.stack(rows, axis=1)[:8]
        strips = jnp.round(255 * pictures.clip(0, 1)).astype(jnp.uint8)
        return metrics, strips.swapaxes(0, 1)


def _floats(image: Array) -> Float[Array, "b h w 3"]:
    return image.astype(jnp.float32) / 127.5 - 1


def _half(image: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    return 0.5 + 0.5 * image


def _unit(x: Float[Array, "b s"]) -> Float[Array, "b s"]:
    return x * jax.lax.rsqrt(jnp.square(x).sum(-1, keepdims=True) + 1e-8)


def _folded(*images: Float[Array, "n h w 3"]) -> Float[Array, "m h w 3"]:
    """Several batches as one, behind each other row by row, so that devices keep their own rows."""
    return jnp.stack(images, axis=1).reshape(-1, *images[0].shape[1:])


def _unfolded(x: Float[Array, "m h w c"], count: int) -> tuple[Float[Array, "n h w c"], ...]:
    """The `count` batches that `_folded` made one."""
    apart = x.reshape(-1, count, *x.shape[1:])
    return tuple(apart[:, index] for index in range(count))


def _where_known(error: Float[Array, "b r n"], known: Float[Array, "b r"]) -> Float[Array, ""]:
    return (known * error.mean(-1)).sum() / jnp.maximum(known.sum(), 1)


def disagreement(alpha: Float[Array, "b r d"], role: int) -> Float[Array, ""]:
    """Squared difference of the target's α and the driving one's, in units of α's variance.

    The gradient passes through the unit as well, so that no scale of α is cheaper than another:
    against a constant one, shrinking pays, and the quieter half (the lips) shrinks to nothing.
    """
    difference = jnp.square(alpha[:, TARGET] - alpha[:, role]).sum(-1).mean()
    spread = jnp.var(alpha, axis=(0, 1)).sum()
    return difference / (spread + 1e-12)


def inside(box: Float[Array, "b 4"], size: int) -> Float[Array, "b h w"]:
    """1 at pixels whose centre lies in the box (x0, y0, x1, y1 in [0, 1]), else 0."""
    centre = (jnp.arange(size) + 0.5) / size
    x, y = centre[None, None, :], centre[None, :, None]
    x0, y0, x1, y1 = (edge[:, None, None] for edge in box.T)
    return ((x >= x0) & (x < x1) & (y >= y0) & (y < y1)).astype(jnp.float32)


def attention(batch: Batch, factor: float, size: int) -> Float[Array, "b h w 1"]:
    """Weight of each pixel: `factor` in the mouth and eye boxes, 1 elsewhere."""
    boxes = jnp.maximum(inside(batch["mouth_box"], size), inside(batch["eye_box"], size))
    return (1 + (factor - 1) * boxes)[..., None]


def landmark_error(flow: Float[Array, "b h w 2"], batch: Batch) -> Float[Array, ""]:
    """Mean L1, in frames, between where the flow takes the target's landmarks from and where the
    source has them: a few exact points tell the flow its way long before colours do."""
    size = flow.shape[1]
    target, known = batch["target_landmarks"], batch["has_landmarks"]
    column, row = jnp.moveaxis((target * size).astype(jnp.int32).clip(0, size - 1), -1, 0)
    found = jax.vmap(lambda of_one, i, j: of_one[i, j])(flow, row, column)
    error = jnp.abs(found - (batch["source_landmarks"] - target)).sum(-1)
    return (known * error).sum() / jnp.maximum(known.sum(), 1)


def pyramid_l1(
    fake: Float[Array, "b h w 3"], real: Float[Array, "b h w 3"], weight: Float[Array, "b h w 1"]
) -> Float[Array, ""]:
    """Weighted L1, summed over four scales."""
    difference, total = fake - real, jnp.float32(0)
    for _ in range(4):
        total += (weight * jnp.abs(difference)).mean() / weight.mean()
        difference, weight = halve(difference), halve(weight)
    return total


def edge_l1(
    fake: Float[Array, "b h w 3"], real: Float[Array, "b h w 3"], weight: Float[Array, "b h w 1"]
) -> Float[Array, ""]:
    """Weighted L1 between the images' differences of neighbouring pixels."""
    difference = fake - real
    across = weight[:, :, 1:] * jnp.abs(jnp.diff(difference, axis=2))
    down = weight[:, 1:] * jnp.abs(jnp.diff(difference, axis=1))
    return across.mean() + down.mean()
