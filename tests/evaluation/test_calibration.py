import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from agegender.evaluation import calibration
from agegender.evaluation.calibration import ece, gender_confidence, group_confidence, reliability, reliability_diagram

mpl.use("Agg")


@pytest.fixture
def calibrated():
    """Probabilities from which the true group is drawn, so that they mean what they say."""
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.full(5, 0.5), size=20000)
    true = (probabilities.cumsum(axis=1) > generator.random((20000, 1))).argmax(axis=1)
    table = pd.DataFrame(probabilities, columns=[f"p_group_{group}" for group in range(5)])
    return table.assign(true_group=true)


def test_ece_equals_the_sum_over_bins_typed_out(monkeypatch):
    monkeypatch.setattr(calibration, "NUM_BINS", 10)
    confidence, correct = np.array([0.05, 0.15, 0.55, 0.58, 0.95]), np.array([0, 1, 1, 0, 1])
    expected = (1 * 0.05 + 1 * 0.85 + 2 * abs(0.5 - 0.565) + 1 * 0.05) / 5
    assert_allclose(ece(confidence, correct), expected)


def test_calibrated_probabilities_have_nearly_no_error_and_sharpened_ones_have(calibrated):
    sharpened = calibrated.filter(like="p_group_") ** 2
    sharpened = sharpened.div(sharpened.sum(axis=1), axis=0).assign(true_group=calibrated["true_group"])
    assert ece(*group_confidence(calibrated)) < 0.02
    assert ece(*group_confidence(sharpened)) > 0.1


def test_the_confidence_in_a_gender_is_that_of_the_predicted_one():
    table = pd.DataFrame({"true_gender": ["female", "male", "female"], "p_female": [0.9, 0.2, 0.4]})
    confidence, correct = gender_confidence(table)
    assert_allclose(confidence, [0.9, 0.8, 0.6])
    assert correct.tolist() == [1, 1, 0]


def test_every_example_is_in_one_bin_also_at_the_edges(monkeypatch):
    assert reliability(np.linspace(0, 1, 1000), np.ones(1000))["share"].sum() == pytest.approx(1)
    monkeypatch.setattr(calibration, "NUM_BINS", 5)
    bins = reliability([0, 0.2, 0.4, 0.6, 0.8, 1.0], [0, 0, 0, 1, 1, 1])
    assert_allclose(bins["share"], np.array([2, 1, 1, 1, 1]) / 6)


def test_a_bin_without_examples_has_no_row_and_costs_nothing():
    assert reliability([0.9, 0.9, 0.1], [1, 1, 0])["accuracy"].tolist() == [0, 1]
    assert ece([1.0, 1.0], [1, 1]) == 0


def test_the_order_of_examples_does_not_matter(calibrated):
    confidence, correct = group_confidence(calibrated)
    order = np.random.default_rng(2).permutation(len(correct))
    assert_allclose(ece(confidence[order], correct[order]), ece(confidence, correct))


def test_refuses_what_is_no_probability_and_names_it():
    with pytest.raises(ValueError, match=r"must lie in 0 to 1, got 0\.5 to 3"):
        ece([0.5, 3.0], [0, 1])
    with pytest.raises(ValueError, match="confidence has 1 examples and correct has 2"):
        reliability([0.5], [0, 1])


def test_empty_bins_are_not_drawn():
    ax = reliability_diagram({"net": (np.array([0.9, 0.9]), np.array([1, 0]))}, "gender")
    assert len(ax.collections[0].get_offsets()) == 1
    plt.close("all")
