"""Clips on disk: tensorflow-datasets directories of ArrayRecord files, read without TensorFlow."""

import abc
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from etils import epath

from facespeak_jax.data import schema
from facespeak_jax.data.schema import BadExample, Clip
from facespeak_jax.errors import FaceSpeakError

SPLITS = ("train", "validation", "test")


class NoSuchData(FaceSpeakError):
    """A directory holds no clips, or not the split asked for."""


class DamagedData(FaceSpeakError):
    """The records of a split are cut short or are none."""


class DataExists(FaceSpeakError):
    """Clips are about to be written where there are some already."""


class SharedSpeakers(FaceSpeakError):
    """The same speaker appears in two splits."""


class ClipBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Base of every corpus builder: a subclass has a `name` and yields clips a split.

    `Corpus(data_dir=OUT, file_format="array_record").download_and_prepare()` writes
    `OUT/<name>/<version>/`; the bytes depend on the clips alone.
    """

    VERSION = tfds.core.Version("1.0.0")

    @abc.abstractmethod
    def clips(self) -> Mapping[str, Iterable[Clip]]:
        """The clips of each split; speakers are disjoint between splits."""

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(builder=self, features=schema.FEATURES)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        del dl_manager  # nothing is downloaded here
        return {split: self._generate_examples(clips) for split, clips in self.clips().items()}

    def _generate_examples(self, clips: Iterable[Clip]):
        for clip in clips:
            yield clip.clip_id, schema.to_record(clip)


def write(directory: str, splits: Mapping[str, Iterable[Clip]], *, name: str) -> epath.Path:
    """Writes clips to `<directory>/<name>/1.0.0` and returns that directory.

    Within a split the order is a hash of the clip ids. Raises InvalidClip, SharedSpeakers,
    DataExists.
    """
    given = type(
        name, (ClipBuilder,), {"name": name, "clips": lambda self: splits}, skip_registration=True
    )
    builder = given(data_dir=directory, file_format="array_record")
    target = epath.Path(builder.data_path)
    if target.exists():
        raise DataExists(f"{target} holds clips already; remove it or write elsewhere")
    builder.download_and_prepare()
    index(target)
    return target


def index(directory: epath.PathLike) -> None:
    """Writes the index of every split beside the records. Raises SharedSpeakers."""
    owner: dict[str, str] = {}
    for split in tfds.builder_from_directory(directory).info.splits:
        clips = open_split(directory, split)
        for speaker in clips.speakers:
            if owner.setdefault(speaker, split) != split:
                raise SharedSpeakers(
                    f"speaker {speaker!r} is in both {owner[speaker]!r} and {split!r} of "
                    f"{directory}; splits must be disjoint in speakers"
                )


class Clips(Sequence):
    """The clips of one split, read on demand; what one chooses them by is known at once."""

    def __init__(self, source: Sequence[dict], entries: dict[str, list], name: str):
        self._source = source
        self.name = name
        self.clip_ids: list[str] = entries["clip_id"]
        self.speaker_of: list[str] = entries["speaker"]  # position -> speaker
        self.lengths = np.array(entries["frames"], np.int32)  # position -> video frames

    @functools.cached_property
    def _positions(self) -> dict[str, np.ndarray]:
        speakers = np.array(self.speaker_of)
        return {
            speaker: np.flatnonzero(speakers == speaker) for speaker in sorted(set(self.speaker_of))
        }

    @property
    def speakers(self) -> tuple[str, ...]:
        """Every speaker, sorted."""
        return tuple(self._positions)

    def by_speaker(self, speaker: str) -> np.ndarray:
        """The positions of a speaker's clips, ascending."""
        return self._positions[speaker]

    def __len__(self) -> int:
        return len(self.clip_ids)

    def __getitem__(self, position: SupportsIndex) -> Clip:
        """Raises BadExample if the record cannot be read."""
        try:
            return schema.from_record(self._source[position.__index__()])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise BadExample(f"record {position} of {self.name} cannot be read: {error}") from error


def find(directory: epath.PathLike) -> epath.Path:
    """The one tensorflow-datasets directory at or below `directory`. Raises NoSuchData."""
    root = epath.Path(directory)
    if (root / "dataset_info.json").exists():
        return root
    found = [path.parent for path in sorted(root.glob("*/*/dataset_info.json"))]
    if len(found) != 1:
        names = ", ".join(map(str, found)) or "none"
        raise NoSuchData(
            f"{root} should be, or hold exactly one, directory of clips (with dataset_info.json); "
            f"found {names}. Make one with `facespeak prepare`"
        )
    return found[0]


def open_split(directory: epath.PathLike, split: str) -> Clips:
    """Random access to one split. Raises NoSuchData, DamagedData."""
    path = find(directory)
    builder = tfds.builder_from_directory(path)
    if split not in builder.info.splits:
        raise NoSuchData(f"{path} has no split {split!r}; it has {', '.join(builder.info.splits)}")
    open_source: Any = builder.as_data_source  # the wrapper around it hides what it takes
    source = open_source(split)
    try:
        _ = len(source) and source[0]
    except RuntimeError as error:
        raise DamagedData(f"the records of {path}:{split} cannot be read: {error}") from error
    return Clips(source, _entries(path, split, source), name=f"{path}:{split}")


def _entries(path: epath.Path, split: str, source: Sequence[dict]) -> dict[str, list]:
    """The index of a split: clip ids, speakers and frame counts, cached beside the records."""
    file = path / f"index-{split}.json"
    if file.exists():
        entries = json.loads(file.read_text())
        if len(entries["clip_id"]) == len(source):
            return entries
    entries = {"clip_id": [], "speaker": [], "frames": []}
    for record in source:
        entries["clip_id"].append(record["clip_id"].decode("utf-8"))
        entries["speaker"].append(record["speaker"].decode("utf-8"))
        entries["frames"].append(len(record["frames"]))
    try:
        file.write_text(json.dumps(entries, separators=(",", ":")) + "\n")
    except OSError as error:
        logging.warning(
            "The index of %s cannot be kept (%s); it is rebuilt every time", path, error
        )
    return entries
