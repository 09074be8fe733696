import numpy as np
import pandas as pd
import pytest
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from agegender.evaluation.intervals import (
    bootstrap,
    paired_difference,
    resampled_counts,
    resampled_sums,
    subject_codes,
    two_level_sums,
    weighted_bootstrap,
)
from agegender.evaluation.scores import EXACT, GENDER_ACCURACY, GROUP_UAR, MAE, METRICS, mean_terms, ratio


def test_agrees_with_scipy_where_every_subject_has_one_example():
    values = np.random.default_rng(0).exponential(size=400)
    ours = bootstrap(mean_terms(values), np.arange(400), ratio, replicates=4000)
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=1).confidence_interval
    assert_allclose([ours.low, ours.high], [theirs.low, theirs.high], atol=0.006)  # about 1/8 of a standard error


def test_sums_equal_those_of_examples_repeated_as_often_as_their_subject_was_drawn():
    values, subjects = np.array([[1.0], [2.0], [3.0], [4.0]]), ["b", "a", "b", "c"]
    counts = next(resampled_counts(3, replicates=5, seed=4))
    codes = {"a": 0, "b": 1, "c": 2}
    for row, found in zip(counts, resampled_sums(values, subjects, replicates=5, seed=4), strict=True):
        repeated = [
            value for value, subject in zip(values, subjects, strict=True) for _ in range(int(row[codes[subject]]))
        ]
        assert_allclose(found, np.sum(repeated, axis=0) if repeated else [0.0])


def test_every_replicate_draws_as_many_subjects_as_there_are():
    counts = np.concatenate(list(resampled_counts(7, replicates=50)))
    assert counts.shape == (50, 7)
    assert (counts.sum(axis=1) == 7).all()


def test_a_block_of_replicates_is_no_different_from_many_small_blocks(monkeypatch):
    whole = np.concatenate(list(resampled_counts(20, replicates=30, seed=5)))
    monkeypatch.setattr("agegender.evaluation.intervals._DRAWS_AT_ONCE", 60)
    assert_allclose(np.concatenate(list(resampled_counts(20, replicates=30, seed=5))), whole)


def test_95_percent_intervals_hold_the_true_mean_of_clustered_data_about_95_times_in_100():
    generator = np.random.default_rng(0)
    subjects = np.repeat(np.arange(60), 5)
    covered = naive = 0
    for trial in range(200):
        values = generator.normal(size=60)[subjects] + 0.5 * generator.normal(size=300)
        found = bootstrap(mean_terms(values), subjects, ratio, replicates=200, seed=trial)
        covered += found.low <= 0 <= found.high
        found = bootstrap(mean_terms(values), np.arange(300), ratio, replicates=200, seed=trial)
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
    fast = bootstrap(terms, predictions["subject"], metric.finish, replicates=50)
    slow = weighted_bootstrap(
        lambda weights: float(metric.finish(weights @ terms)), predictions["subject"], replicates=50
    )
    assert_allclose([fast.value, fast.low, fast.high], [slow.value, slow.low, slow.high])


def test_a_median_has_an_interval_by_weights():
    values = np.arange(101.0)
    found = weighted_bootstrap(lambda weights: float(np.median(np.repeat(values, weights.astype(int)))), values, 200)
    assert found.value == 50
    assert 25 < found.low < 50 < found.high < 75


def test_the_same_seed_gives_the_same_interval_and_another_seed_another(predictions):
    terms, subjects = EXACT.terms(predictions), predictions["subject"]
    first, again = (bootstrap(terms, subjects, ratio, replicates=100, seed=3) for _ in range(2))
    other = bootstrap(terms, subjects, ratio, replicates=100, seed=4)
    assert first == again
    assert first.low != other.low


def test_row_order_and_the_type_of_the_subjects_do_not_change_the_interval(predictions):
    shuffled = predictions.sample(frac=1, random_state=0)
    first = bootstrap(MAE.terms(predictions), predictions["subject"], ratio, replicates=100)
    second = bootstrap(MAE.terms(shuffled), shuffled["subject"].astype(object).to_numpy(), ratio, replicates=100)
    assert_allclose([first.value, first.low, first.high], [second.value, second.low, second.high])


def test_a_wider_level_gives_a_wider_interval(predictions):
    terms, subjects = EXACT.terms(predictions), predictions["subject"]
    narrow, wide = (bootstrap(terms, subjects, ratio, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_one_subject_has_a_value_and_no_interval():
    found = bootstrap(mean_terms(np.array([1.0, 2.0])), ["a", "a"], ratio)
    assert found.value == 1.5
    assert np.isnan([found.low, found.high]).all()
    assert (found.num_examples, found.num_subjects) == (2, 1)


def test_the_paired_difference_of_a_system_with_itself_is_exactly_nothing(predictions):
    found = paired_difference(predictions, predictions.sample(frac=1, random_state=1), GROUP_UAR, replicates=50)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_pairing_narrows_the_interval_of_the_difference(predictions):
    better = predictions.assign(age=predictions["age"] + 0.2)
    paired = paired_difference(better, predictions, MAE)
    alone = bootstrap(MAE.terms(predictions), predictions["subject"], MAE.finish)
    assert (paired.high - paired.low) < 0.2 * (alone.high - alone.low)
    assert paired.value == pytest.approx(MAE.value(better) - MAE.value(predictions))


def test_the_paired_difference_is_first_minus_second(make_predictions):
    strong, weak = make_predictions(skill=4.0), make_predictions(skill=0.0)
    assert paired_difference(strong, weak, EXACT, replicates=50).low > 0
    assert paired_difference(weak, strong, EXACT, replicates=50).high < 0


def test_every_replicate_draws_as_many_subjects_as_its_runs_have():
    runs, subjects = np.repeat([0, 1, 2], 5), np.arange(15)
    sums = two_level_sums(np.ones((15, 1)), subjects, runs, replicates=50)
    assert (sums == 15).all()


def test_with_one_run_only_subjects_are_drawn():
    terms, subjects = np.random.default_rng(0).random((8, 2)), np.repeat(np.arange(4), 2)
    assert_array_equal(two_level_sums(terms, subjects, np.zeros(8), 20), resampled_sums(terms, subjects, 20))


def test_where_all_people_of_a_run_are_alike_the_spread_is_that_of_a_mean_over_drawn_runs():
    of_run, people = np.array([-2.0, 1.0, 1.0, 4.0]), 30
    values, runs = np.repeat(of_run, people), np.repeat(np.arange(4), people)
    means = two_level_sums(mean_terms(values), np.arange(4 * people), runs, replicates=20_000)
    spread = (means[:, 0] / means[:, 1]).std()
    assert spread == pytest.approx(of_run.std() / np.sqrt(4), rel=0.03)


def test_where_all_runs_are_alike_the_spread_is_nearly_that_over_their_people():
    values = np.tile(np.linspace(-1, 1, 60), 3)
    subjects, runs = np.arange(180), np.repeat(np.arange(3), 60)
    means = two_level_sums(mean_terms(values), subjects, runs, replicates=20_000)
    assert (means[:, 0] / means[:, 1]).std() == pytest.approx(values.std() / np.sqrt(180), rel=0.03)


def test_a_person_in_several_runs_is_drawn_anew_in_each():
    values, runs = np.tile([0.0, 1.0], 2), np.repeat([0, 1], 2)
    sums = two_level_sums(values[:, None], ["a", "b", "a", "b"], runs, replicates=400)[:, 0]
    assert set(sums) == {0, 1, 2, 3, 4}


def test_runs_that_disagree_widen_the_interval_of_a_difference(predictions):
    fold = np.arange(len(predictions)) % 3
    other = predictions.assign(age=predictions["age"] + np.where(fold == 0, 20.0, 0.0))
    people_alone = paired_difference(other, predictions, MAE)
    both_levels = paired_difference(other.assign(run=fold), predictions, MAE)
    assert both_levels.value == people_alone.value
    assert both_levels.high - both_levels.low > 2 * (people_alone.high - people_alone.low)


def test_names_the_examples_that_only_one_system_has(predictions):
    with pytest.raises(ValueError, match="2 examples are in one system only: 0, 1; compare them on the same test set"):
        paired_difference(predictions, predictions.iloc[2:], EXACT)


def test_names_an_example_that_occurs_twice(predictions):
    twice = pd.concat([predictions, predictions.iloc[[3]]])
    with pytest.raises(ValueError, match="example 3 occurs twice"):
        paired_difference(predictions, twice, EXACT)


@pytest.mark.parametrize(
    ("column", "value"), [("subject", "someone else"), ("true_gender", "neither"), ("true_gender", None)]
)
def test_refuses_systems_that_disagree_about_an_example(predictions, column, value):
    other = predictions.copy()
    other.loc[7, column] = value
    with pytest.raises(ValueError, match=f"example 7 has another {column}"):
        paired_difference(predictions, other, GENDER_ACCURACY)


def test_a_group_that_only_one_system_knows_is_a_disagreement_too(predictions):
    other = predictions.copy()
    other.loc[7, "true_group"] = pd.NA
    with pytest.raises(ValueError, match="example 7 has another true_group"):
        paired_difference(predictions, other, EXACT)


def test_refuses_a_missing_subject_no_example_and_impossible_numbers():
    with pytest.raises(ValueError, match="position 1 has no subject"):
        subject_codes(["a", None])
    with pytest.raises(ValueError, match="no example"):
        subject_codes([])
    with pytest.raises(ValueError, match="1 replicate, got 3 and 0"):
        next(resampled_counts(3, replicates=0))
    with pytest.raises(ValueError, match="got 95"):
        bootstrap(mean_terms(np.ones(2)), ["a", "b"], ratio, level=95)
    with pytest.raises(ValueError, match=r"shape \(3, terms\), got \(2, 2\)"):
        resampled_sums(mean_terms(np.ones(2)), ["a", "b", "c"])
