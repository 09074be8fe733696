from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from agegender.evaluation.baselines import (
    best_age_by_group,
    best_constant,
    best_constant_across_folds,
    labels_of,
)
from agegender.evaluation.intervals import score
from agegender.evaluation.metrics import BIAS, EXACT, GENDER_ACCURACY, MAE, METRICS, ONE_OFF, RMSE, TOP_TWO
from agegender.evaluation.schemas import check_predictions
from agegender.labels import ADIENCE_8


@pytest.fixture
def training():
    gender = ["female", "female", "male", None, "female"]
    groups = pd.array([4, 4, 5, None, 2], dtype="Int64")
    return pd.DataFrame({"age": [30, 31, 40, np.nan, 9.0], "age_group": groups, "gender": gender})


def test_the_best_constant_is_majority_and_median_of_the_training_labels(training, predictions):
    constant = best_constant(training, predictions, ADIENCE_8, MAE)
    first = constant.iloc[0]
    assert first["age"] == 30.5
    assert_allclose(first["p_female"], 0.75)
    assert_allclose([first[f"p_group_{group}"] for group in range(8)], [0, 0, 0.25, 0, 0.5, 0.25, 0, 0])
    assert constant[["age", "p_female"]].drop_duplicates().shape == (1, 2)


def test_the_mean_replaces_the_median_when_asked(training, predictions):
    assert best_constant(training, predictions, ADIENCE_8, RMSE)["age"].iloc[0] == 27.5


def test_the_baseline_is_a_table_of_predictions_like_any_other(training, predictions):
    check_predictions(best_constant(training, predictions, ADIENCE_8, MAE), "adience-8")
    check_predictions(best_constant(training, predictions, None, MAE), None)


def test_it_scores_the_share_of_the_majority(training, predictions):
    def scored(metric):
        return metric.value(best_constant(training, predictions, ADIENCE_8, metric))

    assert_allclose(scored(EXACT), 100 * (predictions["true_group"] == 4).mean())
    assert_allclose(scored(TOP_TWO), 100 * predictions["true_group"].isin([4, 2]).mean())
    assert_allclose(scored(ONE_OFF), 100 * predictions["true_group"].isin([3, 4, 5]).mean())
    assert_allclose(scored(GENDER_ACCURACY), 100 * (predictions["true_gender"] == "female").mean())


def test_for_1_off_it_is_the_group_with_the_most_neighbours_and_not_the_largest(training, predictions):
    """The largest group may lie apart: 4 of 10 are in group 0 here, and 6 around group 4."""
    training = pd.concat([training] * 2).assign(age_group=pd.array([0, 0, 0, 0, 3, 3, 4, 5, 5, 5], dtype="Int64"))
    first = best_constant(training, predictions, ADIENCE_8, ONE_OFF).iloc[0]
    assert [first[f"p_group_{group}"] for group in range(8)] == [0, 0, 0, 0, 1, 0, 0, 0]
    assert_allclose(best_constant(training, predictions, ADIENCE_8, EXACT).iloc[0]["p_group_0"], 0.4)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("seed", range(3))
def test_no_other_constant_is_better_for_a_metric_on_the_labels_it_is_made_of(make_predictions, metric, seed):
    """Every single answer is tried: each group, each tenth of a year, each gender (of two groups, those of top-2)."""
    table = make_predictions(num_subjects=60, seed=seed)
    table["true_age"] += np.random.default_rng(seed).uniform(-3, 3, len(table)).clip(0, 120)
    best = metric.value(best_constant(labels_of(table), table, ADIENCE_8, metric))
    others = [table.assign(age=age) for age in np.arange(0, 100, 0.1)] if metric.needs == "true_age" else []
    others += [table.assign(p_female=p) for p in (0.0, 1.0)] if metric.needs == "true_gender" else []
    for pair in permutations(range(8), 2) if metric.needs == "true_group" else ():
        weights = {f"p_group_{group}": {pair[0]: 0.6, pair[1]: 0.4}.get(group, 0.0) for group in range(8)}
        others.append(table.assign(**weights))
    values = np.array([metric.value(other) for other in others])
    if metric is BIAS:
        assert abs(best) < 1e-9
    elif metric.unit == "years":
        assert best <= values.min() + 1e-9
    else:
        assert best >= values.max() - 1e-9


def test_no_other_constant_has_a_lower_mae_than_the_median_or_rmse_than_the_mean(predictions):
    training = labels_of(predictions)
    medians = best_constant(training, predictions, ADIENCE_8, MAE)
    means = best_constant(training, predictions, ADIENCE_8, RMSE)
    for age in np.linspace(0, 100, 101):
        assert MAE.value(medians) <= MAE.value(predictions.assign(age=age)) + 1e-9
        assert RMSE.value(means) <= RMSE.value(predictions.assign(age=age)) + 1e-9


def test_without_ages_the_midpoint_of_the_majority_group_stands_for_the_age(training, predictions):
    constant = best_constant(training.assign(age=np.nan), predictions, ADIENCE_8, MAE)
    assert constant["age"].iloc[0] == ADIENCE_8.midpoints[4]


def test_each_fold_is_predicted_from_the_labels_of_the_others(make_predictions):
    folds = [make_predictions(fold=fold, first_example=1000 * fold) for fold in range(3)]
    together = pd.concat(folds, ignore_index=True).sample(frac=1, random_state=0)
    constant = best_constant_across_folds(together, ADIENCE_8, MAE)
    assert constant["example"].tolist() == together["example"].tolist()
    training = labels_of(pd.concat([folds[0], folds[2]]))
    expected = best_constant(training, folds[1], ADIENCE_8, MAE)
    found = constant[constant["fold"] == 1].sort_values("example")[expected.columns]
    pd.testing.assert_frame_equal(found.reset_index(drop=True), expected)


def test_the_labels_of_the_test_set_change_nothing_in_its_baseline(training, predictions):
    other = predictions.assign(true_group=pd.array([0] * 200, dtype="Int64"), true_age=1.0, true_gender="male")
    predicted = ["age", "p_female", *(f"p_group_{group}" for group in range(8))]
    first, second = (best_constant(training, test, ADIENCE_8, MAE)[predicted] for test in (predictions, other))
    pd.testing.assert_frame_equal(first, second)


def test_the_interval_of_a_baseline_is_the_same_every_time(training, predictions):
    first, second = (score(best_constant(training, predictions, ADIENCE_8, MAE), METRICS) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_refuses_training_labels_that_hold_nothing(training, predictions):
    with pytest.raises(ValueError, match="no training example has a gender"):
        best_constant(training.assign(gender=None), predictions, ADIENCE_8, MAE)
    with pytest.raises(ValueError, match="no training example has an age group"):
        best_constant(training.assign(age_group=pd.NA), predictions, ADIENCE_8, MAE)
    with pytest.raises(ValueError, match="no training example has an age or a scheme"):
        best_constant(training.assign(age=np.nan), predictions, None, MAE)
    with pytest.raises(ValueError, match=r"only fold \[0\] is there"):
        best_constant_across_folds(predictions, ADIENCE_8, MAE)


@pytest.fixture
def folds_of_two():
    ages = [20, 30, 70, 60, 22, 40, 66, np.nan]
    genders = ["male", "male", "female", "female", "male", "male", "female", None]
    columns = {"true_age": ages, "true_gender": genders, "age": 1.0, "p_female": 0.9, "fold": [0] * 4 + [1] * 4}
    return pd.DataFrame(columns | {"p_group_0": 1.0}, index=[5, 3, 4, 0, 1, 2, 7, 6])


def test_the_constant_of_a_gender_is_the_age_of_that_gender_in_the_other_folds(folds_of_two):
    told = best_age_by_group(folds_of_two, ["true_gender"])
    assert told["age"].tolist() == [31, 31, 66, 66, 25, 25, 65, 45]  # the last has no gender: median of the fold
    assert told.index.tolist() == folds_of_two.index.tolist()
    assert told["p_female"].isna().all()
    assert "p_group_0" not in told


def test_without_groups_it_is_the_best_constant_of_the_other_folds(folds_of_two, predictions):
    told = best_age_by_group(folds_of_two, [], "mean")
    assert_allclose(told["age"], [128 / 3] * 4 + [45] * 4)
    halves = predictions.assign(fold=np.arange(len(predictions)) % 2)
    assert_allclose(best_age_by_group(halves, [])["age"], best_constant_across_folds(halves, None, MAE)["age"])


def test_a_group_that_no_other_fold_has_has_the_age_of_all(folds_of_two):
    told = best_age_by_group(folds_of_two.assign(corpus=list("aaaabbbb")), ["corpus", "true_gender"])
    assert told["age"].tolist() == [40] * 4 + [45] * 4


def test_the_labels_of_its_own_fold_do_not_reach_its_constant(folds_of_two):
    other = folds_of_two.assign(true_age=[1, 2, 3, 4, 22, 40, 66, np.nan])
    first = best_age_by_group(folds_of_two, ["true_gender"])["age"].iloc[:4]
    assert first.tolist() == best_age_by_group(other, ["true_gender"])["age"].iloc[:4].tolist()


def test_a_constant_for_each_group_without_other_ages_or_with_an_unknown_column_is_refused(folds_of_two):
    with pytest.raises(ValueError, match="only fold 0 has known ages"):
        best_age_by_group(folds_of_two.iloc[:4], [])
    with pytest.raises(ValueError, match="no column 'shoe' to group by"):
        best_age_by_group(folds_of_two, ["shoe"])
