import numpy as np
import pytest

from configs import twins as trainings
from facespeak_jax import export, model
from facespeak_jax.evaluation.systems import twins
from facespeak_jax.evaluation.systems.manner import Manner


def test_every_twin_is_run_as_it_is_trained():
    assert set(twins.TWINS) == set(trainings.TWINS)
    for name in twins.TWINS:
        config, manner = trainings.get_config(name), twins.manner_of(name)
        for key in ("lips_hear", "head_hears", "voice_of"):
            if key in config.loss:
                assert config.loss[key] == getattr(manner, key), (name, key)
        assert f"configs/twins.py:{name}" in twins.advice(name)
        assert f"--row {name}=" in twins.advice(name)
        for part, arguments in config.model.items():
            if part not in model.NUMBERS:
                model.part(part, arguments.to_dict())  # takes them


def test_controls_train_what_they_control_for_as_long():
    for control, names in {
        "mapper_control": ("no_energy", "no_text"),
        "voice_control": ("with_motion",),
        "reducer_control": ("no_reducer",),
    }.items():
        steps = trainings.get_config(control).train.steps
        assert all(trainings.get_config(name).train.steps == steps for name in names)
        assert twins.manner_of(control) == Manner()
        for name in names:
            assert twins.control_of(name, (control, name)) == control
            assert twins.control_of(name, (name,)) == "ours"
    assert twins.control_of("cascade", tuple(twins.TWINS)) == "ours"
    assert twins.control_of("another", tuple(twins.TWINS)) == "ours"
    with pytest.raises(KeyError):
        trainings.get_config("nobody")


def test_a_twin_lies_over_ours():
    ours = export.Weights(
        {"a": {"x": np.zeros(1)}, "b": {"x": np.zeros(1)}},
        {"model": {"a": {"n": 1}, "b": {"n": 1}}, "symbols": ["s"]},
    )
    twin = export.Weights({"b": {"x": np.ones(2)}}, {"model": {"b": {"n": 2}}, "symbols": ["s"]})
    found = twins.overlaid(ours, twin)
    assert found.params["a"]["x"] == 0
    assert found.params["b"]["x"].shape == (2,)
    assert found.config["model"] == {"a": {"n": 1}, "b": {"n": 2}}
    assert found.config["symbols"] == ["s"]
