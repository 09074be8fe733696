from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from agegender.evaluation import metrics
from agegender.evaluation.intervals import bootstrap
from agegender.evaluation.published import load_published
from agegender.evaluation.records import Run
from agegender.evaluation.scores import (
    EXACT,
    GENDER_ACCURACY,
    GROUP_UAR,
    MAE,
    METRICS,
    ONE_OFF,
    applicable,
    group_columns,
)
from agegender.evaluation.tables import (
    beside_published,
    by_group,
    differences,
    over_folds,
    score,
    summarise,
    summary,
    system_name,
    with_interval,
)


@pytest.fixture
def runs(make_predictions, make_record):
    def run(fold, variant, skill):
        table = make_predictions(num_subjects=30 + fold, fold=fold, first_example=1000 * fold, skill=skill)
        return Run(Path("runs"), make_record(fold, variant=variant), table)

    variants = (("as_published", 1.0), ("as_intended", 2.0))
    return [run(fold, variant, skill) for variant, skill in variants for fold in (2, 0, 1)]


def test_every_score_equals_the_plain_function_in_the_unit_of_the_table(predictions):
    probabilities = predictions[[f"p_group_{group}" for group in range(8)]].to_numpy()
    group, age = (predictions["true_group"], probabilities), (predictions["true_age"], predictions["age"])
    is_female = (predictions["true_gender"] == "female").astype(int)
    expected = {
        "exact": 100 * metrics.exact(*group),
        "one_off": 100 * metrics.one_off(*group),
        "top_two": 100 * metrics.top_two(*group),
        "group_uar": 100 * metrics.uar(*group),
        "gender_accuracy": 100 * metrics.gender_accuracy(predictions["true_gender"], predictions["p_female"]),
        "gender_uar": 100 * metrics.uar(is_female, (predictions["p_female"] > 0.5).astype(int)),
        "mae": metrics.mae(*age),
        "rmse": metrics.rmse(*age),
        "bias": metrics.bias(*age),
        "cs5": 100 * metrics.cs(*age),
    }
    found = score(predictions, replicates=10).set_index("metric")
    assert found.index.tolist() == [metric.name for metric in METRICS] == list(expected)
    for name, value in expected.items():
        assert_allclose(found.loc[name, "value"], value, err_msg=name)
        assert found.loc[name, "low"] <= value <= found.loc[name, "high"]


def test_uar_in_a_table_leaves_out_a_group_that_no_example_has(predictions):
    without = predictions[predictions["true_group"] != 3]
    probabilities = without[group_columns(without)].to_numpy()
    found = score(without, [GROUP_UAR], replicates=10)["value"].item()
    assert_allclose(found, 100 * metrics.uar(without["true_group"], probabilities))


def test_intervals_of_many_metrics_at_once_are_those_of_each_alone(predictions):
    table = score(predictions, replicates=60, seed=2).set_index("metric")
    for metric in METRICS:
        alone = bootstrap(metric.terms(predictions), predictions["subject"], metric.finish, replicates=60, seed=2)
        assert_allclose(table.loc[metric.name, ["low", "high"]].tolist(), [alone.low, alone.high])


def test_rows_without_a_label_do_not_enter_its_metrics_and_are_seen_in_the_counts(predictions):
    predictions.loc[:49, "true_group"] = pd.NA
    predictions["true_age"] = np.nan
    table = score(predictions, replicates=10).set_index("metric")
    assert table.loc["exact", "num_examples"] == 150
    assert table.loc["exact", "num_subjects"] == 30
    assert table.loc["gender_accuracy", "num_examples"] == 200
    assert "mae" not in table.index
    assert_allclose(table.loc["exact", "value"], EXACT.value(predictions.iloc[50:]))


def test_a_model_of_years_has_no_group_metrics(predictions):
    without = predictions.drop(columns=group_columns(predictions))
    assert {metric.needs for metric in applicable(without)} == {"true_gender", "true_age"}


@pytest.mark.parametrize(("empty", "lacking"), [("age", "true_age"), ("p_female", "true_gender")])
def test_a_task_without_a_head_has_no_metrics_though_its_labels_are_there(predictions, empty, lacking):
    single = predictions.assign(**{empty: np.nan}).astype({empty: predictions[empty].dtype})
    needed = {metric.needs for metric in applicable(single)}
    assert needed == {"true_group", "true_age", "true_gender"} - {lacking}
    assert set(differences(predictions, single, replicates=10)["metric"]) == {m.name for m in applicable(single)}


def test_mean_and_sd_over_folds_are_those_of_the_values_of_the_folds(runs):
    table = summary(runs, [EXACT, MAE], replicates=10)
    row = table.query("variant == 'as_intended' and metric == 'exact'").iloc[0]
    own = {run.record["fold"]: run.predictions for run in runs if run.record["variant"] == "as_intended"}
    values = [EXACT.value(own[fold]) for fold in (0, 1, 2)]
    assert_allclose(row[["fold_0", "fold_1", "fold_2"]].astype(float), values)
    assert_allclose(row["mean_over_folds"], np.mean(values))
    assert_allclose(row["sd_over_folds"], np.std(values, ddof=1))
    assert row["num_folds"] == 3


def test_the_pooled_value_weighs_examples_and_the_mean_over_folds_weighs_folds(make_predictions):
    folds = [make_predictions(num_subjects=size, fold=fold, skill=fold) for fold, size in enumerate((10, 200))]
    folds[1]["example"] += 1000
    together = pd.concat(folds, ignore_index=True)
    row = summarise(together, [EXACT], replicates=10).iloc[0]
    assert_allclose(row["pooled"], EXACT.value(together))
    assert row["pooled"] > row["mean_over_folds"] + 5
    assert row["num_examples"] == 1050
    assert row["num_subjects"] == 210


def test_summary_has_one_row_for_each_system_and_metric_and_names_what_it_shows(runs):
    table = summary(runs, [EXACT, GENDER_ACCURACY], replicates=10)
    assert len(table) == 4
    assert table["system"].unique().tolist() == [
        "lmtcnn 1-1, as published, seed 0, miniature",
        "lmtcnn 1-1, as intended, seed 0, miniature",
    ]
    assert (table["dataset"] == "made-up").all()
    assert not {"±", "std", "sd", "error"} & set(table.columns)


def test_seeds_are_systems_of_their_own(runs, make_record):
    other = [Run(run.folder, run.record | {"seed": 1}, run.predictions) for run in runs[:3]]
    assert summary([*runs[:3], *other], [EXACT], replicates=10)["seed"].tolist() == [0, 1]


def test_the_name_of_a_system_says_what_must_not_be_overlooked(runs):
    record = runs[0].record | {"preset": "open", "selected_on_test": True, "reduced": "2 of 30 epochs"}
    run = Run(Path(), record, runs[0].predictions)
    assert system_name([run]) == "lmtcnn 1-1, as published, seed 0, selected on the test fold, reduced"


def test_a_mark_on_one_fold_is_a_mark_on_the_system(runs):
    runs[0] = Run(Path(), runs[0].record | {"selected_on_test": True}, runs[0].predictions)
    runs[1] = Run(Path(), runs[1].record | {"reduced": "2 of 30 epochs"}, runs[1].predictions)
    table = summary(runs[:3], [EXACT], replicates=10)
    assert table["system"].iloc[0].endswith("miniature, selected on the test fold, reduced")


def test_folds_stay_in_order_where_systems_have_different_ones(runs):
    table = summary([runs[0], *runs[3:]], [EXACT], replicates=10)
    assert [name for name in table if name.startswith("fold_")] == ["fold_0", "fold_1", "fold_2"]
    assert table["fold_0"].isna().tolist() == [True, False]
    assert np.isnan(table["sd_over_folds"].iloc[0])


def test_ours_and_the_published_stand_in_one_table_with_their_datasets(runs):
    published = load_published()
    table = beside_published(summary(runs, [EXACT, ONE_OFF], replicates=10), published)
    ours, theirs = table[table["origin"] == "ours"], table[table["origin"] == "published"]
    assert ours["system"].str.contains("miniature").all()
    assert set(theirs["metric"]) == {"exact", "one_off"}
    assert len(theirs) == published.query("metric in ('exact', 'one_off') and fold.isna()").shape[0]
    assert theirs["source"].str.len().gt(0).all()
    assert set(theirs["dataset"]) == {"adience", "fairface", "common-voice-8"}
    assert (ours["spread_over"] == "folds").all()
    paper = theirs.query("system == 'LMTCNN-2-1 (original result files)' and metric == 'exact'").iloc[0]
    assert (
        paper["value"]
        == published.query("system == @paper.system and metric == 'exact' and fold.isna()")["value"].item()
    )


def test_by_group_scores_each_part_and_counts_it(predictions):
    predictions.loc[:9, "true_gender"] = None
    table = by_group(predictions, "true_gender", [MAE, GROUP_UAR], replicates=10)
    counts = table.query("metric == 'mae'").set_index("group")["num_examples"]
    assert counts.sum() == 200
    assert counts["missing"] == 10
    women = predictions[predictions["true_gender"] == "female"]
    found = table.query("metric == 'mae' and group == 'female'")["value"].item()
    assert_allclose(found, MAE.value(women))


def test_by_group_keeps_the_order_of_age_groups(predictions):
    groups = by_group(predictions, "true_group", [EXACT], replicates=10)["group"].tolist()
    assert groups == sorted(groups)


def test_differences_are_those_of_the_values(make_predictions):
    strong, weak = make_predictions(skill=3.0), make_predictions(skill=1.0)
    table = differences(strong, weak, [EXACT, MAE], replicates=100).set_index("metric")
    assert_allclose(table.loc["exact", "difference"], EXACT.value(strong) - EXACT.value(weak))
    assert table.loc["exact", "low"] > 0 > table.loc["mae", "high"]


def test_tables_are_the_same_for_the_same_seed_and_do_not_touch_what_they_read(runs):
    before = [run.predictions.copy() for run in runs]
    first, second = (summary(runs, replicates=20, seed=5) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    for run, table in zip(runs, before, strict=True):
        pd.testing.assert_frame_equal(run.predictions, table)


def test_numbers_are_printed_with_as_many_digits_as_asked():
    assert with_interval(5.678, 5.1, 6.25, digits=2) == "5.68 [5.10, 6.25]"


def test_refuses_a_table_without_labels_and_an_unknown_column(predictions):
    with pytest.raises(ValueError, match="no row has a label for any of mae"):
        score(predictions.assign(true_age=np.nan), [MAE])
    with pytest.raises(ValueError, match="no column 'race' to group by: there are example, subject"):
        by_group(predictions, "race")
    with pytest.raises(ValueError, match="no runs"):
        summary([])
    with pytest.raises(ValueError, match="expected the columns p_group_0"):
        over_folds(predictions.drop(columns="p_group_0"))


def test_one_fold_has_no_sd(predictions):
    assert np.isnan(over_folds(predictions, [EXACT])["sd_over_folds"].item())
