import itertools
import json

import jax
import pytest

from facespeak_jax.training import chips, speed


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def slow(self, count, seconds):
        """Numbers that take time to come."""
        for i in range(count):
            self.now += seconds
            yield i


def test_a_window_of_steps(monkeypatch):
    clock = Clock()
    meter = speed.Meter(clips=8, flops=2e12, clock=clock)
    for i in meter.inputs(clock.slow(5, 0.5)):
        clock.now += 10.0 if i == 0 else 1.5
        with meter.aside():
            clock.now += 7.0
        meter.step(count=i > 0)
    monkeypatch.setattr(chips, "of", lambda kind: chips.Chip("x", 2, 8.0, 1, 1, 1))
    found = meter.values()
    assert found["speed/steps_per_second"] == pytest.approx(0.5)
    assert found["speed/clips_per_second"] == pytest.approx(4.0)
    assert found["speed/input_wait"] == pytest.approx(0.25)
    assert found["speed/tflops_per_device"] == pytest.approx(1.0 / jax.device_count())
    assert found["speed/mfu"] == pytest.approx(0.25 / jax.device_count())  # two devices a chip
    assert meter.useful == pytest.approx(8.0)
    assert meter.values() == {}


def test_without_a_count_or_a_chip_there_is_no_such_figure():
    clock = Clock()
    meter = speed.Meter(clips=8, clock=clock)
    clock.now += 1
    meter.step()
    assert set(meter.values()) >= {"speed/steps_per_second", "speed/input_wait"}
    assert "speed/mfu" not in meter.values()


def test_goodput_over_restarts(tmp_path):
    clock = Clock()
    first = speed.Goodput(tmp_path, 0, clock)
    clock.now += 100
    first.saved(10, 60.0)
    first.saved(20, 80.0)
    assert first.share(80.0) == pytest.approx(0.8)
    clock.now += 100  # nobody trained
    second = speed.Goodput(tmp_path, 20, clock)
    assert second.share(0.0) == pytest.approx(0.4)
    clock.now += 200
    assert second.share(120.0) == pytest.approx(0.5)
    # Steps lost with a damaged checkpoint do not count.
    assert speed.Goodput(tmp_path, 10, clock).share(0.0) == pytest.approx(60 / 400)
    assert speed.Goodput(tmp_path, 0, clock).share(0.0) == 0  # begun again


@pytest.mark.parametrize("content", ["", "{", "[]", '{"began": 1}', json.dumps({"began": "x"})])
def test_a_damaged_file_loses_the_figure_alone(tmp_path, content):
    (tmp_path / speed.FILE).write_text(content)
    clock = Clock()
    goodput = speed.Goodput(tmp_path, 5, clock)
    clock.now += 10
    assert goodput.share(5.0) == pytest.approx(0.5)


def test_inputs_are_passed_on_in_order():
    meter = speed.Meter(clips=1)
    assert list(meter.inputs(itertools.islice(itertools.count(), 4))) == [0, 1, 2, 3]
