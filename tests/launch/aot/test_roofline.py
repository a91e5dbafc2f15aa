import pytest

from facespeak_jax.training import chips
from facespeak_jax.training.chips import Chip
from launch.aot import roofline

CHIP = Chip("x", 2, tflops=200, hbm_gb=16, hbm_gb_s=1000, ici_gb_s=400)  # of two devices


def test_each_resource_by_its_published_figure():
    found = roofline.bound(CHIP, flops=1e12, useful=0.5e12, moved=1e9, sent=1e8)
    assert found.compute == pytest.approx(1 / 100)
    assert found.hbm == pytest.approx(1 / 500)
    assert found.ici == pytest.approx(0.1 / 100)  # one way: half of the figure
    assert found.binds == "compute"
    assert found.mfu == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("moved", "sent", "binds", "mfu"),
    [(20e9, 0, "HBM", 0.25), (0, 8e9, "ICI", 0.125), (5e9, 1e9, "compute", 1.0)],
)
def test_the_slowest_binds(moved, sent, binds, mfu):
    found = roofline.bound(CHIP, flops=1e12, useful=1e12, moved=moved, sent=sent)
    assert (found.binds, found.mfu) == (binds, pytest.approx(mfu))
    assert found.seconds == pytest.approx(0.01 / mfu)


def test_work_in_loops_is_not_lost():
    found = roofline.bound(CHIP, flops=1e12, useful=5e12, moved=0, sent=0)
    assert found.seconds == pytest.approx(0.05)
    assert found.mfu == 1


def test_a_plain_generator_of_256_pixels_is_bound_by_memory():
    found = roofline.bound(chips.CHIPS["v5e"], flops=0.71e12, useful=0.71e12, moved=38e9, sent=0)
    assert 1e3 * found.compute == pytest.approx(3.6, abs=0.1)
    assert 1e3 * found.seconds == pytest.approx(46.4, abs=0.1)
    assert found.binds == "HBM"
