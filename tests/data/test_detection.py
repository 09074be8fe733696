import sys

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image
from torch.nn.functional import adaptive_avg_pool2d

from agegender.data import face_alignment, known_files, mtcnn
from agegender.data.face_alignment import NO_FACE, OUTSIDE, SEVERAL_FACES, SMALL, find_faces, problem_of
from agegender.data.images import decode_whole
from agegender.data.integral_image import area_resize, cut_out, integral_image
from agegender.data.manifest import UnreadableFileError
from agegender.data.mtcnn import FaceDetector, Faces
from tests.photographs import draw, photo_of


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


def pixels(picture):
    return np.asarray(picture)


def test_a_shrunk_picture_is_what_torch_pools():
    image = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    pooled = adaptive_avg_pool2d(torch.tensor(image).permute(2, 0, 1).double(), (23, 90))
    np.testing.assert_allclose(area_resize(integral_image(image), 23, 90), pooled.permute(1, 2, 0), rtol=1e-5)


@pytest.mark.parametrize("box", [(0, 0, 83, 61), (80, 59, 83, 61), (5, 7, 6, 8), (10, 3, 60, 50)])
def test_a_box_that_is_cut_out_is_what_torch_pools(box):
    image = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    left, top, right, bottom = box
    part = torch.tensor(image[top:bottom, left:right]).permute(2, 0, 1).double()
    pooled = adaptive_avg_pool2d(part, 24).permute(1, 2, 0)
    np.testing.assert_allclose(cut_out(integral_image(image), np.array([box, box]), 24)[1], pooled, rtol=1e-5)


def test_sums_that_wrap_around_still_give_means():
    white = np.full((40, 40, 3), 255, np.uint8)
    late = integral_image(white) + np.int32(2**31 - 60_000)  # as below and right of 8 million white pixels
    assert late[0, 0, 0] > 0 > late[-1, -1, 0]
    np.testing.assert_array_equal(cut_out(late, np.array([[10, 10, 40, 40]]), 2), np.full((1, 2, 2, 3), 255.0))


def test_finds_what_the_library_finds_one_by_one(detector):
    from facenet_pytorch import MTCNN

    library = MTCNN(keep_all=True, select_largest=False, thresholds=[0.6, 0.7, 0.8]).eval()
    crowd = Image.new("RGB", (420, 260), "grey")
    for number, place in enumerate([(0, 0), (210, 10), (300, 130)]):
        crowd.paste(draw(120 + 20 * number, number), place)
    pictures = [crowd, draw(128), photo_of(draw(150, 3)), draw(128, 2), photo_of(draw(90), 131, 177), draw(91, 4)]
    ours = detector.find([pixels(picture) for picture in pictures])
    assert len(ours[0]) >= 2
    for picture, found in zip(pictures, ours, strict=True):
        boxes, scores, landmarks = library.detect(picture, landmarks=True)
        assert boxes is not None
        np.testing.assert_allclose(found.boxes, boxes.astype(float), atol=0.01)
        np.testing.assert_allclose(found.scores, np.array(scores, float), atol=1e-4)
        np.testing.assert_allclose(found.landmarks, landmarks.astype(float), atol=0.01)


def test_what_the_third_net_is_surer_of_than_80_percent_is_a_face(detector, monkeypatch):
    """The threshold of the published port; that of the library's own default is 0.7."""
    chances = torch.tensor([0.95, 0.85, 0.805, 0.795, 0.6])
    corners = torch.arange(5)[:, None] * 60.0 + 1
    boxes = torch.cat([corners, corners, corners + 40, corners + 40, torch.zeros(5, 5)], 1)
    answer = [torch.zeros(5, 4), torch.zeros(5, 10), torch.stack([1 - chances, chances], 1)]
    monkeypatch.setattr(detector, "_ask", lambda net, pixels: answer)
    (found,) = detector._located([integral_image(np.zeros((400, 400, 3), np.uint8))], boxes, torch.zeros(5).long())
    np.testing.assert_allclose(found.scores, [0.95, 0.85, 0.805], atol=1e-6)


def test_a_picture_gets_the_same_answer_in_any_company(detector):
    pictures = [pixels(photo_of(draw(100 + 20 * number, number))) for number in range(4)]
    together = detector.find(pictures)[2]
    (alone,) = detector.find(pictures[2:3])
    np.testing.assert_allclose(together.boxes, alone.boxes, atol=0.01)
    np.testing.assert_allclose(together.landmarks, alone.landmarks, atol=0.01)


def test_landmarks_move_with_the_face(detector):
    here, there = photo_of(draw(120)), Image.new("RGB", (320, 260), (196, 205, 200))
    there.paste(draw(120), (170, 110))
    one, other = (found.landmarks[0] for found in detector.find([pixels(here), pixels(there)]))
    moved = np.array([170, 110]) - ((320 - 120) // 2, (260 - 120) // 2)
    np.testing.assert_allclose(other - one, np.broadcast_to(moved, (5, 2)), atol=3)
    left_eye, right_eye, nose, left_corner, right_corner = one
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_corner[0] < right_corner[0]
    assert left_eye[1] < nose[1] < left_corner[1]


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 900, 3), (19, 19, 3), (200, 5, 3), (64, 64, 3)])
def test_pictures_too_small_or_empty_hold_no_face(detector, shape):
    (found,) = detector.find([np.zeros(shape, np.uint8)])
    assert len(found) == 0
    assert found.landmarks.shape == (0, 5, 2)


def test_no_picture_at_all_is_no_answer(detector):
    assert detector.find([]) == []


def test_all_three_nets_judge_and_do_not_learn(detector):
    nets = [value for value in vars(detector).values() if isinstance(value, torch.nn.Module)]
    assert len(nets) == 3
    assert not any(module.training for net in nets for module in net.modules())


def test_the_settings_are_those_of_the_published_port():
    settings = mtcnn.MIN_FACE_PX, mtcnn.THRESHOLDS, mtcnn.MAX_OVERLAP, mtcnn.FACTOR
    assert settings == (20, (0.6, 0.7, 0.8), 0.7, 0.709)


def test_without_the_nets_the_error_says_what_to_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "facenet_pytorch.models.mtcnn", None)
    with pytest.raises(ImportError, match="pip install --no-deps facenet-pytorch==2"):
        FaceDetector()


def faces_at(*boxes):
    return Faces(np.array(boxes, float).reshape(-1, 4), np.ones(len(boxes)), np.zeros((len(boxes), 5, 2)), 200, 100)


@pytest.mark.parametrize(
    ("boxes", "problem"),
    [
        ([], NO_FACE),
        ([(10, 10, 60, 60)], None),
        ([(10, 10, 60, 60), (100, 10, 150, 60)], SEVERAL_FACES),
        ([(0, 0, 200, 100)], None),
        ([(-0.1, 10, 60, 60)], OUTSIDE),
        ([(10, 10, 60, 100.1)], OUTSIDE),
        ([(10, 10, 30, 60)], SMALL),  # exactly a tenth of the width
        ([(10, 10, 30.1, 60)], None),
        ([(10, 10, 60, 20)], SMALL),
    ],
)
def test_only_one_large_face_inside_the_picture_is_no_problem(boxes, problem):
    assert problem_of(faces_at(*boxes)) == problem


@pytest.fixture
def photos(tmp_path):
    paths = [tmp_path / "in" / name for name in ("a.png", "b.png", "none.png")]
    paths[0].parent.mkdir()
    for path, picture in zip(paths, (photo_of(draw(150)), draw(140, 1), Image.new("RGB", (50, 40))), strict=True):
        picture.save(path)
    return paths


class Counting(FaceDetector):
    """A detector that counts the pictures it is asked about."""

    seen = 0

    def find(self, images):
        self.seen += len(images)
        return super().find(images)


def test_neither_a_second_call_nor_a_moved_copy_nor_a_double_is_looked_at_again(photos, tmp_path):
    detector = Counting()
    first = find_faces(photos, tmp_path / "cache", detector)
    assert [problem_of(found) for found in first] == [None, None, NO_FACE]
    moved = tmp_path / "elsewhere.png"
    moved.write_bytes(photos[1].read_bytes())
    again = find_faces([moved, photos[0], moved], tmp_path / "cache", detector)
    assert detector.seen == 3
    for found, before in zip(again, (first[1], first[0], first[1]), strict=True):
        np.testing.assert_array_equal(found.landmarks, before.landmarks)
        assert (found.width_px, found.height_px) == (before.width_px, before.height_px)


def test_other_settings_look_again(photos, tmp_path, monkeypatch):
    find_faces(photos, tmp_path / "cache", FaceDetector())
    with monkeypatch.context() as patch:
        patch.setattr(mtcnn, "THRESHOLDS", (0.6, 0.7, 0.7))
        other = Counting()
        find_faces(photos, tmp_path / "cache", other)
        patch.setattr(face_alignment, "LONGEST_PX", 120)
        find_faces(photos, tmp_path / "cache", other)
    assert other.seen == 6
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_an_interrupted_search_goes_on_where_the_table_was_written(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(face_alignment, "_AT_ONCE", 1)
    monkeypatch.setattr(known_files, "WRITE_AFTER", 1)
    detector = Counting()
    monkeypatch.setattr(Counting, "name", "same")

    def stop_at_the_third(self, images):
        self.seen += 1
        if self.seen == 3:
            raise KeyboardInterrupt
        return FaceDetector.find(self, images)

    with monkeypatch.context() as patch:
        patch.setattr(Counting, "find", stop_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            find_faces(photos, tmp_path / "cache", detector)
    fresh = Counting()
    assert len(find_faces(photos, tmp_path / "cache", fresh)) == 3
    assert fresh.seen == 1


def test_a_damaged_table_is_made_again(photos, tmp_path):
    detector = Counting()
    find_faces(photos, tmp_path / "cache", detector)
    (table,) = (tmp_path / "cache").iterdir()
    assert parquet.read_table(table).num_rows == 3
    table.write_bytes(table.read_bytes()[:200])
    find_faces(photos, tmp_path / "cache", detector)
    assert detector.seen == 6
    assert parquet.read_table(table).num_rows == 3


def test_unreadable_files_keep_their_place_and_say_why(photos, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    files = [tmp_path / "missing.png", photos[0], tmp_path / "broken.jpg"]
    missing, found, broken = find_faces(files, tmp_path / "cache", FaceDetector())
    assert problem_of(found) is None
    assert "missing.png: no such file" in missing
    assert "broken.jpg: not a picture" in broken


def test_a_large_picture_is_looked_at_in_a_smaller_size_and_a_face_in_it_found(tmp_path, monkeypatch):
    monkeypatch.setattr(face_alignment, "LONGEST_PX", 200)
    draw(400).resize((1200, 1200)).save(tmp_path / "large.jpg")
    (found,) = find_faces([tmp_path / "large.jpg"], tmp_path / "cache", FaceDetector())
    assert (found.width_px, found.height_px) == (200, 200)
    assert problem_of(found) is None


def odd_pictures(folder):
    """File name -> the face in it, saved in every odd way that a face of 160 pixels can be."""
    face = photo_of(draw(160), 220, 200)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    face.rotate(90, expand=True).save(folder / "turned.jpg", exif=exif, quality=95)
    face.convert("L").save(folder / "grey.png")
    face.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    face.convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "palette.gif")
    face.convert("RGBA").save(folder / "transparent.png")
    return ["turned.jpg", "grey.png", "cmyk.jpg", "palette.gif", "transparent.png"]


def test_faces_are_found_in_turned_grey_cmyk_palette_and_transparent_pictures(tmp_path):
    found = find_faces([tmp_path / name for name in odd_pictures(tmp_path)], tmp_path / "cache", FaceDetector())
    assert [problem_of(each) for each in found] == [None] * 5
    assert {(each.width_px, each.height_px) for each in found} == {(220, 200)}
    for other in found[1:]:
        np.testing.assert_allclose(other.landmarks, found[0].landmarks, atol=5)


def test_pictures_of_one_pixel_or_of_20000_pixels_get_a_clear_answer(tmp_path):
    Image.new("RGB", (1, 1)).save(tmp_path / "one.png")
    Image.new("L", (20_000, 3)).save(tmp_path / "line.png")
    Image.new("1", (20_000, 4_000)).save(tmp_path / "huge.png")
    files = [tmp_path / name for name in ("one.png", "line.png", "huge.png")]
    one, line, huge = find_faces(files, tmp_path / "cache", FaceDetector())
    assert problem_of(one) == problem_of(line) == NO_FACE
    assert "huge.png: 20000 x 4000 pixels, more than 64,000,000" in huge


@pytest.mark.parametrize(
    ("size", "decoded"), [((300, 100), (100, 300)), ((3000, 1000), (333, 1000)), ((2, 9000), (1000, 1))]
)
def test_whole_pictures_keep_their_proportions(tmp_path, size, decoded):
    Image.new("RGB", size).save(tmp_path / "a.png")
    assert decode_whole(tmp_path / "a.png", 1000).shape == (*decoded, 3)


def test_a_file_that_is_no_picture_is_not_decoded_whole(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(UnreadableFileError, match=r"a\.jpg: not a picture"):
        decode_whole(tmp_path / "a.jpg", 1000)


def test_the_command_names_the_version_that_is_locked():
    assert mtcnn.INSTALL.endswith("facenet-pytorch==2.6.0")
