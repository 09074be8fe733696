from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from agegender.evaluation.records import Run
from agegender.evaluation.scores import EXACT, GENDER_ACCURACY, MAE, group_columns
from agegender.evaluation.systems import (
    among,
    asked_of_constant,
    by_system,
    compare,
    curves,
    histories,
    in_words,
    overview,
    paired_predictions,
    scheme_of,
    scores_beside_constant,
    title,
    why_not_paired,
)
from agegender.evaluation.tables import summary
from agegender.labels import ADIENCE_8


@pytest.fixture
def make_runs(make_predictions, make_record):
    def runs(model="both", folds=(0, 1), seeds=(0,), skill=2.0, variant="as_intended", **changed):
        made = []
        for fold in folds:
            for seed in seeds:
                table = make_predictions(num_subjects=20, fold=fold, first_example=1000 * fold, skill=skill)
                if seed:  # another seed answers differently about the same people
                    table["p_female"] = table["p_female"].to_numpy()[::-1]
                record = make_record(fold, seed, model, variant) | {"selected_step": 2} | changed
                made.append(Run(Path("runs"), record, table))
        return made

    return runs


def without_age(runs):
    return [
        Run(run.folder, run.record | {"scheme": None}, run.predictions.drop(columns=group_columns(run.predictions)))
        for run in runs
    ]


def together(runs):
    return pd.concat([run.predictions for run in runs], ignore_index=True)


def test_a_system_is_a_model_in_one_variant(make_runs):
    runs = [*make_runs("both"), *make_runs("age"), *make_runs("both", variant="as_published")]
    assert list(by_system(runs)) == [("both", "as_intended"), ("age", "as_intended"), ("both", "as_published")]
    assert sum(map(len, by_system(runs).values())) == len(runs)
    assert title(("both", "as_published")) == "both, as published"


def test_a_question_can_be_asked_of_some_examples_alone(make_runs):
    runs = make_runs(folds=(0, 1, 2))
    women = among(runs, lambda table: table["true_gender"].eq("female") & table["fold"].ne(1))
    assert [run.record["fold"] for run in women] == [0, 2]
    everyone = together(runs)
    expected = everyone[everyone["true_gender"].eq("female") & everyone["fold"].ne(1)]
    assert together(women)["example"].tolist() == expected["example"].tolist()
    assert compare(women, women, (MAE,))["num_examples"].tolist() == [len(expected)]
    assert len(together(runs)) == len(everyone)


def test_lines_of_history_are_numbered_from_one_and_are_those_of_the_lowest_seed(make_runs):
    found = histories(make_runs(seeds=(1, 0)))
    assert list(found) == [0, 1]
    assert [line["epoch"] for line in found[0]] == [1, 2, 3]


def test_the_overview_shows_unequal_lengths_and_the_epoch_that_was_kept(make_runs):
    runs = make_runs()
    runs[1].record["history"] = runs[1].record["history"][:2]
    row = overview([*runs, *make_runs("age", folds=(2,))]).iloc[0]
    assert row["epochs"] == "2 to 3"
    assert row["kept"] == "2"
    assert row["folds"] == "0, 1"
    assert row["dataset"] == "made-up"
    assert row["reduced"] == "nothing"
    assert_allclose(row["minutes"], 2 * 1.5 / 60)


def test_a_system_that_was_not_trained_in_epochs_has_none_and_is_scored_and_compared_like_any_other(make_runs):
    machine = make_runs("svm", skill=1.0, history=[], num_parameters=0)
    row = overview([*make_runs(), *machine]).set_index("system").loc["svm, as intended"]
    assert (row["epochs"], row["kept"]) == ("0", "")
    assert histories(machine) == {0: [], 1: []}
    scores = scores_beside_constant([*make_runs(), *machine], [MAE], replicates=20)
    assert scores["system"].str.contains("svm").sum() == 1
    assert compare(make_runs(), machine, [MAE], replicates=20)["difference"].item() < 0


def test_a_system_with_a_run_that_diverged_is_marked_wherever_it_stands(make_runs):
    runs = make_runs("both", variant="as_published")
    runs[1].record.update(diverged_at_step=7, history=[], selected_step=0)
    marked = "both, as published, diverged at step 7"
    row = overview([*make_runs(), *runs]).iloc[1]
    assert (row["system"], row["epochs"], row["kept"]) == (marked, "0 to 3", "0 to 2")
    assert list(curves(by_system([*make_runs(), *runs]))) == ["both, as intended", marked]
    assert [len(history) for history in curves(by_system(runs))[marked].values()] == [3, 0]
    scored = summary([*make_runs(), *runs], [MAE], replicates=20)["system"]
    assert scored.str.endswith(", diverged at step 7").tolist() == [False, True]
    gap = compare(make_runs(), runs, [MAE], replicates=20).iloc[0]
    assert in_words(gap).endswith("; diverged at step 7")
    assert "diverged" not in in_words(compare(make_runs(), make_runs("age"), [MAE], replicates=20).iloc[0])


def test_what_was_not_trained_in_steps_has_no_curve(make_runs):
    assert list(curves(by_system([*make_runs(), *make_runs("svm", history=[])]))) == ["both, as intended"]


def test_the_scheme_of_a_run_without_ages_is_told_by_its_corpus(make_runs):
    runs = without_age(make_runs("gender"))
    assert scheme_of(runs) is None
    for run in runs:
        run.record["manifest"]["age_groups"] = dict.fromkeys(ADIENCE_8.labels, 1)
    assert scheme_of(runs) == ADIENCE_8
    assert scheme_of([*runs, *make_runs()]) == ADIENCE_8


def test_a_table_with_ages_in_years_alone_has_no_scheme_and_a_constant_age(make_runs):
    runs = without_age(make_runs())
    for run in runs:
        run.predictions["true_group"] = run.predictions["true_group"].mask(run.predictions["true_group"].notna())
        run.record["manifest"]["age_groups"] = dict.fromkeys(ADIENCE_8.labels, 0)
    assert scheme_of(runs) is None
    constant = scores_beside_constant(runs, [MAE], replicates=20).query("origin == 'baseline'")
    first, second = (run.predictions["true_age"] for run in runs)
    errors = pd.concat([(first - second.median()).abs(), (second - first.median()).abs()])
    assert_allclose(constant["pooled"], [errors.mean()])


def test_two_schemes_are_refused(make_runs):
    with pytest.raises(ValueError, match="several schemes of age groups: adience-8, fairface-9"):
        scheme_of([*make_runs(), *make_runs(scheme="fairface-9")])


def test_the_constant_stands_on_the_widest_system_and_a_single_fold_has_none(make_runs):
    narrow, wide = make_runs("both", folds=(0, 1)), make_runs("age", folds=(0, 1, 2), seeds=(0, 1))
    asked = asked_of_constant([*narrow, *wide])
    assert sorted(asked["fold"].unique()) == [0, 1, 2]
    assert not asked["example"].duplicated().any()
    assert asked_of_constant(make_runs(folds=(0,))) is None


def test_scores_beside_the_constant_are_those_of_the_summary_with_one_more_system(make_runs):
    runs = make_runs()
    table = scores_beside_constant(runs, [EXACT, MAE], replicates=20)
    assert table["origin"].tolist() == ["ours", "ours", "baseline", "baseline"]
    assert_allclose(table["pooled"][:2], summary(runs, [EXACT, MAE], replicates=20)["pooled"])
    assert (table["dataset"] == "made-up").all()
    assert table["score"].iloc[0].startswith(f"{table['pooled'].iloc[0]:.1f} [")
    assert table["score"].iloc[1].startswith(f"{table['pooled'].iloc[1]:.2f} [")  # years have two digits


def test_only_folds_and_seeds_that_both_have_are_compared(make_runs):
    strong, weak = make_runs("both", (0, 1, 2), skill=3.0), make_runs("age", (1, 2, 3), skill=1.0)
    table = compare(strong, weak, [EXACT], replicates=50)
    assert [name for name in table if name.startswith("fold_")] == ["fold_1", "fold_2"]
    pooled = EXACT.value(together(strong[1:])) - EXACT.value(together(weak[:2]))
    each = [EXACT.value(a.predictions) - EXACT.value(b.predictions) for a, b in zip(strong[1:], weak[:2], strict=True)]
    assert_allclose(table["difference"], pooled)
    assert_allclose(table[["fold_1", "fold_2"]].iloc[0].tolist(), each)
    assert_allclose(table["sd_over_folds"], np.std(each, ddof=1))
    assert table["low"].item() > 0
    assert not table["told_from_none"].item()  # two pairs of runs are too few
    assert (table["num_folds"].item(), table["num_runs"].item()) == (2, 2)
    assert table["dataset"].item() == "made-up"


def test_a_difference_is_told_from_none_from_three_pairs_of_runs_on(make_runs):
    for seeds, is_told in (((0,), False), ((0, 1), False), ((0, 1, 2), True)):
        strong, weak = make_runs("both", (0,), seeds, skill=4.0), make_runs("age", (0,), seeds, skill=0.5)
        row = compare(strong, weak, [EXACT], replicates=100).iloc[0]
        assert row["low"] > 0
        assert bool(row["told_from_none"]) is is_told
        assert in_words(row).endswith(": above 0" if is_told else ": too few runs to tell")
        assert row["num_runs"] == len(seeds)


def test_a_system_does_not_differ_from_itself(make_runs):
    table = compare(make_runs(), make_runs("other"), [EXACT, MAE, GENDER_ACCURACY], replicates=20)
    assert_allclose(table[["difference", "low", "high", "fold_0", "fold_1"]], 0)
    assert not table["told_from_none"].any()


def test_swapping_two_systems_turns_the_sign(make_runs):
    one, other = make_runs(skill=2.5), make_runs("age", skill=1.0)
    columns = ["difference", "mean_over_folds", "fold_0", "fold_1"]
    assert_allclose(compare(one, other, [MAE], 20)[columns], -compare(other, one, [MAE], 20)[columns])


def test_every_seed_gives_a_row_of_its_own(make_runs):
    first, second = paired_predictions(make_runs(seeds=(0, 1)), make_runs("age", seeds=(0, 1, 2), skill=1.0))
    assert len(first) == 2 * len(together(make_runs()))
    assert not first["example"].duplicated().any()
    assert first["subject"].tolist() == second["subject"].tolist()
    table = compare(make_runs(seeds=(0, 1)), make_runs("age", seeds=(0, 1), skill=1.0), [EXACT], replicates=20)
    assert table["num_seeds"].item() == 2
    assert table["num_subjects"].item() == 40


def test_examples_that_only_one_was_asked_about_are_left_out(make_runs):
    one, other = make_runs(), make_runs("age", skill=1.0)
    fewer = [Run(run.folder, run.record, run.predictions.iloc[7:]) for run in other]
    assert compare(one, fewer, [MAE], replicates=5)["num_examples"].item() == len(together(one)) - 14


def drawn_otherwise(runs, seed=0):
    """The same answers about the same examples, dealt to the folds at random."""
    dealt = np.random.default_rng(seed).integers(len(runs), size=len(together(runs)))
    tables = [together(runs)[dealt == fold].assign(fold=fold).reset_index(drop=True) for fold in range(len(runs))]
    return [Run(run.folder, run.record, table) for run, table in zip(runs, tables, strict=True)]


def test_systems_whose_folds_were_drawn_otherwise_are_paired_example_by_example_over_all_folds(make_runs):
    own, other = make_runs(skill=3.0), make_runs("age", skill=1.0)
    dealt = drawn_otherwise(other)
    table, expected = compare(own, dealt, [EXACT, MAE], 50), compare(own, other, [EXACT, MAE], 50)
    columns = ["difference", "low", "high", "num_examples", "num_subjects"]
    pd.testing.assert_frame_equal(table[columns], expected[columns])
    each = [EXACT.value(a.predictions) - EXACT.value(b.predictions) for a, b in zip(own, dealt, strict=True)]
    assert_allclose(table.loc[0, ["fold_0", "fold_1"]].tolist(), each)
    first, second = paired_predictions(own, dealt)
    assert (first["fold"] != second["fold"]).any()


def test_of_some_folds_drawn_otherwise_only_what_both_were_asked_about_counts(make_runs):
    own, dealt = make_runs(folds=(0, 1, 2)), drawn_otherwise(make_runs("age", folds=(0, 1, 2), skill=1.0))
    [found] = compare(own[:2], dealt[:2], [MAE], replicates=5)["num_examples"]
    assert found == len(set(together(own[:2])["example"]) & set(together(dealt[:2])["example"]))
    assert 0 < found < len(together(own[:2]))


def test_a_net_without_ages_is_compared_by_gender_alone(make_runs):
    table = compare(make_runs(), without_age(make_runs("gender")), [EXACT, GENDER_ACCURACY], replicates=5)
    assert table["metric"].tolist() == ["gender_accuracy"]
    assert compare(make_runs(), without_age(make_runs("gender")), [EXACT], replicates=5).empty


def test_what_cannot_be_paired_says_why(make_runs):
    own = make_runs()
    assert why_not_paired(own, make_runs("age")) is None
    assert why_not_paired(own, []) == "no fold and seed that both have run"
    assert why_not_paired(own, make_runs("age", seeds=(1,))) == "no fold and seed that both have run"
    assert why_not_paired(own, make_runs("age", manifest_hash="other")).startswith("they read the corpus differently")
    for run in (others := make_runs("age")):
        run.predictions["example"] += 5000
    assert why_not_paired(own, others) == "no example that both were asked about"
    with pytest.raises(ValueError, match="cannot be paired: no example that both"):
        compare(own, others)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-1.0, 2.0, "cannot be told from none"), (0.1, 2.0, "above 0"), (-2.0, -0.1, "below 0")],
)
def test_a_difference_is_told_from_none_when_its_interval_leaves_out_0(low, high, verdict):
    row = {"difference": (low + high) / 2, "low": low, "high": high, "unit": "years", "num_folds": 1, "fold_0": 1.0}
    words = in_words(pd.Series(row | {"num_runs": 3}))
    assert words.endswith(f"years, 3 pairs of runs, above 0 in 1 of 1 folds: {verdict}")
    assert words.startswith(f"{(low + high) / 2:+.2f} [{low:+.2f}, {high:+.2f}]")


def test_one_fold_alone_has_the_constant_of_its_own_training_part_where_the_record_counts_it(make_runs):
    [run] = make_runs(folds=(0,))
    assert "best constant" not in set(scores_beside_constant([run], [MAE, GENDER_ACCURACY], replicates=20)["system"])
    counts = {"age": {"20.0": 3, "50.0": 1}, "age_group": {"4": 3, "5": 1}, "gender": {"female": 1, "male": 3}}
    other = {"age": {"90.0": 100}, "age_group": {"7": 100}, "gender": {"female": 100}}
    run.record["parts"] = {"train": {"labels": {"made-up": counts, "another corpus": other}}}
    constant = scores_beside_constant([run], [MAE, GENDER_ACCURACY], replicates=20).query("system == 'best constant'")
    values = constant.set_index("metric")["pooled"]
    assert_allclose(values["mae"], (run.predictions["true_age"] - 20).abs().mean())
    assert_allclose(values["gender_accuracy"], 100 * run.predictions["true_gender"].eq("male").mean())


def test_a_system_of_several_folds_gives_the_constant_before_one_of_a_single_fold(make_runs):
    [alone] = make_runs("alone", folds=(3,))
    labels = {"made-up": {"age": {"20.0": 3}, "age_group": {"4": 3}, "gender": {"male": 3}}}
    alone.record["parts"] = {"train": {"labels": labels}}
    assert set(asked_of_constant([alone, *make_runs(variant="as_published")])["fold"]) == {0, 1}
