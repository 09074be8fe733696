import pytest

from agegender.corpora import folder
from agegender.labels import ADIENCE_8
from agegender.miniatures import layouts


@pytest.fixture
def write(tmp_path):
    """Write a table and a (fake) file for each name in ``files``."""

    def write_table(text, files=("a.jpg", "b c.jpg")):
        for name in files:
            (tmp_path / name).touch()
        (tmp_path / "faces.csv").write_text(text, encoding="utf-8")
        return tmp_path

    return write_table


def test_all_columns_are_read_and_empty_cells_are_unknown(write):
    root = write(
        'path,subject,age,age_group,gender,split,camera\na.jpg,s1,35.5,"(25, 32)",F,train,x\nb c.jpg,Zoë,,,,,\n'
    )
    manifest = folder.read(root, ADIENCE_8)
    first, second = manifest.examples.to_dict("records")
    assert (first["age"], first["age_group"], first["gender"], first["published_split"]) == (35.5, 4, "female", "train")
    assert manifest.examples[["age", "age_group", "gender", "published_split"]].isna().all(axis=1).tolist() == [
        False,
        True,
    ]
    assert (second["subject"], first["camera"]) == ("Zoë", "x")
    assert manifest.has_identities


def test_a_subject_that_looks_like_a_number_stays_as_written(write):
    assert folder.read(write("path,subject,gender\na.jpg,007,m\n")).examples["subject"].tolist() == ["007"]


def test_a_folder_miniature_is_read_whole(tmp_path):
    root = layouts.write_folder(tmp_path / "own", num_subjects=5, size_px=32)
    manifest = folder.read(root)
    assert len(manifest.quarantine) == 0
    assert manifest.examples["age"].notna().all()
    assert set(manifest.examples["published_split"]) == {"train", "validation", "test"}
    assert manifest.examples.groupby("subject")["gender"].nunique().max() == 1


def test_the_reader_says_whether_the_pictures_are_aligned_faces(write):
    root = write("path,subject,gender\na.jpg,1,m\n")
    assert not folder.read(root).is_aligned
    assert folder.read(root, is_aligned=True).is_aligned


def test_missing_files_are_quarantined_with_their_line(write):
    root = write("path,subject,gender\na.jpg,1,m\nnothing.jpg,2,f\n")
    manifest = folder.read(root, max_quarantined_share=0.5)
    assert manifest.quarantine.to_dict("records") == [{"path": "nothing.jpg", "row": 3, "reason": "missing file"}]


def test_a_path_listed_twice_with_other_labels_is_quarantined(write):
    root = write("path,subject,gender\na.jpg,1,m\na.jpg,1,f\nb c.jpg,2,f\n")
    manifest = folder.read(root, max_quarantined_share=1)
    assert manifest.quarantine["row"].tolist() == [2, 3]
    assert manifest.examples["path"].tolist() == ["b c.jpg"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,age\na.jpg,3\n", r"no column 'subject' \(found path, age\)"),
        ("path,subject\na.jpg,1\n", r"no label column \(found path, subject\)"),
        ("file,subject,age\na.jpg,1,3\n", "expected the columns path; found file, subject, age"),
        ("path,subject,age_group\na.jpg,1,0-2\n", "say which scheme"),
        ("path,subject,age,corpus\na.jpg,1,3,mine\n", "a column 'corpus', a name that the manifest needs itself"),
        ("path,subject,age\na.jpg,1,3\nb c.jpg,2,abc\n", r"faces\.csv, line 3, column 'age': .*'abc'.*age in years"),
        ("path,subject,age\na.jpg,1,1985\n", r"line 2, column 'age': impossible age 1985"),
        ("path,subject,age\na.jpg,,3\n", r"line 2, column 'subject': the subject is empty"),
        (
            "path,subject,gender\na.jpg,1,mann\n",
            r"line 2, column 'gender': unknown gender 'mann'.*write female or male",
        ),
        ("path,subject,gender\n../a.jpg,1,m\n", r"line 2, column 'path': '\.\./a\.jpg' is not a path inside"),
        ("path,subject,gender\n/a.jpg,1,m\n", r"line 2, column 'path': '/a\.jpg' is not a path inside"),
        ("path,subject,gender\n,1,m\n", r"line 2, column 'path'"),
    ],
)
def test_a_fault_is_named_by_file_line_column_and_value(write, text, message):
    with pytest.raises(ValueError, match=message):
        folder.read(write(text))


def test_a_label_of_another_scheme_is_refused(write):
    with pytest.raises(ValueError, match=r"line 2, column 'age_group': unknown age group '20-29': adience-8 has"):
        folder.read(write("path,subject,age_group\na.jpg,1,20-29\n"), ADIENCE_8)


def test_a_folder_with_two_tables_asks_which(write):
    root = write("path,subject,gender\na.jpg,1,m\n")
    (root / "other.csv").write_text("x\n")
    with pytest.raises(ValueError, match=r"found faces\.csv, other\.csv"):
        folder.read(root)
    assert len(folder.read(root / "faces.csv")) == 1
