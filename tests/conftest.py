"""For every test: ranks never promote silently, absl flags count as parsed, compiling is quick."""

import jax
import pytest
from absl import flags

from tests import synthetic

flags.FLAGS.mark_as_parsed()
jax.config.update("jax_numpy_rank_promotion", "raise")
# Nearly all the time of the tests is XLA's; programs this small need none of its optimisations.
jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Programs that several tests compile alike are compiled once a session."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A directory of made-up clips: 64 px, 48 frames, 4 + 1 + 1 speakers, two clips each."""
    return synthetic.write(str(tmp_path_factory.mktemp("corpus")))
