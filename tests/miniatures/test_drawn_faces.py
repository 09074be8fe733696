from dataclasses import replace

import numpy as np
import pytest
from PIL import ImageChops
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from agegender.miniatures.canvas import Canvas, mix, smooth
from agegender.miniatures.people import random_person, random_photo
from agegender.miniatures.portrait import draw_face
from agegender.miniatures.subjects import random_subjects, take_photos


def person(seed=0, age=30, gender="female"):
    return random_person(np.random.default_rng(seed), age, gender)


def photo(seed=0):
    return random_photo(np.random.default_rng(seed))


@pytest.fixture(scope="module")
def drawn():
    """Small drawings of 260 people with their labels, and which of them to learn from (by subject)."""
    faces = take_photos(random_subjects(260, seed=1), seed=1, mean_per_subject=2)
    pixels = np.stack([np.asarray(draw_face(face.subject.person, face.photo, 32)).ravel() for face in faces])
    subject = np.array([face.subject.number for face in faces])
    return {
        "pixels": pixels.astype(np.float64),
        "subject": subject,
        "gender": np.array([face.subject.person.gender == "female" for face in faces]),
        "age": np.digitize([face.subject.person.age for face in faces], [7, 21, 44]),
        "train": subject % 3 > 0,
    }


@pytest.mark.parametrize("label", ["gender", "age"])
def test_a_simple_model_learns_the_label_on_other_subjects_but_not_perfectly(drawn, label):
    train, target = drawn["train"], drawn[label]
    model = make_pipeline(
        StandardScaler(), PCA(60, random_state=0), StandardScaler(), LogisticRegression(C=0.01, max_iter=500)
    )
    model.fit(drawn["pixels"][train], target[train])
    score = model.score(drawn["pixels"][~train], target[~train])
    most_common = np.bincount(target[~train].astype(int)).max() / np.sum(~train)
    assert most_common + 0.1 < score < 0.98


def test_a_person_is_more_like_themselves_in_another_photo_than_like_others(drawn):
    centred = drawn["pixels"] - drawn["pixels"].mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    likeness = centred @ centred.T
    same = drawn["subject"][:, None] == drawn["subject"][None, :]
    np.fill_diagonal(same, False)
    others = ~same & ~np.eye(len(same), dtype=bool)
    assert likeness[same].mean() > likeness[others].mean() + 0.1


def test_the_same_person_and_photo_give_the_same_pixels_whatever_was_drawn_before():
    first = draw_face(person(1), photo(1), 96)
    draw_face(person(2), photo(2), 96)
    assert draw_face(person(1), photo(1), 96).tobytes() == first.tobytes()


@pytest.mark.parametrize(
    "change", [{"gender": "male"}, {"age": 70.0}, {"age": 4.0}], ids=["gender", "older", "younger"]
)
def test_age_and_gender_are_in_the_drawing(change):
    one = person(3, age=30, gender="female")
    other = person(3, **({"age": 30, "gender": "female"} | change))
    difference = ImageChops.difference(draw_face(one, photo(0), 96), draw_face(other, photo(0), 96))
    assert np.asarray(difference).max() > 40


def test_children_have_larger_and_lower_eyes_and_the_old_have_lines_and_grey_hair():
    people = {age: [person(seed, age) for seed in range(60)] for age in (3, 30, 75)}
    wrinkles = {age: np.mean([one.wrinkles for one in group]) for age, group in people.items()}
    hair = {age: np.mean([min(one.hair) for one in group]) for age, group in people.items()}
    assert people[3][0].childness > people[30][0].childness == 0
    assert wrinkles[3] == 0 < wrinkles[30] < wrinkles[75]
    assert hair[75] > hair[30] + 60


def test_jaws_and_brows_differ_between_the_genders_and_overlap():
    for feature in ("jaw", "brow"):
        female = np.array([getattr(person(seed, 30, "female"), feature) for seed in range(200)])
        male = np.array([getattr(person(seed + 1000, 30, "male"), feature) for seed in range(200)])
        assert male.mean() > female.mean() + 0.5 * female.std()
        assert np.quantile(female, 0.9) > np.quantile(male, 0.1)


def test_no_woman_and_no_child_has_a_beard_and_no_toddler_glasses():
    assert all(person(seed, 40, "female").beard == 0 for seed in range(100))
    assert all(person(seed, 10, "male").beard == 0 for seed in range(100))
    assert not any(person(seed, 2, "male").has_glasses for seed in range(100))
    assert any(person(seed, 40, "male").beard > 0.4 for seed in range(20))


@pytest.mark.parametrize("size_px", [16, 128, 300])
def test_a_portrait_has_the_size_and_mode_that_was_asked_for(size_px):
    image = draw_face(person(), photo(), size_px)
    assert (image.size, image.mode) == ((size_px, size_px), "RGB")


def test_the_face_is_where_the_photo_says():
    plain = replace(photo(), yaw=0.0, roll=0.0, scale=0.2, light=(0.0, 0.0), exposure=1.0, warmth=0.0, grain=1.0)
    one = replace(person(), skin=(250, 10, 250), has_glasses=False)
    for centre in ((0.3, 0.35), (0.6, 0.55)):
        pixels = np.asarray(draw_face(one, replace(plain, centre=centre), 200)).astype(int)
        y, x = np.nonzero((pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] > 200))
        assert abs(x.mean() / 200 - centre[0]) < 0.03
        assert abs(y.mean() / 200 - centre[1] - 0.02) < 0.05


def test_a_smooth_curve_passes_through_its_corners():
    corners = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 2.0)])
    np.testing.assert_allclose(smooth(corners)[::6], corners, atol=1e-12)
    line = smooth(corners, closed=False)
    np.testing.assert_allclose(line[::6], corners, atol=1e-12)
    np.testing.assert_allclose(smooth([(0, 0), (1, 2), (2, 4)], closed=False)[9], (1.5, 3), atol=0.2)


def test_mixing_colours_gives_the_ends_and_the_middle():
    assert [mix((0, 100, 200), (100, 0, 200), share) for share in (0, 0.5, 1)] == [
        (0, 100, 200),
        (50, 50, 200),
        (100, 0, 200),
    ]


def test_yaw_moves_what_lies_in_front_and_roll_turns():
    def middle_of_dot(yaw, roll, at, depth):
        canvas = Canvas(100, (0, 0, 0))
        canvas.look(yaw, roll, scale=0.25)
        canvas.ellipse(at, (0.1, 0.1), (255, 255, 255), depth)
        y, x = np.nonzero(np.asarray(canvas.finished())[..., 0] > 127)
        return x.mean() + 0.5, y.mean() + 0.5

    assert middle_of_dot(0, 0, (1, 0), 0) == pytest.approx((75, 50), abs=0.5)
    assert middle_of_dot(np.pi / 6, 0, (0, 0), 1) == pytest.approx((62.5, 50), abs=0.5)
    assert middle_of_dot(0, np.pi / 2, (1, 0), 0) == pytest.approx((50, 75), abs=0.5)
