"""Means over batches, against numbers added up by hand, the score itself, and a simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from agegender.evaluation.batch_means import mean_over_batches, over_orders, share_of_rmse
from agegender.evaluation.scores import GENDER_ACCURACY, MAE, RMSE


def answers(errors, genders=None):
    """Predictions of people of 40 with these errors in years; every p_female is 0.9."""
    genders = ["female"] * len(errors) if genders is None else genders
    columns = {"true_age": 40.0, "age": 40.0 + np.array(errors, dtype=float), "true_gender": genders, "p_female": 0.9}
    return pd.DataFrame(columns)


def test_the_mean_of_two_batches_added_up_by_hand():
    table = answers([3, 4, 0, 2])  # batches (3, 4) and (0, 2)
    assert mean_over_batches(MAE, table, 2) == pytest.approx((3.5 + 1.0) / 2)
    assert mean_over_batches(RMSE, table, 2) == pytest.approx((np.sqrt(12.5) + np.sqrt(2.0)) / 2)
    assert mean_over_batches(RMSE, table, 2) < RMSE.value(table)


def test_a_last_short_batch_counts_as_much_as_a_full_one():
    table = answers([3, 4, 12])  # batches (3, 4) and (12)
    assert mean_over_batches(MAE, table, 2) == pytest.approx((3.5 + 12) / 2)
    assert MAE.value(table) == pytest.approx(19 / 3)


def test_batches_are_cut_from_all_rows_also_where_only_some_are_scored():
    table = answers([3, 1, 5, 7, 9, 2], ["male", "female", "male", "male", "female", "female"])
    is_male = table["true_gender"].eq("male")
    assert mean_over_batches(MAE, table, 3, only=is_male) == pytest.approx(((3 + 5) / 2 + 7) / 2)
    assert mean_over_batches(GENDER_ACCURACY, table, 3) == pytest.approx((100 / 3 + 200 / 3) / 2)


def test_a_batch_in_which_nobody_is_scored_does_not_count():
    table = answers([3, 5, 1, 1, 7, 9], ["male"] * 2 + ["female"] * 2 + ["male"] * 2)
    assert mean_over_batches(MAE, table, 2, only=table["true_gender"].eq("male")) == pytest.approx((4 + 8) / 2)
    table.loc[0, "true_age"] = np.nan
    assert mean_over_batches(MAE, table, 2, only=table["true_gender"].eq("male")) == pytest.approx((5 + 8) / 2)


def test_one_batch_of_everything_has_the_value_itself(predictions):
    for metric in (MAE, RMSE, GENDER_ACCURACY):
        assert mean_over_batches(metric, predictions, len(predictions)) == pytest.approx(metric.value(predictions))


def test_in_equal_batches_the_mean_of_rmse_is_at_most_the_rmse_and_that_of_mae_is_the_mae(predictions):
    table = predictions.iloc[:192]
    found = over_orders(RMSE, table, num_orders=50)
    assert (found < RMSE.value(table)).all()
    np.testing.assert_allclose(over_orders(MAE, table, num_orders=5), MAE.value(table))


def test_the_smaller_the_batches_the_smaller_the_mean_of_rmse(predictions):
    table = predictions.iloc[:192]
    values = [over_orders(RMSE, table, size, num_orders=50).mean() for size in (96, 24, 6, 1)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(MAE.value(table))


def test_an_order_is_the_order_of_the_rows():
    table = answers(np.arange(60.0) ** 1.5)
    order = np.random.default_rng(0).permutation(60)
    shuffled = table.iloc[np.argsort(order)]  # row i goes to place order[i]
    assert over_orders(RMSE, table, num_orders=1)[0] == pytest.approx(mean_over_batches(RMSE, shuffled))
    np.testing.assert_array_equal(over_orders(RMSE, table, seed=1), over_orders(RMSE, table, seed=1))


def test_the_share_left_of_normal_errors_is_that_of_the_chi_distribution_and_of_a_simulation():
    assert share_of_rmse(1680, 1680) == pytest.approx(stats.chi(24).mean() / np.sqrt(24))
    rng = np.random.default_rng(0)
    table = answers(rng.normal(0, 7, 4800), np.where(np.arange(4800) % 3 == 0, "female", "male"))
    is_female = table["true_gender"].eq("female")
    found = over_orders(RMSE, table, only=is_female, num_orders=30) / RMSE.value(table[is_female])
    assert found.mean() == pytest.approx(share_of_rmse(1600, 4800), abs=0.003)


@pytest.mark.parametrize("heavy", [stats.t(5), stats.laplace()])
def test_heavier_tails_leave_less_than_normal_errors(heavy):
    table = answers(heavy.rvs(4800, random_state=np.random.default_rng(0)))
    assert over_orders(RMSE, table, num_orders=10).mean() < share_of_rmse(4800, 4800) * RMSE.value(table)


def test_what_cannot_be_averaged_is_refused():
    table = answers([1, 2])
    with pytest.raises(ValueError, match="at least 1 example, got 0"):
        mean_over_batches(MAE, table, 0)
    with pytest.raises(ValueError, match="none of 2 rows can be scored by mae"):
        mean_over_batches(MAE, table, only=table["true_gender"].eq("male"))
    for arguments in ((0, 10, 2), (11, 10, 2), (5, 10, 11), (5, 10, 0)):
        with pytest.raises(ValueError, match="expected batches of 1 to 10"):
            share_of_rmse(*arguments)
