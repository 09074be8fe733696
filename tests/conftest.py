"""For all tests: one thread for torch, and no test that needs a GPU where there is none."""

import sys

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("gpu"):
            import torch  # only the tests of a GPU pay for this import

            if not torch.cuda.is_available():
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session", autouse=True)
def one_thread_for_torch():
    if "torch" in sys.modules:  # the tests without torch do not wait for it
        sys.modules["torch"].set_num_threads(1)
