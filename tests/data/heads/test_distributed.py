"""Clips made by a Beam pipeline, here with a stand-in for the people who speak."""

import hashlib
from pathlib import Path

import pytest
from etils import epath

from facespeak_jax import cli
from facespeak_jax.data import records
from facespeak_jax.data.heads import builder
from facespeak_jax.data.heads.builder import Corpus, by_processes
from tests import synthetic

pytest.importorskip("apache_beam")
from facespeak_jax.data.heads.distributed import by_beam

LOCAL = ("--runner=FnApiRunner",)
SPREAD = (*LOCAL, "--direct_running_mode=multi_processing", "--direct_num_workers=2")


class Discs(Corpus):
    """Made-up clips of the right names; what is asked for is noted in `made`."""

    made: list[tuple[int, int]] = []  # noqa: RUF012

    def clip(self, person, index):
        self.made.append((person, index))
        return synthetic.clip(person, index, frames=25, size=self.size, crossed=1)


@pytest.fixture(autouse=True)
def nothing_is_fetched(monkeypatch):
    monkeypatch.setattr(builder.assets, "ASSETS", {})
    Discs.made.clear()


def digests(directory: epath.Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()
    }


def in_turn(corpus, workplace):
    for person, index in builder.missing(corpus, workplace):
        builder.make_one(corpus, workplace, person, index)


def test_beam_makes_what_is_made_without_it_each_clip_once(tmp_path):
    corpus = Discs(5, 2, 24, 3)
    plain = builder.prepare(corpus, tmp_path / "plain", in_turn)
    Discs.made.clear()
    beamed = builder.prepare(corpus, tmp_path / "beamed", by_beam(LOCAL))
    assert digests(beamed) == digests(plain)
    assert sorted(Discs.made) == [(person, index) for person in range(5) for index in range(2)]
    assert not list((tmp_path / "beamed").glob(".heads*"))
    with pytest.raises(records.DataExists):
        builder.prepare(corpus, tmp_path / "beamed", by_beam(LOCAL))


def test_an_interrupted_pipeline_goes_on(tmp_path):
    def interrupted(corpus, workplace):
        builder.make_one(corpus, workplace, 1, 0)
        (workplace / "00002-000.0123abcd").write_bytes(b"half a clip")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builder.prepare(Discs(3, 1, 24, 3), tmp_path, interrupted)
    Discs.made.clear()
    done = builder.prepare(Discs(3, 1, 24, 3), tmp_path, by_beam(LOCAL))
    assert sorted(Discs.made) == [(0, 0), (2, 0)]
    assert len(records.open_split(done, "validation")) == 1


def test_for_a_bucket_the_records_are_written_here_and_copied(tmp_path, monkeypatch):
    corpus = Discs(3, 1, 24, 3)
    plain = builder.prepare(corpus, tmp_path / "disk", in_turn)
    written, write = [], records.write

    def noted(directory, splits, *, name):
        written.append(Path(directory))
        return write(directory, splits, name=name)

    monkeypatch.setattr(records, "write", noted)
    monkeypatch.setattr(builder, "_in_bucket", lambda path: True)
    there = builder.prepare(corpus, tmp_path / "bucket", by_beam(LOCAL))
    assert there == epath.Path(tmp_path / "bucket" / "heads" / "1.0.0")
    here, before = digests(there), digests(plain)
    assert here.keys() == before.keys()
    assert all(here[name] == before[name] for name in here if name != "dataset_info.json")
    assert not written[0].is_relative_to(tmp_path)
    assert not written[0].exists()
    assert len(records.open_split(there, "test")) == 1


def test_the_command_hands_beam_what_is_for_beam(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Corpus, "clip", Discs.clip)
    monkeypatch.setattr(Corpus, "made", Discs.made, raising=False)
    given = ["prepare", "heads", "--people", "3", "--clips", "1", "--size", "24", "--seed", "7"]
    assert cli.main([*given, "--out", str(tmp_path), "--beam", *LOCAL]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "heads" / "1.0.0")
    assert len(Discs.made) == 3


@pytest.mark.slow
def test_processes_of_beam_make_the_same(tmp_path):
    corpus = Discs(3, 2, 24, 3)
    plain = builder.prepare(corpus, tmp_path / "plain", by_processes(2))
    spread = builder.prepare(corpus, tmp_path / "spread", by_beam(SPREAD))
    assert digests(spread) == digests(plain)
