"""The tables of ways to warp, from results that are there already."""

import json
import runpy
import sys

import pytest

from launch.aot import warps

BYTES = {"gather": 4e6, "tent": 3e6, "two passes": 2e6, "kernel": 1e6}


@pytest.fixture
def found():
    """A result for every case, which is fewer bytes for each way than for the one before."""
    return {
        case.name: {
            "hbm": BYTES[case.method] * (1 + case.backward),
            "moved": 2 * BYTES[case.method],
            "flops": 1e9,
            "temporaries": 1e6,
            "code": 2**20,
            "compile_seconds": 1.0,
            "cycles": 0,
        }
        for case in warps.cases()
    }


def test_every_scale_and_way_has_its_row_and_what_is_chosen_is_bold(found):
    text = warps.markdown(found)
    for size, channels in warps.scales():
        for method in warps.METHODS:
            bold = method == warps.chosen(size)
            row = f"| {size} × {channels} | {'**' + method + '**' if bold else method} |"
            assert text.count(row) == 2  # forward, forward and backward


def test_what_the_choice_saves_is_summed_over_scales(found):
    scales = len(warps.scales())
    own = sum(2 * BYTES[warps.chosen(size)] for size, _ in warps.scales())
    text = warps.markdown(found)
    assert f"{8e-3 * scales:.3g} GB by the row gather, {1e-9 * own:.3g} GB as chosen" in text


def test_a_way_that_failed_says_why_and_nothing_is_summed(found):
    size, channels = warps.scales()[0]
    found[warps.Case(size, channels, "gather", True).name] = {"failed": "no | memory"}
    text = warps.markdown(found)
    assert "no / memory" in text
    assert "times fewer" not in text.split("bytes through HBM")[0]


def test_the_command_goes_on_from_what_is_there(found, tmp_path, monkeypatch):
    (tmp_path / "warps.json").write_text(json.dumps(found))
    monkeypatch.delitem(sys.modules, "launch.aot.warps")  # read anew, as `python -m` does
    monkeypatch.setattr(sys, "argv", ["launch.aot.warps", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("launch.aot.warps", run_name="__main__")
    assert ended.value.code == 0
    assert "| **" in (tmp_path / "warps.md").read_text()
