import json

import numpy as np
import pytest

from facespeak_jax import cli
from facespeak_jax.evaluation import evaluate
from tests import tiny


class Listener:
    """A judge that is there at once, hears the text's first word, and sees one colour."""

    name, version, sha256 = "whisper", "fake", "0" * 64

    def __init__(self):
        self.asked = []

    def available(self):
        return True

    def advice(self):
        return ""

    def fetch(self):
        pass

    def observe(self, take):
        self.asked.append(len(take.frames))
        return {"transcript": np.array(take.text.split()[0])}


class Broken(Listener):
    name = "dnsmos"

    def observe(self, take):
        raise RuntimeError("out of order")


class Absent(Listener):
    name = "arcface"

    def available(self):
        return False

    def advice(self):
        return "ask for it"


@pytest.fixture
def judges(monkeypatch):
    found = {judge.name: judge for judge in (Listener(), Broken(), Absent())}
    monkeypatch.setattr(evaluate, "all_judges", lambda: found)
    monkeypatch.setattr(evaluate, "Signals", Absent)
    return found


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(tiny.write(tmp_path_factory.mktemp("weights")))


def test_a_run_its_report_and_going_on(judges, weights, corpus, tmp_path, capsys):
    given = ["evaluate", "--weights", weights, "--suite", "heads", "--corpus", corpus]
    given += ["--out", str(tmp_path / "out"), "--clips", "1"]
    assert cli.main(given) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'out' / 'report.md'}\n"
    assert "4/4" in captured.err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert list(report["systems"]) == ["ground_truth", "codec", "ours", "still"]
    assert report["systems"]["ours"]["wer"]["mean"] == pytest.approx(0.5)  # "Hello world."
    assert "wer" not in report["systems"]["still"]
    assert len(judges["whisper"].asked) == 3  # nobody listens to the still picture
    assert report["systems"]["codec"]["l1"]["n"] == 1
    assert report["systems"]["ours"]["rtf"]["mean"] > 0
    assert "dnsmos" not in report["systems"]["ours"]
    assert report["judges"]["arcface"]["how_to_get_it"] == "ask for it"
    assert {error["system"] for error in report["errors"]} >= {"ours (dnsmos)"}
    assert len(list((tmp_path / "out" / "pictures").glob("*-frames.png"))) == 1

    # The second time nothing is generated and nobody is asked again.
    asked = len(judges["whisper"].asked)
    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "takes").rglob("*")}
    assert cli.main(given) == 0
    assert len(judges["whisper"].asked) == asked
    assert stored == {path: path.stat().st_mtime_ns for path in stored}

    # Another run's directory is left alone.
    capsys.readouterr()
    given[given.index("heads")] = "grid"
    assert cli.main(given) == 1
    assert "write elsewhere" in capsys.readouterr().err


def test_rows_that_lack_parts_are_left_out(judges, corpus, tmp_path):
    weights = str(tiny.write(tmp_path / "weights", tiny.FACE))
    path = evaluate.evaluate(weights, "heads", str(tmp_path / "out"), corpus=corpus, clips=1)
    report = json.loads(path.with_name("report.json").read_text())
    assert "text_encoder" in report["left_out"]["ours"]
    assert "wer" not in report["systems"]["codec"]
    assert "l1" in report["systems"]["codec"]


@pytest.mark.parametrize("row", ["ours=x", "x", "=x", "no name=x"])
def test_rows_have_names_of_their_own(row):
    with pytest.raises(evaluate.BadRow):
        evaluate._row(row)


def test_the_list_of_judges(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("FACESPEAK_CACHE", str(tmp_path))
    assert cli.main(["judges", "list"]) == 0
    assert "facespeak judges fetch mediapipe" in capsys.readouterr().out
    assert cli.main(["judges", "fetch", "nobody"]) == 1
