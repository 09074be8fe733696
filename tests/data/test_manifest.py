import json
import math

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
import pytest
from pandas.testing import assert_frame_equal

from agegender.data.manifest import (
    COLUMNS,
    Manifest,
    TooManyQuarantinedError,
    build_manifest,
)
from agegender.labels import ADIENCE_8, FAIRFACE_9


def rows(**changes):
    table = {
        "path": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"],
        "subject": ["s0", "s0", "s1", "s2"],
        "age": [1.0, 2.0, math.nan, 44.0],
        "age_group": [0, 0, None, 5],
        "gender": ["male", None, "female", "male"],
        "corpus": "people",
        "modality": "face",
        "published_split": ["0", "0", "1", None],
    }
    return pd.DataFrame(table | changes)


def manifest(max_quarantined_share=1.0, scheme=ADIENCE_8, **changes):
    return build_manifest(rows(**changes), scheme=scheme, max_quarantined_share=max_quarantined_share)


def aside(num_rows, reason="unknown label"):
    return pd.DataFrame({"path": [f"x{i}.jpg" for i in range(num_rows)], "row": range(num_rows), "reason": reason})


def test_a_manifest_has_the_columns_and_types_of_the_contract():
    examples = manifest(extra=[1, 2, 3, 4]).examples
    assert list(examples.columns) == [*COLUMNS, "extra"]
    text = dict.fromkeys(("path", "subject", "gender", "corpus", "modality", "published_split"), "str")
    types = text | {"age": "float64", "age_group": "Int64", "extra": "int64"}
    assert {name: str(dtype) for name, dtype in examples.dtypes.items()} == types


def test_labels_that_are_not_given_are_unknown_and_no_number():
    bare = build_manifest(rows()[["path", "subject", "corpus", "modality"]]).examples
    assert bare[["age", "age_group", "gender", "published_split"]].isna().all(axis=None)
    assert str(bare["age_group"].dtype) == "Int64"


@pytest.mark.parametrize("columns", [["path", "subject", "corpus", "modality"], list(COLUMNS)], ids=len)
def test_the_rows_of_the_caller_stay_as_they_were(columns):
    given = rows()[columns]
    before = given.copy()
    build_manifest(given, scheme=ADIENCE_8)
    assert_frame_equal(given, before)


def test_examples_are_numbered_from_0_whatever_the_numbers_of_the_caller():
    table = rows().set_index(pd.Index([7, 8, 9, 3]))
    assert build_manifest(table, scheme=ADIENCE_8).examples.index.tolist() == [0, 1, 2, 3]


def test_describe_counts_what_is_there():
    described = build_manifest(
        rows(), pd.concat([aside(2), aside(1, "missing file")]), scheme=ADIENCE_8, max_quarantined_share=0.5
    ).describe()
    assert described["num_examples"] == 4
    assert described["num_subjects"] == 3
    assert described["num_with_age"] == 3
    assert described["age_groups"] == dict.fromkeys(ADIENCE_8.labels, 0) | {"(0, 2)": 2, "(38, 43)": 1}
    assert described["genders"] == {"male": 2, "female": 1, "unknown": 1}
    assert described["published_splits"] == {"0": 2, "1": 1}
    assert described["quarantined"] == {"unknown label": 2, "missing file": 1}
    assert json.loads(json.dumps(described)) == described


def test_a_saved_manifest_comes_back_the_same(tmp_path):
    saved = build_manifest(
        rows(extra=["x", None, "y", "z"]),
        aside(2),
        scheme=ADIENCE_8,
        root=tmp_path / "faces",
        has_identities=False,
        is_aligned=True,
        max_quarantined_share=0.5,
    )
    saved.save(tmp_path / "new" / "m.parquet")
    loaded = Manifest.load(tmp_path / "new" / "m.parquet")
    assert_frame_equal(loaded.examples, saved.examples)
    assert_frame_equal(loaded.quarantine, saved.quarantine)
    for name in ("corpus", "modality", "scheme", "root", "has_identities", "is_aligned"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert loaded.hash() == saved.hash()


def test_a_file_of_an_earlier_version_that_does_not_say_whether_faces_are_aligned_is_read(tmp_path):
    manifest().save(tmp_path / "m.parquet")
    table = parquet.read_table(tmp_path / "m.parquet")
    facts = json.loads(table.schema.metadata[b"agegender"])
    del facts["is_aligned"]
    old = table.replace_schema_metadata({**table.schema.metadata, b"agegender": json.dumps(facts).encode()})
    parquet.write_table(old, tmp_path / "old.parquet")
    assert not Manifest.load(tmp_path / "old.parquet").is_aligned


def test_whether_faces_are_aligned_is_described_and_kept_by_a_selection_but_is_no_part_of_the_hash():
    whole, aligned = (build_manifest(rows(), scheme=ADIENCE_8, is_aligned=aligned) for aligned in (False, True))
    assert [whole.describe()["is_aligned"], aligned.describe()["is_aligned"]] == [False, True]
    assert aligned.select(aligned.examples["age"].notna()).is_aligned
    assert aligned.hash() == whole.hash()


def test_a_manifest_without_scheme_root_labels_or_quarantine_comes_back_the_same(tmp_path):
    saved = build_manifest(rows()[["path", "subject", "corpus", "modality"]])
    saved.save(tmp_path / "m.parquet")
    loaded = Manifest.load(tmp_path / "m.parquet")
    assert (loaded.scheme, loaded.root) == (None, None)
    assert_frame_equal(loaded.examples, saved.examples)
    assert_frame_equal(loaded.quarantine, saved.quarantine)
    assert loaded.hash() == saved.hash()


def test_rows_that_a_reader_repeats_are_quarantined_with_their_own_row_numbers_and_survive_saving(tmp_path):
    table = rows(path=["a.jpg", "b.jpg", "a.jpg", "d.jpg"], age=1.0, age_group=0, subject="s0", gender="male")
    table.index = [10, 11, 12, 13]
    built = build_manifest(table, scheme=ADIENCE_8, max_quarantined_share=0.5)
    expected = pd.DataFrame({"path": ["a.jpg"], "row": [12], "reason": ["listed twice, labels agree"]})
    assert_frame_equal(built.quarantine.reset_index(drop=True), expected)
    built.save(tmp_path / "m.parquet")
    assert_frame_equal(Manifest.load(tmp_path / "m.parquet").quarantine, expected)


def test_the_hash_does_not_depend_on_where_the_files_lie_or_how_the_table_came_about():
    base = manifest().hash()
    table = rows()
    assert build_manifest(table, scheme=ADIENCE_8, root="elsewhere").hash() == base
    more = table.assign(user="u", photo="p")
    assert (
        build_manifest(more[more.columns[::-1]], scheme=ADIENCE_8).hash()
        == build_manifest(more, scheme=ADIENCE_8).hash()
    )
    assert build_manifest(table.set_index(pd.Index([7, 8, 9, 3])), scheme=ADIENCE_8).hash() == base
    assert build_manifest(table, aside(1), scheme=ADIENCE_8, max_quarantined_share=0.5).hash() == base


def test_what_stands_under_a_missing_age_group_does_not_change_the_hash():
    hidden = pd.array([0, 0, 7, 5], dtype="Int64")
    hidden[2] = pd.NA
    assert manifest(age_group=hidden).hash() == manifest().hash()


CHANGES = {
    "path": {"path": ["a.jpg", "b.jpg", "c.jpg", "e.jpg"]},
    "subject": {"subject": ["s0", "s1", "s1", "s2"]},
    "age": {"age": [1.0, 2.0, math.nan, 44.000001]},
    "age becomes known": {"age": [1.0, 2.0, 3.0, 44.0]},
    "age becomes known as 0": {"age": [1.0, 2.0, 0.0, 44.0]},
    "age group": {"age_group": [0, 1, None, 5]},
    "age group becomes known": {"age_group": [0, 0, 0, 5]},
    "age group becomes known as 1": {"age_group": [0, 0, 1, 5]},
    "gender": {"gender": ["female", None, "female", "male"]},
    "gender becomes unknown": {"gender": [None, None, "female", "male"]},
    "gender becomes known": {"gender": ["male", "male", "female", "male"]},
    "corpus": {"corpus": "others"},
    "split": {"published_split": ["0", "0", "0", None]},
    "two labels change places": {"gender": ["male", "female", None, "male"]},
    "new column": {"extra": 1},
    "scheme": {"scheme": FAIRFACE_9},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_hash_changes_with_any_label(change):
    assert manifest(**change).hash() != manifest().hash()


def test_the_hash_changes_with_the_order_and_the_number_of_the_rows():
    base = manifest()
    reversed_rows = build_manifest(rows().iloc[::-1], scheme=ADIENCE_8)
    assert reversed_rows.hash() != base.hash()
    assert base.select(base.examples["path"] != "d.jpg").hash() != base.hash()


def test_select_keeps_the_named_examples_and_counts_them_from_0():
    selected = manifest().select(manifest().examples["subject"] != "s0")
    assert selected.examples["path"].tolist() == ["c.jpg", "d.jpg"]
    assert selected.examples.index.tolist() == [0, 1]
    assert len(selected) == 2
    assert selected.scheme == ADIENCE_8


def test_a_path_listed_twice_with_the_same_labels_is_kept_once():
    built = manifest(path=["a.jpg", "a.jpg", "c.jpg", "d.jpg"], age=math.nan, age_group=None, gender="male")
    assert built.examples["path"].tolist() == ["a.jpg", "c.jpg", "d.jpg"]
    assert built.quarantine["reason"].tolist() == ["listed twice, labels agree"]
    assert built.quarantine["row"].tolist() == [1]


@pytest.mark.parametrize(
    "labels",
    [
        {"subject": ["s0", "s1", "s1", "s2"]},
        {"age": [1.0, 2.0, math.nan, 44.0]},
        {"age": [1.0, math.nan, math.nan, 44.0]},
        {"age_group": [0, 1, None, 5]},
        {"age_group": [0, None, None, 5]},
        {"gender": ["male", None, "female", "male"]},
    ],
    ids=str,
)
def test_a_path_listed_twice_with_different_labels_is_kept_not_at_all(labels):
    same = {"subject": "s0", "age": 1.0, "age_group": 0, "gender": "male"}
    built = manifest(path=["a.jpg", "a.jpg", "c.jpg", "d.jpg"], **(same | labels))
    assert built.examples["path"].tolist() == ["c.jpg", "d.jpg"]
    assert built.quarantine["reason"].tolist() == ["listed twice, labels differ"] * 2
    assert built.quarantine["row"].tolist() == [0, 1]


def test_a_path_listed_three_times_is_kept_once():
    built = manifest(path=["a.jpg", "a.jpg", "a.jpg", "d.jpg"], subject="s", age=1.0, age_group=0, gender="male")
    assert built.examples["path"].tolist() == ["a.jpg", "d.jpg"]
    assert built.quarantine["row"].tolist() == [1, 2]


def test_exactly_the_allowed_share_may_be_quarantined_and_no_more():
    assert len(build_manifest(rows(), aside(1), scheme=ADIENCE_8, max_quarantined_share=0.2).quarantine) == 1
    message = (
        r"1 of 5 rows were set aside, more than the 19% allowed: 1 x unknown label\. First: x0\.jpg\. "
        r"Repair these rows or take them out of the table; .* --max-quarantined, Python with max_quarantined_share"
    )
    with pytest.raises(TooManyQuarantinedError, match=message):
        build_manifest(rows(), aside(1), scheme=ADIENCE_8, max_quarantined_share=0.19)


def test_repeated_rows_count_among_the_quarantined():
    with pytest.raises(TooManyQuarantinedError, match=r"2 of 4 rows .* 2 x listed twice, labels differ"):
        manifest(max_quarantined_share=0.05, path=["a.jpg", "a.jpg", "c.jpg", "d.jpg"])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("age", -1.0, r"column 'age', row 2: -1\.0 breaks the rule 'in_range\(0, 120\)'"),
        ("age", 120.5, r"column 'age', row 2: 120\.5 breaks"),
        ("age", math.inf, r"column 'age', row 2: inf breaks"),
        ("age", "young", r"column 'age', row 2: 'young' is not a number"),
        ("age_group", -1, r"column 'age_group', row 2: -1 breaks"),
        ("age_group", 8, r"age_group 8 is outside adience-8, which has groups 0 to 7"),
        ("age_group", 0.5, r"column 'age_group', row 2: 0\.5 is not a whole number"),
        ("age_group", "old", r"column 'age_group', row 2: 'old' is not a whole number"),
        ("gender", "Female", r"column 'gender', row 2: 'Female' breaks the rule"),
        ("gender", "u", r"column 'gender', row 2: 'u' breaks the rule"),
        ("subject", None, r"column 'subject', row 2: nan breaks the rule 'not_nullable'"),
        ("subject", "", r"column 'subject', row 2: '' breaks the rule"),
        ("path", None, r"column 'path', row 2: nan breaks the rule 'not_nullable'"),
        ("path", "", r"column 'path', row 2: '' breaks the rule"),
        ("modality", "video", r"column 'modality', row 2: 'video' breaks the rule"),
        ("modality", "voice", r"a manifest holds one modality, got 2: \['face', 'voice'\]"),
        ("corpus", "others", r"a manifest holds one corpus, got 2: \['people', 'others'\]"),
    ],
)
def test_an_impossible_value_is_refused_with_its_column_its_row_and_itself(column, value, message):
    table = rows()
    table[column] = table[column].astype("object")
    table.loc[2, column] = value
    with pytest.raises(ValueError, match=message):
        build_manifest(table, scheme=ADIENCE_8)


def test_several_rows_without_a_path_are_refused_and_not_taken_for_repeats():
    with pytest.raises(ValueError, match=r"column 'path', row 0: nan breaks the rule 'not_nullable' \(2 such"):
        manifest(path=[None, None, "c.jpg", "d.jpg"])


def test_all_bad_values_are_counted():
    with pytest.raises(ValueError, match="3 such values in all"):
        manifest(age=[-1.0, 121.0, math.nan, 500.0])


def test_the_youngest_and_the_oldest_possible_age_are_accepted():
    assert manifest(age=[0.0, 120.0, math.nan, 44.0]).examples["age"].tolist()[:2] == [0.0, 120.0]


def test_groups_without_a_scheme_are_refused():
    with pytest.raises(ValueError, match="age_group is given but no scheme says what the groups are"):
        manifest(scheme=None)


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="a manifest needs the columns modality, subject; got path, corpus"):
        build_manifest(rows()[["path", "corpus"]])


def test_no_rows_at_all_are_refused():
    with pytest.raises(ValueError, match="no rows at all: is elsewhere the right folder"):
        build_manifest(rows().iloc[:0], root="elsewhere")


def test_a_table_of_something_else_is_not_taken_for_a_manifest(tmp_path):
    rows().to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"t\.parquet is a parquet file but not a manifest"):
        Manifest.load(tmp_path / "t.parquet")


@pytest.mark.parametrize("length", [0, 100, -1])
def test_a_half_written_manifest_is_refused(tmp_path, length):
    path = tmp_path / "m.parquet"
    manifest().save(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"[Pp]arquet"):
        Manifest.load(path)


def test_a_full_disk_leaves_the_manifest_that_was_there(tmp_path, monkeypatch):
    path = tmp_path / "m.parquet"
    manifest().save(path)
    before = path.read_bytes()

    def fails(table, where):
        where.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parquet, "write_table", fails)
    with pytest.raises(OSError, match="No space left"):
        manifest().save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_quarantine_has_the_types_of_a_full_one():
    empty = manifest().quarantine
    assert list(empty.columns) == ["path", "row", "reason"]
    assert_frame_equal(pd.concat([empty, aside(2)]), aside(2))
    assert empty["row"].dtype == np.int64
