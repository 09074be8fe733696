import numpy as np
import pandas as pd
import pytest
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from agegender.evaluation import intervals
from agegender.evaluation.intervals import (
    DECADES,
    bootstrap,
    by_group,
    of_subjects,
    over_folds,
    pooled_and_by_fold,
    resampled_counts,
    resampled_sums,
    score,
    subject_codes,
    with_decade,
    with_interval,
)
from agegender.evaluation.metrics import AGE_SLOPE, EXACT, GROUP_UAR, MAE, METRICS, group_columns, mean_terms, ratio


def test_agrees_with_scipy_where_every_subject_has_one_example(monkeypatch):
    monkeypatch.setattr(intervals, "REPLICATES", 4000)
    values = np.random.default_rng(0).exponential(size=400)
    ours = bootstrap(mean_terms(values), np.arange(400), ratio)
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=1).confidence_interval
    assert_allclose([ours.low, ours.high], [theirs.low, theirs.high], atol=0.006)  # about 1/8 of a standard error


def test_sums_equal_those_of_examples_repeated_as_often_as_their_subject_was_drawn():
    values, subjects = np.array([[1.0], [2.0], [3.0], [4.0]]), ["b", "a", "b", "c"]
    counts = next(resampled_counts(3, 1000))
    codes = {"a": 0, "b": 1, "c": 2}
    for row, found in zip(counts[:5], resampled_sums(values, subjects)[:5], strict=True):
        repeated = [
            value for value, subject in zip(values, subjects, strict=True) for _ in range(int(row[codes[subject]]))
        ]
        assert_allclose(found, np.sum(repeated, axis=0) if repeated else [0.0])


def test_every_replicate_draws_as_many_subjects_as_there_are():
    counts = np.concatenate(list(resampled_counts(7, replicates=50)))
    assert counts.shape == (50, 7)
    assert (counts.sum(axis=1) == 7).all()


def test_a_block_of_replicates_is_no_different_from_many_small_blocks(monkeypatch):
    whole = np.concatenate(list(resampled_counts(20, replicates=30)))
    monkeypatch.setattr(intervals, "_DRAWS_AT_ONCE", 60)
    assert_allclose(np.concatenate(list(resampled_counts(20, replicates=30))), whole)


def test_95_percent_intervals_hold_the_true_mean_of_clustered_data_about_95_times_in_100(monkeypatch):
    monkeypatch.setattr(intervals, "REPLICATES", 200)
    generator = np.random.default_rng(0)
    subjects = np.repeat(np.arange(60), 5)
    covered = naive = 0
    for _ in range(200):
        values = generator.normal(size=60)[subjects] + 0.5 * generator.normal(size=300)
        found = bootstrap(mean_terms(values), subjects, ratio)
        covered += found.low <= 0 <= found.high
        found = bootstrap(mean_terms(values), np.arange(300), ratio)
        naive += found.low <= 0 <= found.high
    assert 0.89 <= covered / 200 <= 0.99
    assert naive / 200 < 0.75  # examples of one person taken for independent


def test_examples_of_one_subject_widen_the_interval():
    values = np.repeat(np.random.default_rng(1).normal(size=50), 10)
    by_subject = bootstrap(mean_terms(values), np.repeat(np.arange(50), 10), ratio)
    by_example = bootstrap(mean_terms(values), np.arange(500), ratio)
    assert by_subject.value == by_example.value
    assert (by_subject.high - by_subject.low) > 2 * (by_example.high - by_example.low)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_sums_and_weights_give_the_same_interval(predictions, metric):
    terms = metric.terms(predictions)
    fast = bootstrap(terms, predictions["subject"], metric.finish)
    codes, num_subjects = subject_codes(predictions["subject"])
    drawn = np.concatenate(list(resampled_counts(num_subjects, 1000)))
    slow = [float(metric.finish(weights[codes] @ terms)) for weights in drawn]
    assert_allclose([fast.low, fast.high], np.quantile(slow, [0.025, 0.975]))


def test_every_call_draws_the_same_subjects(predictions):
    first, again = (bootstrap(EXACT.terms(predictions), predictions["subject"], ratio) for _ in range(2))
    assert first == again


def test_row_order_and_the_type_of_the_subjects_do_not_change_the_interval(predictions):
    shuffled = predictions.sample(frac=1, random_state=0)
    first = bootstrap(MAE.terms(predictions), predictions["subject"], ratio)
    second = bootstrap(MAE.terms(shuffled), shuffled["subject"].astype(object).to_numpy(), ratio)
    assert_allclose([first.value, first.low, first.high], [second.value, second.low, second.high])


def test_one_subject_has_a_value_and_no_interval():
    found = bootstrap(mean_terms(np.array([1.0, 2.0])), ["a", "a"], ratio)
    assert found.value == 1.5
    assert np.isnan([found.low, found.high]).all()
    assert (found.num_examples, found.num_subjects) == (2, 1)


def test_every_replicate_draws_as_many_subjects_as_its_runs_have():
    runs, subjects = np.repeat([0, 1, 2], 5), np.arange(15)
    sums = resampled_sums(np.ones((15, 1)), subjects, runs)
    assert (sums == 15).all()


def test_with_one_run_only_subjects_are_drawn():
    terms, subjects = np.random.default_rng(0).random((8, 2)), np.repeat(np.arange(4), 2)
    assert_array_equal(resampled_sums(terms, subjects, np.zeros(8)), resampled_sums(terms, subjects))


def test_where_all_people_of_a_run_are_alike_the_spread_is_that_of_a_mean_over_drawn_runs(monkeypatch):
    monkeypatch.setattr(intervals, "REPLICATES", 20_000)
    of_run, people = np.array([-2.0, 1.0, 1.0, 4.0]), 30
    values, runs = np.repeat(of_run, people), np.repeat(np.arange(4), people)
    means = resampled_sums(mean_terms(values), np.arange(4 * people), runs)
    spread = (means[:, 0] / means[:, 1]).std()
    assert spread == pytest.approx(of_run.std() / np.sqrt(4), rel=0.03)


def test_where_all_runs_are_alike_the_spread_is_nearly_that_over_their_people(monkeypatch):
    monkeypatch.setattr(intervals, "REPLICATES", 20_000)
    values = np.tile(np.linspace(-1, 1, 60), 3)
    subjects, runs = np.arange(180), np.repeat(np.arange(3), 60)
    means = resampled_sums(mean_terms(values), subjects, runs)
    assert (means[:, 0] / means[:, 1]).std() == pytest.approx(values.std() / np.sqrt(180), rel=0.03)


def test_a_person_in_several_runs_is_drawn_anew_in_each():
    values, runs = np.tile([0.0, 1.0], 2), np.repeat([0, 1], 2)
    sums = resampled_sums(values[:, None], ["a", "b", "a", "b"], runs)[:, 0]
    assert set(sums) == {0, 1, 2, 3, 4}


def test_refuses_a_missing_subject_no_example_and_impossible_numbers():
    with pytest.raises(ValueError, match="position 1 has no subject"):
        subject_codes(["a", None])
    with pytest.raises(ValueError, match="no example"):
        subject_codes([])
    with pytest.raises(ValueError, match="1 replicate, got 3 and 0"):
        next(resampled_counts(3, replicates=0))
    with pytest.raises(ValueError, match=r"shape \(3, terms\), got \(2, 2\)"):
        resampled_sums(mean_terms(np.ones(2)), ["a", "b", "c"])


def test_a_score_is_the_value_of_its_metric_within_its_interval(predictions):
    found = score(predictions, METRICS).set_index("metric")
    assert found.index.tolist() == [metric.name for metric in METRICS]
    for metric in METRICS:
        row = found.loc[metric.name]
        assert_allclose(row["value"], metric.value(predictions), err_msg=metric.name)
        assert row["low"] <= row["value"] <= row["high"]
    assert found.loc["exact", "score"].startswith(f"{found.loc['exact', 'value']:.1f} [")
    assert found.loc["mae", "score"].startswith(f"{found.loc['mae', 'value']:.2f} [")  # years have two digits


def test_intervals_of_many_metrics_at_once_are_those_of_each_alone(predictions):
    table = score(predictions, METRICS).set_index("metric")
    for metric in METRICS:
        alone = bootstrap(metric.terms(predictions), predictions["subject"], metric.finish)
        assert_allclose(table.loc[metric.name, ["low", "high"]].tolist(), [alone.low, alone.high])


def test_rows_without_a_label_do_not_enter_its_metrics_and_are_seen_in_the_counts(predictions):
    predictions.loc[:49, "true_group"] = pd.NA
    predictions["true_age"] = np.nan
    table = score(predictions, METRICS).set_index("metric")
    assert table.loc["exact", "num_examples"] == 150
    assert table.loc["exact", "num_subjects"] == 30
    assert table.loc["gender_accuracy", "num_examples"] == 200
    assert "mae" not in table.index
    assert_allclose(table.loc["exact", "value"], EXACT.value(predictions.iloc[50:]))


def test_the_pooled_value_weighs_examples_and_the_mean_over_folds_weighs_folds(make_predictions):
    folds = [make_predictions(num_subjects=size, fold=fold, skill=fold) for fold, size in enumerate((10, 200))]
    folds[1]["example"] += 1000
    together = pd.concat(folds, ignore_index=True)
    row = pooled_and_by_fold(together, [EXACT]).iloc[0]
    assert_allclose(row["value"], EXACT.value(together))
    assert row["value"] > row["mean_over_folds"] + 5
    assert row["num_examples"] == 1050
    assert row["num_subjects"] == 210


def test_by_group_scores_each_part_and_counts_it(predictions):
    predictions.loc[:9, "true_gender"] = None
    table = by_group({"net": predictions}, "true_gender", [MAE, GROUP_UAR])
    counts = table.query("metric == 'mae'").set_index("group")["num_examples"]
    assert counts.sum() == 200
    assert counts["missing"] == 10
    women = predictions[predictions["true_gender"] == "female"]
    found = table.query("metric == 'mae' and group == 'female'")["value"].item()
    assert_allclose(found, MAE.value(women))


def test_by_group_keeps_the_order_of_age_groups(predictions):
    groups = by_group({"net": predictions}, "true_group", [EXACT])["group"].tolist()
    assert groups == sorted(groups)


def test_numbers_are_printed_with_as_many_digits_as_asked():
    assert with_interval(5.678, 5.1, 6.25, digits=2) == "5.68 [5.10, 6.25]"


def test_refuses_a_table_without_labels_and_an_unknown_column(predictions):
    with pytest.raises(ValueError, match="no row has a label for any of mae"):
        score(predictions.assign(true_age=np.nan), [MAE])
    with pytest.raises(ValueError, match="no column 'race' to group by: there are example, subject"):
        by_group({"net": predictions}, "race", [MAE])
    with pytest.raises(ValueError, match="expected the columns p_group_0"):
        over_folds(predictions.drop(columns="p_group_0"), [MAE])


def test_one_fold_has_no_sd(predictions):
    assert np.isnan(over_folds(predictions, [EXACT])["sd_over_folds"].item())


def test_by_group_leaves_out_a_system_that_cannot_be_scored(predictions):
    without = predictions.drop(columns=group_columns(predictions))
    table = by_group({"age": predictions, "gender": without}, "true_group", [EXACT])
    assert set(table["system"]) == {"age"}


def test_a_decade_holds_ten_years_and_the_last_all_above():
    table = with_decade(pd.DataFrame({"true_age": [0.0, 9.99, 10.0, 79.0, 80.0, 101.0, np.nan]}))
    assert table["decade"].tolist() == [0, 0, 1, 7, 8, 8, pd.NA]
    assert [DECADES[number] for number in (0, 7, 8)] == ["0-9", "70-79", "80+"]


def test_the_slope_of_the_age_has_an_interval_over_subjects_and_not_over_examples(predictions):
    few = predictions.drop_duplicates("subject")
    once, five = (score(table, [AGE_SLOPE]).iloc[0] for table in (few, pd.concat([few] * 5)))
    assert_allclose(once[["value", "low", "high"]].tolist(), five[["value", "low", "high"]].tolist())
    assert five["num_examples"] == 5 * once["num_examples"]
    with pytest.raises(ValueError, match="no row has a label for any of age_slope"):
        score(predictions.assign(true_age=np.nan), [AGE_SLOPE])


def test_a_subject_of_many_clips_counts_as_one_with_the_mean_of_its_answers():
    clips = pd.DataFrame(
        {
            "subject": ["b", "a", "b"],
            "corpus": ["x", "y", "x"],
            "true_age": [30.0, 50.0, 30.0],
            "true_gender": pd.array(["female", "male", "female"]),
            "age": [20.0, 51.0, 44.0],
            "p_female": [0.2, 0.1, 0.9],
        }
    )
    people = of_subjects(clips)
    assert people["subject"].tolist() == ["b", "a"]
    assert people["corpus"].tolist() == ["x", "y"]
    assert_allclose(people["age"], [32.0, 51.0])
    assert_allclose(people["p_female"], [0.55, 0.1])
    assert MAE.value(people) == pytest.approx(1.5)  # of the clips: 25 / 3
