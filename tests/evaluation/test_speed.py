import pytest

from facespeak_jax import export
from facespeak_jax.evaluation import speed
from facespeak_jax.evaluation.systems import random_weights
from facespeak_jax.face import portrait
from tests import tiny


@pytest.fixture(autouse=True)
def face_is_known(monkeypatch):
    crop = portrait.align(speed.astronaut(), size=tiny.SIZE)
    monkeypatch.setattr(portrait, "align", lambda source, size: crop)


def test_every_step_is_measured(tmp_path):
    found = speed.measure(export.load(tiny.write(tmp_path)), b"", "Hello there.", runs=2)
    assert list(found.steps) == list(speed.STEPS)
    assert all(len(runs) == 2 and min(runs) > 0 for runs in found.steps.values())
    assert found.totals[0] == pytest.approx(sum(runs[0] for runs in found.steps.values()))
    assert found.memory > 0.05
    assert not found.missing


def test_absent_parts_are_said_and_the_rest_measured(tmp_path, capsys):
    tiny.write(tmp_path, tiny.FACE)
    assert speed.main(["--weights", str(tmp_path), "--runs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "face encoding" in printed
    assert "vocoder |" not in printed
    assert "lack them: voice_reader, voice_code, text_encoder" in printed


def test_a_config_stands_in_for_weights(capsys):
    assert speed.main(["--config", "configs/smoke.py:joint", "--runs", "1"]) == 0
    assert "| vocoder |" in capsys.readouterr().out


def test_a_config_that_is_not_there(capsys):
    assert speed.main(["--config", "configs/none.py:joint"]) == 1
    assert "configs/lite.py:joint" in capsys.readouterr().err
    with pytest.raises(random_weights.BadConfig, match="vocoder"):
        random_weights.of_config("configs/smoke.py:face")
