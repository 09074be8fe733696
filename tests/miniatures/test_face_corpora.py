import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from agegender.labels import ADIENCE_8, FAIRFACE_9
from agegender.miniatures import writing
from agegender.miniatures.face_corpora import write_adience, write_fairface, write_folder, write_utkface
from agegender.miniatures.subjects import GROUP_WEIGHTS, random_subjects, take_photos

HEADER = [
    "user_id",
    "original_image",
    "face_id",
    "age",
    "gender",
    "x",
    "y",
    "dx",
    "dy",
    "tilt_ang",
    "fiducial_yaw_angle",
    "fiducial_score",
]
WRITERS = [write_adience, write_fairface, write_utkface, write_folder]


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_of(root, fold):
    lines = (root / f"fold_{fold}_data.txt").read_text(encoding="utf-8").split("\n")
    assert lines[0].split("\t") == HEADER
    assert lines[-1] == ""
    return [line.split("\t") for line in lines[1:-1]]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_adience(tmp_path_factory.mktemp("mini") / "adience", num_subjects=20, seed=3, size_px=24)


@pytest.mark.parametrize("write", WRITERS)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path, write):
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    for folder, seed in ((one, 4), (same, 4), (other, 5)):
        write(folder, num_subjects=6, seed=seed, size_px=16)
    assert files_of(one) == files_of(same)
    assert files_of(one) != files_of(other)


def test_an_adience_tree_has_the_columns_the_files_and_the_names_of_the_release(tree):
    listed = set()
    for fold in range(5):
        for row in rows_of(tree, fold):
            assert len(row) == 12
            assert row[4] in ("f", "m", "u", "")
            assert all(value.lstrip("-").isdecimal() for value in (row[2], *row[5:]))
            listed.add(f"aligned/{row[0]}/landmark_aligned_face.{row[2]}.{row[1]}")
    pictures = {str(path.relative_to(tree)) for path in tree.rglob("*.jpg")}
    assert listed == pictures


def test_aligned_faces_are_jpegs_of_816_pixels_unless_told_otherwise(tmp_path):
    root = write_adience(tmp_path / "adience", num_subjects=5)
    with Image.open(next(root.rglob("*.jpg"))) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (816, 816), "RGB")


def test_no_user_and_no_face_id_is_in_two_folds(tree):
    for column in (0, 2):
        in_folds = [{row[column] for row in rows_of(tree, fold)} for fold in range(5)]
        assert all(in_folds)
        assert sum(map(len, in_folds)) == len(set.union(*in_folds))


def test_a_face_id_is_one_person_of_one_user_with_one_label_and_several_photos(tree):
    rows = [row for fold in range(5) for row in rows_of(tree, fold)]
    for column in (0, 3, 4):
        assert len({(row[2], row[column]) for row in rows}) == len({row[2] for row in rows})
    assert min(Counter(row[2] for row in rows).values()) >= 2
    assert max(Counter(row[0] for row in rows).values()) > 4


def test_some_photos_show_two_faces(tree):
    photos = Counter((row[0], row[1]) for fold in range(5) for row in rows_of(tree, fold))
    assert set(photos.values()) == {1, 2}


def test_a_larger_miniature_has_every_group_the_odd_labels_and_adiences_imbalance():
    subjects = random_subjects(300, seed=0)
    labels = Counter(subject.age_label for subject in subjects)
    assert set(ADIENCE_8.labels) < set(labels)
    assert {"None", "(25, 23)", "(8, 23)", "(27, 32)", "(38, 42)", "(38, 48)", "35", "13", "22"} < set(labels)
    assert labels["(25, 32)"] > 3 * labels["(48, 53)"]
    assert {subject.gender_label for subject in subjects} == {"f", "m", "u", ""}
    assert all((subject.age_label == "None") == (subject.gender_label == "") for subject in subjects)


def test_the_default_miniature_has_all_groups_both_genders_and_some_odd_labels():
    subjects = random_subjects(48, seed=0)
    assert set(ADIENCE_8.labels) < {subject.age_label for subject in subjects}
    for fold in range(5):
        assert {subject.person.gender for subject in subjects if subject.fold == fold} == {"female", "male"}


def test_ages_agree_with_their_labels():
    for subject in random_subjects(300, seed=2):
        if subject.age_label in ADIENCE_8.labels:
            assert ADIENCE_8.group_of(subject.person.age) == ADIENCE_8.index(subject.age_label)
        elif subject.age_label.isdecimal():
            assert int(subject.person.age) == int(subject.age_label)


def test_group_shares_of_many_subjects_are_the_stated_weights():
    subjects = [one for one in random_subjects(2000, seed=0) if one.age_label in ADIENCE_8.labels]
    shares = np.array([sum(one.age_label == label for one in subjects) for label in ADIENCE_8.labels]) / len(subjects)
    np.testing.assert_allclose(shares, np.array(GROUP_WEIGHTS) / sum(GROUP_WEIGHTS), atol=0.015)


def test_another_seed_draws_other_people():
    widths = [{one.person.face_width for one in random_subjects(50, seed)} for seed in (0, 1)]
    assert not widths[0] & widths[1]


def test_subjects_have_as_many_photos_as_asked_for_on_average():
    subjects = random_subjects(400, seed=0)
    for mean in (2.5, 6.0):
        assert len(take_photos(subjects, 0, mean)) / 400 == pytest.approx(mean, rel=0.05)


def test_fewer_subjects_than_folds_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 5 subjects, got 4"):
        write_adience(tmp_path / "a", num_subjects=4)
    assert not (tmp_path / "a").exists()


def test_a_pack_has_its_tables_and_labels(tmp_path):
    write_fairface(tmp_path, num_subjects=60, size_px=16)
    write_utkface(tmp_path, num_subjects=60, size_px=16)
    assert min(subject.person.age for subject in random_subjects(60, seed=0)) < 1  # UTKFace calls them 1 year old
    for corpus in ("fairface", "utkface"):
        header, *lines = (tmp_path / f"face-{corpus}" / "faces.csv").read_text().splitlines()
        assert header == "file,subject,age,gender,source"
        ages = [line.split(",")[2] for line in lines]
        if corpus == "fairface":
            assert set(ages) <= set(FAIRFACE_9.labels)
        else:
            assert all(int(age) >= 1 for age in ages)
        assert len(ages) == 60


@pytest.mark.parametrize("write", WRITERS)
def test_a_complete_miniature_is_not_drawn_again(tmp_path, write, monkeypatch):
    write(tmp_path / "m", num_subjects=5, size_px=16)
    before = files_of(tmp_path / "m")

    def draw_face(*_):
        raise AssertionError("drawn again")

    monkeypatch.setattr(writing, "draw_face", draw_face)
    write(tmp_path / "m", num_subjects=5, size_px=16)
    assert files_of(tmp_path / "m") == before


@pytest.mark.parametrize("damage", ["missing picture", "short picture", "no marker left", "broken marker"])
def test_a_damaged_miniature_is_written_anew(tmp_path, damage):
    folder = write_adience(tmp_path / "m", num_subjects=5, size_px=16)
    before = files_of(folder)
    picture = next(folder.rglob("*.jpg"))
    if damage == "missing picture":
        picture.unlink()
    elif damage == "short picture":
        picture.write_bytes(picture.read_bytes()[:100])
    elif damage == "broken marker":
        (folder / writing.MARKER).write_text("{")
    else:
        (folder / writing.MARKER).write_text(json.dumps({"parameters": {}}))
    write_adience(folder, num_subjects=5, size_px=16)
    assert files_of(folder) == before


def test_a_killed_run_leaves_no_miniature_and_the_next_run_writes_it(tmp_path, monkeypatch):
    draw_face, calls = writing.draw_face, []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return draw_face(*arguments)

    monkeypatch.setattr(writing, "draw_face", killed)
    with pytest.raises(KeyboardInterrupt):
        write_adience(tmp_path / "m", num_subjects=5, size_px=16)
    assert not (tmp_path / "m").exists()
    monkeypatch.setattr(writing, "draw_face", draw_face)
    write_adience(tmp_path / "m", num_subjects=5, size_px=16)
    write_adience(tmp_path / "other", num_subjects=5, size_px=16)
    assert files_of(tmp_path / "m") == files_of(tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "other"]


def test_other_parameters_replace_a_miniature(tmp_path):
    write_adience(tmp_path / "m", num_subjects=5, size_px=16)
    write_adience(tmp_path / "m", num_subjects=6, size_px=16)
    assert writing.is_complete(tmp_path / "m")
    assert json.loads((tmp_path / "m" / writing.MARKER).read_text())["parameters"]["num_subjects"] == 6


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="holds something that is not a miniature"):
        write_adience(tmp_path, num_subjects=5, size_px=16)
    assert files_of(tmp_path) == {"thesis.txt": b"years of work"}


def test_an_empty_folder_may_become_a_miniature(tmp_path):
    (tmp_path / "m").mkdir()
    write_folder(tmp_path / "m", num_subjects=5, size_px=16)
    assert writing.is_complete(tmp_path / "m")
