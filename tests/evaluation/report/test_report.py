import json

import numpy as np

from facespeak_jax.evaluation.judges import all_judges
from facespeak_jax.evaluation.judges.sync import judge
from facespeak_jax.evaluation.metrics.intervals import Interval
from facespeak_jax.evaluation.report import bars, report
from facespeak_jax.evaluation.report.columns import COLUMNS, GROUPS, PROBES


def composed(rows, **more):
    given = {"facts": {"weights": "w"}, "errors": [], "left_out": {}, "differences": {}}
    return report.compose("heads", rows, all_judges(), **{**given, **more})


def test_json_has_every_fact_and_no_nan(tmp_path, monkeypatch):
    monkeypatch.setenv("FACESPEAK_CACHE", str(tmp_path))
    monkeypatch.setattr(judge, "SHIPPED", tmp_path / "none")
    rows = {
        "ground_truth": {"dnsmos": Interval(4.0, 3.9, 4.1, 5)},
        "ours": {"dnsmos": Interval(3.0, 2.9, 3.1, 5), "fid": Interval(9.0, np.nan, np.nan, 5)},
    }
    errors = [{"system": "ours", "clip": "a", "error": "NoFace: none"}]
    made = composed(rows, errors=errors, left_out={"cascade": "the weights lack lips"})
    path = report.write(tmp_path, made)
    found = json.loads((tmp_path / "report.json").read_text())
    cell = found["systems"]["ours"]["dnsmos"]
    assert (cell["mean"], cell["low"], cell["high"], cell["n"]) == (3.0, 2.9, 3.1, 5)
    assert cell["sha256"] == all_judges()["dnsmos"].sha256
    assert found["systems"]["ours"]["fid"]["low"] is None
    text = path.read_text()
    assert "| ours |" in text
    assert "3 (2.9 – 3.1), 5" in text
    assert "cascade" in text
    assert "NoFace" in text
    assert "evaluation.judges.sync.training" in text  # how to get the one that is missing


def test_differences_stand_below_their_columns_and_say_where_none_is_shown():
    cells = {"lse_c": Interval(-0.05, -0.06, -0.04, 9), "wer": Interval(0.01, -0.02, 0.04, 9)}
    cells["c_sim_others"] = Interval(0.1, 0.05, 0.2, 9)  # no end of it is better
    rows = {"ours": {}, "no_text": {}}
    made = composed(rows, differences={"no_text": ("ours", cells)})
    assert made["differences"]["no_text"]["from"] == "ours"
    assert made["differences"]["no_text"]["columns"]["lse_c"]["low"] == -0.06
    text = report.markdown(made)
    assert "in italics where the interval holds zero" in text
    assert "| no text − ours | -0.05 (-0.06 – -0.04), 9 |" in text
    assert "| *+1 (-2 – +4), 9* |" in text  # percent
    assert "0.1 (" not in text
    assert "italics" not in report.markdown(composed(rows))


def test_a_missing_judge_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FACESPEAK_CACHE", str(tmp_path))
    assert "facespeak judges fetch whisper" in report.markdown(composed({"ours": {}}))


def test_every_column_is_in_a_group_and_of_a_known_judge():
    assert {column.group for column in COLUMNS.values()} == {*GROUPS, PROBES}
    known = {*all_judges(), "signals", ""}
    assert {column.judge for column in COLUMNS.values()} <= known


def rows(**figures):
    return {
        row: {column: {"mean": value} for column, value in columns.items()}
        for row, columns in figures.items()
    }


def verdicts(suite, given):
    return {bar["bar"]: bar["met"] for bar in bars.view(suite, given)}


def test_bars():
    given = rows(
        ours={"wer": 0.2, "closure": 0.9, "div": 2.1, "c_sim": 0.8, "c_sim_others": 0.6},
        ground_truth={"closure": 1.0, "div": 2.0},
        codec={"l1": 5.0},
        still={"l1": 8.0},
    )
    found = verdicts("heads", given)
    assert found["WER at most 30 %"] is True
    assert found["WER at most 14.56 %"] is False
    assert found["closure at least 0.8 × ground truth"] is True
    assert found["DIV within 20 % of ground truth"] is True
    assert found["C-SIM 0.15 above other people's"] is True
    assert found["L1 40 % below the source's"] is False
    assert found["lip correlation at least 0.5"] is None
    grid = verdicts("grid", given)
    assert grid["L1 15 % below the source's"] is True
    assert "L1 40 % below the source's" not in grid


def test_the_bars_of_an_experiment_are_its_own():
    given = rows(ours={"voice_consistency": 0.9}, ground_truth={"voice_consistency": 0.92})
    (bar,) = bars.view("heads", given, "voice-consistency")
    assert bar["met"] is True
    assert bars.view("heads", given, "robustness") == []
    assert "voice consistency" not in " ".join(verdicts("heads", given))


def test_an_experiment_shows_what_it_asked_for_only():
    cells = {"ours": {"voice_consistency": Interval(0.9, 0.8, 1.0, 5)}}
    given = {"facts": {"experiment": "voice-consistency", "question": "Does it keep?"}}
    text = report.markdown(composed(cells, **given))
    assert "Does it keep?" in text
    assert "C-SIM over frames" in text
    assert "WER" not in text
    whole = report.markdown(composed(cells))
    assert "WER" in whole
    assert "C-SIM over frames" not in whole
