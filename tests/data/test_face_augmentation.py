import numpy as np
import pytest
from numpy.testing import assert_array_equal

from agegender.data.face_augmentation import CentreResize, FaceWarp
from agegender.data.samplers import Draws

PLAIN = {"shares": (1.0, 1.0), "turn_deg": 0.0, "contrast": 0.0, "brightness": 0.0, "grey": 0.0, "hole": 0.0}
NAMES = (
    "share", "left", "top", "turn", "flip", "contrast", "brightness", "grey", "hole", "hole_left", "hole_top",
)  # fmt: skip


def drawn(**changed):
    """Draws of 0.75, so that nothing is mirrored, grey or hidden, except where another value is given."""
    return Draws(np.array([changed.get(name, 0.75) for name in NAMES], np.float32), (0, 0, 0))


@pytest.fixture
def face():
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def test_as_many_uniforms_are_drawn_as_have_names():
    assert FaceWarp(32).num_uniforms == len(NAMES)


def test_a_warp_that_changes_nothing_returns_the_face(face):
    assert_array_equal(FaceWarp(32, **PLAIN)(face, drawn())["images"], face)


def test_half_of_the_faces_are_mirrored(face):
    warp = FaceWarp(32, **PLAIN)
    assert_array_equal(warp(face, drawn(flip=0.49))["images"], face[:, ::-1])
    assert_array_equal(warp(face, drawn(flip=0.5))["images"], face)


def test_the_crop_is_where_and_as_large_as_drawn(face):
    warp = FaceWarp(16, **PLAIN | {"shares": (0.5, 1.0)})
    crop = warp(face, drawn(share=0.0, left=0.25, top=0.5))["images"]
    assert_array_equal(crop, face[8:24, 4:20])


def test_a_face_is_turned_by_at_most_the_angle_and_black_beyond_it(face):
    turned = FaceWarp(32, **PLAIN | {"turn_deg": 90.0})(face, drawn(turn=1.0))["images"]
    assert np.abs(turned - np.rot90(face, 1).astype(int)).max() <= 1  # cut to whole numbers
    corner = FaceWarp(32, **PLAIN | {"turn_deg": 45.0})(face, drawn(turn=1.0))["images"][0, 0]
    assert_array_equal(corner, 0)


def test_light_is_a_line_through_the_middle_grey(face):
    found = FaceWarp(32, **PLAIN | {"contrast": 0.5, "brightness": 0.1})(face, drawn(contrast=1.0, brightness=0.0))
    expected = ((face.astype(float) - 128) * 1.5 + 128 - 25.5).clip(0, 255)
    assert np.abs(found["images"] - expected).max() < 1 + 1e-3  # cut to whole numbers


def test_a_share_of_the_faces_loses_its_colour(face):
    warp = FaceWarp(32, **PLAIN | {"grey": 0.2})
    grey = warp(face, drawn(grey=0.19))["images"]
    assert_array_equal(grey, np.repeat(face.mean(2, keepdims=True).astype(np.uint8), 3, 2))
    assert_array_equal(warp(face, drawn(grey=0.2))["images"], face)


def test_half_of_the_faces_have_a_hole_of_at_most_its_side(face):
    warp = FaceWarp(32, **PLAIN | {"hole": 0.5})
    holed = warp(face, drawn(hole=0.4999, hole_left=0.0, hole_top=0.999))["images"]
    assert_array_equal(holed[17:, :15], 124)
    holed[17:, :15] = face[17:, :15]
    assert_array_equal(holed, face)
    assert_array_equal(warp(face, drawn(hole=0.5))["images"], face)


def test_what_is_tested_is_the_centre_of_the_face(face):
    assert_array_equal(CentreResize(16, share=0.5)(face, drawn())["images"], face[8:24, 8:24])
    whole = CentreResize(8)(face, drawn())["images"]
    assert whole.shape == (8, 8, 3)
    assert abs(whole.mean() - face.mean()) < 3
