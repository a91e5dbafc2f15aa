import pytest

from facespeak_jax.data import assets
from facespeak_jax.data.assets import AssetMissing
from facespeak_jax.evaluation.judges import all_judges, fetching, landmarks
from facespeak_jax.evaluation.judges.judge import Packaged
from facespeak_jax.evaluation.judges.sync.judge import LipSync

OURS = ("signals", "sync")  # that nobody else gives


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FACESPEAK_CACHE", str(tmp_path))
    return tmp_path


def test_every_judge_says_what_it_is_and_how_to_get_it():
    judges = all_judges()
    assert len(judges) == 8
    for name, judge in judges.items():
        assert judge.version
        if name not in OURS:
            assert not judge.available()
            assert len(judge.sha256) == 64
            assert f"judges fetch {name}" in judge.advice()
    assert "evaluation.judges.sync.training" in judges["sync"].advice()
    printed = fetching.table()
    assert printed.count("missing") == 6 + (not judges["sync"].available())
    assert printed.count("\n") == 7


def test_a_fetched_judge_is_ready(empty_cache):
    judge = all_judges()["arcface"]
    assert isinstance(judge, Packaged)
    before = fetching.table().count("ready")
    judge.folder.mkdir(parents=True)
    assert judge.available()
    assert fetching.table().count("ready") == before + 1


def test_one_failure_does_not_keep_the_others(monkeypatch):
    asked = []

    def fetch(name, archives):
        asked.append(name)
        if name == "judge-whisper":
            raise AssetMissing("no network here")

    monkeypatch.setattr(assets, "fetch", fetch)
    monkeypatch.setattr(landmarks.Landmarks, "fetch", lambda self: asked.append("judge-mediapipe"))
    monkeypatch.setattr(LipSync, "fetch", lambda self: asked.append("judge-sync"))
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
