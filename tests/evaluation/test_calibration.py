import numpy as np
import pytest
import sklearn.metrics
from numpy.testing import assert_allclose

from agegender.evaluation.calibration import brier, ece, fit_temperature, group_confidence, reliability, tempered


@pytest.fixture
def calibrated():
    """Probabilities from which the true group is drawn, so that they mean what they say."""
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.full(5, 0.5), size=20000)
    true = (probabilities.cumsum(axis=1) > generator.random((20000, 1))).argmax(axis=1)
    return true, probabilities


def test_ece_equals_the_sum_over_bins_typed_out():
    confidence, hits = np.array([0.05, 0.15, 0.55, 0.58, 0.95]), np.array([0, 1, 1, 0, 1])
    expected = (1 * 0.05 + 1 * 0.85 + 2 * abs(0.5 - 0.565) + 1 * 0.05) / 5
    assert_allclose(ece(confidence, hits, num_bins=10), expected)


def test_brier_of_two_classes_is_twice_that_of_scikit_learn():
    generator = np.random.default_rng(1)
    p, true = generator.random(50), generator.integers(0, 2, 50)
    assert_allclose(brier(true, np.column_stack([1 - p, p])), 2 * sklearn.metrics.brier_score_loss(true, p))


def test_calibrated_probabilities_have_nearly_no_error_and_sharpened_ones_have(calibrated):
    true, probabilities = calibrated
    assert ece(*group_confidence(true, probabilities)) < 0.02
    assert ece(*group_confidence(true, tempered(probabilities, 0.5))) > 0.1


def test_the_fitted_temperature_undoes_the_one_that_was_applied(calibrated):
    true, probabilities = calibrated
    assert_allclose(fit_temperature(true, probabilities), 1, atol=0.05)
    assert_allclose(fit_temperature(true, tempered(probabilities, 0.4)), 2.5, atol=0.1)


def test_tempering_is_softmax_of_divided_logits_and_keeps_the_order(calibrated):
    _, probabilities = calibrated
    logits = np.log(probabilities[:50]) + 7.0
    expected = np.exp(logits / 3) / np.exp(logits / 3).sum(axis=1, keepdims=True)
    assert_allclose(tempered(probabilities[:50], 3), expected, atol=1e-9)
    assert (tempered(probabilities[:50], 3).argmax(axis=1) == probabilities[:50].argmax(axis=1)).all()


def test_a_temperature_of_one_changes_nothing_and_a_probability_of_zero_stays_finite():
    assert_allclose(tempered([[0.25, 0.75]], 1), [[0.25, 0.75]])
    with np.errstate(divide="raise"):
        assert np.isfinite(tempered([[0.0, 1.0]], 5)).all()
    assert 0.05 <= fit_temperature([0, 1], [[1.0, 0.0], [1.0, 0.0]]) <= 20


def test_every_example_is_in_one_bin_also_at_the_edges():
    bins = reliability([0, 0.2, 0.4, 0.6, 0.8, 1.0], [0, 0, 0, 1, 1, 1], num_bins=5)
    assert bins["count"].tolist() == [2, 1, 1, 1, 1]
    assert reliability(np.linspace(0, 1, 1000), np.ones(1000))["count"].sum() == 1000


def test_an_empty_bin_is_nan_and_costs_nothing():
    bins = reliability([0.9, 0.9], [1, 1], num_bins=4)
    assert bins["accuracy"].isna().tolist() == [True, True, True, False]
    assert ece([1.0, 1.0], [1, 1], num_bins=4) == 0


def test_the_order_of_examples_does_not_matter(calibrated):
    confidence, hits = group_confidence(*calibrated)
    order = np.random.default_rng(2).permutation(len(hits))
    assert_allclose(ece(confidence[order], hits[order]), ece(confidence, hits))


def test_refuses_what_is_no_probability_and_names_it():
    with pytest.raises(ValueError, match=r"must lie in 0 to 1, got 0\.5 to 3"):
        ece([0.5, 3.0], [0, 1])
    with pytest.raises(ValueError, match="confidence has 1 examples and hits has 2"):
        reliability([0.5], [0, 1])
    with pytest.raises(ValueError, match="at least 1 bin, got 0"):
        reliability([0.5], [0], num_bins=0)
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        tempered([[0.5, 0.5]], 0)
