import hashlib
import pickle

import flax.linen as nn
import jax
import numpy as np
import pytest

from facespeak_jax import export

CONFIG = {"model": {"size": 64, "encoder": {"widths": [8, 16]}}, "symbols": ["<pad>", "AA0"]}


def params():
    rng = np.random.default_rng(0)
    return {
        "encoder": {"stem": {"kernel": rng.normal(size=(3, 3)).astype(np.float32)}},
        "vocoder": {"exit": {"bias": np.arange(4, dtype=np.int32)}},
    }


@pytest.fixture
def directory(tmp_path):
    export.save(tmp_path, params(), CONFIG)
    return tmp_path


def test_round_trip_at_half_precision(directory):
    weights = export.load(directory)
    kernel = params()["encoder"]["stem"]["kernel"]
    back = weights.params["encoder"]["stem"]["kernel"]
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, kernel.astype(np.float16))
    np.testing.assert_array_equal(weights.params["vocoder"]["exit"]["bias"], [0, 1, 2, 3])
    assert weights.config == CONFIG
    assert weights.model.encoder.widths == [8, 16]


def test_the_same_weights_give_the_same_bytes(directory, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    export.save(other, params(), CONFIG)
    for name in (export.WEIGHTS, export.CONFIG, export.SUMS):
        assert (other / name).read_bytes() == (directory / name).read_bytes()


def test_only_the_parts_asked_for(directory):
    assert set(export.load(directory, ["vocoder"]).params) == {"vocoder"}
    with pytest.raises(export.BadWeights, match="no sampler; it has encoder, vocoder"):
        export.load(directory, ["sampler"])


@pytest.mark.parametrize("name", [export.WEIGHTS, export.CONFIG])
def test_a_changed_file_is_refused(directory, name):
    content = bytearray((directory / name).read_bytes())
    content[-2] ^= 1
    (directory / name).write_bytes(content)
    with pytest.raises(export.BadWeights, match=rf"{name} does not match SHA256SUMS"):
        export.load(directory)


@pytest.mark.parametrize("name", [export.WEIGHTS, export.CONFIG, export.SUMS])
def test_a_missing_file_is_named(directory, name):
    (directory / name).unlink()
    with pytest.raises(export.BadWeights, match=f"{name} is missing"):
        export.load(directory)


def test_a_pickle_is_never_read(directory):
    content = pickle.dumps({"encoder": 1})
    (directory / export.WEIGHTS).write_bytes(content)
    lines = (directory / export.SUMS).read_text().splitlines()
    lines[1] = f"{hashlib.sha256(content).hexdigest()}  {export.WEIGHTS}"
    (directory / export.SUMS).write_text("\n".join(lines) + "\n")
    with pytest.raises(export.BadWeights, match="cannot be read"):
        export.load(directory)


def test_numbers_beyond_half_precision_are_refused(tmp_path):
    for bad in (1e5, np.nan):
        with pytest.raises(export.BadWeights, match="encoder/kernel"):
            export.save(tmp_path, {"encoder": {"kernel": np.full(2, bad, np.float32)}}, CONFIG)


def test_shapes_are_compared_with_the_differences_shown(directory):
    weights = export.load(directory).params
    export.check_shapes(weights, params(), "w")
    other = params()
    other["encoder"]["stem"] = {"kernel": np.zeros((3, 4)), "bias": np.zeros(4)}
    with pytest.raises(export.BadWeights) as caught:
        export.check_shapes(weights, other, "w")
    assert "encoder/stem/kernel: (3, 3) in w, (3, 4) in the model" in str(caught.value)
    assert "encoder/stem/bias: missing in w, (4,) in the model" in str(caught.value)


def test_parameters_of_another_version_are_bad_weights():
    part, x = nn.Dense(3), np.ones((1, 2), np.float32)
    good = part.init(jax.random.key(0), x)
    run = export.fitting(part.apply)
    np.testing.assert_array_equal(run(good, x), part.apply(good, x))
    renamed = {"params": {"weight": good["params"]["kernel"], "bias": good["params"]["bias"]}}
    wider = {"params": {"kernel": np.ones((4, 3), np.float32), "bias": good["params"]["bias"]}}
    for other in (renamed, wider, {}):
        with pytest.raises(export.BadWeights, match="another model"):
            run(other, x)
