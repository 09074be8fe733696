import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.svm import SVR

from agegender.models.svm import predicted_ages, predicted_p_female


def people(number=120, seed=0):
    """Three numbers for each: one follows the age, one the gender, one nothing; their scales differ by far."""
    generator = np.random.default_rng(seed)
    ages = generator.uniform(10, 80, number)
    genders = generator.choice(["female", "male"], number)
    of_age, of_gender = 1e-3 * ages, 1e4 * (genders == "female")
    numbers = np.column_stack([of_age, of_gender + generator.normal(0, 1e3, number), generator.normal(size=number)])
    return numbers, ages, genders


def test_the_ages_are_those_of_a_support_vector_regression_of_standardised_numbers():
    numbers, ages, _ = people()
    mean, deviation = numbers[:80].mean(0), numbers[:80].std(0)
    machine = SVR(kernel="rbf", gamma=1 / 3, C=10, epsilon=1).fit((numbers[:80] - mean) / deviation, ages[:80])
    expected = machine.predict((numbers[80:] - mean) / deviation)
    assert_allclose(predicted_ages(numbers[:80], ages[:80], numbers[80:]), expected)


def test_what_can_be_learned_is_learned():
    numbers, ages, genders = people()
    found = predicted_ages(numbers[:80], ages[:80], numbers[80:])
    constant = np.abs(np.median(ages[:80]) - ages[80:]).mean()
    assert np.abs(found - ages[80:]).mean() < constant / 3
    p_female = predicted_p_female(numbers[:80], genders[:80], numbers[80:])
    assert np.mean((p_female > 0.5) == (genders[80:] == "female")) > 0.95


def test_the_unit_of_a_number_does_not_matter():
    numbers, ages, genders = people()
    other = 7 * numbers + 3
    for predict, labels in ((predicted_ages, ages), (predicted_p_female, genders)):
        assert_allclose(predict(other[:80], labels[:80], other[80:]), predict(numbers[:80], labels[:80], numbers[80:]))


def test_an_answer_depends_on_its_own_example_alone():
    numbers, ages, _ = people()
    together = predicted_ages(numbers[:80], ages[:80], numbers[80:])
    assert_allclose(predicted_ages(numbers[:80], ages[:80], numbers[80:81]), together[:1])


def test_a_rare_gender_weighs_as_much_as_the_other():
    generator = np.random.default_rng(0)
    genders = np.array(["male"] * 190 + ["female"] * 10)
    numbers = generator.normal(size=(200, 1)) + (genders == "female")[:, None]
    assert (predicted_p_female(numbers, genders, np.full((1, 1), 1.2)) > 0.5).all()


def test_no_age_is_below_0_or_above_120_years():
    numbers, ages = np.linspace(0, 1, 50)[:, None], np.linspace(0, 120, 50)
    found = predicted_ages(numbers, ages, np.linspace(-0.5, 1.5, 200)[:, None])
    assert found.min() >= 0
    assert found.max() <= 120


def test_labels_and_numbers_that_cannot_be_learned_are_refused():
    numbers, ages, genders = people(6)
    for wrong in (np.nan, -1.0, 200.0):
        with pytest.raises(ValueError, match="impossible age"):
            predicted_ages(numbers, [*ages[:5], wrong], numbers)
    with pytest.raises(ValueError, match="genders must be male or female, got nan: leave these examples out"):
        predicted_p_female(numbers, [*genders[:5], np.nan], numbers)
    with pytest.raises(ValueError, match=r"shape \(6, numbers\), got \(5, 3\)"):
        predicted_ages(numbers[:5], ages, numbers)
    broken = numbers.copy()
    broken[4, 1] = np.inf
    with pytest.raises(ValueError, match="the numbers of example 4 are not finite"):
        predicted_ages(numbers, ages, broken)
