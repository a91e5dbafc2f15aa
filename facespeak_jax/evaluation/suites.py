"""Whom the evaluation lets speak, and what: people and sentences never trained on."""

import concurrent.futures
import functools
import hashlib
import itertools
import multiprocessing
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tqdm
from jaxtyping import Float, UInt8
from PIL import Image

from facespeak_jax.data import manifest, records, schema
from facespeak_jax.data.assets import cache_directory
from facespeak_jax.data.heads import sentences
from facespeak_jax.errors import FaceSpeakError, MissingExtra
from facespeak_jax.evaluation.take import Take

REFERENCES = 2  # clips that tell how a person sounds
# Of the corpus that is made where none is given: another seed than anybody's training.
PEOPLE, CLIPS, SEED = 40, 4, 90_211


class UnknownSuite(FaceSpeakError):
    """There is no suite of that name, or it lacks its corpus."""


@dataclass(frozen=True)
class Case:
    """One person with one text to say, and the clip of theirs that is the truth beside it.

    The portrait is the first frame of that clip. The truth says the same text where `paired`.
    """

    name: str  # fit for a file name
    speaker: str
    text: str
    truth: Take
    pose: Float[np.ndarray, "t 3"]  # degrees; zero-length where the corpus does not know it

    @property
    def portrait(self) -> UInt8[np.ndarray, "h w 3"]:
        return self.truth.frames[0]

    @property
    def seed(self) -> int:
        """Of the noise that its clip is drawn from: the same in every row, and another for every
        case, or all heads of a row would move alike."""
        return zlib.crc32(self.name.encode()) >> 2

    @property
    def paired(self) -> bool:
        return self.text == self.truth.text


class Suite:
    """Cases over the clips of one split: everybody's first clip, then everybody's second, …"""

    def __init__(
        self, name: str, clips: records.Clips, size: int, texts: Sequence[str] | None = None
    ):
        self.name = name
        self._clips, self._size, self._texts = clips, size, texts
        everybody = [clips.by_speaker(speaker) for speaker in clips.speakers]
        rounds = itertools.zip_longest(*everybody)
        self._order = [int(at) for turn in rounds for at in turn if at is not None]

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> Case:
        """Raises BadExample if the record cannot be read."""
        clip = self._clips[self._order[index]]
        text = clip.text if self._texts is None else self._texts[index % len(self._texts)]
        return Case(_plain(clip.clip_id), clip.speaker, text, self._take(clip), clip.pose)

    def references(self, speakers: Sequence[str]) -> Iterator[tuple[str, str, Take]]:
        """Speaker, case name and take of the last clips of each speaker, to know them by."""
        for speaker in sorted(set(speakers)):
            for name, take in self.of_speaker(speaker, REFERENCES):
                yield speaker, name, take

    def of_speaker(self, speaker: str, count: int) -> Iterator[tuple[str, Take]]:
        """Case name and take of a speaker's last clips."""
        for position in self._clips.by_speaker(speaker)[-count:]:
            clip = self._clips[int(position)]
            yield _plain(clip.clip_id), self._take(clip)

    @functools.cached_property
    def digest(self) -> str:
        """Changes with the clips, their order, their size and the texts."""
        parts = [self.name, self._size, self._clips.clip_ids, self._order, self._texts]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def _take(self, clip: schema.Clip) -> Take:
        return Take(
            np.stack([_at(schema.decode_image(frame), self._size) for frame in clip.frames]),
            (clip.audio / np.float32(32767)).astype(np.float32),
            clip.text,
            clip.symbols if len(clip.durations) else [],
            clip.durations,
        )


def open_suite(
    spec: str, *, size: int, corpus: str | None, out: Path, clips: int | None, workers: int
) -> Suite:
    """`heads`, `grid` or `manifest:PATH`, in frames of `size` pixels.

    `corpus` is a directory of prepared clips whose test split is used; without one, `heads` makes a
    small corpus of its own and a manifest's videos are prepared below `out`. `clips` is how many
    will be asked for. Raises UnknownSuite, NoSuchData, AssetMissing and the errors of preparation.
    """
    kind, _, path = spec.partition(":")
    if kind == "heads":
        directory = corpus or _made_heads(size, clips, workers)
        return Suite("heads", records.open_split(directory, "test"), size)
    if kind == "grid":
        if corpus is None:
            raise UnknownSuite(
                "the suite `grid` needs --corpus, the directory that `facespeak prepare grid` wrote"
            )
        texts = sentences.test_sentences()  # the same that `heads` says, by real people
        return Suite("grid", records.open_split(corpus, "test"), size, texts)
    if kind == "manifest" and path:
        directory = corpus or _prepared(path, out / "corpus", size, workers)
        return Suite(spec, _test_or_train(directory), size)
    raise UnknownSuite(f"no suite {spec!r}; there are heads, grid and manifest:PATH")


def _test_or_train(directory: str) -> records.Clips:
    try:
        return records.open_split(directory, "test")
    except records.NoSuchData:
        return records.open_split(directory, "train")  # too few people to hold any out


def _prepared(path: str, out: Path, size: int, workers: int) -> str:
    if not any(out.glob("*/*/dataset_info.json")):
        entries, make = manifest.read(path), manifest.filmed(size)
        manifest.build(entries, out, name="manifest", make=make, workers=workers)
    return os.fspath(out)


def _made_heads(size: int, clips: int | None, workers: int) -> str:
    """The test people of a corpus that nobody trained on, made in the cache on first use."""
    people = PEOPLE if clips is None else max(3, min(PEOPLE, clips))
    # One clip more than is asked for tells how a person sounds otherwise.
    each = CLIPS if clips is None else min(CLIPS, 1 + -(-clips // people))
    out = cache_directory() / "suites" / f"heads-{people}x{each}-{size}-{SEED}"
    if any(out.glob("*/*/dataset_info.json")):
        return os.fspath(out)
    try:
        from facespeak_jax.data.heads import builder
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"{error.name} is not installed; making the suite's people needs it: "
            "pip install 'facespeak_jax[corpus]', or give --corpus"
        ) from error
    corpus = builder.Corpus(round(people / 0.06), each, size, SEED)
    wanted = [
        (person, index) for index in range(each) for person in corpus.people_of("test")[:people]
    ]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context) as pool:
        made = pool.map(functools.partial(_make, corpus), wanted)
        bar = tqdm.tqdm(made, desc="making the suite's people", total=len(wanted), unit="clip")
        # A bar looks like a collection that can be read again; its clips come once.
        records.write(os.fspath(out), {"test": iter(bar)}, name="heads")
    return os.fspath(out)


def _make(corpus, wanted: tuple[int, int]) -> schema.Clip:
    return corpus.clip(*wanted)


def _at(frame: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "{size} {size} 3"]:
    if len(frame) == size:
        return frame
    return np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.LANCZOS))


def _plain(clip_id: str) -> str:
    """A clip id as a file name that no other clip id has."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", clip_id)
    return name if name == clip_id else f"{name}-{hashlib.sha256(clip_id.encode()).hexdigest()[:6]}"
