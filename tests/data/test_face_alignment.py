import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.nn.functional import grid_sample

from agegender.data import face_alignment
from agegender.data.face_alignment import align_face, cache_aligned_faces, reference_points, similarity
from agegender.data.images import cache_images
from agegender.data.manifest import TooManyQuarantinedError, build_manifest
from agegender.data.mtcnn import FaceDetector
from tests.photographs import draw, photo_of

EYES_DISTANCE_112 = 35.24


def turned(degrees, scale=1.0, shift=(0.0, 0.0)):
    """The (2, 3) matrix of a rotation, then scaling, then shift."""
    a, b = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[a, -b, shift[0]], [b, a, shift[1]]])


def applied(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


def umeyama(points, targets):
    """The estimate as the paper writes it, by a singular value decomposition."""
    p, q = points - points.mean(0), targets - targets.mean(0)
    u, d, vt = np.linalg.svd(q.T @ p / len(p))
    sign = np.diag([1, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    linear = u @ sign @ vt * np.trace(np.diag(d) @ sign) / p.var(0).sum()
    return np.hstack([linear, (targets.mean(0) - linear @ points.mean(0))[:, None]])


def smooth_picture(size):
    y, x = np.mgrid[:size, :size] / size
    waves = [np.sin(3 * x + 2 * y), np.cos(4 * x - y), np.sin(2 * x * y + 1)]
    return np.rint(127 + 100 * np.stack(waves, -1)).astype(np.uint8)


def test_the_published_points_are_those_of_tight_at_112_and_of_loose_at_224():
    tight = [(38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20)]
    loose = [(88.39, 106.26), (135.38, 106.00), (112.03, 132.98), (92.73, 160.49), (131.64, 160.27)]
    np.testing.assert_allclose(reference_points(112, "tight"), tight, atol=1e-12)
    np.testing.assert_allclose(reference_points(224, "loose"), loose, atol=1e-12)


def test_at_other_sizes_the_points_keep_their_places_on_the_pixels_edges_and_not_on_their_centres():
    """A pixel reaches half a pixel to each side of its centre: at twice the size 38.29 is 77.08, and not 76.58."""
    large, small = reference_points(224, "tight"), reference_points(56, "tight")
    np.testing.assert_allclose(large[0], (77.08, 103.9), atol=1e-9)
    np.testing.assert_allclose(small[0], (18.895, 25.6), atol=1e-9)
    np.testing.assert_allclose(reference_points(112, "loose")[0], (43.945, 52.88), atol=1e-9)


def test_the_loose_crop_shows_the_face_at_two_thirds_of_its_size():
    tight, loose = (np.linalg.norm(np.subtract(*reference_points(224, crop)[:2])) for crop in ("tight", "loose"))
    assert tight / 224 == pytest.approx(EYES_DISTANCE_112 / 112, abs=1e-4)
    assert loose / tight == pytest.approx(2 / 3, abs=1e-3)


@pytest.mark.parametrize("crop", ["tight", "loose"])
def test_size_and_crop_are_told_apart_the_same_crop_at_half_the_size_is_the_same_picture(crop):
    picture, points = smooth_picture(900), applied(turned(12, 3.1, (320, 230)), reference_points(112, "tight"))
    large = align_face(picture, points, 224, crop).astype(float)
    halved = large.reshape(112, 2, 112, 2, 3).mean((1, 3))
    np.testing.assert_allclose(align_face(picture, points, 112, crop)[3:-3, 3:-3], halved[3:-3, 3:-3], atol=2.5)


@pytest.mark.parametrize(("degrees", "scale", "shift"), [(0, 1, (0, 0)), (30, 0.4, (5, -7)), (-170, 3, (-40, 9))])
def test_a_known_rotation_scaling_and_shift_is_recovered(degrees, scale, shift):
    points, matrix = reference_points(112, "tight"), turned(degrees, scale, shift)
    np.testing.assert_allclose(similarity(points, applied(matrix, points)), matrix, atol=1e-10)


def test_points_that_do_not_fit_get_the_estimate_of_the_paper():
    rng = np.random.default_rng(0)
    for _ in range(5):
        points, targets = rng.normal(size=(2, 5, 2)) * 20
        np.testing.assert_allclose(similarity(points, targets), umeyama(points, targets), atol=1e-10)


def test_mirrored_points_are_turned_and_not_mirrored():
    points = reference_points(112, "tight")
    mirrored = points * (-1, 1)
    matrix = similarity(points, mirrored)
    assert np.linalg.det(matrix[:, :2]) > 0
    np.testing.assert_allclose(matrix, umeyama(points, mirrored), atol=1e-10)


def test_points_that_are_all_one_are_refused():
    with pytest.raises(ValueError, match="no direction can be told"):
        similarity(np.full((5, 2), 7.0), reference_points(112, "tight"))


def test_an_unknown_crop_is_refused():
    with pytest.raises(ValueError, match="unknown crop 'wide': expected tight or loose"):
        reference_points(112, "wide")


def test_landmarks_that_lie_on_the_reference_points_leave_the_picture_as_it_is():
    picture = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    np.testing.assert_array_equal(align_face(picture, reference_points(112, "tight"), 112, "tight"), picture)


def test_a_face_that_grows_is_what_torch_samples():
    picture = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    to_picture = turned(17, 0.3, (20, 25))
    places = applied(to_picture, np.stack(np.meshgrid(np.arange(112), np.arange(112)), -1).reshape(-1, 2))
    grid = torch.tensor((places + 0.5) / (90, 80) * 2 - 1).view(1, 112, 112, 2)
    sampled = grid_sample(torch.tensor(picture).double().permute(2, 0, 1)[None], grid, align_corners=False)[0]
    ours = align_face(picture, applied(to_picture, reference_points(112, "tight")), 112, "tight")
    assert places.min() > 0
    assert (places.max(0) < (89, 79)).all()
    np.testing.assert_allclose(ours, sampled.permute(1, 2, 0), atol=0.51)


def test_a_large_face_is_averaged_and_not_sampled_here_and_there():
    stripes = np.zeros((896, 896, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than any pixel of the face: grey
    face = align_face(stripes, applied(turned(20, 8), reference_points(112, "tight")), 112, "tight")
    inside = face[40:70, 40:70].astype(float)
    assert inside.mean() == pytest.approx(127.5, abs=3)
    assert inside.std() < 6


@pytest.mark.parametrize("resize", ["opencv", "filtered"])
def test_a_face_that_shrinks_is_only_sampled_as_published_and_filtered_as_intended(resize):
    picture = np.random.default_rng(0).integers(0, 256, (400, 420, 3), dtype=np.uint8)
    to_picture = turned(17, 3.2, (20, 25))
    places = applied(to_picture, np.stack(np.meshgrid(np.arange(40, 70), np.arange(40, 70)), -1).reshape(-1, 2))
    grid = torch.tensor((places + 0.5) / (420, 400) * 2 - 1).view(1, 30, 30, 2)
    sampled = grid_sample(torch.tensor(picture).double().permute(2, 0, 1)[None], grid, align_corners=False)[0]
    landmarks = applied(to_picture, reference_points(112, "tight"))
    difference = align_face(picture, landmarks, 112, "tight", resize)[40:70, 40:70] - sampled.permute(1, 2, 0).numpy()
    assert np.abs(difference).max() < 0.6 if resize == "opencv" else np.abs(difference).mean() > 10


def test_what_is_outside_the_picture_is_black():
    white = np.full((50, 50, 3), 255, np.uint8)
    face = align_face(white, applied(turned(0, 1, (-31, 0)), reference_points(112, "tight")), 112, "tight")
    assert (face[:50, :31] == 0).all()
    assert (face[:50, 31:81] == 255).all()
    assert (face[51:] == 0).all()
    assert (align_face(white, reference_points(112, "tight") + 500, 112, "tight") == 0).all()


def photographs(folder, **files):
    for name, picture in files.items():
        picture.save(folder / f"{name}.png")
    rows = pd.DataFrame({"path": [f"{name}.png" for name in files], "subject": list(files)})
    return build_manifest(rows.assign(corpus="photos", modality="face"), root=folder)


def test_the_cache_holds_upright_faces_and_sets_aside_the_others_with_their_reason(tmp_path):
    face = draw(200)
    two = Image.new("RGB", (400, 200), "white")
    two.paste(face, (0, 0))
    two.paste(draw(200, number=1), (200, 0))
    pictures = {
        "one": photo_of(face),
        "leaning": photo_of(face).rotate(25),
        "none": Image.new("RGB", (90, 90)),
        "two": two,
    }
    manifest = photographs(tmp_path, **pictures)
    cache = cache_aligned_faces(manifest, tmp_path / "cache", 112, "tight")
    assert cache.manifest.examples["path"].tolist() == ["one.png", "leaning.png"]
    reasons = dict(zip(cache.manifest.quarantine["path"], cache.manifest.quarantine["reason"], strict=True))
    assert reasons == {"none.png": face_alignment.NO_FACE, "two.png": face_alignment.SEVERAL_FACES}
    one, leaning = (cache[row].astype(float) for row in (0, 1))
    assert np.corrcoef(one[20:-20, 20:-20].ravel(), leaning[20:-20, 20:-20].ravel())[0, 1] > 0.8
    unturned = np.asarray(pictures["leaning"].resize((112, 112)), dtype=float)
    assert np.corrcoef(one[20:-20, 20:-20].ravel(), unturned[20:-20, 20:-20].ravel())[0, 1] < 0.6


def test_another_size_or_crop_looks_for_no_face_again(tmp_path, monkeypatch):
    manifest = photographs(tmp_path, one=photo_of(draw(200)))
    first = cache_aligned_faces(manifest, tmp_path / "cache", 112, "tight")
    monkeypatch.setattr(FaceDetector, "find", lambda self, images: [1 / 0 for _ in images])
    again = cache_aligned_faces(manifest, tmp_path / "cache", 112, "tight")
    loose = cache_aligned_faces(manifest, tmp_path / "cache", 224, "loose")
    np.testing.assert_array_equal(again[0], first[0])
    assert loose[0].shape == (224, 224, 3)


def test_faces_that_are_aligned_already_are_only_decoded(tmp_path, monkeypatch):
    rows = pd.DataFrame({"path": ["a.png"], "subject": ["a"], "corpus": "faces", "modality": "face"})
    draw(150).save(tmp_path / "a.png")
    manifest = build_manifest(rows, root=tmp_path, is_aligned=True)
    monkeypatch.setattr(face_alignment, "FaceDetector", None)
    aligned = cache_aligned_faces(manifest, tmp_path / "cache", 112, "tight")
    np.testing.assert_array_equal(aligned[0], cache_images(manifest, tmp_path / "cache", 112)[0])


def test_too_many_broken_files_or_pictures_without_a_face_stop_it(tmp_path, monkeypatch):
    empty = {f"empty{number}": Image.new("RGB", (60 + number, 60)) for number in range(3)}
    manifest = photographs(tmp_path, one=photo_of(draw(200)), **empty)
    with pytest.raises(TooManyQuarantinedError, match=r"3 of 4 files cannot be used.* First: no face"):
        cache_aligned_faces(manifest, tmp_path / "cache", 112, "tight")
    monkeypatch.setattr(face_alignment, "MAX_FACELESS_SHARE", 1)
    (tmp_path / "empty0.png").write_bytes(b"no picture")
    with pytest.raises(TooManyQuarantinedError, match=r"1 of 4 files cannot be decoded.*empty0\.png"):
        cache_aligned_faces(manifest, tmp_path / "cache", 112, "tight")
    monkeypatch.setattr(face_alignment, "MAX_UNREADABLE_SHARE", 0.3)
    kept = cache_aligned_faces(manifest, tmp_path / "cache", 112, "tight")
    assert len(kept.manifest) == 1
