"""Stage `motion`: the noise reducer, then the motion sampler on its codes; the lip mapper all
along.

First `loss.reducer_steps` steps train the reducer (mean squared error). After that it stays as it
is and the prior (Gaussian likelihood around mu) and the vector field (flow matching from N(mu, I))
learn its standardised codes. The mapper learns the encoder's alpha_lip and its frame differences.
Text features come from the frozen text encoder, with the corpus's own durations.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from etils import epath
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from ml_collections import ConfigDict
from tqdm import tqdm

from facespeak_jax import flow, layers, model
from facespeak_jax.data.examples.motion import HISTORY, AlphaTable, MotionExamples
from facespeak_jax.data.examples.sync import pictures
from facespeak_jax.data.records import Clips
from facespeak_jax.data.schema import BadExample
from facespeak_jax.motion import sampler
from facespeak_jax.motion.lip_mapper import energy
from facespeak_jax.rates import MELS_PER_FRAME
from facespeak_jax.speech import durations
from facespeak_jax.stages.stage import Batch, Metrics, Outputs, Params
from facespeak_jax.stages.sync import inner_mel, to_float

TRAINED = ("reducer", "motion_prior", "motion_field", "lip_mapper")
FROZEN = ("encoder", "motion_basis", "voice_code", "text_encoder")
ENCODED_AT_ONCE = 64  # frames
CLIPS_A_FILE = 64
IDENTITIES = 4  # frames of a clip whose f_id is kept
SAMPLING_STEPS = 8  # of the pictures and figures of an evaluation


class TextFeatures(NamedTuple):
    """What the text says about a stretch of M mel frames."""

    features: Float[Array, "b m c"]
    prior: Float[Array, "b m 80"]


class MotionModules:
    """The four parts of this stage and their losses, which the joint stage shares."""

    def __init__(self, config: Any):
        dtype = jnp.dtype(config.train.dtype)
        self.loss = config.loss
        self.reducer: Any
        self.prior: Any
        self.field: Any
        self.mapper: Any
        self.reducer, self.prior, self.field, self.mapper = (
            model.part(name, config.model[name].to_dict(), dtype) for name in TRAINED
        )

    def init(
        self,
        key: jax.Array,
        text: TextFeatures,
        alpha: Float[Array, "b p d"],
        source: Float[Array, "b d"],
        lengths: Int[Array, " b"],
    ) -> dict[str, Any]:
        """Parameters of the four parts."""
        keys = jax.random.split(key, 4)
        head, lip = self.reducer.head, self.mapper.lip
        if alpha.shape[-1] != head + lip:
            raise ValueError(f"{alpha.shape[-1]} directions, but {head} of head and {lip} of lips")
        source, now = source[:, :head], alpha[:, HISTORY:, :head]
        mu = jnp.zeros((*now.shape[:2], self.reducer.latent))
        past, seen = mu[:, :HISTORY], jnp.ones((len(mu), HISTORY), bool)
        time, loudness = jnp.zeros(len(mu)), energy(text.prior)
        pooled = sampler.pool(text.features)
        return {
            "reducer": self.reducer.init(keys[0], now, lengths)["params"],
            "motion_prior": self.prior.init(keys[1], pooled, source, lengths)["params"],
            "motion_field": self.field.init(keys[2], mu, time, mu, source, past, seen, lengths)[
                "params"
            ],
            "lip_mapper": self.mapper.init(keys[3], *text, loudness, lengths)["params"],
        }

    def reducer_loss(
        self, params: Any, alpha_head: Float[Array, "b t d"], lengths: Int[Array, " b"]
    ) -> tuple[Float[Array, ""], Metrics]:
        """L_AE, and beside it the likelihood that fits the stored statistics."""
        out = self.reducer.apply({"params": params}, alpha_head, lengths)
        valid = layers.mask(lengths, alpha_head.shape[1])
        error = layers.masked_mean(jnp.square(out.alpha - alpha_head), valid)
        share = error / jnp.maximum(masked_variance(alpha_head, valid), 1e-12)
        return error + 0.01 * out.surprise, {"ae": error, "ae_share": share}

    def sampler_loss(
        self,
        params: Mapping[str, Any],
        text: Float[Array, "b m c"],
        code: Float[Array, "b p d"],
        source: Float[Array, "b a"],
        has_history: Bool[Array, " b"],
        lengths: Int[Array, " b"],
        key: jax.Array,
    ) -> tuple[Float[Array, ""], Metrics]:
        """L_prior and L_OT-CFM on codes whose first HISTORY frames come before the stretch."""
        keys = jax.random.split(key, 5)
        code = jax.lax.stop_gradient(code)
        past, now = code[:, :HISTORY], code[:, HISTORY:]
        valid = layers.mask(lengths, now.shape[1])
        mu = self.prior.apply(
            {"params": params["motion_prior"]},
            sampler.pool(text),
            source,
            lengths,
            train=True,
            rngs={"dropout": keys[0]},
        )
        prior = layers.masked_mean(0.5 * (jnp.square(now - mu) + math.log(2 * math.pi)), valid)
        # The prior learns from its likelihood alone: through the flow it would learn to be easy,
        # not right.
        mean = jax.lax.stop_gradient(mu)
        keep = has_history & jax.random.bernoulli(keys[1], 0.5, has_history.shape)
        seen = jnp.broadcast_to(keep[:, None], past.shape[:2])

        def velocity(x: Float[Array, "b t d"], time: Float[Array, " b"]) -> Float[Array, "b t d"]:
            return self.field.apply(
                {"params": params["motion_field"]},
                x,
                time,
                mean,
                source,
                past,
                seen,
                lengths,
                train=True,
                rngs={"dropout": keys[2]},
            )

        noise = jax.random.normal(keys[3], now.shape)
        time = jax.random.uniform(keys[4], lengths.shape)
        cfm = flow.OTCFM().loss(velocity, mean + noise, now, time, valid)
        total = self.loss.prior * prior + self.loss.cfm * cfm
        return total, {"prior": prior, "cfm": cfm}

    def lips(
        self,
        params: Any,
        text: TextFeatures,
        mel: Float[Array, "b m 80"],
        lengths: Int[Array, " b"],
        key: jax.Array,
    ) -> Float[Array, "b t l"]:
        """alpha_lip in training: the energy is the real one or, for `loss.predicted_energy` of
        them, the text's."""
        drop, choice = jax.random.split(key)
        predicted = jax.random.bernoulli(choice, self.loss.predicted_energy, lengths.shape)
        loudness = jnp.where(predicted[:, None], energy(text.prior), energy(mel))
        return self.mapper.apply(
            {"params": params}, *text, loudness, lengths, train=True, rngs={"dropout": drop}
        )

    def lip_loss(
        self,
        found: Float[Array, "b t l"],
        alpha_lip: Float[Array, "b t l"],
        lengths: Int[Array, " b"],
    ) -> tuple[Float[Array, ""], Metrics]:
        """Squared error of alpha_lip and of its differences from frame to frame."""
        valid = layers.mask(lengths, found.shape[1])
        error = found - jax.lax.stop_gradient(alpha_lip)
        lip = layers.masked_mean(jnp.square(error), valid)
        change = layers.masked_mean(jnp.square(jnp.diff(error, axis=1)), valid[:, 1:])
        share = lip / jnp.maximum(masked_variance(alpha_lip, valid), 1e-12)
        total = self.loss.lip * lip + self.loss.lip_change * change
        return total, {"lip": lip, "lip_change": change, "lip_share": share}


def masked_variance(x: Float[Array, "b t c"], valid: Bool[Array, "b t"]) -> Float[Array, ""]:
    """Mean over channels of the variance over the valid frames of the whole batch."""
    count = jnp.maximum(jnp.sum(valid), 1)
    mean = jnp.sum(layers.hide(x, valid), axis=(0, 1), keepdims=True) / count
    return layers.masked_mean(jnp.square(x - mean), valid)


class MotionStage:
    """Trains reducer, motion_prior, motion_field and lip_mapper on a frozen encoder and text
    encoder.

    `prepare` must run before the batches that are trained on are made, and again after a restart.
    """

    has_critic = False

    def __init__(self, config: ConfigDict):
        self.config: Any = config
        self.modules = MotionModules(config)
        self.tables: dict[str, AlphaTable] = {}
        dtype = jnp.dtype(self.config.train.dtype)
        self.text_encoder: Any
        self.voice_code: Any
        self.text_encoder, self.voice_code = (
            model.part(name, self.config.model[name].to_dict(), dtype)
            for name in ("text_encoder", "voice_code")
        )
        self.face: Any = model.build(
            {name: self.config.model[name].to_dict() for name in ("encoder", "motion_basis")},
            dtype=dtype,
        )
        self._evaluate = jax.jit(self._sample)

    def prepare(self, params: Params, sources: Sequence[Clips], workdir: epath.PathLike) -> None:
        """Encodes every clip of every source once, into files under `<workdir>/alpha`."""
        face = {name: params["frozen"][name] for name in ("encoder", "motion_basis")}
        for clips in sources:
            if clips.name not in self.tables:
                directory = epath.Path(workdir) / "alpha"
                size = self.config.model.size
                self.tables[clips.name] = encode_corpus(self.face, face, clips, directory, size)

    def example(self) -> MotionExamples:
        data, parts = self.config.data, self.config.model
        return MotionExamples(
            self.tables,
            motions=self.modules.reducer.head + self.modules.mapper.lip,
            style=parts.motion_basis.width,
            shortest=data.shortest,
            frames=data.frames,
            tokens=data.tokens,
        )

    def init(self, key: jax.Array, batch: Batch) -> Params:
        keys = jax.random.split(key, 4)
        batch = {name: x[:1] for name, x in batch.items()}
        size = self.config.model.size
        image = jnp.zeros((1, size, size, 3))
        frozen = self.face.init(keys[0], image, method=_encode)["params"]
        frozen["voice_code"] = self.voice_code.init(keys[1], batch["identity"])["params"]
        code = jnp.zeros((1, self.voice_code.size))
        frozen["text_encoder"] = self.text_encoder.init(
            keys[2], batch["tokens"], batch["token_length"], code
        )["params"]
        text = self.text(frozen, batch)
        trained = self.modules.init(keys[3], text, batch["alpha"], batch["source"], batch["length"])
        return {"model": trained, "frozen": frozen}

    def text(self, params: Mapping[str, Any], batch: Batch) -> TextFeatures:
        """The frozen text encoder's view of each example's stretch, at 100 Hz."""
        code = self.voice_code.apply({"params": params["voice_code"]}, batch["identity"])
        e_t, prior = self.text_encoder.apply(
            {"params": params["text_encoder"]}, batch["tokens"], batch["token_length"], code
        )
        frames = MELS_PER_FRAME * (batch["alpha"].shape[1] - HISTORY)
        spans = durations.window(batch["durations"], MELS_PER_FRAME * batch["start"], frames)
        return TextFeatures(
            durations.upsample(e_t.astype(jnp.float32), spans, frames),
            durations.upsample(prior, spans, frames),
        )

    def mel(self, batch: Batch) -> Float[Array, "b m 80"]:
        """Normalised log-mel of each example's stretch."""
        return inner_mel(batch["wave"], self.config.model.mel_mean, self.config.model.mel_std)

    def loss(
        self, params: Params, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[Float[Array, ""], Outputs]:
        trained, lengths = params["model"], batch["length"]
        sample_key, lip_key = jax.random.split(key)
        alpha_head, alpha_lip, source = self._alphas(batch)
        text = jax.lax.stop_gradient(self.text(params["frozen"], batch))

        ae, ae_metrics = self.modules.reducer_loss(
            trained["reducer"], alpha_head, lengths + HISTORY
        )
        code = self._code(trained, alpha_head, lengths)
        sampling, sampler_metrics = self.modules.sampler_loss(
            trained, text.features, code, source, batch["has_history"], lengths, sample_key
        )
        lips = self.modules.lips(trained["lip_mapper"], text, self.mel(batch), lengths, lip_key)
        lip, lip_metrics = self.modules.lip_loss(lips, alpha_lip, lengths)
        first = (step < self.config.loss.reducer_steps).astype(jnp.float32)
        total = first * self.config.loss.ae * ae + (1.0 - first) * sampling + lip
        return total, Outputs(ae_metrics | sampler_metrics | lip_metrics)

    def critic_loss(
        self, params: Params, carry: Any, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[Float[Array, ""], Metrics]:
        raise NotImplementedError("the motion stage has no critic")

    def eval(
        self, params: Params, batch: Batch, key: jax.Array
    ) -> tuple[Metrics, dict[str, UInt8[np.ndarray, "h w 3"]], dict[str, np.ndarray]]:
        """How real and sampled motion differ in this batch, and curves of its first example."""
        metrics, (head, sampled, lip, mapped) = self._evaluate(params, batch, key)
        length = int(batch["length"][0])
        drawn = {
            "head": curves(np.asarray(head[0, :length]), np.asarray(sampled[0, :length])),
            "lips": curves(np.asarray(lip[0, :length]), np.asarray(mapped[0, :length])),
        }
        return metrics, drawn, {}

    def _alphas(
        self, batch: Batch
    ) -> tuple[Float[Array, "b p d"], Float[Array, "b t l"], Float[Array, "b d"]]:
        head = self.modules.reducer.head
        alpha = batch["alpha"]
        return alpha[..., :head], alpha[:, HISTORY:, head:], batch["source"][:, :head]

    def _code(
        self,
        trained: Mapping[str, Any],
        alpha_head: Float[Array, "b p d"],
        lengths: Int[Array, " b"],
    ) -> Float[Array, "b p k"]:
        return self.modules.reducer.apply(
            {"params": trained["reducer"]}, alpha_head, lengths + HISTORY, method="encode"
        )

    def _sample(
        self, params: Params, batch: Batch, key: jax.Array
    ) -> tuple[Metrics, tuple[Array, Array, Array, Array]]:
        """Metrics; real and sampled alpha_head, real and mapped alpha_lip."""
        trained, lengths = params["model"], batch["length"]
        alpha_head, alpha_lip, source = self._alphas(batch)
        text = self.text(params["frozen"], batch)
        sampled = sampler.sample_motion(
            self.modules.prior,
            self.modules.field,
            self.modules.reducer,
            trained,
            text.features,
            source,
            lengths,
            jax.random.split(key, len(lengths)),
            solver=flow.Midpoint(),
            steps=SAMPLING_STEPS,
        )
        mapped = self.modules.mapper.apply(
            {"params": trained["lip_mapper"]}, *text, energy(self.mel(batch)), lengths
        )
        code = self._code(trained, alpha_head, lengths)
        valid, head = layers.mask(lengths, sampled.shape[1]), alpha_head[:, HISTORY:]
        _, ae = self.modules.reducer_loss(trained["reducer"], alpha_head, lengths + HISTORY)
        _, flowing = self.modules.sampler_loss(
            trained, text.features, code, source, batch["has_history"], lengths, key
        )
        _, lip = self.modules.lip_loss(mapped, alpha_lip, lengths)
        spread = {
            "deviation_real": within_deviation(head, valid),
            "deviation_sampled": within_deviation(sampled, valid),
            "step_real": frame_step(head, valid),
            "step_sampled": frame_step(sampled, valid),
        }
        return ae | flowing | lip | spread, (head, sampled, alpha_lip, mapped)


def _encode(machine: model.FaceSpeak, image: Float[Array, "b h w 3"]) -> tuple[Array, Array]:
    """alpha (head and lip) and f_id of images: a method of FaceSpeak for `init` and `apply`."""
    motion = machine.split(machine.encode(image)[0])
    return jnp.concatenate([motion.alpha_head, motion.alpha_lip], axis=-1), motion.identity


def within_deviation(x: Float[Array, "b t c"], valid: Bool[Array, "b t"]) -> Float[Array, ""]:
    """How far motion strays from its own mean over a stretch: root mean square."""
    count = jnp.maximum(jnp.sum(valid, axis=1), 1)[:, None, None]
    mean = jnp.sum(layers.hide(x, valid), axis=1, keepdims=True) / count
    return jnp.sqrt(layers.masked_mean(jnp.square(x - mean), valid))


def frame_step(x: Float[Array, "b t c"], valid: Bool[Array, "b t"]) -> Float[Array, ""]:
    """How far motion goes from one frame to the next: root mean square."""
    return jnp.sqrt(layers.masked_mean(jnp.square(jnp.diff(x, axis=1)), valid[:, 1:]))


def curves(
    real: Float[np.ndarray, "t c"], made: Float[np.ndarray, "t c"]
) -> UInt8[np.ndarray, "h w 3"]:
    """A picture of the first channels over time: real ones grey, made ones blue."""
    count = min(6, real.shape[1])
    figure = Figure(figsize=(8, 1.2 * count), layout="tight")
    canvas = FigureCanvasAgg(figure)
    for index in range(count):
        axes = figure.add_subplot(count, 1, index + 1)
        axes.plot(real[:, index], color="0.6")
        axes.plot(made[:, index], color="C0")
        axes.tick_params(labelsize=6)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


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
    makes its share (the directory must be one they all see). A clip that cannot be read is NaN.
    """
    if jax.process_count() > 1:
        params = multihost_utils.process_allgather(params, tiled=True)
    params = jax.tree.map(np.asarray, params)
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
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("encode_corpus")
    return _read(files, clips)


class _Encode:
    """Any number of frames to alpha and f_id, on the local devices, in batches of one size."""

    def __init__(self, machine: model.FaceSpeak, params: Any):
        mesh = Mesh(np.array(jax.local_devices()), ("frames",))
        self.count = -(-ENCODED_AT_ONCE // mesh.size) * mesh.size
        self.split = NamedSharding(mesh, P("frames"))
        self.params = jax.device_put(params, NamedSharding(mesh, P()))
        self.apply = jax.jit(
            lambda p, images: machine.apply({"params": p}, to_float(images), method=_encode)
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
    unfinished.rename(file)


def _read(files: Sequence[epath.Path], clips: Clips) -> AlphaTable:
    parts = []
    for file in files:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            parts.append((arrays["alpha"], arrays["identity"]))
    alpha, identity = (np.concatenate(part) for part in zip(*parts, strict=True))
    return AlphaTable(alpha, identity, np.concatenate([[0], np.cumsum(clips.lengths)]))
