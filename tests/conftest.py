"""What the tests of all floors share."""

import pytest


@pytest.fixture(scope="module")
def one_thread():
    """Train with one torch thread: small batches lose more to waiting threads than they gain."""
    import torch  # tests of the lower floors load none

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)
