import pytest

from facespeak_jax.evaluation import request


@pytest.mark.parametrize("row", ["ours=x", "x", "=x", "no name=x"])
def test_rows_have_names_of_their_own(row):
    with pytest.raises(request.BadRow):
        request.named(row)


def test_a_row_is_a_name_and_where_its_weights_are():
    assert request.named("no_energy=W/a=b") == ("no_energy", "W/a=b")
