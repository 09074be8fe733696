import json

import numpy as np
import pandas as pd
import pytest

from agegender.evaluation.records import (
    LAST_PREDICTIONS,
    anonymise_run,
    anonymise_runs,
    answers_of,
    read_run,
    read_runs,
    write_run,
)
from agegender.evaluation.schemas import RECORD_FIELDS, check_predictions, check_record
from agegender.evaluation.systems import predictions_together
from agegender.training.provenance import predictions_hash


@pytest.fixture
def write(tmp_path, make_record, make_predictions):
    """Write a run and return its folder."""

    def write(fold=0, seed=0, variant="as_intended", first_example=None, **changes):
        record = make_record(fold, seed, variant=variant) | changes
        first = 1000 * fold if first_example is None else first_example
        folder = tmp_path / "runs" / record["run"]
        write_run(folder, record, make_predictions(fold=fold, first_example=first))
        return folder

    return write


def test_what_is_written_is_read_back_equal(write, make_record, make_predictions):
    run = read_run(write())
    assert run.record == make_record()
    pd.testing.assert_frame_equal(run.predictions, make_predictions())


def test_runs_are_read_in_the_order_of_their_names_and_other_folders_are_left_alone(write, tmp_path):
    for fold in (1, 0):
        write(fold=fold)
    (tmp_path / "runs" / "explore").mkdir()
    assert [run.record["fold"] for run in read_runs(tmp_path / "runs")] == [0, 1]


def test_a_run_in_a_folder_of_a_free_name_is_read_like_any_other(write, tmp_path):
    write(fold=0)
    write(fold=1).rename(tmp_path / "runs" / "a second try")
    assert [run.record["fold"] for run in read_runs(tmp_path / "runs")] == [0, 1]
    assert read_run(tmp_path / "runs" / "a second try").record["run"] == "1-1-as_intended-fold1-seed0"


def test_a_run_whose_place_another_has_taken_is_left_alone(write, tmp_path):
    folder = write(fold=0)
    before = folder.rename(folder.with_name(folder.name + ".before"))
    write(fold=1)
    assert [run.record["fold"] for run in read_runs(tmp_path / "runs")] == [1]
    with pytest.raises(ValueError, match=r"in the folder '1-1-as_intended-fold0-seed0\.before'"):
        read_run(before)


def test_predictions_together_hold_every_row_of_every_fold_in_order(write, tmp_path):
    for fold in (1, 0):
        write(fold=fold)
    together = predictions_together(read_runs(tmp_path / "runs")[::-1])
    assert together["example"].tolist() == [*range(200), *range(1000, 1200)]
    assert (together["model"] == "1-1").all()
    assert (together["variant"] == "as_intended").all()
    assert (together["seed"] == 0).all()


def test_a_kill_between_the_two_files_leaves_no_record(write, monkeypatch, make_record, make_predictions):
    folder = write()

    def killed(path, text):
        raise KeyboardInterrupt

    monkeypatch.setattr("agegender.files.write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        write_run(folder, make_record(), make_predictions(seed=1))
    with pytest.raises(ValueError, match=r"record\.json: missing, so this run has not finished"):
        read_run(folder)


def test_a_refused_run_leaves_the_old_one_untouched(write, make_record, make_predictions):
    folder = write()
    with pytest.raises(ValueError, match="p_female"):
        write_run(folder, make_record(), make_predictions().assign(p_female=np.float32(2)))
    assert read_run(folder).record == make_record()


@pytest.mark.parametrize("field", sorted(RECORD_FIELDS))
def test_every_missing_field_is_named_with_its_file(write, field):
    folder = write()
    record = json.loads((folder / "record.json").read_text())
    del record[field]
    (folder / "record.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=rf"record\.json: field '{field}' is missing"):
        read_run(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fold": "0"}, "field 'fold' is '0', expected int"),
        ({"fold": True}, "field 'fold' is True, expected int"),
        ({"selected_on_test": 0}, "field 'selected_on_test' is 0, expected bool"),
        ({"reduced": 5}, "field 'reduced' is 5, expected str or null"),
        ({"schema": 2}, "field 'schema' is 2, this code reads schema 1"),
        ({"scheme": "decades"}, "unknown age-group scheme 'decades'"),
        ({"seconds": float("nan")}, r"record\['seconds'\] is nan: write null"),
        ({"history": [{"step": 1, "loss": float("inf")}]}, r"record\['history'\]\[0\]\['loss'\] is inf"),
        ({"parameters": {"lr": np.float64(1)}}, r"record\['parameters'\]\['lr'\] is a float64"),
        ({"parameters": {"root": object()}}, r"record\['parameters'\]\['root'\] is a object"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named_with_its_value(record, changes, message):
    with pytest.raises(ValueError, match=message):
        check_record(record | changes)


def test_a_run_in_the_folder_of_another_is_refused(write):
    folder = write(fold=0)
    moved = folder.rename(folder.with_name("1-1-as_intended-fold3-seed0"))
    with pytest.raises(ValueError, match=r"'1-1-as_intended-fold0-seed0' in the folder '1-1-as_intended-fold3-seed0'"):
        read_run(moved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns=["subject", "age"]), "column 'subject' is missing; column 'age' is missing"),
        (lambda t: t.drop(columns="p_group_7"), "7 columns p_group_.*'adience-8' has 8 groups"),
        (lambda t: t.drop(columns="p_group_3"), "expected the columns p_group_0, p_group_1"),
        (lambda t: t.assign(example=0), "column 'example' fails field_uniqueness: got 0 in 200 rows"),
        (
            lambda t: t.assign(example=t["example"].astype("int32")),
            r"column 'example' fails dtype\('int64'\): got 'int32'",
        ),
        (
            lambda t: t.assign(true_gender="f"),
            "column 'true_gender' fails isin.*got 'f' in 200 rows, the first is row 0",
        ),
        (lambda t: t.assign(true_age=-1.0), "column 'true_age' fails .*got -1.0 in 200 rows"),
        (lambda t: t.assign(age=t["age"].where(t.index != 3)), "column 'age' is empty in 1 rows, the first is row 3"),
        (lambda t: t.assign(p_female=t["p_female"].where(t.index < 7)), "'p_female' is empty in 193 rows, .* row 7"),
        (
            lambda t: t.assign(p_female=t["p_female"].astype(float)),
            r"'p_female' fails dtype\('float32'\): got 'float64'",
        ),
        (lambda t: t.assign(p_group_0=np.float32(0.9)), "p_group_.* of example .* do not sum to 1"),
        (
            lambda t: t.assign(true_group=pd.array([8] * 200, dtype="Int64")),
            "'true_group' holds 8: adience-8 ends at 7",
        ),
        (lambda t: t.iloc[:0], "no row"),
    ],
)
def test_a_table_that_breaks_the_schema_is_refused_with_column_and_row(predictions, change, message):
    with pytest.raises(ValueError, match=message):
        check_predictions(change(predictions), "adience-8")


def test_missing_labels_are_allowed_and_ages_without_groups_too(predictions):
    table = predictions.drop(columns=[f"p_group_{group}" for group in range(8)])
    table.loc[0, ["true_age", "true_gender", "true_group"]] = [np.nan, None, pd.NA]
    check_predictions(table, None)


def test_a_wrong_fold_in_the_table_is_refused(tmp_path, record, make_predictions):
    with pytest.raises(ValueError, match=r"predictions\.parquet: column 'fold' holds \[1\], the record 0"):
        write_run(tmp_path / record["run"], record, make_predictions(fold=1))
    assert not (tmp_path / record["run"]).exists()


def test_every_unfinished_or_damaged_run_is_reported_at_once(write, tmp_path):
    (write(fold=0) / "record.json").write_text("{half")
    (write(fold=1) / "record.json").unlink()
    (write(fold=2) / "predictions.parquet").write_bytes(b"PAR1")
    (write(fold=3) / "predictions.parquet").unlink()
    write(fold=4)
    with pytest.raises(ValueError, match="4 of 5 runs cannot be used") as found:
        read_runs(tmp_path / "runs")
    lines = str(found.value).splitlines()[1:]
    for line, fold, part in zip(
        lines, range(4), ["no JSON", "missing", "cannot be read", "cannot be read"], strict=True
    ):
        assert f"fold{fold}" in line
        assert part in line


def test_a_folder_without_runs_is_an_error_and_not_an_empty_table(tmp_path):
    with pytest.raises(ValueError, match="holds no run folder"):
        read_runs(tmp_path)
    with pytest.raises(ValueError, match="no runs"):
        predictions_together([])


def test_an_example_that_two_folds_tested_is_named(write, tmp_path):
    write(fold=0), write(fold=1, first_example=199)
    with pytest.raises(ValueError, match="1 examples occur twice in 1-1 as_intended seed 0, the first is 199"):
        predictions_together(read_runs(tmp_path / "runs"))


def test_the_same_example_in_two_variants_is_no_fault(write, tmp_path):
    write(variant="as_intended"), write(variant="as_published")
    assert len(predictions_together(read_runs(tmp_path / "runs"))) == 400


def test_folds_of_different_manifests_are_not_put_together(write, tmp_path):
    write(fold=0), write(fold=1, manifest_hash="other")
    with pytest.raises(ValueError, match="come from different manifests"):
        predictions_together(read_runs(tmp_path / "runs"))


def test_published_subjects_are_numbers_shared_by_folds_and_variants(write, tmp_path, make_predictions):
    write(fold=0), write(fold=1), write(fold=0, variant="as_published")
    anonymise_runs(tmp_path / "runs", tmp_path / "results")
    runs = read_runs(tmp_path / "results" / "miniature" / "lmtcnn")
    assert [run.record["run"] for run in runs] == [
        "1-1-as_intended-fold0-seed0",
        "1-1-as_intended-fold1-seed0",
        "1-1-as_published-fold0-seed0",
    ]
    intended, other_fold, published = (run.predictions["subject"] for run in runs)
    assert intended.tolist() == published.tolist()
    assert not set(intended) & set(other_fold)
    original = make_predictions()["subject"]
    assert pd.crosstab(original, intended).astype(bool).sum(axis=1).eq(1).all()
    assert intended.nunique() == original.nunique()
    assert intended.str.fullmatch(r"\d+").all()


def test_a_subject_has_one_number_also_in_runs_that_are_published_at_different_times(
    tmp_path, make_record, make_predictions
):
    table = make_predictions(fold=0).assign(
        subject_number=lambda run: run.groupby("subject")["example"].transform("min")
    )
    later = table[table["subject"].duplicated()]  # as where clips, not subjects, are held out: not the first of each
    for variant, predictions in (("as_published", later), ("as_intended", table)):
        record = make_record(0, 0, variant=variant)
        write_run(tmp_path / "runs" / record["run"], record, predictions.reset_index(drop=True))
        anonymise_run(tmp_path / "runs" / record["run"], tmp_path / "results")
    whole, part = (run.predictions.set_index("example") for run in read_runs(tmp_path / "results/miniature/lmtcnn"))
    assert 0 < len(part) < len(whole)
    assert part["subject"].tolist() == whole.loc[part.index, "subject"].tolist()
    assert "subject_number" not in whole
    assert predictions_hash(whole.reset_index()) == predictions_hash(table[["example", *whole.columns]])


def test_a_run_that_is_still_going_on_is_not_published(write, tmp_path):
    write(fold=0)
    (tmp_path / "runs" / "1-1-as_intended-fold1-seed0").mkdir()
    assert [folder.name for folder in anonymise_runs(tmp_path / "runs", tmp_path / "results")] == [
        "1-1-as_intended-fold0-seed0"
    ]


def test_a_run_that_another_took_the_place_of_is_not_published(write, tmp_path):
    write(fold=0), write(fold=1)
    folder = tmp_path / "runs" / "1-1-as_intended-fold1-seed0"
    folder.rename(folder.with_name(f"{folder.name}.before"))
    assert [folder.name for folder in anonymise_runs(tmp_path / "runs", tmp_path / "results")] == [
        "1-1-as_intended-fold0-seed0"
    ]


def test_publishing_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no finished run"):
        anonymise_runs(tmp_path, tmp_path / "results")


def test_publishing_changes_nothing_but_names_and_folders(write, tmp_path, make_predictions, make_record):
    run = read_run(anonymise_run(write(), tmp_path / "results"))
    pd.testing.assert_frame_equal(run.predictions.drop(columns="subject"), make_predictions().drop(columns="subject"))
    expected = make_record()
    expected["parameters"]["data"] = "made-up"
    assert run.record == expected


def test_publishing_twice_gives_the_same_bytes(write, tmp_path):
    folder = write()
    first, second = (anonymise_run(folder, tmp_path / name) for name in ("first", "second"))
    for name in ("record.json", "predictions.parquet"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert sorted(path.name for path in first.iterdir()) == ["predictions.parquet", "record.json"]


def test_a_path_is_never_published(tmp_path, record, predictions):
    folder = tmp_path / record["run"]
    write_run(folder, record, predictions.assign(path="a.jpg"))
    with pytest.raises(ValueError, match=r"predictions\.parquet: the predictions hold a column 'path'"):
        anonymise_run(folder, tmp_path / "results")
    write_run(folder, record, predictions.assign(photo="album/a.jpg"))
    with pytest.raises(ValueError, match=r"column 'photo' holds 'album/a\.jpg'"):
        anonymise_run(folder, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_users_name_is_replaced_as_a_subjects_is(tmp_path, record, predictions):
    folder = tmp_path / record["run"]
    write_run(folder, record, predictions.assign(user=np.repeat(["30601258@N03", "9855553@N08"], 100)))
    users = read_run(anonymise_run(folder, tmp_path / "results")).predictions["user"]
    assert users.tolist() == ["0"] * 100 + ["100"] * 100


def test_the_last_step_is_read_beside_the_selected_one_also_when_it_is_published(write, tmp_path):
    folder = write()
    own = read_run(folder).predictions
    last = answers_of(own).assign(p_female=np.float32(0.25))
    last.to_parquet(folder / LAST_PREDICTIONS)
    published = anonymise_run(folder, tmp_path / "results")
    for place, names in ((folder, own["subject"]), (published, read_run(published).predictions["subject"])):
        found = read_run(place)
        pd.testing.assert_frame_equal(found.last, own.assign(p_female=np.float32(0.25), subject=names))
        pd.testing.assert_frame_equal(found.predictions, own.assign(subject=names))
    (folder / LAST_PREDICTIONS).unlink()
    assert read_run(anonymise_run(folder, tmp_path / "results")).last is None


@pytest.mark.parametrize("change", [lambda table: table.iloc[::-1], lambda table: table.drop(columns="p_female")])
def test_answers_of_the_last_step_about_other_examples_are_refused(write, change):
    folder = write()
    change(answers_of(read_run(folder).predictions)).to_parquet(folder / LAST_PREDICTIONS, index=False)
    with pytest.raises(ValueError, match=r"has other examples or columns than predictions\.parquet"):
        read_run(folder)
