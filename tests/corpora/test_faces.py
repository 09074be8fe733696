import pytest
from PIL import Image

from agegender.corpora.faces import read_aged_faces, read_faces
from agegender.labels import FAIRFACE_9
from agegender.miniatures.imdb_wiki import write_imdb
from agegender.miniatures.layouts import write_adience


@pytest.fixture
def own_table(tmp_path):
    for number in range(5):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    lines = ["path,subject,age,age_group,gender", "0.png,a,9.9,,f", "1.png,b,,70+,m", "2.png,c,33,,", "3.png,d,,,m"]
    (tmp_path / "faces.csv").write_text("\n".join([*lines, "4.png,e,101.5,,f"]) + "\n")
    return tmp_path


def test_ages_in_years_are_sorted_into_the_groups_and_given_groups_are_kept(own_table, tmp_path):
    manifest = read_faces("folder", own_table, tmp_path)
    assert manifest.examples["path"].tolist() == ["0.png", "1.png"]
    assert [FAIRFACE_9.labels[group] for group in manifest.examples["age_group"]] == ["3-9", "70+"]


def test_examples_without_both_labels_are_set_aside_and_counted(own_table, tmp_path):
    aside = read_faces("folder", own_table, tmp_path).quarantine
    assert aside["path"].tolist() == ["2.png", "3.png", "4.png"]  # 101.5 years is in no group
    assert set(aside["reason"]) == {"no age group or no gender"}


def test_rows_mean_the_same_whether_a_variant_repairs_25_23_or_not(tmp_path):
    write_adience(tmp_path / "adience", num_subjects=60, size_px=16)
    examples = read_faces("adience", tmp_path, tmp_path).examples
    slips = examples[examples["age_label"] == "(25, 23)"]
    assert len(slips) > 0
    assert set(slips["age_group"]) == {4}


def test_an_unknown_corpus_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="unknown corpus of face groups 'imagenet': expected adience, fairface or"):
        read_faces("imagenet", tmp_path, tmp_path)


def test_ages_beyond_the_oldest_and_unlabelled_examples_are_set_aside_and_counted(own_table, tmp_path):
    manifest = read_aged_faces("folder", own_table, tmp_path, oldest=100)
    assert manifest.examples["path"].tolist() == ["0.png"]
    assert manifest.quarantine["path"].tolist() == ["1.png", "2.png", "3.png", "4.png"]
    assert set(manifest.quarantine["reason"]) == {"no age up to 100 or no gender"}


def test_the_oldest_year_is_still_in(own_table, tmp_path):
    assert read_aged_faces("folder", own_table, tmp_path, oldest=101).examples["age"].tolist() == [9.9, 101.5]


def test_utkface_keeps_its_years_and_imdb_its_filters(packs, tmp_path):
    utkface = read_aged_faces("utkface", packs, tmp_path)
    assert utkface.examples["age"].between(1, 100).all()
    assert utkface.is_aligned
    write_imdb(tmp_path / "imdb", num_subjects=12, size_px=16)
    strict, lenient = (read_aged_faces("imdb", tmp_path, tmp_path, min_face_score=score) for score in (1.0, None))
    assert 0 < len(strict) < len(lenient)
    assert not strict.is_aligned
    assert not set(strict.quarantine["reason"]) <= set(lenient.quarantine["reason"])


def test_an_unknown_corpus_of_ages_and_one_without_a_usable_example_are_refused(own_table, tmp_path):
    with pytest.raises(ValueError, match="unknown corpus of faces with ages 'fairface': expected imdb, wiki, utkface"):
        read_aged_faces("fairface", tmp_path, tmp_path)
    with pytest.raises(ValueError, match="none of 5 examples can be used: no age up to 5 or no gender"):
        read_aged_faces("folder", own_table, tmp_path, oldest=5)
