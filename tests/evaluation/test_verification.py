import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import roc_curve

from agegender.evaluation.verification import (
    eer,
    error_rates,
    min_dcf,
    trial_scores,
    verification_interval,
)

SCORES = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
LABELS = [1, 1, 0, 1, 0, 0, 1]
"""Four trials of one subject and three of two."""


def made_up(num_trials=400, seed=0, digits=2):
    generator = np.random.default_rng(seed)
    is_same = generator.random(num_trials) < 0.3
    return np.round(generator.normal(size=num_trials) + 1.5 * is_same, digits), is_same


def test_hand_made_scores_give_the_rates_counted_by_hand():
    miss, false_alarm = error_rates(SCORES, LABELS)
    assert_allclose(miss, np.array([4, 3, 2, 2, 1, 1, 1, 0]) / 4)
    assert_allclose(false_alarm, np.array([0, 0, 0, 1, 1, 2, 3, 3]) / 3)


def test_hand_made_scores_give_the_equal_error_rate_counted_by_hand():
    assert eer(SCORES, LABELS) == pytest.approx(1 / 3)  # between 2/4 and 1/4 misses, at 1 of 3 false alarms
    assert eer([3, 2, 1, 0], [1, 1, 0, 0]) == 0
    assert eer([3, 2, 1, 0], [0, 0, 1, 1]) == 1


def test_hand_made_scores_give_the_least_cost_counted_by_hand():
    costs = [0.05 * miss + 0.95 * alarm for miss, alarm in ((1, 0), (0.5, 0), (0.25, 1 / 3), (0, 1))]
    assert min_dcf(SCORES, LABELS) == pytest.approx(min(costs) / 0.05) == pytest.approx(0.5)


def test_the_rates_are_those_of_every_score_as_a_threshold():
    scores, is_same = made_up()
    accepted = scores >= np.sort(np.unique(scores))[::-1][:, None]  # (thresholds, trials)
    miss, false_alarm = error_rates(scores, is_same)
    assert_allclose(miss, [1, *(1 - accepted[:, is_same].mean(axis=1))], atol=1e-12)
    assert_allclose(false_alarm, [0, *accepted[:, ~is_same].mean(axis=1)], atol=1e-12)


def test_the_equal_error_rate_is_where_the_curve_of_scikit_learn_crosses_the_diagonal():
    scores, is_same = made_up()
    false_alarm, hit, _ = roc_curve(is_same, scores, drop_intermediate=False)
    found = eer(scores, is_same)
    assert np.interp(found, false_alarm, hit) == pytest.approx(1 - found)
    assert 0.1 < found < 0.4


def test_a_priori_one_trial_in_twenty_is_of_one_subject():
    """To accept the first costs half the misses: 0.5. To go on costs one false alarm in 50: 0.95 * 0.02 / 0.05."""
    scores, labels = [0.9, 0.5, 0.3, *[0.1] * 49], [1, 0, 1, *[0] * 49]
    assert min_dcf(scores, labels) == pytest.approx(0.38)


def test_equal_scores_are_accepted_together_as_if_by_lot():
    assert eer([1, 1, 1, 1], [1, 0, 1, 0]) == 0.5
    assert min_dcf([1, 1, 1, 1], [1, 0, 1, 0]) == 1
    miss, false_alarm = error_rates([2, 1, 1, 0], [1, 1, 0, 0])
    assert miss.tolist() == [1, 0.5, 0, 0]
    assert false_alarm.tolist() == [0, 0, 0.5, 1]
    assert eer([2, 1, 1, 0], [1, 1, 0, 0]) == 0.25
    assert eer([2, 1, 1, 0], [1, 0, 1, 0]) == 0.25


def test_neither_the_order_nor_the_scale_of_the_scores_matters():
    scores, is_same = made_up()
    order = np.random.default_rng(1).permutation(len(scores))
    for measure in (eer, min_dcf):
        assert measure(scores[order], is_same[order]) == pytest.approx(measure(scores, is_same))
        assert measure(np.exp(scores), is_same) == pytest.approx(measure(scores, is_same))
    assert eer(-scores, ~is_same) == pytest.approx(eer(scores, is_same))


def test_a_weight_counts_a_trial_that_many_times():
    scores, is_same = made_up(60)
    weights = np.random.default_rng(2).integers(0, 4, 60)
    for measure in (eer, min_dcf):
        repeated = measure(np.repeat(scores, weights), np.repeat(is_same, weights))
        assert measure(scores, is_same, weights.astype(float)) == pytest.approx(repeated)


@pytest.mark.parametrize("measure", [eer, min_dcf])
def test_trials_of_one_kind_only_are_refused(measure):
    with pytest.raises(ValueError, match="there is no trial of two subjects"):
        measure([0.5, 0.6], [1, 1])
    with pytest.raises(ValueError, match="there is no trial of one subject"):
        measure([0.5, 0.6], [0, 0])
    with pytest.raises(ValueError, match="there is no trial of two subjects"):
        measure([0.5, 0.6], [1, 0], np.array([1.0, 0.0]))


def test_scores_and_labels_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="scores are not finite, the first is nan at position 1"):
        eer([0.5, np.nan], [1, 0])
    with pytest.raises(ValueError, match="2 scores for 3 labels"):
        eer([0.5, 0.6], [1, 0, 1])
    with pytest.raises(ValueError, match="1 and 0, got 2"):
        eer([0.5, 0.6], [1, 2])
    with pytest.raises(ValueError, match="scores is empty"):
        eer([], [])


CLIPS = ["id1/a/1.wav", "id1/a/2.wav", "id2/b/1.wav"]
TRIALS = pd.DataFrame({"first": [CLIPS[0], CLIPS[0], CLIPS[2]], "second": [CLIPS[1], CLIPS[2], CLIPS[1]]})


def test_a_score_is_the_cosine_of_the_two_embeddings():
    embeddings = np.array([[3.0, 0.0], [1.0, 1.0], [0.0, -2.0]])
    found = trial_scores(TRIALS, CLIPS, embeddings)
    assert_allclose(found, [np.sqrt(0.5), 0.0, -np.sqrt(0.5)], atol=1e-12)


def test_of_several_crops_the_score_is_the_mean_over_all_pairs():
    crops = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    expected = []
    for a, b in zip(TRIALS["first"], TRIALS["second"], strict=True):
        pairs = [(x, y) for x in crops[CLIPS.index(a)] for y in crops[CLIPS.index(b)]]
        expected.append(np.mean([x @ y / (np.linalg.norm(x) * np.linalg.norm(y)) for x, y in pairs]))
    assert_allclose(trial_scores(TRIALS, CLIPS, crops), expected, atol=1e-6)


def test_a_trial_with_a_missing_clip_is_named():
    with pytest.raises(
        ValueError, match=r"1 of 3 trials name a first clip that has no embedding: trial 2 .*id2/b/1.wav"
    ):
        trial_scores(TRIALS, CLIPS[:2], np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"2 of 3 trials name a second clip .* trial 0 names 'id1/a/2.wav'"):
        trial_scores(TRIALS, [CLIPS[0], CLIPS[2]], np.ones((2, 4)))


def test_embeddings_without_a_direction_or_a_clip_of_their_own_are_refused():
    for bad in (0.0, np.nan):
        embeddings = np.ones((3, 4))
        embeddings[1] = bad
        with pytest.raises(
            ValueError, match=r"1 embeddings are zero or not finite, the first of the clip 'id1/a/2.wav'"
        ):
            trial_scores(TRIALS, CLIPS, embeddings)
    with pytest.raises(ValueError, match=r"'id1/a/1.wav' has more than one embedding"):
        trial_scores(TRIALS, [*CLIPS[:2], CLIPS[0]], np.ones((3, 4)))
    with pytest.raises(ValueError, match="3 paths for 2 embeddings"):
        trial_scores(TRIALS, CLIPS, np.ones((2, 4)))


def subjects_of_trials(num_subjects=30, seed=0):
    """All pairs of subjects once, and four trials of each with itself; subjects differ in how alike they sound."""
    generator = np.random.default_rng(seed)
    first, second = np.triu_indices(num_subjects, k=1)
    own = np.repeat(np.arange(num_subjects), 4)
    first, second = np.concatenate([first, own]), np.concatenate([second, own])
    is_same = first == second
    ease = generator.normal(2.0, 1.0, num_subjects)
    scores = generator.normal(size=len(first)) + np.where(is_same, ease[first], 0.0)
    return scores, is_same, first, second


def test_the_interval_holds_the_value_and_counts_trials_and_subjects():
    scores, is_same, first, second = subjects_of_trials()
    for measure in (eer, min_dcf):
        found = verification_interval(measure, scores, is_same, first, second, replicates=100)
        assert found.value == measure(scores, is_same)
        assert found.low < found.value < found.high
        assert (found.num_examples, found.num_subjects) == (30 * 29 // 2 + 120, 30)
        assert found == verification_interval(measure, scores, is_same, first, second, replicates=100)


def test_a_replicate_is_what_the_drawn_subjects_make_when_those_drawn_twice_are_twins():
    scores, is_same, first, second = subjects_of_trials(6)
    weights = []

    def remember(values, same, weight):
        weights.append(weight)
        return 0.0

    verification_interval(remember, scores, is_same, first, second, replicates=3)
    table = pd.DataFrame({"first": first, "second": second, "is_same": is_same, "weight": weights[0]})
    drawn = table[table["is_same"]].groupby("first")["weight"].first()
    assert drawn.sum() == 6
    others = table[~table["is_same"]]
    assert_allclose(others["weight"], drawn[others["first"]].to_numpy() * drawn[others["second"]].to_numpy())
    assert (weights[-1] == 1).all()


def test_the_interval_is_the_middle_95_percent_of_its_replicates_and_the_same_every_time():
    trials, replicated = subjects_of_trials(12), []

    def remember(*arguments):
        replicated.append(eer(*arguments))
        return replicated[-1]

    found = verification_interval(remember, *trials, replicates=200)
    assert_allclose([found.low, found.high], np.quantile(replicated[:-1], [0.025, 0.975]))
    assert found == verification_interval(eer, *trials, replicates=200)


def test_more_subjects_make_a_narrower_interval():
    few, many = (verification_interval(eer, *subjects_of_trials(number), replicates=100) for number in (12, 48))
    assert many.high - many.low < few.high - few.low


def test_too_few_subjects_and_labels_that_contradict_the_subjects_are_refused():
    with pytest.raises(ValueError, match="2 subjects are too few for an interval"):
        verification_interval(eer, [0.9, 0.8, 0.1], [1, 1, 0], ["a", "b", "a"], ["a", "b", "b"], replicates=50)
    with pytest.raises(ValueError, match="trial 1 is labelled as one subject, but its clips are of 'b' and 'c'"):
        verification_interval(eer, [0.9, 0.8, 0.1], [1, 1, 0], ["a", "b", "a"], ["a", "c", "b"])
    with pytest.raises(ValueError, match="2 pairs of subjects for 3 trials"):
        verification_interval(eer, [0.9, 0.8, 0.1], [1, 1, 0], ["a", "b"], ["a", "b"])
