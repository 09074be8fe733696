from collections import Counter

import pytest
from PIL import Image

from agegender.miniatures import writing
from agegender.miniatures.face_corpora import ATTRIBUTES, YOUNG_BELOW, _celebrities, write_celeba
from agegender.miniatures.subjects import random_subjects, take_photos

PICTURES = "Img/img_align_celeba"


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pairs(path):
    return dict(line.split(" ") for line in path.read_text().splitlines())


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_celeba(tmp_path_factory.mktemp("mini") / "celeba", num_subjects=30, seed=3, size_px=16)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    for folder, seed in ((one, 4), (same, 4), (other, 5)):
        write_celeba(folder, num_subjects=6, seed=seed, size_px=16)
    assert files_of(one) == files_of(same)
    assert files_of(one) != files_of(other)


def test_a_complete_miniature_is_not_drawn_again(tmp_path, monkeypatch):
    write_celeba(tmp_path / "m", num_subjects=3, size_px=16)
    monkeypatch.setattr(writing, "draw_face", None)
    write_celeba(tmp_path / "m", num_subjects=3, size_px=16)


def test_pictures_are_upright_jpegs_of_178_by_218_pixels(tmp_path):
    root = write_celeba(tmp_path / "m", num_subjects=3)
    with Image.open(root / PICTURES / "000001.jpg") as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (178, 218), "RGB")


def test_the_attribute_list_has_the_form_of_the_release(tree):
    number, names, *rows = (tree / "Anno/list_attr_celeba.txt").read_text().splitlines()
    assert int(number) == len(rows)
    assert tuple(names.split()) == ATTRIBUTES
    assert len(set(ATTRIBUTES)) == 40
    assert names.endswith("Young ")
    assert {len(line) for line in rows} == {len("000001.jpg") + 40 * 3}
    assert {value for line in rows for value in line.split()[1:]} == {"1", "-1"}


def test_all_lists_name_all_pictures_in_the_order_of_their_numbers(tree):
    listed = [line.split()[0] for line in (tree / "Anno/list_attr_celeba.txt").read_text().splitlines()[2:]]
    assert listed == [f"{number:06d}.jpg" for number in range(1, len(listed) + 1)]
    assert (
        listed == list(pairs(tree / "Anno/identity_CelebA.txt")) == list(pairs(tree / "Eval/list_eval_partition.txt"))
    )
    assert sorted(path.name for path in (tree / PICTURES).iterdir()) == listed


def test_a_celebrity_has_several_pictures_in_one_part_and_one_gender_and_one_youth(tree):
    identity, part = pairs(tree / "Anno/identity_CelebA.txt"), pairs(tree / "Eval/list_eval_partition.txt")
    rows = [line.split() for line in (tree / "Anno/list_attr_celeba.txt").read_text().splitlines()[2:]]
    male, young = 1 + ATTRIBUTES.index("Male"), 1 + ATTRIBUTES.index("Young")
    facts = {(identity[file], part[file], values[male - 1], values[young - 1]) for file, *values in rows}
    assert len(facts) == len(set(identity.values())) == 30
    assert min(Counter(identity.values()).values()) >= 2
    assert Counter(one[1] for one in facts) == {"0": 24, "1": 3, "2": 3}
    assert set(identity.values()) == {str(number) for number in range(1, 31)}
    assert list(part.values()) == sorted(part.values())


def test_people_of_one_part_are_mixed_and_their_numbers_do_not_tell_the_part(tree):
    identity, part = pairs(tree / "Anno/identity_CelebA.txt"), pairs(tree / "Eval/list_eval_partition.txt")
    neighbours = list(zip(identity.values(), list(identity.values())[1:], strict=False))
    assert sum(one == other for one, other in neighbours) < 0.2 * len(neighbours)
    assert max(int(identity[file]) for file in part if part[file] == "0") > 24


def test_young_is_said_of_exactly_those_below_the_age_and_adults_only_are_drawn():
    people = [subject.person for subject in _celebrities(400, seed=0)]
    assert min(one.age for one in people) >= 16
    assert sum(one.age < YOUNG_BELOW for one in people) / 400 == pytest.approx(0.77, abs=0.02)
    assert sum(one.gender == "female" for one in people) / 400 == pytest.approx(0.58, abs=0.02)


def test_what_can_be_seen_in_the_drawing_is_what_the_list_says(tree):
    rows = [line.split() for line in (tree / "Anno/list_attr_celeba.txt").read_text().splitlines()[2:]]
    identity = pairs(tree / "Anno/identity_CelebA.txt")
    for name in ("Male", "Young", "Eyeglasses", "No_Beard", "Bald"):
        said = {(identity[values[0]], values[1 + ATTRIBUTES.index(name)]) for values in rows}
        truth = [
            {
                "Male": one.gender == "male",
                "Young": one.age < YOUNG_BELOW,
                "Eyeglasses": one.has_glasses,
                "No_Beard": one.beard == 0,
                "Bald": one.hair_style == "bald",
            }[name]
            for one in (subject.person for subject in _celebrities(30, seed=3))
        ]
        assert len(said) == 30
        assert Counter(value for _, value in said) == Counter("1" if one else "-1" for one in truth)


@pytest.mark.parametrize("num_subjects", [0, 2])
def test_fewer_people_than_parts_are_refused(tmp_path, num_subjects):
    with pytest.raises(ValueError, match=f"at least 3 subjects, got {num_subjects}"):
        write_celeba(tmp_path / "m", num_subjects=num_subjects)
    assert not (tmp_path / "m").exists()


def test_a_width_keeps_the_middle_of_a_drawing(tmp_path):
    face = take_photos(random_subjects(5, seed=0), seed=0)[0]
    writing.draw_photo(face, tmp_path / "square.jpg", 64)
    writing.draw_photo(face, tmp_path / "narrow.jpg", 64, 32)
    with Image.open(tmp_path / "square.jpg") as square, Image.open(tmp_path / "narrow.jpg") as narrow:
        assert narrow.size == (32, 64)
        middle = square.crop((16, 0, 48, 64))
        difference = sum(abs(a - b) for a, b in zip(middle.tobytes(), narrow.tobytes(), strict=True))
    assert difference / (32 * 64 * 3) < 1  # both are JPEGs, with blocks in the same places
