"""The `heads` corpus: people who never were, each with a face, a voice and something to say."""

import concurrent.futures
import hashlib
import multiprocessing
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from tqdm import tqdm

from facespeak_jax.data import assets, records, schema
from facespeak_jax.data.heads.appearance import draw_scene
from facespeak_jax.data.heads.identity import Identity, draw_identity
from facespeak_jax.data.heads.performance import Performance, perform
from facespeak_jax.data.heads.render import HeadRenderer
from facespeak_jax.data.heads.sentences import sentences
from facespeak_jax.data.heads.units import ARKIT
from facespeak_jax.data.heads.visemes import viseme_units
from facespeak_jax.data.heads.voice import NeuralVoice, Speech, Voice, voice_of
from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.rates import FPS
from facespeak_jax.speech.text import TextFrontEnd

_CROSSED_EVERY = 4  # one crossed frame for so many frames
# Units that a crossed frame takes from the frame that gives the visemes.
_LIPS = np.array([name.startswith(("jaw", "mouth", "tongue", "cheekPuff")) for name in ARKIT])


class TooFewPeople(FaceSpeakError):
    """The corpus cannot give each split a person of its own."""


@dataclass(frozen=True)
class Corpus:
    """Which clips there are: `people` × `clips` of them, `size` pixels square, all from `seed`.

    The last 6 % of the people are the test split, the 4 % before them validation (at least one
    each), and each split has sentences of its own. Raises TooFewPeople for less than three.
    """

    people: int
    clips: int
    size: int = 128
    seed: int = 0
    name: ClassVar[str] = "heads"

    def __post_init__(self):
        if self.people < 3 or self.clips < 1:
            raise TooFewPeople(
                f"{self.people} people with {self.clips} clips: training, validation and test need "
                "a person each. Ask for at least 3 people and 1 clip."
            )

    def people_of(self, split: str) -> range:
        """The people (0 … people − 1) of "train", "validation" or "test"."""
        test = self.people - max(1, round(0.06 * self.people))
        validation = test - max(1, round(0.04 * self.people))
        return {
            "train": range(validation),
            "validation": range(validation, test),
            "test": range(test, self.people),
        }[split]

    def text(self, person: int, index: int) -> str:
        """What a person says in their clip number `index`."""
        split = next(name for name in records.SPLITS if person in self.people_of(name))
        texts = _sentences(split, self.seed)
        rank = person - self.people_of(split).start
        return texts[(rank * self.clips + index) % len(texts)]

    def clip(self, person: int, index: int) -> schema.Clip:
        """One clip of the corpus: the same arguments always give the same bytes."""
        return make_clip(self.seed, person, index, self.size, self.text(person, index))


Maker = Callable[[Corpus, epath.Path], None]  # makes what is missing in a work folder


def prepare(corpus: Corpus, out: epath.PathLike, make: Maker) -> epath.Path:
    """Make a corpus in `out` (as `out/<name>/1.0.0`) and return that directory.

    Each finished clip is kept in a work folder beside it until all are there, so that the same
    call continues where an interrupted one stopped; the same corpus gives the same bytes, however
    `make` goes about it. `out` may be in a bucket. Raises AssetMissing, DataExists.
    """
    for name in assets.ASSETS:
        assets.resolve(name)  # once here, not by each worker
    root = epath.Path(out)
    target = root / corpus.name / str(records.ClipBuilder.VERSION)
    if target.exists():
        raise records.DataExists(f"{target} holds clips already; remove it or write elsewhere")
    sizes = f"{corpus.people}x{corpus.clips}-{corpus.size}-{corpus.seed}"
    workplace = root / f".{corpus.name}-{sizes}"
    workplace.mkdir(parents=True, exist_ok=True)
    make(corpus, workplace)
    tfds.disable_progress_bar()  # the clips had one; what is left takes seconds
    clips = {split: _finished(corpus, workplace, split) for split in records.SPLITS}
    if not _in_bucket(root):
        records.write(os.fspath(root), clips, name=corpus.name)
    else:  # ArrayRecords can be written to disks only
        with tempfile.TemporaryDirectory() as here:
            _copy(records.write(here, clips, name=corpus.name), target)
    workplace.rmtree()
    return target


def _finished(corpus: Corpus, workplace: epath.Path, split: str) -> Iterator[schema.Clip]:
    """The clips of a split in the order of people."""
    for person in corpus.people_of(split):
        for index in range(corpus.clips):
            yield _read(_place(workplace, person, index))


def _in_bucket(path: epath.Path) -> bool:
    return "://" in os.fspath(path)


def _copy(source: epath.Path, target: epath.Path) -> None:
    """Copies a directory of files; what tells that it is one of clips comes last."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir(), key=lambda path: path.name == "dataset_info.json"):
        with path.open("rb") as read, (target / path.name).open("wb") as write:
            shutil.copyfileobj(read, write)


def make_clip(seed: int, person: int, index: int, size: int, text: str) -> schema.Clip:
    """A person of a seed says a text: a pure function of its arguments.

    `index` tells the person's clips apart: scene and motion are drawn from it. Frames are size ×
    size. Raises AssetMissing, TooLong and the errors of the text front end.
    """
    identity, voice = who(seed, person)
    phonemes, speech = say(text, voice)
    motion = perform((seed, person, index), phonemes, speech.durations, speech.wave)
    units = np.clip(viseme_units(phonemes, speech.durations) + motion.units, 0, 1)
    renderer = HeadRenderer(identity, draw_scene(number(seed, person, index)), size)
    speaker = f"heads-{seed}-{person:05d}"
    rng = np.random.default_rng([seed, person, index, 0x786F])
    return schema.Clip(
        clip_id=f"{speaker}-{index:03d}",
        speaker=speaker,
        pose=motion.pose,
        units=units,
        voice=voice.coordinates,
        **heard(text, phonemes, speech),
        **filmed(renderer, motion, units),
        **crossed(renderer, motion, units, len(units) // _CROSSED_EVERY, rng),
    )


def say(text: str, voice: Voice) -> tuple[list[str], Speech]:
    """The phonemes of a text, and how it sounds in a voice."""
    phonemes = TextFrontEnd().phonemize(text)
    return phonemes, _neural_voice().synthesize(phonemes, voice.style, voice.speed)


def heard(text: str, phonemes: list[str], speech: Speech) -> dict[str, Any]:
    """What is said and how it sounds, as fields of a clip."""
    return {
        "text": text,
        "phonemes": " ".join("_" if symbol == " " else symbol for symbol in phonemes),
        "audio": np.rint(np.clip(speech.wave, -1, 1) * 32767).astype(np.int16),
        "durations": speech.durations,
    }


def filmed(renderer: HeadRenderer, motion: Performance, units: np.ndarray) -> dict[str, Any]:
    """The frames of a motion and what is true of each, as fields of a clip."""
    frames = [
        renderer.render(pose, unit, shift=tuple(shift.tolist()))
        for pose, unit, shift in zip(motion.pose, units, motion.shift, strict=True)
    ]
    return {
        "frames": [schema.encode_image(frame.image) for frame in frames],
        "mouth_box": np.stack([frame.mouth_box for frame in frames]).astype(np.float32),
        "eye_box": np.stack([frame.eye_box for frame in frames]).astype(np.float32),
        "landmarks": np.stack([frame.landmarks for frame in frames]).astype(np.float32),
        "lip_opening": np.array([frame.lip_opening for frame in frames], np.float32),
    }


def crossed(
    renderer: HeadRenderer,
    motion: Performance,
    units: np.ndarray,
    count: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """So many frames with the head, brows and eyes of one frame and the mouth of another."""
    heads = rng.integers(len(units), size=count)
    lips = (heads + rng.integers(1, len(units), size=count)) % len(units)
    images = []
    for head, lip in zip(heads, lips, strict=True):
        mixed = np.where(_LIPS, units[lip], units[head])
        frame = renderer.render(motion.pose[head], mixed, shift=tuple(motion.shift[head].tolist()))
        images.append(schema.encode_image(frame.image))
    return {
        "crossed_frames": images,
        "crossed_head": heads.astype(np.int32),
        "crossed_lips": lips.astype(np.int32),
    }


def number(*parts: int) -> int:
    """A number that any change of any part changes wholly."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big")


@lru_cache(4)
def who(seed: int, person: int) -> tuple[Identity, Voice]:
    """A person of a seed: the face, and the voice that goes with it."""
    identity = draw_identity(number(seed, person))
    return identity, voice_of(identity.attributes())


@cache
def _neural_voice() -> NeuralVoice:
    return NeuralVoice()


@cache
def _sentences(split: str, seed: int) -> list[str]:
    return sentences(split, seed)


def by_processes(workers: int) -> Maker:
    """Clips are made by so many processes of this machine, with a progress bar on stderr."""
    return lambda corpus, workplace: _make_all(corpus, workplace, workers)


def missing(corpus: Corpus, workplace: epath.Path) -> list[tuple[int, int]]:
    """Person and number of every clip that is not finished: the first of everybody, …"""
    wanted = [(person, index) for index in range(corpus.clips) for person in range(corpus.people)]
    finished = {path.name for path in workplace.iterdir()}
    return [pair for pair in wanted if _place(workplace, *pair).name not in finished]


def _make_all(corpus: Corpus, workplace: epath.Path, workers: int) -> None:
    """Make every clip that is not finished yet, with a progress bar."""
    left = missing(corpus, workplace)
    total = corpus.people * corpus.clips
    progress = tqdm(total=total, initial=total - len(left), unit="clip", desc=corpus.name)
    # Spawned, not forked: the network's and the renderer's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(workers, context)
    seconds = 0.0
    with progress, pool:
        jobs = [pool.submit(make_one, corpus, workplace, person, index) for person, index in left]
        try:
            for job in concurrent.futures.as_completed(jobs):
                seconds += job.result()
                progress.set_postfix_str(f"{seconds / 60:.1f} min", refresh=False)
                progress.update()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def make_one(corpus: Corpus, workplace: epath.Path, person: int, index: int) -> float:
    """Make one clip and keep it; returns its seconds. Two that make the same do no harm."""
    clip = corpus.clip(person, index)
    path = _place(workplace, person, index)
    unfinished = path.with_suffix(f".{uuid.uuid4().hex}")
    unfinished.write_bytes(schema.FEATURES.serialize_example(schema.to_record(clip)))
    unfinished.replace(path)
    return len(clip.frames) / FPS


def _place(workplace: epath.Path, person: int, index: int) -> epath.Path:
    return workplace / f"{person:05d}-{index:03d}.clip"


def _read(path: epath.Path) -> schema.Clip:
    record: Any = schema.FEATURES.deserialize_example_np(path.read_bytes())
    return schema.from_record(record)
