import dataclasses
import functools
import json
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest

from facespeak_jax import cli
from facespeak_jax.evaluation import evaluate, request, sharing
from facespeak_jax.evaluation.experiments.experiment import Table
from facespeak_jax.evaluation.run import Run
from facespeak_jax.evaluation.suites import Case, Suite
from facespeak_jax.evaluation.systems import rows
from facespeak_jax.evaluation.take import Take
from tests import tiny
from tests.evaluation.standin import Present


class Listener(Present):
    """Hears the text's first word."""

    name = "whisper"

    def __init__(self):
        self.asked = []

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


class Colours(Present):
    """Sees the mean colour of every frame."""

    name = "inception"

    def observe(self, take):
        return {"features": take.frames.mean(axis=(1, 2))}


@dataclasses.dataclass
class Painted:
    """A system of frames that are about so bright, as many as asked for."""

    brightness: int
    count: int
    columns: frozenset[str]
    aligned: bool = False
    kept: bool = True

    def missing(self):
        return []

    def make(self, case):
        rng = np.random.default_rng(case.seed)
        frames = self.brightness + rng.integers(0, 9, (self.count, 4, 4, 3)).astype(np.uint8)
        return Take(frames, np.zeros(640, np.float32), case.text)


class Two(Suite):
    """Two cases of people of whom no other clip is known."""

    def __init__(self):
        self.name = "two"

    def __getitem__(self, index):
        truth = Take(np.zeros((1, 4, 4, 3), np.uint8), np.zeros(640, np.float32), "hello")
        return Case(f"clip-{index}", f"person-{index}", "hello", truth, np.zeros((0, 3)))

    def references(self, speakers):
        return iter(())


@pytest.fixture
def judges(monkeypatch):
    found = {judge.name: judge for judge in (Listener(), Broken(), Absent())}
    monkeypatch.setattr(request, "all_judges", lambda: found)
    return found


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(tiny.write(tmp_path_factory.mktemp("weights")))


@pytest.fixture(scope="module")
def face(tmp_path_factory):
    return str(tiny.write(tmp_path_factory.mktemp("face"), tiny.FACE))


def test_a_run_its_report_and_going_on(judges, weights, corpus, tmp_path, capsys, monkeypatch):
    given = ["evaluate", "--weights", weights, "--suite", "heads", "--corpus", corpus]
    given += ["--out", str(tmp_path / "out"), "--clips", "1", "--workers", "1"]
    assert cli.main(given) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'out' / 'report.md'}\n"
    assert "5/5" in captured.err  # four rows, and the motion of ours under other seeds
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert list(report["systems"]) == ["ground_truth", "codec", "ours", "still"]
    assert report["systems"]["ours"]["wer"]["mean"] == pytest.approx(0.5)  # "Hello world."
    assert "wer" not in report["systems"]["still"]
    assert len(judges["whisper"].asked) == 3  # nobody listens to the still picture
    assert "configs/twins.py:cascade" in report["left_out"]["cascade"]
    assert report["differences"]["still"]["from"] == "ours"
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
    # What another suite, or an earlier version of the program, has left is not gone on with.
    with monkeypatch.context() as later:
        later.setattr(request, "PROTOCOL", request.PROTOCOL + 1)
        assert cli.main(given) == 1
        assert "write elsewhere" in capsys.readouterr().err
    given[given.index("heads")] = "grid"
    assert cli.main(given) == 1
    assert "write elsewhere" in capsys.readouterr().err


def test_pictures_are_judged_by_many_draws_of_the_motion(tmp_path):
    # By one clip a case, the distance is that of where its head happened to turn.
    pictures, motion = frozenset({"pictures"}), frozenset({"motion"})
    plan = Table(
        "",
        frozenset({"inception"}),
        {"ground_truth": Painted(100, 20, pictures), "ours": Painted(0, 20, motion)},
        seeds={"ours": Painted(100, 56, pictures)},
    )
    systems = {**plan.rows, request.seeds_of("ours"): plan.seeds["ours"]}
    run = Run(Two(), systems, {"inception": Colours()}, tmp_path, 2)
    cells, _ = evaluate._of_table(run, plan)
    assert list(cells) == ["ground_truth", "ours"]
    assert cells["ours"]["fid"].mean < 10  # of pictures that are 100 apart: 30,000
    assert cells["ours"]["fid"].n == 2
    assert run.errors == []


@pytest.mark.slow
def test_processes_share_the_work(face, corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("FACESPEAK_CACHE", str(tmp_path / "no judges"))
    asked = functools.partial(evaluate.evaluate, face, "heads", corpus=corpus, clips=2)
    reports = [json.loads(asked(str(tmp_path / "alone")).with_name("report.json").read_text())]

    def alone(*_):
        raise AssertionError("made by the process that composes the report")

    monkeypatch.setattr(rows.Codec, "make", alone)  # which others do not see
    path = asked(str(tmp_path / "shared"), workers=2)
    reports.append(json.loads(path.with_name("report.json").read_text()))
    assert reports[0]["errors"] == reports[1]["errors"]
    systems = [report["systems"] for report in reports]
    assert systems[0]["codec"].keys() == systems[1]["codec"].keys() >= {"l1", "ssim"}
    for row, cells in systems[0].items():
        for column, cell in cells.items():
            assert systems[1][row][column]["mean"] == pytest.approx(cell["mean"], rel=1e-3)


def test_one_goes_on_where_a_process_died(judges, face, corpus, tmp_path, monkeypatch, capsys):
    def broken(*_):
        raise BrokenProcessPool
        yield

    monkeypatch.setattr(sharing, "share", broken)
    path = evaluate.evaluate(face, "heads", str(tmp_path), corpus=corpus, clips=1, workers=2)
    assert "goes on alone" in capsys.readouterr().err
    report = json.loads(path.with_name("report.json").read_text())
    assert report["systems"]["codec"]["l1"]["n"] == 1


def test_rows_that_lack_parts_are_left_out(judges, face, corpus, tmp_path):
    path = evaluate.evaluate(face, "heads", str(tmp_path / "out"), corpus=corpus, clips=1)
    report = json.loads(path.with_name("report.json").read_text())
    assert "text_encoder" in report["left_out"]["ours"]
    assert "wer" not in report["systems"]["codec"]
    assert "l1" in report["systems"]["codec"]


def test_an_experiment_that_looks_for_itself(judges, weights, corpus, tmp_path, capsys):
    given = ["evaluate", "--weights", weights, "--suite", "heads", "--corpus", corpus]
    given += ["--out", str(tmp_path), "--clips", "2", "--experiment", "motion-codes"]
    given += ["--workers", "1"]
    assert cli.main(given) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["experiment"] == "motion-codes"
    # One person only is in this split, so nobody can be taken for somebody else.
    assert set(report["systems"]) == {"f_id", "f_m", "ground_truth", "ours"}
    assert report["systems"]["ours"]["code_step"]["n"] == 2
    text = (tmp_path / "report.md").read_text()
    assert "range of α_head" in text
    assert "WER" not in text
    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "seen").rglob("*.npz")}
    assert len(stored) == 4
    assert cli.main(given) == 0
    assert stored == {path: path.stat().st_mtime_ns for path in stored}
    capsys.readouterr()
    given.remove("--experiment")
    given.remove("motion-codes")
    assert cli.main(given) == 1  # the whole table would mix with it
    assert "write elsewhere" in capsys.readouterr().err


def test_an_experiment_without_its_judge_says_what_to_do(judges, weights, corpus, tmp_path):
    judges["resemblyzer"] = Absent()
    path = evaluate.evaluate(
        weights, "heads", str(tmp_path), corpus=corpus, clips=1, experiment="voice-consistency"
    )
    report = json.loads(path.with_name("report.json").read_text())
    assert report["systems"] == {}
    assert "ask for it" in report["left_out"]["ours"]
    assert "--row with_motion=" in report["left_out"]["with_motion"]


def test_the_list_of_judges(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("FACESPEAK_CACHE", str(tmp_path))
    assert cli.main(["judges", "list"]) == 0
    assert "facespeak judges fetch mediapipe" in capsys.readouterr().out
    assert cli.main(["judges", "fetch", "nobody"]) == 1
