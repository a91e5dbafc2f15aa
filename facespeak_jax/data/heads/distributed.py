"""Clips made by the workers of an Apache Beam pipeline, on one machine or on many."""

import os
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from etils import epath

from facespeak_jax.data.heads import builder
from facespeak_jax.data.heads.builder import Corpus, Maker


def by_beam(flags: Sequence[str]) -> Maker:
    """Clips are made by a pipeline that runs as Beam's own flags say.

    Its workers keep them in the work folder, which they must all see, and find the assets as
    everybody does. The same call makes what an interrupted one left out.
    """
    # Not tensorflow-datasets' own writer for Beam: its workers would write ArrayRecords, which
    # can't be written to buckets, and it cuts splits into files elsewhere than without Beam.
    return lambda corpus, workplace: _make_all(corpus, workplace, flags)


def _make_all(corpus: Corpus, workplace: epath.Path, flags: Sequence[str]) -> None:
    left = builder.missing(corpus, workplace)
    with beam.Pipeline(options=PipelineOptions(list(flags))) as pipeline:
        _ = (
            pipeline
            | beam.Create(left)
            | beam.Reshuffle()  # else one worker would make them all
            | beam.Map(_make_one, corpus, os.fspath(workplace))
        )


def _make_one(which: tuple[int, int], corpus: Corpus, workplace: str) -> None:
    builder.make_one(corpus, epath.Path(workplace), *which)
