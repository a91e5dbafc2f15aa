import logging

import jax
import jax.numpy as jnp
import numpy as np

from facespeak_jax.training import compiling


def test_another_shape_is_named_once(caplog):
    watch = compiling.Watch()
    small, large = {"image": np.zeros((8, 192), np.uint8)}, {"image": np.zeros((8, 200), np.uint8)}
    with caplog.at_level(logging.WARNING):
        for step, batch in enumerate([small, small, large, small, large]):
            watch.see(batch, step)
    assert watch.again == 1
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "Step 2 is compiled again: image is uint8 (8, 200), was uint8 (8, 192)"


def test_an_input_that_comes_and_goes_is_named(caplog):
    watch = compiling.Watch()
    with caplog.at_level(logging.WARNING):
        watch.see({"a": np.zeros(2)}, 0)
        watch.see({"a": np.zeros(2), "b": np.zeros(3)}, 1)
    assert "b is float64 (3,), was absent" in caplog.text


def test_hits_of_the_cache_are_counted(tmp_path):
    before = jax.config.values["jax_compilation_cache_dir"]
    least = jax.config.values["jax_persistent_cache_min_compile_time_secs"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    try:
        from jax.experimental.compilation_cache import compilation_cache

        compilation_cache.reset_cache()
        x = jnp.arange(7.0)
        with compiling.Counter() as counter:
            for _ in range(2):
                jax.jit(lambda x: jnp.sin(x) * 3 + 1)(x)
                jax.clear_caches()
        with compiling.Counter() as other:
            pass
        assert (counter.asked, counter.hits) == (2, 1)
        assert str(counter) == f"1 of 2 programs came from the compile cache {tmp_path}"
        assert other.asked == 0
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least)
        compilation_cache.reset_cache()


def test_the_cache_lies_in_the_workdir_unless_jax_was_told_otherwise(tmp_path):
    before = jax.config.values["jax_compilation_cache_dir"]
    try:
        jax.config.update("jax_compilation_cache_dir", "elsewhere")
        compiling.keep(tmp_path)
        assert jax.config.values["jax_compilation_cache_dir"] == "elsewhere"
        jax.config.update("jax_compilation_cache_dir", None)
        compiling.keep(tmp_path)
        assert jax.config.values["jax_compilation_cache_dir"] == str(tmp_path / "compiled")
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
