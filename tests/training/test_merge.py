import json

import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax import export
from facespeak_jax.training import checkpoint, merge, state


def workdir(root, part: str, value: float, arguments: dict):
    """A workdir whose stage trained `part` and a readout that no sampling needs."""
    kernel = jnp.full((2, 2), value)
    fresh = {"model": {part: {"kernel": kernel}, "readout": {"kernel": kernel}}}
    made = state.create(fresh, {"model": state.optax.sgd(0.1)})
    made = made.replace(ema={name: {"kernel": kernel + 1} for name in (part, "readout")})
    checkpoints = checkpoint.Checkpoints(root, keep=1, keep_every=0)
    checkpoints.save(made, 1)
    checkpoints.close()
    config = {"model": {"style": 8, part: arguments}}
    (root / "config.json").write_text(json.dumps(config))
    return root


def test_merging_takes_the_average_of_every_stage(tmp_path):
    dirs = [tmp_path / name for name in ("a", "b", "c", "out")]
    for path in dirs:
        path.mkdir()
    one = workdir(dirs[0], "encoder", 1.0, {"widths": [8]})
    two = workdir(dirs[1], "vocoder", 2.0, {"width": 4})
    merge.merge([one, two], dirs[3])
    weights = export.load(dirs[3])
    assert set(weights.params) == {"encoder", "vocoder"}
    np.testing.assert_array_equal(weights.params["encoder"]["kernel"], np.full((2, 2), 2.0))
    np.testing.assert_array_equal(weights.params["vocoder"]["kernel"], np.full((2, 2), 3.0))
    assert weights.config["model"]["vocoder"] == {"width": 4}
    assert weights.config["symbols"][0] == "<pad>"
    other = workdir(dirs[2], "encoder", 1.0, {"widths": [16]})
    with pytest.raises(export.BadWeights, match=r"model.encoder = .*16"):
        merge.merge([one, other], dirs[3])
