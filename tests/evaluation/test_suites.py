import pytest

from facespeak_jax.data import records
from facespeak_jax.data.heads import sentences
from facespeak_jax.evaluation import suites
from tests import synthetic


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A test split of three people with two clips each."""
    directory = str(tmp_path_factory.mktemp("people"))
    clips = [synthetic.clip(who, at, frames=26) for who in (1, 2, 3) for at in (0, 1)]
    records.write(directory, {"test": clips}, name="people")
    return directory


def suite(people, tmp_path, name="heads", **options):
    given = {"size": 64, "corpus": people, "out": tmp_path, "clips": None, "workers": 1}
    return suites.open_suite(name, **{**given, **options})


def test_everybody_once_before_anybody_twice(people, tmp_path):
    found = suite(people, tmp_path)
    speakers = [found[at].speaker for at in range(len(found))]
    assert len(found) == 6
    assert sorted(speakers[:3]) == sorted(speakers[3:]) == ["s1", "s2", "s3"]
    case = found[0]
    assert case.paired
    assert case.truth.frames.shape == (26, 64, 64, 3)
    assert (case.portrait == case.truth.frames[0]).all()
    assert case.truth.durations.sum() == 4 * 26


def test_other_sizes_and_texts_change_the_digest(people, tmp_path):
    small = suite(people, tmp_path, size=32)
    assert small[0].portrait.shape == (32, 32, 3)
    grid = suite(people, tmp_path, "grid")
    assert grid[0].text == sentences.test_sentences()[0]
    assert not grid[0].paired
    digests = {found.digest for found in (small, grid, suite(people, tmp_path))}
    assert len(digests) == 3
    assert suite(people, tmp_path).digest in digests


def test_references_are_clips_of_the_speakers_asked_for(people, tmp_path):
    found = list(suite(people, tmp_path).references(["s3", "s1", "s3"]))
    assert [(speaker, name) for speaker, name, _ in found] == [
        *(("s1", "s1-0"), ("s1", "s1-1")),
        *(("s3", "s3-0"), ("s3", "s3-1")),
    ] or {name for _, name, _ in found} == {"s1-0", "s1-1", "s3-0", "s3-1"}


def test_a_manifest_of_too_few_people_uses_all(people, tmp_path, corpus):
    assert suite(corpus, tmp_path, "manifest:x.jsonl").name == "manifest:x.jsonl"


@pytest.mark.parametrize(("name", "reason"), [("faces", "no suite"), ("grid", "--corpus")])
def test_what_is_no_suite(tmp_path, name, reason):
    with pytest.raises(suites.UnknownSuite, match=reason):
        suite(None, tmp_path, name)


def test_file_names_are_plain_and_distinct():
    assert suites._plain("heads-1-00042-003") == "heads-1-00042-003"
    assert suites._plain("s30/a") != suites._plain("s30-a")
    assert "/" not in suites._plain("s30/a")


@pytest.mark.slow
def test_people_of_its_own_are_made_once(tmp_path):
    """Needs the third-party material of `heads` (fetched into the cache)."""
    made = suites._made_heads(64, 1, 2)
    found = suites.open_suite("heads", size=64, corpus=None, out=tmp_path, clips=1, workers=2)
    assert found[0].text in sentences.test_sentences()
    assert len({found[at].speaker for at in range(3)}) == 3
    assert suites._made_heads(64, 1, 2) == made
