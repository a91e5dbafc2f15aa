"""The `heads` corpus made by the workers of an Apache Beam pipeline, on one machine or on many."""

import os
from collections.abc import Iterable, Mapping, Sequence

import apache_beam as beam
import tensorflow_datasets as tfds
from apache_beam.options.pipeline_options import PipelineOptions
from etils import epath

from facespeak_jax.data import records, schema
from facespeak_jax.data.heads.builder import Corpus


class Heads(records.ClipBuilder):
    """The tensorflow-datasets builder of a corpus whose clips are made where they are written."""

    name = "heads"

    def __init__(self, corpus: Corpus, data_dir: str):
        self._corpus = corpus
        super().__init__(data_dir=data_dir, file_format="array_record")

    def clips(self) -> Mapping[str, Iterable[schema.Clip]]:
        """The clips of each split in the order of people."""
        return {
            split: (self._corpus.clip(*which) for which in which_of(self._corpus, split))
            for split in records.SPLITS
        }

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        del dl_manager  # the workers fetch what they need
        return {
            split: beam.Create(which_of(self._corpus, split))
            | beam.Reshuffle()  # else one worker would make them all
            | beam.Map(example, self._corpus)
            for split in records.SPLITS
        }


def prepare(
    people: int, clips: int, size: int, out: epath.PathLike, seed: int, flags: Sequence[str]
) -> epath.Path:
    """Make the corpus of `builder.prepare` by Beam in `out`, maybe in a bucket; return its place.

    `flags` are Beam's: the runner and its options. Records and their order are those of
    `builder.prepare`; a split too large for one file is cut into files elsewhere. Nothing is kept
    of a pipeline that fails. Raises TooFewPeople, DataExists.
    """
    builder = Heads(Corpus(people, clips, size, seed), os.fspath(out))
    target = epath.Path(builder.data_path)
    if target.exists():
        raise records.DataExists(f"{target} holds clips already; remove it or write elsewhere")
    # Beam takes what it does not know for somebody else's; here a misspelt flag is an error.
    options = PipelineOptions(list(flags))
    how = tfds.download.DownloadConfig(beam_options=options)
    builder.download_and_prepare(download_config=how)
    if "://" not in os.fspath(target):  # in a bucket, whoever copies the clips makes the index
        records.index(target)
    return target


def which_of(corpus: Corpus, split: str) -> list[tuple[int, int]]:
    """Person and number of each clip of a split."""
    return [(who, index) for who in corpus.people_of(split) for index in range(corpus.clips)]


def example(which: tuple[int, int], corpus: Corpus) -> tuple[str, dict]:
    """One clip, by its id, as tensorflow-datasets wants it: what a worker does."""
    clip = corpus.clip(*which)
    return clip.clip_id, schema.to_record(clip)
