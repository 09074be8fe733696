from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from agegender.evaluation.differences import (
    difference,
    difference_table,
    differences,
    in_words,
    paired_difference,
    paired_predictions,
    printed_differences,
    sentences,
    why_not_paired,
)
from agegender.evaluation.intervals import bootstrap
from agegender.evaluation.metrics import EXACT, GENDER_ACCURACY, GROUP_UAR, MAE
from agegender.evaluation.records import Run
from agegender.evaluation.systems import filter_runs
from tests.evaluation.conftest import together, without_age


def test_only_folds_and_seeds_that_both_have_are_compared(make_runs):
    strong, weak = make_runs("both", (0, 1, 2), skill=3.0), make_runs("age", (1, 2, 3), skill=1.0)
    table = difference(strong, weak, [EXACT])
    assert [name for name in table if name.startswith("fold_")] == ["fold_1", "fold_2"]
    pooled = EXACT.value(together(strong[1:])) - EXACT.value(together(weak[:2]))
    each = [EXACT.value(a.predictions) - EXACT.value(b.predictions) for a, b in zip(strong[1:], weak[:2], strict=True)]
    assert_allclose(table["difference"], pooled)
    assert_allclose(table[["fold_1", "fold_2"]].iloc[0].tolist(), each)
    assert_allclose(table["sd_over_folds"], np.std(each, ddof=1))
    assert table["low"].item() > 0
    assert not table["excludes_zero"].item()  # two pairs of runs are too few
    assert (table["num_folds"].item(), table["num_runs"].item()) == (2, 2)
    assert table["dataset"].item() == "made-up"


def test_a_difference_is_claimed_from_three_pairs_of_runs_on(make_runs):
    for seeds, is_told in (((0,), False), ((0, 1), False), ((0, 1, 2), True)):
        strong, weak = make_runs("both", (0,), seeds, skill=4.0), make_runs("age", (0,), seeds, skill=0.5)
        row = difference(strong, weak, [EXACT]).iloc[0]
        assert row["low"] > 0
        assert bool(row["excludes_zero"]) is is_told
        verdict = "above 0; last epoch not recorded" if is_told else "too few runs to tell"
        assert in_words(row).endswith(f": {verdict}")
        assert row["num_runs"] == len(seeds)


def with_last(runs, tables=None):
    """The runs with predictions of the last step: those of the runs ``tables``, or their own."""
    return [replace(run, last=other.predictions) for run, other in zip(runs, tables or runs, strict=True)]


def test_a_difference_is_claimed_only_if_it_holds_at_the_last_epoch_too(make_runs):
    strong, weak = make_runs("both", (0, 1, 2), skill=4.0), make_runs("age", (0, 1, 2), skill=0.5)
    for at_last, verdict in ((strong, "above 0"), (weak, "only for the selected epoch")):
        row = difference(with_last(strong, at_last), with_last(weak), [EXACT]).iloc[0]
        assert_allclose(row["last_epoch"], EXACT.value(together(at_last)) - EXACT.value(together(weak)))
        assert row["low"] > 0
        assert row["excludes_zero"] == (verdict == "above 0")
        assert in_words(row).endswith(f": {verdict}")
    turned = difference(with_last(weak, strong), with_last(strong, weak), [EXACT]).iloc[0]
    assert turned["last_low"] > 0 > turned["high"]
    assert in_words(turned).endswith(": only for the selected epoch")


def test_without_a_last_epoch_the_selected_one_decides_and_the_verdict_says_so(make_runs):
    strong, weak = make_runs("both", (0, 1, 2), skill=4.0), make_runs("age", (0, 1, 2), skill=0.5)
    partly = [*with_last(strong[:2]), strong[2]]
    table = difference(partly, with_last(weak), [EXACT])
    assert table["excludes_zero"].item()
    assert table["verdict"].item().endswith(": above 0; last epoch not recorded")
    assert difference_table(table.assign(comparison=""))["last epoch"].tolist() == ["not recorded"]
    both = difference(with_last(strong), with_last(weak), [EXACT]).assign(comparison="")
    assert_allclose(difference_table(both)["last epoch"].tolist(), both["difference"].tolist())


def test_what_was_not_trained_in_steps_is_the_same_at_the_last_epoch(make_runs):
    strong, machine = make_runs("both", (0, 1, 2), skill=4.0), make_runs("svm", (0, 1, 2), skill=0.5, history=[])
    row = difference(with_last(strong), machine, [EXACT]).iloc[0]
    assert (row["last_epoch"], row["verdict"].split(": ")[1]) == (row["difference"], "above 0")


def test_the_last_epoch_of_some_examples_is_of_the_same_ones(make_runs):
    def women(runs):
        return filter_runs(runs, lambda table: table["true_gender"].eq("female"))

    strong, weak, other = make_runs("both", skill=4.0), make_runs("both", skill=0.5), make_runs("age")
    gap = difference(women(with_last(strong, weak)), women(with_last(other)), [MAE])
    expected = MAE.value(together(women(weak))) - MAE.value(together(women(other)))
    assert_allclose(gap["last_epoch"], expected)


def test_a_system_does_not_differ_from_itself(make_runs):
    table = difference(make_runs(), make_runs("other"), [EXACT, MAE, GENDER_ACCURACY])
    assert_allclose(table[["difference", "low", "high", "fold_0", "fold_1"]], 0)
    assert not table["excludes_zero"].any()


def test_swapping_two_systems_turns_the_sign(make_runs):
    one, other = make_runs(skill=2.5), make_runs("age", skill=1.0)
    columns = ["difference", "mean_over_folds", "fold_0", "fold_1"]
    assert_allclose(difference(one, other, [MAE])[columns], -difference(other, one, [MAE])[columns])


def test_every_seed_gives_a_row_of_its_own(make_runs):
    first, second = paired_predictions(make_runs(seeds=(0, 1)), make_runs("age", seeds=(0, 1, 2), skill=1.0))
    assert len(first) == 2 * len(together(make_runs()))
    assert not first["example"].duplicated().any()
    assert first["subject"].tolist() == second["subject"].tolist()
    table = difference(make_runs(seeds=(0, 1)), make_runs("age", seeds=(0, 1), skill=1.0), [EXACT])
    assert table["num_seeds"].item() == 2
    assert table["num_subjects"].item() == 40


def test_examples_that_only_one_was_tested_on_are_left_out(make_runs):
    one, other = make_runs(), make_runs("age", skill=1.0)
    fewer = [Run(run.folder, run.record, run.predictions.iloc[7:]) for run in other]
    assert difference(one, fewer, [MAE])["num_examples"].item() == len(together(one)) - 14


def drawn_otherwise(runs, seed=0):
    """The same answers about the same examples, dealt to the folds at random."""
    dealt = np.random.default_rng(seed).integers(len(runs), size=len(together(runs)))
    tables = [together(runs)[dealt == fold].assign(fold=fold).reset_index(drop=True) for fold in range(len(runs))]
    return [Run(run.folder, run.record, table) for run, table in zip(runs, tables, strict=True)]


def test_systems_whose_folds_were_drawn_otherwise_are_paired_example_by_example_over_all_folds(make_runs):
    own, other = make_runs(skill=3.0), make_runs("age", skill=1.0)
    dealt = drawn_otherwise(other)
    table, expected = difference(own, dealt, [EXACT, MAE]), difference(own, other, [EXACT, MAE])
    columns = ["difference", "low", "high", "num_examples", "num_subjects"]
    pd.testing.assert_frame_equal(table[columns], expected[columns])
    each = [EXACT.value(a.predictions) - EXACT.value(b.predictions) for a, b in zip(own, dealt, strict=True)]
    assert_allclose(table.loc[0, ["fold_0", "fold_1"]].tolist(), each)
    first, second = paired_predictions(own, dealt)
    assert (first["fold"] != second["fold"]).any()


def test_of_some_folds_drawn_otherwise_only_what_both_were_tested_on_counts(make_runs):
    own, dealt = make_runs(folds=(0, 1, 2)), drawn_otherwise(make_runs("age", folds=(0, 1, 2), skill=1.0))
    [found] = difference(own[:2], dealt[:2], [MAE])["num_examples"]
    assert found == len(set(together(own[:2])["example"]) & set(together(dealt[:2])["example"]))
    assert 0 < found < len(together(own[:2]))


def test_a_net_without_ages_is_compared_by_gender_alone(make_runs):
    table = difference(make_runs(), without_age(make_runs("gender")), [EXACT, GENDER_ACCURACY])
    assert table["metric"].tolist() == ["gender_accuracy"]
    assert difference(make_runs(), without_age(make_runs("gender")), [EXACT]).empty


def test_what_cannot_be_paired_says_why(make_runs):
    own = make_runs()
    assert why_not_paired(own, make_runs("age")) is None
    assert why_not_paired(own, []) == "no fold and seed that both have run"
    assert why_not_paired(own, make_runs("age", seeds=(1,))) == "no fold and seed that both have run"
    assert why_not_paired(own, make_runs("age", manifest_hash="other")).startswith("they read the corpus differently")
    for run in (others := make_runs("age")):
        run.predictions["example"] += 5000
    assert why_not_paired(own, others) == "no example that both were tested on"
    with pytest.raises(ValueError, match="cannot be paired: no example that both"):
        difference(own, others, [MAE])


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-1.0, 2.0, "the interval includes 0"), (0.1, 2.0, "above 0"), (-2.0, -0.1, "below 0")],
)
def test_the_verdict_of_three_runs_is_that_of_the_interval(low, high, verdict):
    row = {"difference": (low + high) / 2, "low": low, "high": high, "unit": "years", "num_folds": 1, "fold_0": 1.0}
    words = in_words(pd.Series(row | {"num_runs": 3}))
    assert words.endswith(f"years, 3 pairs of runs, above 0 in 1 of 1 folds: {verdict}")
    assert words.startswith(f"{(low + high) / 2:+.2f} [{low:+.2f}, {high:+.2f}]")


def test_the_paired_difference_of_a_system_with_itself_is_exactly_nothing(predictions):
    found = paired_difference(predictions, predictions.sample(frac=1, random_state=1), GROUP_UAR)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_pairing_narrows_the_interval_of_the_difference(predictions):
    better = predictions.assign(age=predictions["age"] + 0.2)
    paired = paired_difference(better, predictions, MAE)
    alone = bootstrap(MAE.terms(predictions), predictions["subject"], MAE.finish)
    assert (paired.high - paired.low) < 0.2 * (alone.high - alone.low)
    assert paired.value == pytest.approx(MAE.value(better) - MAE.value(predictions))


def test_the_paired_difference_is_first_minus_second(make_predictions):
    strong, weak = make_predictions(skill=4.0), make_predictions(skill=0.0)
    assert paired_difference(strong, weak, EXACT).low > 0
    assert paired_difference(weak, strong, EXACT).high < 0


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


def test_differences_are_those_of_the_values(make_predictions):
    strong, weak = make_predictions(skill=3.0), make_predictions(skill=1.0)
    exact, mae = (paired_difference(strong, weak, metric) for metric in (EXACT, MAE))
    assert_allclose(exact.value, EXACT.value(strong) - EXACT.value(weak))
    assert exact.low > 0 > mae.high


QUESTIONS = {
    "both - age": (("both", "as_intended"), ("age", "as_intended")),
    "both - none": (("both", "as_intended"), ("none", "as_intended")),
}


def test_differences_hold_a_row_for_each_comparison_and_metric_and_say_what_was_not_compared(make_runs):
    own, other = make_runs(), make_runs("age", skill=1.0)
    found = differences([*own, *other], QUESTIONS, [EXACT, MAE])
    assert found["comparison"].tolist() == ["both - age", "both - age", "both - none"]
    assert_allclose(found["difference"][:2], difference(own, other, [EXACT, MAE])["difference"])
    assert found["verdict"].iloc[2] == "not compared: no fold and seed that both have run"
    assert found["verdict"].iloc[0] == in_words(difference(own, other, [EXACT]).iloc[0])
    assert found["verdict"].iloc[0].startswith(f"{found['score'].iloc[0]} points of %")
    assert sentences(found, [MAE]).splitlines() == [
        f"both - age, age MAE (years): {found['verdict'].iloc[1]}",
        f"both - none: {found['verdict'].iloc[2]}",
    ]
    assert differences(own, {}, [EXACT])["metric"].tolist() == []


def test_no_metric_that_both_can_be_scored_by_is_a_reason_too(make_runs):
    runs = [*make_runs(), *without_age(make_runs("none"))]
    found = differences(runs, QUESTIONS, [EXACT])[1:]
    assert found["verdict"].tolist() == ["not compared: no metric that both can be scored by"]


def test_the_table_of_differences_has_the_headings_of_a_reader_and_no_row_without_a_metric(make_runs):
    table = difference_table(differences([*make_runs(), *make_runs("age", skill=1.0)], QUESTIONS, [EXACT]))
    assert len(table) == 1
    assert table["metric"].item() == "age group exact (%)"
    assert {"excludes 0", "fold 0", "pairs of runs", "examples", "subjects"} <= set(table)
    assert not any("_" in column for column in table)


def test_published_folds_are_compared_by_students_interval_and_what_was_not_printed_is_left_out():
    index = pd.MultiIndex.from_tuples([("exact", "both"), ("exact", "age")])
    printed = pd.DataFrame([[3.0, 2.5, 4.5, 2.7, 3.1], [2.0, 3.0, 2.0, 2.0, 2.0]], index=index)
    questions = {"both - age": (("exact", "both"), ("exact", "age")), "none": (("exact", "both"), ("uar", "age"))}
    [row] = printed_differences(printed, questions).to_dict("records")
    expected = stats.ttest_1samp([1.0, -0.5, 2.5, 0.7, 1.1], 0).confidence_interval(0.95)
    assert_allclose([row["difference"], row["low"], row["high"]], [0.96, expected.low, expected.high])
    assert row["excludes_zero"] is False
    assert row["verdict"].endswith("5 pairs of runs, above 0 in 4 of 5 folds: the interval includes 0")
