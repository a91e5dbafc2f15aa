"""What a TPU is given of a whole training step: nothing that would leave it or vary in shape."""

import re

import jax
import pytest

from facespeak_jax.speech import durations
from launch.aot import programs
from launch.aot.pairs import Pair


def lowered(traced):
    return traced.lower(lowering_platforms=("tpu",)).as_text()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["joint", "vocoder"])
def test_a_step_stays_on_the_device(stage):
    pair = Pair(f"configs/smoke.py:{stage}", "cpu:1", 2)
    ((_, traced),) = programs.traced(pair, jax.devices()[:1])
    text = lowered(traced)
    assert "callback" not in text
    assert not re.search(r"(infeed|outfeed|stablehlo\.(send|recv)|host_)", text)
    assert not re.search(r"tensor<[^>]*\?", text)  # a size that only the device knows
    # Modulated and depthwise convolutions are plain ones: a kernel a group would idle the TPU.
    convolutions = re.findall(r"stablehlo\.convolution.*", text)
    assert convolutions
    for line in convolutions:
        assert "batch_group_count = 1 " in line
        assert "feature_group_count = 1 " in line


def test_the_alignment_is_searched_by_a_loop_on_the_device():
    shapes = (
        jax.ShapeDtypeStruct((2, 5, 9), "float32"),
        *(jax.ShapeDtypeStruct((2,), "int32"),) * 2,
    )
    text = lowered(jax.jit(durations.maximum_path).trace(*shapes))
    assert text.count("stablehlo.while") == 2  # over the frames, forth and back
    assert "callback" not in text
