import datetime
import re

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from agegender.labels import GENDERS
from agegender.miniatures import writing
from agegender.miniatures.imdb_wiki import FAULTS, write_imdb, write_wiki

WRITERS = [write_imdb, write_wiki]
NO_BIRTH = 213
PICTURE = Image.linear_gradient("L").resize((16, 16)).convert("RGB")


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def table_of(root, corpus):
    """The fields of a table as the corpus' users load them: flat arrays, cells as text where they hold text."""
    table = loadmat(root / f"{corpus}_crop" / f"{corpus}.mat")[corpus][0, 0]
    assert all(table[name].shape[0] == 1 for name in table.dtype.names)
    cells = {name: [cell[0] for cell in table[name][0]] for name in table.dtype.names if table[name].dtype == object}
    return {name: table[name][0] for name in table.dtype.names} | cells


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("mini")
    with pytest.MonkeyPatch.context() as patch:  # the table is looked at, not the faces
        patch.setattr(writing, "draw_face", lambda *_: PICTURE)
        write_imdb(root, num_subjects=40, seed=3, size_px=16)
        return write_wiki(root, num_subjects=40, seed=3, size_px=16)


@pytest.mark.parametrize("write", WRITERS)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path, write):
    for name, seed in (("one", 4), ("same", 4), ("other", 5)):
        write(tmp_path / name, num_subjects=5, seed=seed, size_px=16)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "same")
    assert files_of(tmp_path / "one") != files_of(tmp_path / "other")


@pytest.mark.parametrize("write", WRITERS)
def test_a_complete_miniature_is_not_drawn_again(tmp_path, write, monkeypatch):
    write(tmp_path / "m", num_subjects=5, size_px=16)
    before = files_of(tmp_path / "m")
    monkeypatch.setattr(writing, "draw_face", lambda *_: pytest.fail("drawn again"))
    write(tmp_path / "m", num_subjects=5, size_px=16)
    assert files_of(tmp_path / "m") == before


@pytest.mark.parametrize(
    ("corpus", "pattern"),
    [
        ("imdb", r"\d\d/nm\d{7}_rm\d+_\d{1,4}-\d{1,2}-\d{1,2}_\d{4}\.jpg"),
        ("wiki", r"\d\d/\d{8}_\d{4}-\d\d-\d\d_\d{4}\.jpg"),
    ],
)
def test_the_table_lists_the_pictures_by_the_names_of_the_release(root, corpus, pattern):
    table, folder = table_of(root, corpus), root / f"{corpus}_crop"
    assert set(table["full_path"]) == {str(path.relative_to(folder)) for path in folder.rglob("*.jpg")}
    assert len(set(table["full_path"])) == len(table["full_path"]) > 60
    for path in table["full_path"]:
        assert re.fullmatch(pattern, path)
        number = re.search(r"/(?:nm)?(\d+)_", path).group(1)
        assert path[:2] == number[-2:]
        with Image.open(folder / path) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (16, 16), "RGB")


@pytest.mark.parametrize("corpus", ["imdb", "wiki"])
def test_births_and_years_of_the_table_are_those_of_the_file_names(root, corpus):
    table = table_of(root, corpus)
    for path, dob, year in zip(table["full_path"], table["dob"], table["photo_taken"], strict=True):
        *born, taken = map(int, re.search(r"_(\d+)-(\d+)-(\d+)_(\d+)\.jpg", path).groups())
        assert taken == year
        assert (born == [0, 7, 31]) if dob == NO_BIRTH else (datetime.date(*born).toordinal() + 366 == dob)


def test_the_numbers_have_the_kinds_that_the_release_loads_with(root):
    table = table_of(root, "imdb")
    kinds = {
        "dob": "int32",
        "photo_taken": "uint16",
        "celeb_id": "uint16",
        "gender": "float64",
        "face_score": "float64",
    }
    assert {name: str(table[name].dtype) for name in kinds} == kinds
    assert loadmat(root / "imdb_crop/imdb.mat")["imdb"][0, 0]["face_location"][0, 0].shape == (1, 4)


def test_a_celebrity_has_one_name_one_number_several_photos_and_one_birth_that_is_known(root):
    table = table_of(root, "imdb")
    rows = list(zip(table["celeb_id"], table["name"], table["full_path"], table["dob"], strict=True))
    assert all(table["celeb_names"][number - 1] == name for number, name, _, _ in rows)
    for column in (lambda row: row[1], lambda row: row[2].split("_")[0]):
        assert len({(row[0], column(row)) for row in rows}) == len({row[0] for row in rows}) == 40
    births = {(number, birth) for number, _, _, birth in rows if birth != NO_BIRTH}
    assert len(births) == 40
    assert table["celeb_id"].tolist() == sorted(table["celeb_id"])
    assert np.bincount(table["celeb_id"])[1:].min() >= 2


def test_a_person_is_photographed_at_several_ages_and_drawn_accordingly(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        writing, "draw_face", lambda person, photo, size_px: drawn.setdefault(person, photo) and PICTURE
    )
    write_imdb(tmp_path, num_subjects=12, seed=0, size_px=16)
    faces = {}
    for person in drawn:
        faces.setdefault((person.face_width, person.gender, person.skin), []).append(person)
    several = [people for people in faces.values() if len(people) > 1]
    assert len(several) >= 10
    for people in several:
        youngest, oldest = min(people, key=lambda one: one.age), max(people, key=lambda one: one.age)
        assert youngest.age < oldest.age <= youngest.age + 20
        assert youngest.wrinkles <= oldest.wrinkles
        assert len({(one.eyes, one.jaw, one.nose, one.hair_style) for one in people}) == 1


def test_every_fault_has_about_its_share(root):
    table = table_of(root, "imdb")
    num = len(table["dob"]) - 40  # the first photograph of a person has none
    found = {
        "second face": np.isfinite(table["second_face_score"]).sum(),
        "no face": np.isneginf(table["face_score"]).sum(),
        "no gender": np.isnan(table["gender"]).sum(),
        "no birth": (table["dob"] == NO_BIRTH).sum(),
    }
    for fault, count in found.items():
        spread = 4 * np.sqrt(num * FAULTS[fault] * (1 - FAULTS[fault]))
        assert abs(count - num * FAULTS[fault]) < spread, fault
    assert all(found.values())
    assert set(table["gender"][~np.isnan(table["gender"])]) == {0, 1}
    assert GENDERS == ("male", "female")


def test_a_picture_without_a_face_is_of_one_colour(root):
    table = table_of(root, "imdb")
    for path, score in zip(table["full_path"], table["face_score"], strict=True):
        with Image.open(root / "imdb_crop" / path) as image:
            spread = np.ptp(np.asarray(image).reshape(-1, 3).astype(int), axis=0).max()
        assert (spread == 0) == np.isneginf(score)


def test_gender_1_is_male_in_table_and_drawing(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(writing, "draw_face", lambda person, *_: drawn.append(person.gender) or PICTURE)
    monkeypatch.setattr("agegender.miniatures.imdb_wiki.FAULTS", {"second face": 0.5})
    write_imdb(tmp_path, num_subjects=10, size_px=16)
    assert drawn == [{0: "female", 1: "male"}[gender] for gender in table_of(tmp_path, "imdb")["gender"]]


def test_fewer_than_five_subjects_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 5 subjects, got 4"):
        write_wiki(tmp_path / "m", num_subjects=4)
    assert not (tmp_path / "m/wiki_crop").exists()
