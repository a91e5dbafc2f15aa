import pytest

from tests.launch.standin import Cloud


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)
