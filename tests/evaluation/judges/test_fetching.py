import pytest

from facespeak_jax.data import assets
from facespeak_jax.data.assets import AssetMissing
from facespeak_jax.evaluation.judges import all_judges, fetching, landmarks
from facespeak_jax.evaluation.judges.judge import Packaged


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FACESPEAK_CACHE", str(tmp_path))
    return tmp_path


def test_every_judge_says_what_it_is_and_how_to_get_it():
    judges = all_judges()
    assert len(judges) == 6
    for name, judge in judges.items():
        assert not judge.available()
        assert len(judge.sha256) == 64
        assert judge.version
        assert f"judges fetch {name}" in judge.advice()
    printed = fetching.table()
    assert printed.count("missing") == 6
    assert printed.count("\n") == 5


def test_a_fetched_judge_is_ready(empty_cache):
    judge = all_judges()["arcface"]
    assert isinstance(judge, Packaged)
    judge.folder.mkdir(parents=True)
    assert judge.available()
    assert fetching.table().count("ready") == 1


def test_one_failure_does_not_keep_the_others(monkeypatch):
    asked = []

    def fetch(name, archives):
        asked.append(name)
        if name == "judge-whisper":
            raise AssetMissing("no network here")

    monkeypatch.setattr(assets, "fetch", fetch)
    monkeypatch.setattr(landmarks.Landmarks, "fetch", lambda self: asked.append("judge-mediapipe"))
    with pytest.raises(AssetMissing, match="no network here"):
        fetching.fetch([])
    assert len(asked) == 6


def test_unknown_names():
    with pytest.raises(fetching.UnknownJudge, match="whisper"):
        fetching.fetch(["nobody"])


def test_a_module_that_is_missing_is_said(monkeypatch):
    judge = all_judges()["whisper"]
    monkeypatch.setattr(judge, "needs", ("no_such_module",))
    assert "facespeak_jax[eval]" in judge.advice()
    with pytest.raises(AssetMissing, match="no_such_module"):
        judge.fetch()
