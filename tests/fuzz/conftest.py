"""Cases run in a folder of their own: some odd values are names of files."""

import pytest
from fuzz_run import scratch


@pytest.fixture(autouse=True)
def _scratch():
    with scratch():
        yield
