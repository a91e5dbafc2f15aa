import pytest

from facespeak_jax import cli, export
from facespeak_jax.evaluation.experiments import catalogue
from facespeak_jax.evaluation.experiments.experiment import Machines, Probe, Table
from facespeak_jax.evaluation.judges import all_judges
from facespeak_jax.evaluation.report.columns import COLUMNS, judges_of
from facespeak_jax.evaluation.systems.machine import Machine
from facespeak_jax.evaluation.systems.rows import System
from facespeak_jax.evaluation.systems.twins import TWINS, manner_of
from tests import tiny


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    """Nothing is compiled before it is run."""
    weights = export.load(tiny.write(tmp_path_factory.mktemp("weights")))
    return Machines(Machine(weights), {"no_energy": Machine(weights, manner_of("no_energy"))})


@pytest.mark.parametrize("name", ["", *catalogue.EXPERIMENTS])
def test_every_experiment_asks_known_judges_about_rows_that_can_be_run(name, machines):
    plan = catalogue.open_experiment(name, machines)
    assert plan.judges <= set(all_judges())
    assert set(plan.twins) <= set(TWINS)
    assert bool(plan.question) == bool(name)
    assert next(iter(plan.rows)) == "ground_truth"
    if isinstance(plan, Probe):
        assert "ours" in plan.rows
        return
    assert isinstance(plan, Table)
    for row, system in plan.rows.items():
        assert isinstance(system, System), row
        assert system.missing() == []
        assert system.columns <= {column.group for column in COLUMNS.values()}
    assert set(plan.against) <= set(plan.rows)
    assert set(plan.against.values()) <= set(plan.rows)
    assert not plan.question or plan.against  # a question is answered by a difference
    asked = set().union(*(judges_of(system.columns) for system in plan.rows.values()))
    assert plan.judges <= asked


def test_the_rows_of_twins(machines):
    table = catalogue.open_experiment("", machines)
    assert isinstance(table, Table)
    assert list(table.rows) == ["ground_truth", "codec", "ours", "no_energy", "still"]
    assert set(table.seeds) == {"ours", "no_energy"}
    assert table.against == {"no_energy": "ours", "still": "ours"}
    assert set(table.twins) == set(TWINS)


def test_the_command_names_every_experiment(capsys):
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--help"])
    printed = "".join(capsys.readouterr().out.split())
    assert all(name in printed for name in catalogue.EXPERIMENTS)


def test_unknown_experiments(machines):
    with pytest.raises(catalogue.UnknownExperiment, match="robustness"):
        catalogue.open_experiment("luck", machines)
