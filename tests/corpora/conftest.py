"""Miniatures on disk."""

import pytest

from agegender.miniatures import layouts


@pytest.fixture(scope="session")
def adience_miniature(tmp_path_factory):
    return layouts.write_adience(tmp_path_factory.mktemp("corpora") / "adience", num_subjects=20, seed=1, size_px=48)


@pytest.fixture(scope="session")
def packs(tmp_path_factory):
    root = tmp_path_factory.mktemp("packs")
    layouts.write_fairface(root, num_subjects=60, seed=1, size_px=64)
    return layouts.write_utkface(root, num_subjects=60, seed=2, size_px=64)
