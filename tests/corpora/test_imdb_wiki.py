import datetime
import shutil
import struct
import warnings

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from agegender.corpora import imdb_wiki
from agegender.corpora.imdb_wiki import ages, dates, struct_fields, texts
from agegender.data.manifest import Manifest, TooManyQuarantinedError
from agegender.data.splits import audit, split_by_subject, subject_folds
from agegender.miniatures.imdb_wiki import write_imdb, write_wiki

ROW = {
    "dob": datetime.date(1960, 3, 1).toordinal() + 366,
    "photo_taken": 2000,
    "gender": 1.0,
    "face_score": 3.5,
    "second_face_score": np.nan,
    "celeb_id": 7,
}
NUMBERS = ("dob", "photo_taken", "gender", "face_score", "second_face_score", "celeb_id")


def cells(values):
    found = np.empty((1, len(values)), dtype=object)
    found[0, :] = values
    return found


def struct_of(rows):
    """The struct of a table with the given rows; what a row does not say is as in ROW, its path is its number."""
    rows = [ROW | {"full_path": f"01/{number}.jpg", "name": "Zoë Łuk"} | row for number, row in enumerate(rows)]
    fields = {name: np.array([[float(row[name]) for row in rows]]) for name in NUMBERS}
    return fields | {name: cells([row[name] for row in rows]) for name in ("full_path", "name")}


@pytest.fixture
def write(tmp_path):
    """Write a table with the given rows, or with the given struct, and return the folder."""

    def written(rows, corpus="imdb"):
        (tmp_path / corpus).mkdir(exist_ok=True)
        savemat(tmp_path / corpus / f"{corpus}.mat", {corpus: struct_of(rows) if isinstance(rows, list) else rows})
        return tmp_path

    return written


@pytest.fixture(scope="module")
def miniatures(tmp_path_factory):
    root = tmp_path_factory.mktemp("imdb_wiki")
    write_imdb(root, num_subjects=6, seed=1, size_px=24)
    return write_wiki(root, num_subjects=6, seed=2, size_px=24)


def read_labels(root, *arguments, **options):
    return imdb_wiki.read(root, *arguments, labels_only=True, **options)


BIRTHS = [
    (1, 1, 1), (1, 12, 31), (4, 2, 29), (1600, 2, 29), (1850, 5, 17), (1899, 12, 31), (1900, 1, 1), (1900, 2, 28),
    (1903, 6, 29), (1904, 6, 30), (1905, 7, 1), (1960, 2, 29), (1969, 12, 31), (1970, 1, 1), (1999, 12, 31),
    (2000, 2, 29), (2012, 6, 30), (2015, 7, 1), (9999, 12, 31),
]  # fmt: skip


@pytest.mark.parametrize("birth", BIRTHS)
def test_a_day_number_is_the_day_that_datetime_says(birth):
    day = datetime.date(*birth)
    for part_of_day in (0, 0.75):
        assert dates(np.array([day.toordinal() + 366 + part_of_day]))[0] == np.datetime64(day)


def test_known_day_numbers_of_matlab():
    """From MATLAB's documentation of ``datenum``: 24 October 2003, 12:45:07; and 1 January of the year 2000."""
    assert dates(np.array([731878.53, 730486.0])).astype(str).tolist() == ["2003-10-24", "2000-01-01"]


def test_every_day_of_four_centuries_is_the_day_that_datetime_says():
    ordinals = np.arange(datetime.date(1600, 1, 1).toordinal(), datetime.date(2016, 1, 1).toordinal(), 13)
    expected = np.array([datetime.date.fromordinal(int(day)) for day in ordinals], dtype="datetime64[D]")
    np.testing.assert_array_equal(dates(ordinals + 366.0), expected)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, -5.0, 0.0, 213.0, 366.9, 3652059 + 367.0, 1e300])
def test_a_number_that_is_no_day_of_the_years_1_to_9999_is_no_date(number):
    assert np.isnat(dates(np.array([number]))[0])


@pytest.mark.parametrize("birth", BIRTHS[4:-1])
@pytest.mark.parametrize("years", [0, 1, 4, 25, 101])
def test_both_ages_are_those_of_a_typed_out_formula(birth, years):
    born, year = datetime.date(*birth), birth[0] + years
    arrays = np.array([born], dtype="datetime64[D]"), np.array([float(year)])
    assert ages(*arrays, "years_apart")[0] == years
    middle = datetime.date(year, 6, 30)
    completed = years - ((born.month, born.day) > (6, 30))
    found = ages(*arrays, "mid_year")[0]
    assert np.floor(found) == completed
    assert found == pytest.approx((middle - born).days / 365.2425, abs=0.006)


def test_on_the_birthday_an_age_is_whole_and_the_day_before_nearly():
    found = ages(np.array(["1960-06-30", "1960-07-01"], dtype="datetime64[D]"), np.array([2000.0, 2000.0]), "mid_year")
    assert found.tolist() == [40.0, 39 + 365 / 366]


def test_an_age_is_unknown_where_birth_or_year_is():
    birth = np.array(["NaT", "1960-01-01"], dtype="datetime64[D]")
    for age_of in imdb_wiki.AGES:
        assert np.isnan(ages(birth, np.array([2000.0, np.nan]), age_of)).all()


def test_a_row_is_read_as_it_is_written(write):
    row = {"full_path": "14/nm0000114_rm9_1960-3-1_2000.jpg", "gender": 0, "celeb_id": 12, "face_score": 2.25}
    manifest = read_labels(write([row]))
    assert manifest.examples.drop(columns=["age_group", "published_split"]).to_dict("records") == [
        {
            "path": "14/nm0000114_rm9_1960-3-1_2000.jpg", "subject": "12", "age": 40.0, "gender": "female",
            "corpus": "imdb", "modality": "face", "photo": "rm9", "photo_year": 2000, "face_score": 2.25,
        }
    ]  # fmt: skip
    assert manifest.has_identities
    assert not manifest.is_aligned
    assert manifest.scheme is None


def test_the_year_of_birth_alone_makes_people_older_than_they_were(write):
    root = write([{"dob": datetime.date(1960, 12, 31).toordinal() + 366}])
    assert read_labels(root).examples["age"].tolist() == [40.0]
    assert read_labels(root, age_of="mid_year").examples["age"].tolist() == pytest.approx([39.495], abs=0.01)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"second_face_score": 0.5}, "more than one face"),
        ({"second_face_score": -np.inf}, "more than one face"),
        ({"gender": np.nan}, "no gender"),
        ({"dob": 0}, "born before the year 1"),
        ({"dob": -700_000}, "born before the year 1"),
        ({"dob": 213}, "born before the year 1"),
        ({"dob": 367}, "age above 100"),
        ({"photo_taken": 2061}, "age above 100"),
        ({"photo_taken": 1959}, "age below 0"),
        ({"dob": datetime.date(2014, 1, 1).toordinal() + 366}, "age below 0"),
    ],
)
def test_a_filtered_row_is_quarantined_with_its_reason_and_does_not_count_as_a_fault(write, row, reason):
    manifest = read_labels(write([{}, row, row, row]), max_quarantined_share=0)
    assert len(manifest) == 1
    assert manifest.quarantine["reason"].tolist() == [reason] * 3
    assert manifest.quarantine["row"].tolist() == [2, 3, 4]
    assert manifest.quarantine["path"].tolist() == ["01/1.jpg", "01/2.jpg", "01/3.jpg"]


@pytest.mark.parametrize(("year", "is_kept"), [(1959, False), (1960, True), (2060, True), (2061, False)])
def test_ages_of_0_and_100_are_kept(write, year, is_kept):
    manifest = read_labels(write([{"celeb_id": 1}, {"photo_taken": year}]))
    assert len(manifest) == 1 + is_kept


def test_in_the_middle_of_the_year_a_child_of_july_is_not_born_yet(write):
    root = write([{}, {"dob": datetime.date(2000, 7, 1).toordinal() + 366}])
    assert len(read_labels(root)) == 2
    assert read_labels(root, age_of="mid_year").quarantine["reason"].tolist() == ["age below 0"]


def test_somebody_born_before_1900_can_be_in_an_old_photograph(write):
    manifest = read_labels(write([{"dob": datetime.date(1850, 5, 17).toordinal() + 366, "photo_taken": 1910}]))
    assert manifest.examples["age"].tolist() == [60.0]


@pytest.mark.parametrize(
    ("score", "published", "intended"), [(-np.inf, 2, 1), (np.nan, 2, 1), (np.inf, 2, 1), (1.0, 2, 1), (1.01, 2, 2)]
)
def test_the_face_score_is_looked_at_as_intended_and_not_as_published(write, score, published, intended):
    root = write([{}, {"face_score": score}])
    assert len(read_labels(root)) == published
    manifest = read_labels(root, min_face_score=1.0)
    assert len(manifest) == intended
    assert manifest.quarantine["reason"].tolist() == ["face score not above 1"] * (2 - intended)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"full_path": ""}, "no path"),
        ({"full_path": 5.0}, "no path"),
        ({"full_path": "../secret.jpg"}, "path leaves the folder"),
        ({"full_path": "01/../../secret.jpg"}, "path leaves the folder"),
        ({"full_path": "/etc/secret.jpg"}, "path leaves the folder"),
        ({"full_path": "..\\secret.jpg"}, "path leaves the folder"),
        ({"full_path": "C:\\secret.jpg"}, "path leaves the folder"),
        ({"dob": np.nan}, "no date of birth"),
        ({"dob": np.inf}, "no date of birth"),
        ({"dob": -np.inf}, "no date of birth"),
        ({"dob": 9e9}, "no date of birth"),
        ({"photo_taken": np.nan}, "no year of the photograph"),
        ({"photo_taken": 0}, "no year of the photograph"),
        ({"photo_taken": 65535}, "no year of the photograph"),
        ({"gender": 2}, "gender is neither 0 nor 1 nor missing"),
        ({"gender": 0.5}, "gender is neither 0 nor 1 nor missing"),
        ({"gender": -np.inf}, "gender is neither 0 nor 1 nor missing"),
    ],
)
def test_a_fault_is_quarantined_and_too_many_stop_the_reading(write, row, reason):
    root = write([{}, {}, {}, row])
    manifest = read_labels(root, max_quarantined_share=0.25)
    assert len(manifest) == 3
    assert manifest.quarantine["reason"].tolist() == [reason]
    assert manifest.quarantine["row"].tolist() == [4]
    with pytest.raises(TooManyQuarantinedError, match=f"1 x {reason}"):
        read_labels(root, max_quarantined_share=0.24)


def test_the_share_of_faults_is_that_of_the_rows_which_the_filters_keep(write):
    rows = [{}, {"photo_taken": np.nan}, *[{"gender": np.nan}] * 98]
    with pytest.raises(TooManyQuarantinedError, match="1 of 2 rows"):
        read_labels(write(rows))


def test_a_row_that_no_filter_leaves_is_refused_with_the_reasons(write):
    with pytest.raises(ValueError, match=r"imdb\.mat: none of 3 rows is left: 2 x no gender; 1 x no path"):
        read_labels(write([{"gender": np.nan}, {"full_path": ""}, {"gender": np.nan}]))


def test_a_path_that_stands_twice_with_two_labels_is_not_used(write):
    rows = [{}, {"full_path": "01/x.jpg"}, {"full_path": "01/x.jpg", "gender": 0}]
    manifest = read_labels(write(rows), max_quarantined_share=1)
    assert manifest.examples["path"].tolist() == ["01/0.jpg"]
    assert manifest.quarantine["reason"].tolist() == ["listed twice, labels differ"] * 2


def test_a_subject_is_a_celebrity_and_a_row_without_one_its_own(write):
    root = write([{"celeb_id": 3}, {"celeb_id": np.nan}, {"celeb_id": 3}, {"celeb_id": 0}])
    assert read_labels(root).examples["subject"].tolist() == ["3", "01/1.jpg", "3", "01/3.jpg"]


def test_in_wiki_a_subject_is_a_name_that_is_not_kept(write):
    rows = [{"name": "Ann"}, {"name": ""}, {"name": "Zoë Łuk"}, {"name": "Ann"}]
    examples = read_labels(write(rows, "wiki"), "wiki").examples
    assert examples["subject"].tolist() == ["1", "01/1.jpg", "2", "1"]
    assert not examples.astype("str").isin(["Ann", "Zoë Łuk"]).any(axis=None)


def test_two_people_of_one_photograph_share_the_photo(write):
    rows = [{"full_path": f"0{n}/nm000000{n}_rm55_1960-3-1_2000.jpg", "celeb_id": n} for n in (1, 2)]
    examples = read_labels(write(rows)).examples
    assert examples["photo"].tolist() == ["rm55", "rm55"]
    assert examples["subject"].tolist() == ["1", "2"]


def test_a_missing_picture_and_a_folder_in_its_place_are_quarantined(write):
    root = write([{}, {}, {"gender": np.nan}, {}, {"full_path": "02/x.jpg"}])
    (root / "imdb/01/3.jpg").mkdir(parents=True)
    (root / "imdb/01/0.jpg").touch()
    manifest = imdb_wiki.read(root, max_quarantined_share=0.8)
    assert manifest.examples["path"].tolist() == ["01/0.jpg"]
    assert manifest.quarantine.set_index("row")["reason"].to_dict() == {
        2: "missing file", 3: "no gender", 4: "missing file", 5: "missing file",
    }  # fmt: skip
    with pytest.raises(TooManyQuarantinedError, match="3 x missing file"):
        imdb_wiki.read(root)


@pytest.mark.parametrize("corpus", imdb_wiki.CORPORA)
def test_a_miniature_is_read_whole_and_every_picture_is_there(miniatures, corpus):
    manifest = imdb_wiki.read(miniatures, corpus, max_quarantined_share=0)
    assert all((manifest.root / path).is_file() for path in manifest.examples["path"])
    assert {"more than one face", "no gender", "born before the year 1"} >= set(manifest.quarantine["reason"])
    assert manifest.hash() == read_labels(miniatures, corpus).hash()
    assert manifest.examples.groupby("subject")["gender"].nunique().max() == 1


def test_table_and_pictures_are_found_in_the_layouts_of_both_archives(miniatures, tmp_path):
    expected = imdb_wiki.read(miniatures)
    shutil.copytree(miniatures / "imdb_crop", tmp_path / "a/imdb_crop")
    (tmp_path / "a/imdb").mkdir()
    (tmp_path / "a/imdb_crop/imdb.mat").rename(tmp_path / "a/imdb/imdb.mat")
    shutil.copytree(miniatures / "imdb_crop", tmp_path / "b")
    shutil.copytree(miniatures / "imdb_crop", tmp_path / "c/imdb/imdb_crop")  # a folder for each corpus
    shutil.copytree(miniatures / "imdb_crop", tmp_path / "d/imdb/imdb_crop")
    (tmp_path / "d/imdb/imdb_crop/imdb.mat").rename(tmp_path / "d/imdb/imdb.mat")
    for root in (tmp_path / name for name in "abcd"):
        manifest = imdb_wiki.read(root)
        assert manifest.hash() == expected.hash()
        assert all((manifest.root / path).is_file() for path in manifest.examples["path"])


def test_a_missing_table_is_named_and_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no wiki\.mat in .*unpack wiki_crop\.tar there"):
        imdb_wiki.read(tmp_path, "wiki")


@pytest.mark.parametrize(("corpus", "age_of"), [("IMDB", "years_apart"), ("imdb", "birthday")])
def test_an_unknown_corpus_or_way_to_an_age_is_refused(write, corpus, age_of):
    with pytest.raises(ValueError, match=rf"expected one of .* got '{corpus}' and '{age_of}'"):
        read_labels(write([{}]), corpus, age_of)


@pytest.mark.parametrize("field", ["dob", "full_path", "second_face_score", "celeb_id"])
def test_a_missing_field_is_named(write, field):
    struct_without = {name: values for name, values in struct_of([{}, {}]).items() if name != field}
    with pytest.raises(ValueError, match=rf"imdb\.mat: 'imdb' lacks the fields {field}; it has "):
        read_labels(write(struct_without))


def test_fields_of_unequal_length_are_named_with_their_lengths(write):
    uneven = struct_of([{}, {}, {}]) | {"gender": np.ones((1, 2))}
    with pytest.raises(ValueError, match=r"differ in length: dob 3, photo_taken 3, full_path 3, gender 2"):
        read_labels(write(uneven))


def test_a_field_of_another_kind_is_named(write):
    with pytest.raises(ValueError, match="the field 'gender' holds neither numbers nor cells but <U3"):
        read_labels(write(struct_of([{}]) | {"gender": np.array(["mmm"])}))


def test_a_variable_that_is_no_struct_and_the_table_of_another_corpus_are_refused(write):
    with pytest.raises(ValueError, match=r"'imdb' is not one struct but .* of shape"):
        read_labels(write(np.ones((2, 2))))
    root = write([{}], "wiki")
    (root / "wiki/wiki.mat").rename(root / "imdb/imdb.mat")
    with pytest.raises(ValueError, match="holds no variable 'imdb': is it the file of another corpus"):
        read_labels(root)


def test_a_file_of_matlab_7_3_is_refused_with_what_to_do(tmp_path):
    header = b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<H", 0x0200) + b"IM" + b"\0" * 384 + b"\x89HDF\r\n\x1a\n"
    (tmp_path / "imdb.mat").write_bytes(header)
    with pytest.raises(ValueError, match=r"imdb\.mat is a MATLAB file of version 7\.3 \(HDF5\): save it as version 7"):
        read_labels(tmp_path)


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_table_that_is_cut_short_anywhere_before_its_last_padding_is_refused(tmp_path, is_compressed):
    path = tmp_path / "imdb.mat"
    savemat(path, {"imdb": struct_of([{}] * 20)}, do_compression=is_compressed)
    whole = path.read_bytes()
    for length in np.linspace(0, len(whole) - 8, 40, dtype=int):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"imdb\.mat"):
            read_labels(tmp_path)


def error_of(root):
    try:
        read_labels(root, max_quarantined_share=1)
    except ValueError as error:
        return str(error)
    return None


def test_random_damage_is_an_error_that_names_the_file_or_leaves_a_table(tmp_path):
    path = tmp_path / "imdb.mat"
    savemat(path, {"imdb": struct_of([{}] * 20)}, do_compression=True)
    whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(40):
        damaged = whole.copy()
        damaged[rng.integers(0, len(whole), 8)] = rng.integers(0, 256, 8)
        path.write_bytes(damaged.tobytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            error = error_of(tmp_path)
        assert error is None or "imdb.mat" in error


def test_some_other_file_is_refused(tmp_path):
    (tmp_path / "imdb.mat").write_text("<html>404 not found</html>" * 50)
    with pytest.raises(ValueError, match="is damaged, cut short or no MATLAB file"):
        read_labels(tmp_path)


def test_cells_without_text_are_empty_text():
    found = cells([np.array(["  a b "]), np.array([], dtype="<U1"), np.array([3.0]), None])
    assert texts(found[0]) == ["a b", "", "", ""]


def test_a_field_is_the_same_in_a_row_and_in_a_column(tmp_path):
    fields = struct_of([{"celeb_id": 1}, {"celeb_id": 2}])
    savemat(tmp_path / "row.mat", {"imdb": fields})
    savemat(tmp_path / "column.mat", {"imdb": {name: values.T for name, values in fields.items()}})
    names = ("dob", "full_path", "celeb_id")
    row, column = (struct_fields(tmp_path / f"{name}.mat", "imdb", names) for name in ("row", "column"))
    assert row["celeb_id"].tolist() == column["celeb_id"].tolist() == [1, 2]
    assert texts(row["full_path"]) == texts(column["full_path"]) == ["01/0.jpg", "01/1.jpg"]


def test_splits_of_a_miniature_share_no_celebrity(miniatures):
    examples = imdb_wiki.read(miniatures).examples
    split = split_by_subject(examples, subject_folds(examples, 3), 0, seed=0, validation_share=0.5)
    assert audit(split.parts(examples))["num_shared"].tolist() == [0, 0, 0]


def test_a_manifest_with_its_quarantine_is_saved_and_loaded(miniatures, tmp_path):
    manifest = imdb_wiki.read(miniatures)
    manifest.save(tmp_path / "m.parquet")
    loaded = Manifest.load(tmp_path / "m.parquet")
    assert loaded.hash() == manifest.hash()
    assert loaded.quarantine.to_dict("records") == manifest.quarantine.to_dict("records")


def test_the_tables_of_a_miniature_have_the_fields_of_the_release_in_its_order(miniatures):
    names = ("dob", "photo_taken", "full_path", "gender", "name", "face_location", "face_score", "second_face_score")
    for corpus, more in (("imdb", ("celeb_names", "celeb_id")), ("wiki", ())):
        table = loadmat(miniatures / f"{corpus}_crop" / f"{corpus}.mat")[corpus][0, 0]
        assert table.dtype.names == names + more
