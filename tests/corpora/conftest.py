"""Miniatures on disk."""

import pytest

from agegender.miniatures import face_corpora


@pytest.fixture(scope="session")
def adience_miniature(tmp_path_factory):
    return face_corpora.write_adience(
        tmp_path_factory.mktemp("corpora") / "adience", num_subjects=20, seed=1, size_px=48
    )


@pytest.fixture(scope="session")
def packs(tmp_path_factory):
    root = tmp_path_factory.mktemp("packs")
    face_corpora.write_fairface(root, num_subjects=60, seed=1, size_px=64)
    return face_corpora.write_utkface(root, num_subjects=60, seed=2, size_px=64)
