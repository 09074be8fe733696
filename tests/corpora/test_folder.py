import pytest

from agegender.corpora import folder
from agegender.labels import ADIENCE_8
from agegender.miniatures import face_corpora


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
    root = face_corpora.write_folder(tmp_path / "own", num_subjects=5, size_px=32)
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


RECORDINGS = (
    b"RIFF\x24\0\0\0WAVEfmt ",
    b"fLaC\0\0\0\x22",
    b"OggS\0\x02",
    b"ID3\x04",
    b"\xff\xfb\x90\x64",
    b"FORM\0\0\0\x10AIFF",
)
PICTURES = (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x24\0\0\0WEBPVP8 ", b"BM\0\0", b"GIF89a", b"II*\0")
TABLE = "path,subject,gender\na.jpg,1,m\nb c.jpg,2,f\n"


@pytest.mark.parametrize("start", RECORDINGS, ids=repr)
def test_recordings_are_voices_whatever_they_are_called(write, start):
    root = write(TABLE)
    (root / "b c.jpg").write_bytes(start)
    manifest = folder.read(root)
    assert (manifest.modality, *manifest.examples["modality"]) == ("voice", "voice", "voice")


@pytest.mark.parametrize("start", PICTURES, ids=repr)
def test_pictures_are_faces_whatever_they_are_called(write, start):
    root = write(TABLE.replace("a.jpg", "a.wav"), files=("a.wav", "b c.jpg"))
    (root / "a.wav").write_bytes(start)
    assert folder.read(root).modality == "face"


def test_pictures_and_recordings_in_one_table_are_refused_with_the_first_of_each(write):
    root = write(TABLE)
    (root / "a.jpg").write_bytes(PICTURES[0])
    (root / "b c.jpg").write_bytes(RECORDINGS[0])
    wanted = r"lists 1 pictures \(first 'a.jpg'\) and 1 recordings \(first 'b c.jpg'\): give each kind a table"
    with pytest.raises(ValueError, match=wanted):
        folder.read(root)


@pytest.mark.parametrize(("start", "asked"), [(RECORDINGS[0], "face"), (PICTURES[0], "voice")])
def test_files_of_the_other_kind_than_is_asked_for_are_refused(write, start, asked):
    root = write(TABLE)
    (root / "a.jpg").write_bytes(start)
    wanted = {"face": "recordings, and pictures are asked for", "voice": "pictures, and recordings are asked for"}
    with pytest.raises(ValueError, match=wanted[asked]):
        folder.read(root, modality=asked)


def test_where_no_file_tells_its_kind_the_caller_does(write):
    assert folder.read(write(TABLE)).modality == "face"
    assert folder.read(write(TABLE), modality="voice").modality == "voice"


def test_labels_alone_need_no_file(write):
    manifest = folder.read(write(TABLE, files=()), modality="voice", labels_only=True)
    assert (len(manifest), manifest.modality, len(manifest.quarantine)) == (2, "voice", 0)


def test_a_column_called_source_is_a_column_like_any_other(write):
    root = write("path,subject,gender,source\na.jpg,1,m,phone\nb c.jpg,2,f,web\n")
    examples = folder.read(root).examples
    assert (examples["source"].tolist(), set(examples["corpus"])) == (["phone", "web"], {"folder"})


@pytest.mark.parametrize("name", ["source_corpus", "repeats", "fold_lines"])
def test_a_column_that_means_something_to_the_library_is_refused(write, name):
    root = write(f"path,subject,gender,{name}\na.jpg,1,m,2\n")
    with pytest.raises(ValueError, match=f"has a column '{name}', a name that the manifest needs itself"):
        folder.read(root)
