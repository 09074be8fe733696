"""For all tests: one thread for torch, no test that needs a GPU where there is none, no file in the checkout."""

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


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


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what a kernel needs of a checkout, so that nothing is written into the real one."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("notebooks", "presets"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder
