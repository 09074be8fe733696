import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from agegender.evaluation.shrinkage import age_slope


def answers(slope, offset=0.0, noise=0.0, num_subjects=60):
    generator = np.random.default_rng(0)
    true = generator.uniform(0, 90, num_subjects)
    said = 30 + slope * (true - 30) + offset + generator.normal(0, 1, num_subjects) * noise
    return pd.DataFrame({"subject": [f"s{n}" for n in range(num_subjects)], "true_age": true, "age": said})


def test_the_slope_is_that_of_least_squares():
    table = answers(0.7, noise=5.0)
    assert_allclose(age_slope(table).value, np.polyfit(table["true_age"], table["age"], 1)[0])


@pytest.mark.parametrize("slope", [0.0, 0.6, 1.0])
def test_ages_drawn_to_the_middle_have_a_slope_below_one_wherever_the_middle_lies(slope):
    for offset in (0.0, 12.0):
        found = age_slope(answers(slope, offset), replicates=20)
        assert_allclose([found.value, found.low, found.high], [slope] * 3, atol=1e-9)


def test_the_interval_is_over_subjects_and_not_over_examples():
    table = answers(0.8, noise=10.0)
    many = pd.concat([table] * 5, ignore_index=True)
    once, five = age_slope(table, replicates=200), age_slope(many, replicates=200)
    assert_allclose([once.value, once.low, once.high], [five.value, five.low, five.high])
    assert five.num_examples == 5 * once.num_examples


def test_rows_without_a_true_age_do_not_enter():
    table = answers(0.5, noise=3.0)
    more = pd.concat([table, table.assign(true_age=np.nan, age=99.0)], ignore_index=True)
    assert_allclose(age_slope(more).value, age_slope(table).value)


def test_people_of_one_age_have_no_slope_and_no_age_at_all_is_refused():
    table = answers(0.5).assign(true_age=30.0)
    assert np.isnan(age_slope(table, replicates=5).value)
    with pytest.raises(ValueError, match="no row has a true age"):
        age_slope(table.assign(true_age=np.nan))
