import shutil

import pytest

from facespeak_jax import export, pipeline
from facespeak_jax.evaluation import request
from facespeak_jax.evaluation.systems import twins
from tests import tiny


@pytest.mark.parametrize("row", ["ours=x", "x", "=x", "no name=x"])
def test_rows_have_names_of_their_own(row):
    with pytest.raises(request.BadRow):
        request.named(row)


def test_a_row_is_a_name_and_where_its_weights_are():
    assert request.named("no_energy=W/a=b") == ("no_energy", "W/a=b")


def test_a_twin_that_ships_needs_no_path():
    name, path = request.named("cascade")
    assert name == "cascade"
    twin = export.load(path)
    assert set(twin.params) == {"lip_mapper", "motion_prior", "motion_field"}
    ours = export.load(pipeline.WEIGHTS)
    both = twins.overlaid(ours, twin)
    assert set(both.params) == set(ours.params)
    assert both.config == ours.config  # of ours in all but what was trained
    with pytest.raises(request.BadRow):
        request.named("no_energy")  # which does not ship
    assert "--row no_energy=DIR" in twins.advice("no_energy")
    assert twins.advice("cascade").endswith("or give --row cascade for that of the shipped weights")


def test_a_twin_that_ships_goes_with_the_shipped_weights_alone(tmp_path):
    rows = dict([request.named("cascade")])

    def plan(weights):
        return request.Request(str(weights), "heads", tmp_path, "", None, None, rows).plan()

    shutil.copytree(pipeline.WEIGHTS, tmp_path / "copy")
    table, _ = plan(tmp_path / "copy")
    assert "cascade" in table.rows
    with pytest.raises(request.BadRow, match="give --row cascade=DIR"):
        plan(tiny.write(tmp_path / "other"))
