import jax
import pytest

from facespeak_jax.training import chips


@pytest.fixture(autouse=True)
def no_tpu_here(monkeypatch, tmp_path):
    monkeypatch.setattr(chips, "BUS", tmp_path)
    chosen = jax.config.values["jax_platforms"]
    jax.config.update("jax_platforms", None)
    yield
    jax.config.update("jax_platforms", chosen)


def plug_in(bus, number, vendor="0x1ae0"):
    (bus / number).mkdir()
    (bus / number / "vendor").write_text(vendor + "\n")
    (bus / number / "device").write_text(number + "\n")


def test_nothing_says_that_a_tpu_should_be_here():
    assert chips.expected({}) == ""
    assert chips.expected({"JAX_PLATFORMS": "cpu", "TPU_ACCELERATOR_TYPE": "v5litepod-8"}) == ""
    chips.require({})


@pytest.mark.parametrize(
    "environment", [{"JAX_PLATFORMS": "tpu,cpu"}, {"TPU_WORKER_HOSTNAMES": "a,b"}]
)
def test_a_tpu_that_is_expected_must_be_there(environment):
    (name,) = environment
    with pytest.raises(chips.NoTPU, match=f"{name}.*only a CPU; end the.*JAX_PLATFORMS=cpu"):
        chips.require(environment)


def test_a_tpu_on_the_bus_is_expected(tmp_path):
    plug_in(tmp_path, "0x0042")  # a network card by the same maker
    plug_in(tmp_path, "0x0027", vendor="0x8086")
    assert chips.expected({}) == ""
    plug_in(tmp_path, "0x0063")
    with pytest.raises(chips.NoTPU, match="PCI bus"):
        chips.require({})


def test_a_tpu_that_is_in_use_is_told_in_one_line(monkeypatch):
    def fail():
        raise RuntimeError("Unable to initialize backend 'tpu': in use\nby process 7")

    monkeypatch.setattr(jax, "default_backend", fail)
    with pytest.raises(chips.NoTPU, match=r"cannot be used \(Unable.*in use\)"):
        chips.require({"JAX_PLATFORMS": "tpu"})


def test_a_chosen_cpu_is_respected():
    jax.config.update("jax_platforms", "cpu")
    chips.require({"TPU_ACCELERATOR_TYPE": "v5litepod-8"})


def test_the_table():
    assert chips.of("TPU v5 lite") is chips.CHIPS["v5e"]
    assert chips.of("cpu") is None
    for chip in chips.CHIPS.values():
        # Operations a byte: a slip of a decimal point would show.
        assert 150 < 1000 * chip.tflops / chip.hbm_gb_s < 600
        assert chip.ici_gb_s < chip.hbm_gb_s
