import pandas as pd
import pytest

from agegender.corpora import adience
from agegender.data.manifest import TooManyQuarantinedError
from agegender.labels import ADIENCE_8

from .published_adience import (
    FACES,
    FACES_WITH_BOTH,
    GROUPS_OF_BOTH,
    MALES_OF_BOTH,
    OTHERS,
    ROWS,
    USERS,
    WITH_BOTH,
    WITH_GENDER,
    WITH_GROUP,
    fold_line,
    write_published_folds,
)


@pytest.fixture
def write_folds(tmp_path):
    """Write five fold files; ``lines`` maps a fold to its lines, every other fold gets one good line of its own."""

    def write(lines=None, end="\n", encoding="utf-8"):
        for fold in range(5):
            default = [fold_line(user=f"other{fold}@N00", image=f"{fold}.jpg", face_id=str(100 + fold))]
            rows = ["\t".join(adience.COLUMNS), *(lines or {}).get(fold, default)]
            text = end.join(rows) + end
            (tmp_path / f"fold_{fold}_data.txt").write_bytes(text.encode(encoding))
        return tmp_path

    return write


@pytest.fixture(scope="module")
def published_folds(tmp_path_factory):
    return write_published_folds(tmp_path_factory.mktemp("published"))


def per_fold(manifest):
    return tuple(manifest.examples.groupby("published_split").size())


@pytest.mark.parametrize(
    ("subset", "expected"), [("all", ROWS), ("age", WITH_GROUP), ("gender", WITH_GENDER), ("joint", WITH_BOTH)]
)
def test_each_subset_has_the_published_number_of_rows_in_each_fold(published_folds, subset, expected):
    manifest = adience.read(published_folds, labels_only=True, subset=subset)
    assert per_fold(manifest) == expected
    assert len(manifest.quarantine) == 0


def test_a_face_that_stands_on_several_lines_is_read_once_and_knows_how_many_there_are(tmp_path):
    manifest = adience.read(write_published_folds(tmp_path, repeats_lines=True), labels_only=True)
    assert per_fold(manifest) == FACES_WITH_BOTH
    assert set(manifest.quarantine["reason"]) == {"listed twice, labels agree"}
    assert len(manifest.quarantine) == 16_258 - 16_156
    by_fold = manifest.examples.groupby("published_split")
    assert tuple(by_fold["repeats"].sum()) == WITH_BOTH
    assert set(manifest.examples["repeats"]) == {1, 2, 3}
    assert tuple(by_fold["fold_lines"].unique().map(list)) == tuple([count] for count in ROWS)


def test_the_joint_test_folds_have_the_published_class_histograms(published_folds):
    examples = adience.read(published_folds, labels_only=True).examples
    counts = pd.crosstab(examples["published_split"], examples["age_group"])
    assert tuple(map(tuple, counts.to_numpy().tolist())) == GROUPS_OF_BOTH
    males = (examples["gender"] == "male").groupby(examples["published_split"]).sum()
    assert tuple(males) == MALES_OF_BOTH


def test_subjects_of_the_published_folds_are_counted_as_published(published_folds):
    manifest = adience.read(published_folds, labels_only=True, subset="all")
    assert tuple(manifest.examples.groupby("published_split")["subject"].nunique()) == FACES
    assert tuple(manifest.examples.groupby("published_split")["user"].nunique()) == USERS
    assert manifest.describe()["num_subjects"] == 2284
    assert manifest.is_aligned


def test_repairing_25_23_adds_its_rows_to_group_4_and_keeps_the_label_as_written(published_folds):
    plain = adience.read(published_folds, labels_only=True, subset="age").examples
    repaired = adience.read(published_folds, labels_only=True, subset="age", repair_25_23=True).examples
    assert len(repaired) - len(plain) == OTHERS["(25, 23)"]
    assert set(repaired.loc[repaired["age_label"] == "(25, 23)", "age_group"]) == {4}


def test_an_exact_age_is_an_age_in_years_without_a_group_and_a_range_has_no_age(write_folds):
    lines = [
        fold_line(image="a.jpg", age="35"),
        fold_line(image="b.jpg", age="(38, 42)"),
        fold_line(image="c.jpg", age="None", gender=""),
        fold_line(image="d.jpg", age="(8, 12)", gender="u"),
    ]
    root = write_folds({0: lines})
    rows = adience.read(root, labels_only=True, subset="all").examples.set_index("photo").filter(like="10@", axis=0)
    assert rows["age"].fillna(-1).tolist() == [35.0, -1, -1, -1]
    assert rows["age_group"].fillna(-1).tolist() == [-1, -1, -1, 2]
    assert rows["gender"].fillna("?").tolist() == ["female", "female", "?", "?"]


def test_every_label_of_the_scheme_is_read_as_its_group(write_folds):
    lines = [fold_line(image=f"{group}.jpg", age=label) for group, label in enumerate(ADIENCE_8.labels)]
    examples = adience.read(write_folds({2: lines}), labels_only=True).examples
    assert examples.loc[examples["user"] == "10@N00", "age_group"].tolist() == list(range(8))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\t\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_byte_order_marks_windows_line_ends_and_trailing_tabs_change_nothing(write_folds, end, encoding):
    lines = {1: [fold_line(user="Zoë Łuk@N00", image='my "photo" 1.jpg')]}
    plain = adience.read(write_folds(lines), labels_only=True)
    assert adience.read(write_folds(lines, end, encoding), labels_only=True).hash() == plain.hash()
    assert 'aligned/Zoë Łuk@N00/landmark_aligned_face.1.my "photo" 1.jpg' in set(plain.examples["path"])


def test_two_faces_in_one_photo_share_the_photo_and_not_the_subject(write_folds):
    lines = [fold_line(face_id="1"), fold_line(face_id="2", gender="m")]
    examples = adience.read(write_folds({0: lines}), labels_only=True).examples
    pair = examples[examples["user"] == "10@N00"]
    assert pair["photo"].tolist() == ["10@N00/a_o.jpg"] * 2
    assert pair["subject"].tolist() == ["10@N00/1", "10@N00/2"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (fold_line(age="(8, 13)"), "unknown age label '(8, 13)'"),
        (fold_line(age="41"), "unknown age label '41'"),
        (fold_line(age=""), "unknown age label ''"),
        (fold_line(gender="x"), "unknown gender 'x'"),
        (fold_line(face_id="one"), "face_id 'one' is not a number"),
        (fold_line(user=".."), "user or image name is empty or a path"),
        (fold_line(image="../../a.jpg"), "user or image name is empty or a path"),
        (fold_line(image=""), "user or image name is empty or a path"),
    ],
)
def test_a_row_that_cannot_be_understood_is_quarantined_with_its_line_and_value(write_folds, line, reason):
    good = [fold_line(user="20@N00", image="good.jpg", face_id="7")]
    manifest = adience.read(write_folds({0: [*good, line]}), labels_only=True, max_quarantined_share=0.5)
    assert manifest.quarantine["reason"].tolist() == [reason]
    assert manifest.quarantine["row"].tolist() == [3]
    assert len(manifest) == 5


def test_too_many_unknown_labels_stop_the_reading(write_folds):
    with pytest.raises(TooManyQuarantinedError, match="unknown age label '\\(8, 13\\)'"):
        adience.read(write_folds({0: [fold_line(age="(8, 13)")]}), labels_only=True)


def test_a_face_listed_twice_is_kept_once_if_the_labels_agree_and_not_at_all_if_not(write_folds):
    agree = adience.read(write_folds({0: [fold_line()] * 2}), labels_only=True, max_quarantined_share=1)
    assert agree.quarantine["reason"].tolist() == ["listed twice, labels agree"]
    lines = [fold_line(age="35"), fold_line(age="(38, 43)")]
    differ = adience.read(write_folds({0: lines}), labels_only=True, max_quarantined_share=1)
    assert differ.quarantine["reason"].tolist() == ["listed twice, labels differ"] * 2
    assert (len(agree), len(differ)) == (5, 4)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (fold_line(face_id="9"), "users are in more than one fold: '10@N00'"),
        (fold_line(user="30@N00"), "face ids are in more than one fold: '1'"),
    ],
)
def test_a_user_or_a_face_in_two_folds_is_refused_by_name(write_folds, line, what):
    with pytest.raises(ValueError, match=rf"1 {what} \(the first in folds 0, 3\)"):
        adience.read(write_folds({0: [fold_line()], 3: [line]}), labels_only=True)


def test_a_wrong_number_of_columns_names_file_line_and_what_was_found(write_folds):
    short = fold_line().rsplit("\t", 2)[0]
    with pytest.raises(ValueError, match=r"fold_4_data\.txt, line 3: expected 12 columns, found 10: \['10@N00'"):
        adience.read(write_folds({4: [fold_line(user="1@N00", face_id="5"), short]}), labels_only=True)


def test_an_empty_fold_is_refused(write_folds):
    with pytest.raises(ValueError, match=r"fold_2_data\.txt has a header and no rows"):
        adience.read(write_folds({2: []}), labels_only=True)
    root = write_folds()
    (root / "fold_1_data.txt").write_text("")
    with pytest.raises(ValueError, match=r"fold_1_data\.txt is empty"):
        adience.read(root, labels_only=True)


def test_a_missing_fold_and_a_missing_folder_of_pictures_are_named(write_folds):
    root = write_folds()
    with pytest.raises(FileNotFoundError, match="aligned does not exist"):
        adience.read(root)
    (root / "fold_3_data.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"fold_3_data\.txt does not exist"):
        adience.read(root, labels_only=True)


def test_an_unknown_subset_is_refused(write_folds):
    with pytest.raises(ValueError, match="unknown subset 'both'"):
        adience.read(write_folds(), subset="both")


def test_every_row_of_a_miniature_has_its_picture(adience_miniature):
    manifest = adience.read(adience_miniature, subset="all")
    assert len(manifest.quarantine) == 0
    assert all((manifest.root / path).is_file() for path in manifest.examples["path"])
    assert manifest.hash() == adience.read(adience_miniature, subset="all", labels_only=True).hash()


def test_a_missing_picture_is_quarantined_unless_only_labels_are_read(write_folds):
    root = write_folds()
    examples = adience.read(root, labels_only=True).examples
    for path in examples["path"][1:]:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    manifest = adience.read(root, max_quarantined_share=0.5)
    assert manifest.quarantine["reason"].tolist() == ["missing file"]
    assert manifest.quarantine["path"].tolist() == [examples["path"][0]]
