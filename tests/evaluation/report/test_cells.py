import numpy as np
import pytest

from facespeak_jax.evaluation.report.cells import Row


def row(figures, seen=None, truth=None):
    return Row(figures, seen or {}, truth or {})


def test_means_and_pooled_rates():
    cells = row({"a": {"dnsmos": 3.0, "wer": (1.0, 10.0)}, "b": {"wer": (3.0, 10.0)}}).cells()
    assert cells["wer"].mean == pytest.approx(0.2)
    assert cells["wer"].n == 2
    assert cells["dnsmos"] == (3.0, 3.0, 3.0, 1)
    assert set(cells) == {"wer", "dnsmos"}


def observed(names):
    rng = np.random.default_rng(0)
    return {
        name: {"features": rng.normal(size=(4, 3)), "landmarks": rng.normal(size=(4, 478, 3))}
        for name in names
    }


def shifted(truth, by):
    return {name: {**seen, "features": seen["features"] + by} for name, seen in truth.items()}


def test_figures_of_all_clips_together():
    truth = observed("abc")
    seen = shifted(truth, 2)
    seen["d"] = {"landmarks": np.full((4, 478, 3), np.nan)}
    cells = row({}, seen, truth).cells()
    assert cells["fid"].mean == pytest.approx(12.0)
    assert cells["fid"].low <= cells["fid"].mean <= cells["fid"].high
    assert cells["kid"].mean > 0
    assert cells["kid"].low <= cells["kid"].mean <= cells["kid"].high
    assert cells["div"].n == 3
    assert set(row({}, truth, truth).cells()) == {"div"}


def test_rows_are_compared_over_the_clips_of_both():
    truth = observed("abc")
    one = row({"a": {"dnsmos": 3.0}, "b": {"dnsmos": 9.0}}, shifted(truth, 2), truth)
    other = row({"a": {"dnsmos": 2.5}, "b": {}}, shifted(truth, 1), truth)
    found = one.differences(other)
    assert found["dnsmos"] == pytest.approx((0.5, 0.5, 0.5, 1))
    assert found["fid"].mean == pytest.approx(12.0 - 3.0)
    assert found["fid"].n == 3
    assert found["div"] == (0.0, 0.0, 0.0, 3)
    # Without a clip in one row both do without it.
    fewer = row({}, {name: other.seen[name] for name in "ab"}, truth)
    assert one.differences(fewer)["fid"].n == 2
    assert one.differences(fewer)["fid"].mean == pytest.approx(12.0 - 3.0)


def test_a_row_is_no_different_from_itself():
    truth = observed("abcd")
    one = row({name: {"wer": (1.0, 7.0)} for name in truth}, shifted(truth, 1), truth)
    assert {cell[:3] for cell in one.differences(one).values()} == {(0.0, 0.0, 0.0)}
    assert {"wer", "kid", "fid", "div"} == set(one.differences(one))
