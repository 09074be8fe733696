from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from agegender.evaluation.baselines import best_constant_across_folds
from agegender.evaluation.comparison import (
    beside_published,
    by_fold,
    curves,
    examples_of_constant,
    overview,
    readable,
    scores,
    side_by_side,
)
from agegender.evaluation.differences import difference, in_words
from agegender.evaluation.metrics import EXACT, GENDER_ACCURACY, MAE, ONE_OFF
from agegender.evaluation.published import load_published
from agegender.evaluation.records import Run
from agegender.evaluation.systems import (
    by_source,
    by_system,
    diverged_at,
    filter_runs,
    intended_predictions,
    on_shared_folds,
    predictions_by_title,
    scheme_of,
    system_name,
    title,
)
from agegender.labels import ADIENCE_8
from tests.evaluation.conftest import together, without_age


def test_a_system_is_a_model_in_one_variant(make_runs):
    runs = [*make_runs("both"), *make_runs("age"), *make_runs("both", variant="as_published")]
    assert list(by_system(runs)) == [("both", "as_intended"), ("age", "as_intended"), ("both", "as_published")]
    assert sum(map(len, by_system(runs).values())) == len(runs)
    assert title(("both", "as_published")) == "both, as published"


def test_a_question_can_be_asked_of_some_examples_alone(make_runs):
    runs = make_runs(folds=(0, 1, 2))
    women = filter_runs(runs, lambda table: table["true_gender"].eq("female") & table["fold"].ne(1))
    assert [run.record["fold"] for run in women] == [0, 2]
    everyone = together(runs)
    expected = everyone[everyone["true_gender"].eq("female") & everyone["fold"].ne(1)]
    assert together(women)["example"].tolist() == expected["example"].tolist()
    assert difference(women, women, (MAE,))["num_examples"].tolist() == [len(expected)]
    assert len(together(runs)) == len(everyone)


def test_lines_of_history_are_numbered_from_one_and_are_those_of_the_lowest_seed(make_runs):
    [found] = curves(make_runs(seeds=(1, 0))).values()
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
    scored = scores([*make_runs(), *machine], [MAE])
    assert scored["system"].str.contains("svm").sum() == 1
    assert difference(make_runs(), machine, [MAE])["difference"].item() < 0


def test_a_system_with_a_run_that_diverged_is_marked_wherever_it_stands(make_runs):
    runs = make_runs("both", variant="as_published")
    runs[1].record.update(diverged_at_step=7, history=[], selected_step=0)
    marked = "both, as published, diverged at step 7"
    row = overview([*make_runs(), *runs]).iloc[1]
    assert (row["system"], row["epochs"], row["kept"]) == (marked, "0 to 3", "0 to 2")
    assert list(curves([*make_runs(), *runs])) == ["both, as intended", marked]
    assert [len(history) for history in curves(runs)[marked].values()] == [3, 0]
    scored = scores([*make_runs(), *runs], [MAE])["system"]
    assert scored.str.endswith(", diverged at step 7").tolist() == [False, True, False]
    assert diverged_at([*make_runs(), runs[1], runs[1]]) == "diverged at step 7, 7"
    gap = difference(make_runs(), runs, [MAE]).iloc[0]
    assert in_words(gap).endswith("; diverged at step 7")
    assert "diverged" not in in_words(difference(make_runs(), make_runs("age"), [MAE]).iloc[0])


def test_what_was_not_trained_in_steps_has_no_curve(make_runs):
    assert list(curves([*make_runs(), *make_runs("svm", history=[])])) == ["both, as intended"]


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
    constant = scores(runs, [MAE]).query("origin == 'baseline'")
    first, second = (run.predictions["true_age"] for run in runs)
    errors = pd.concat([(first - second.median()).abs(), (second - first.median()).abs()])
    assert_allclose(constant["value"], [errors.mean()])


def test_two_schemes_are_refused(make_runs):
    with pytest.raises(ValueError, match="several schemes of age groups: adience-8, fairface-9"):
        scheme_of([*make_runs(), *make_runs(scheme="fairface-9")])


def test_the_constant_stands_on_the_widest_system_and_a_single_fold_has_none(make_runs):
    narrow, wide = make_runs("both", folds=(0, 1)), make_runs("age", folds=(0, 1, 2), seeds=(0, 1))
    tested, training = examples_of_constant([*narrow, *wide])
    assert training is None
    assert sorted(tested["fold"].unique()) == [0, 1, 2]
    assert not tested["example"].duplicated().any()
    assert examples_of_constant(make_runs(folds=(0,))) == (None, None)


def test_the_best_constant_is_one_more_system_and_each_metric_has_its_own(make_runs):
    runs = make_runs()
    table = scores(runs, [EXACT, MAE])
    assert table["origin"].tolist() == ["ours", "ours", "baseline", "baseline"]
    for metric, value in ((EXACT, table["value"][2]), (MAE, table["value"][3])):
        assert_allclose(value, metric.value(best_constant_across_folds(together(runs), ADIENCE_8, metric)))
    assert scores(without_age(runs), [EXACT, MAE])["metric"].tolist() == ["mae", "mae"]
    assert (table["dataset"] == "made-up").all()


def test_one_fold_alone_has_the_constant_of_its_own_training_part_where_the_record_counts_it(make_runs):
    [run] = make_runs(folds=(0,))
    assert "best constant" not in set(scores([run], [MAE, GENDER_ACCURACY])["system"])
    counts = {"age": {"20.0": 3, "50.0": 1}, "age_group": {"4": 3, "5": 1}, "gender": {"female": 1, "male": 3}}
    other = {"age": {"90.0": 100}, "age_group": {"7": 100}, "gender": {"female": 100}}
    run.record["parts"] = {"train": {"labels": {"made-up": counts, "another corpus": other}}}
    constant = scores([run], [MAE, GENDER_ACCURACY]).query("system == 'best constant'")
    values = constant.set_index("metric")["value"]
    assert_allclose(values["mae"], (run.predictions["true_age"] - 20).abs().mean())
    assert_allclose(values["gender_accuracy"], 100 * run.predictions["true_gender"].eq("male").mean())


def test_a_system_of_several_folds_gives_the_constant_before_one_of_a_single_fold(make_runs):
    [alone] = make_runs("alone", folds=(3,))
    labels = {"made-up": {"age": {"20.0": 3}, "age_group": {"4": 3}, "gender": {"male": 3}}}
    alone.record["parts"] = {"train": {"labels": labels}}
    assert set(examples_of_constant([alone, *make_runs(variant="as_published")])[0]["fold"]) == {0, 1}


@pytest.fixture
def runs(make_predictions, make_record):
    def run(fold, variant, skill):
        table = make_predictions(num_subjects=30 + fold, fold=fold, first_example=1000 * fold, skill=skill)
        return Run(Path("runs"), make_record(fold, variant=variant), table)

    variants = (("as_published", 1.0), ("as_intended", 2.0))
    return [run(fold, variant, skill) for variant, skill in variants for fold in (2, 0, 1)]


def test_mean_and_sd_over_folds_are_those_of_the_values_of_the_folds(runs):
    table = scores(runs, [EXACT, MAE])
    row = table.query("variant == 'as_intended' and metric == 'exact'").iloc[0]
    own = {run.record["fold"]: run.predictions for run in runs if run.record["variant"] == "as_intended"}
    values = [EXACT.value(own[fold]) for fold in (0, 1, 2)]
    assert_allclose(row[["fold_0", "fold_1", "fold_2"]].astype(float), values)
    assert_allclose(row["mean_over_folds"], np.mean(values))
    assert_allclose(row["sd_over_folds"], np.std(values, ddof=1))
    assert row["num_folds"] == 3


def test_summary_has_one_row_for_each_system_and_metric_and_names_what_it_shows(runs):
    table = scores(runs, [EXACT, GENDER_ACCURACY])
    assert len(table) == 6
    assert table["system"].unique().tolist() == [
        "lmtcnn 1-1, as published, seed 0, miniature",
        "lmtcnn 1-1, as intended, seed 0, miniature",
        "best constant",
    ]
    assert (table["dataset"] == "made-up").all()
    assert not {"±", "std", "sd", "error"} & set(table.columns)


def test_seeds_are_systems_of_their_own(runs, make_record):
    other = [Run(run.folder, run.record | {"seed": 1}, run.predictions) for run in runs[:3]]
    assert scores([*runs[:3], *other], [EXACT])["seed"].tolist()[:2] == [0, 1]


def test_the_name_of_a_system_says_what_must_not_be_overlooked(runs):
    record = runs[0].record | {"preset": "open", "selected_on_test": True, "reduced": "2 of 30 epochs"}
    run = Run(Path(), record, runs[0].predictions)
    assert system_name([run]) == "lmtcnn 1-1, as published, seed 0, selected on the test fold, reduced"


def test_a_mark_on_one_fold_is_a_mark_on_the_system(runs):
    runs[0] = Run(Path(), runs[0].record | {"selected_on_test": True}, runs[0].predictions)
    runs[1] = Run(Path(), runs[1].record | {"reduced": "2 of 30 epochs"}, runs[1].predictions)
    table = scores(runs[:3], [EXACT])
    assert table["system"].iloc[0].endswith("miniature, selected on the test fold, reduced")


def test_folds_stay_in_order_where_systems_have_different_ones(runs):
    table = scores([runs[0], *runs[3:]], [EXACT])
    assert [name for name in table if name.startswith("fold_")] == ["fold_0", "fold_1", "fold_2"]
    assert table["fold_0"].isna().tolist() == [True, False, False]
    assert np.isnan(table["sd_over_folds"].iloc[0])


def test_ours_and_the_published_stand_in_one_table_with_their_datasets(runs):
    published = load_published()
    table = beside_published(scores(runs, [EXACT, ONE_OFF]), published)
    ours, theirs = table[table["origin"] == "ours"], table[table["source"] != "this book"]
    assert ours["system"].str.contains("miniature").all()
    assert set(theirs["metric"]) == {"exact", "one_off"}
    assert len(theirs) == published.query("metric in ('exact', 'one_off') and fold.isna()").shape[0]
    assert theirs["source"].str.len().gt(0).all()
    assert set(theirs["dataset"]) == {"adience", "fairface", "common-voice-8"}
    assert set(theirs.loc[theirs["model"] == "constant", "origin"]) == {"baseline"}
    assert set(theirs.loc[theirs["model"] != "constant", "origin"]) == {"published"}
    assert theirs["score"].astype(float).tolist() == theirs["value"].tolist()
    paper = theirs.query("system == 'LMTCNN-2-1 (original result files)' and metric == 'exact'").iloc[0]
    assert (
        paper["value"]
        == published.query("system == @paper.system and metric == 'exact' and fold.isna()")["value"].item()
    )


def test_scores_are_the_same_every_time_and_do_not_touch_what_they_read(runs):
    before = [run.predictions.copy() for run in runs]
    first, second = (scores(runs, [EXACT, MAE]) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    for run, table in zip(runs, before, strict=True):
        pd.testing.assert_frame_equal(run.predictions, table)


def test_no_runs_are_refused():
    with pytest.raises(ValueError, match="there are no runs to score"):
        scores([], [MAE])


def test_a_page_shows_headings_that_a_reader_knows(runs):
    scored = scores(runs, [EXACT, MAE])
    wide = side_by_side(scored, ["system", "dataset", "num_folds"])
    assert list(wide) == ["age group exact (%)", "age MAE (years)"]
    assert list(wide.index.names) == ["system", "dataset", "folds"]
    assert wide.iloc[0, 0] == scored["score"].iloc[0]
    long = side_by_side(scored, ["metric", "system"], "origin", "value")
    assert set(long.index.get_level_values("metric")) == set(wide)
    folds = by_fold(scored, [MAE])
    assert list(folds) == ["system", "dataset", "metric", *(f"fold {fold}" for fold in range(3)), *list(folds)[-2:]]
    assert list(folds)[-2:] == ["mean over folds", "SD over folds"]
    assert set(folds["metric"]) == {"age MAE (years)"}
    assert list(readable(pd.DataFrame({"num_examples": [1], "excludes_zero": [True]}))) == ["examples", "excludes 0"]


def test_shared_folds_are_those_that_every_system_has_with_their_seeds(make_runs):
    runs = [*make_runs("both", (0, 1, 2)), *make_runs("age", (1, 2, 3)), *make_runs("gender", (1, 2), (0, 1))]
    kept = {(run.record["model"], run.record["fold"], run.record["seed"]) for run in on_shared_folds(runs)}
    assert kept == {(model, fold, 0) for model in ("both", "age", "gender") for fold in (1, 2)}
    assert on_shared_folds([]) == []


def test_predictions_as_intended_stand_before_those_as_published(make_runs):
    published = make_runs("age", variant="as_published")
    assert list(intended_predictions([*make_runs("both"), *published])) == ["both"]
    assert len(intended_predictions(published)["age"]) == len(together(published))


def test_a_source_holds_the_examples_of_one_corpus_and_all_clips_stand_before_several(make_runs):
    runs = make_runs()
    assert list(by_source(runs)) == ["made-up"]
    runs[0].predictions.loc[:49, "corpus"] = "another"
    parts = by_source(runs)
    assert {name: len(together(part)) for name, part in parts.items()} == {
        "all clips": 200,
        "another": 50,
        "made-up": 150,
    }
    assert len(predictions_by_title(parts["another"])["both, as intended"]) == 50
