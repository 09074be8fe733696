"""What only the cache of faces does; ``test_cache_files`` has what it shares with that of clips."""

import os

import numpy as np
import pytest

from agegender.data.caches import cache_images
from agegender.data.images import decode_image


def test_a_cache_of_faces_is_one_array_of_pixels(faces, folder):
    cache = cache_images(faces, folder, size_px=10)
    assert cache.images.shape == (8, 10, 10, 3)
    assert cache.images.dtype == np.uint8
    assert cache.rows.tolist() == list(range(8))


@pytest.mark.parametrize("resize", ["filtered", "tensorflow_1", "tensorflow_2", "opencv"])
def test_faces_are_resized_as_it_was_asked_for(faces, folder, resize):
    cache = cache_images(faces, folder, 5, resize)
    for row, path in enumerate(faces.examples["path"]):
        assert np.array_equal(cache.images[row], decode_image(faces.root / path, 5, resize))


def test_other_sizes_other_labels_and_other_faces_have_caches_of_their_own(faces, folder, decoded):
    cache_images(faces, folder, 10)
    cache_images(faces, folder, 9)
    cache_images(faces, folder, 10, "opencv")
    cache_images(faces.select(faces.examples["path"] != "0.png"), folder, 10)
    assert len(decoded) == 4 * 8 - 1
    assert len(list(folder.glob("*.npy"))) == 4


def test_an_unreadable_face_keeps_its_place_in_the_array_and_no_example_points_to_it(faces, folder):
    (faces.root / "2.png").write_bytes(b"")
    cache = cache_images(faces, folder, 10, max_unreadable_share=0.5)
    assert cache.images.shape == (8, 10, 10, 3)
    assert cache.rows.tolist() == [0, 1, 3, 4, 5, 6, 7]


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot claim disk space")
def test_the_space_is_claimed_before_anything_is_decoded(faces, folder, decoded, monkeypatch):
    """A full disk under mapped memory would end the process without a word."""

    def full(handle, offset, length):
        assert length > 8 * 10 * 10 * 3
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left on device: the decoded faces need 0 MiB"):
        cache_images(faces, folder, 10)
    assert decoded == []
    assert list(folder.iterdir()) == []
