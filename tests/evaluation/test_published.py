import numpy as np
import pandas as pd
import pytest

from agegender.evaluation.metrics import METRICS
from agegender.evaluation.published import COLUMNS, PRINTED_ONLY, PUBLISHED_FILE, load_published

ONE = """
[[system]]
system = "net"
pipeline = "lmtcnn"
model = "1-1"
dataset = "adience"
protocol = "5 folds"
source = "a paper"
note = "none"
num_examples = 100
results = [{ metric = "exact", published_as = "Top-1", unit = "%", value = 40.0, folds = [39.0, 41.0] }]
"""

# faces of the folds of Adience that have both labels, and how many of these are of (8, 12): counted in the fold files
BOTH_LABELS = {0: 3879, 1: 3005, 2: 3121, 3: 2866, 4: 3387}
OF_8_TO_12 = {0: 213, 1: 595, 2: 474, 3: 499, 4: 344}


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "published.toml"
        path.write_text(text)
        return load_published(path)

    return load


def test_a_result_becomes_a_row_over_all_folds_and_one_for_each(load):
    table = load(ONE)
    assert table["value"].tolist() == [40.0, 39.0, 41.0]
    assert table["fold"].tolist() == [pd.NA, 0, 1]
    assert table["num_examples"].tolist() == [100, pd.NA, pd.NA]
    assert tuple(table.columns) == COLUMNS


def test_every_number_states_source_protocol_and_dataset():
    table = load_published()
    for column in ("source", "protocol", "dataset", "metric", "published_as", "unit", "note"):
        assert table[column].str.strip().str.len().gt(0).all(), column
    assert table["value"].notna().all()


def test_means_over_folds_agree_with_the_folds_that_were_printed():
    table = load_published()
    checked = 0
    for _, result in table.groupby(["system", "dataset", "metric"]):
        folds, whole = result[result["fold"].notna()], result[result["fold"].isna()]
        if len(folds) == 5:
            assert abs(folds["value"].mean() - whole["value"].item()) <= 0.0151  # two roundings to two digits
            if whole["spread"].notna().all():
                assert abs(folds["value"].std(ddof=1) - whole["spread"].item()) <= 0.0501
            checked += 1
    assert checked == 28


def test_the_numbers_of_the_lmtcnn_chapter_are_all_there():
    table = load_published().query("pipeline == 'lmtcnn'")
    counts = table.groupby("system")["fold"].agg(["size", "count"])
    assert counts.loc["LMTCNN-1-1 (Ascend port, GPU)"].tolist() == [18, 15]
    assert counts.loc["LMTCNN-1-1 (Ascend port, NPU)"].tolist() == [18, 15]
    assert counts.loc["LMTCNN-2-1 (original result files)"].tolist() == [18, 15]
    assert counts.loc["Levi-Hassner net, single task (original result files)"].tolist() == [18, 15]
    assert counts.loc["LMTCNN-1-1 (original result files, fold 0 only)"].tolist() == [3, 3]
    assert counts.loc["LMTCNN-1-1 (paper)"].tolist() == [3, 0]
    assert counts.loc["LMTCNN-2-1 (paper)"].tolist() == [2, 0]
    assert len(counts) == 7


def test_the_majority_of_the_joint_lists_is_that_of_the_fold_counts():
    group_4 = sum([1578, 635, 777, 867, 1040])
    women = sum([1871, 1562, 1727, 1565, 1809])
    rows = load_published().query("system == 'majority class (joint lists)'").set_index("metric")["value"]
    assert np.round(100 * group_4 / 16258, 2) == rows["exact"]
    assert np.round(100 * women / 16258, 2) == rows["gender_accuracy"]


def logs():
    """The folds that the logs of levihassner print."""
    return load_published().query("pipeline == 'levihassner' and fold.notna()")


def reading(model, which, metric):
    """The mean over folds of one model in one reading of its log."""
    table = load_published().query(
        "pipeline == 'levihassner' and fold.isna() and model == @model and metric == @metric"
    )
    return table[table["system"].str.contains(f"(log, {which}", regex=False)]["value"].item()


def test_the_logs_of_levihassner_count_whole_faces_of_folds_without_the_lost_group():
    seven = {fold: BOTH_LABELS[fold] - OF_8_TO_12[fold] for fold in BOTH_LABELS}
    shown = logs()
    counts = shown["value"] / 100 * shown["fold"].map(seven)
    assert len(shown) == 80
    assert ((counts - counts.round()).abs() <= 0.00501 / 100 * shown["fold"].map(seven)).all()
    eight = shown["value"] / 100 * shown["fold"].map(BOTH_LABELS)
    assert ((eight - eight.round()).abs() > 0.00501 / 100 * shown["fold"].map(BOTH_LABELS)).mean() > 0.5
    named = load_published().query("pipeline == 'levihassner' and num_examples.notna()")["num_examples"]
    assert set(named) == {sum(seven.values())}


def test_on_equal_terms_the_logs_show_less_than_the_table():
    for which, age, gender in (("last epoch", 1.04, -0.64), ("best epoch of each task", 2.36, 0.09)):
        assert reading("both", which, "exact") - reading("age", which, "exact") == pytest.approx(age, abs=1e-9)
        gap = reading("both", which, "gender_accuracy") - reading("gender", which, "gender_accuracy")
        assert gap == pytest.approx(gender, abs=1e-9)


def test_a_kept_epoch_lies_between_what_nothing_and_what_everything_would_select():
    for model in ("both", "both-celeba"):
        for metric in ("exact", "gender_accuracy"):
            last, kept, best = (reading(model, which, metric) for which in ("last", "kept", "best"))
            assert last < kept <= best


def test_the_tables_of_levihassner_stand_in_the_right_columns():
    rows = load_published().query("pipeline == 'levihassner' and system.str.contains('README')").set_index("model")
    printed = {
        ("both", "exact"): (48.0, 0.85),
        ("both", "gender_accuracy"): (82.8, 0.54),
        ("both-celeba", "exact"): (49.6, 1.2),
        ("both-celeba", "gender_accuracy"): (84.6, 0.76),
        ("age", "exact"): (45.5, 0.93),
        ("gender", "gender_accuracy"): (81.4, 0.75),
    }
    found = rows.set_index("metric", append=True)[["value", "spread"]]
    assert {key: tuple(values) for key, *values in found.itertuples()} == printed
    assert found.loc[("both", "exact"), "value"] > found.loc[("age", "exact"), "value"]


def test_a_quoted_spread_is_that_of_the_paper_and_not_ten_times_it():
    rows = load_published().query("dataset == 'adience' and spread.notna()").set_index(["system", "metric"])["spread"]
    for metric in ("exact", "gender_accuracy"):
        quoted = rows["Levi and Hassner (2015), as table 1 quotes it", metric]
        assert quoted == rows["Levi and Hassner (2015), single crop", metric]
    assert rows.max() < 6  # folds of Adience differ by some points, never by 44


def test_the_table_of_imdb_is_there_row_by_row():
    rows = load_published().query("pipeline == 'imdb'").pivot_table("value", "system", "metric")
    assert rows[rows.index.str.contains("row 1)", regex=False)]["mae"].tolist() == [5.838, 5.710]
    assert rows["gender_accuracy"].sort_values().tolist() == [90.034, 90.064, 90.140, 90.669, 90.756, 90.887]
    assert rows["mae"].count() == 5
    assert rows["total_loss"].count() == 4
    assert set(rows["age_weight"].dropna()) == {0.1, 0.01}


def errors_on_timit(pipeline, start):
    """Men -> (MAE, RMSE) in years and women -> the same, of the systems whose names start so."""
    rows = load_published().query("dataset == 'timit' and pipeline == @pipeline and metric in ('mae', 'rmse')")
    rows = rows[rows["system"].str.startswith(start)]
    who = rows["system"].str.extract(r"\b(men|women)\b")[0].rename("who")
    return {kind: tuple(part.set_index("metric")["value"][["mae", "rmse"]]) for kind, part in rows.groupby(who)}


def test_the_table_of_timit_is_there_for_men_and_for_women():
    assert errors_on_timit("timit", "ResNetSE34V2") == {"men": (5.25, 7.17), "women": (5.29, 7.25)}
    assert errors_on_timit("timit", "Kwasny") == {"men": (5.12, 7.24), "women": (5.29, 8.12)}
    assert errors_on_timit("field", "the same age for all") == {"men": (5.36, 8.07), "women": (6.23, 9.15)}
    assert errors_on_timit("field", "Rajaa") == {"men": (4.8, 6.8), "women": (5.0, 7.4)}
    genders = load_published().query("pipeline == 'timit' and metric == 'gender_accuracy'")["value"]
    assert sorted(genders) == [99.30, 99.60]


def test_the_utterances_of_timit_are_ten_of_each_subject_of_its_test_part():
    counted = load_published().query("pipeline == 'timit' and num_examples.notna()").groupby("metric")["num_examples"]
    assert counted.unique().map(sorted).to_dict() == {
        "mae": [10 * 56, 10 * 112], "rmse": [10 * 56, 10 * 112], "gender_accuracy": [10 * (56 + 112)],
    }  # fmt: skip


def test_chance_on_common_voice_is_one_of_six_and_the_published_tcns_are_no_better():
    rows = load_published().query("pipeline == 'commonvoice'").pivot_table("value", "system", "metric")
    chance = rows.loc["one of six balanced groups"]
    assert chance["exact"] == round(100 / 6, 2)
    assert chance["group_loss"] == round(np.log(6), 3)
    tcns = rows[rows.index.str.startswith("TCN")]
    assert len(tcns) == 2
    assert ((tcns["exact"] - chance["exact"]).abs() < 1).all()
    assert (tcns["group_loss"] > chance["group_loss"]).all()
    assert rows.loc["CNN v1 (README)"].tolist() == [35, 1.645]


def test_printed_numbers_that_are_no_metric_have_names_of_their_own():
    assert not set(PRINTED_ONLY) & {metric.name for metric in METRICS}


@pytest.mark.parametrize("field", ["source", "protocol", "dataset", "pipeline", "model", "note"])
def test_a_number_without_source_or_protocol_is_refused(load, field):
    without = "\n".join(line for line in ONE.splitlines() if not line.startswith(field))
    with pytest.raises(ValueError, match=f"system 'net': the field '{field}' is missing or empty"):
        load(without)
    blank = ONE.replace('source = "a paper"', 'source = " "')
    with pytest.raises(ValueError, match="the field 'source' is missing or empty"):
        load(blank)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"exact"', '"accuracy"', "unknown metric 'accuracy': expected one of exact, one_off"),
        ('"%"', '"years"', "exact is in 'years', expected '%'"),
        ("value = 40.0", "value = 400", "a share lies in 0 to 100 %"),
        ("value = 40.0, folds = [39.0, 41.0]", "spread = 1.0", "neither a value nor folds"),
        ("value = 40.0", "value = 40.0, spread = 1.0", "a ± says over what"),
    ],
)
def test_a_result_that_makes_no_sense_is_refused(load, old, new, message):
    with pytest.raises(ValueError, match=message):
        load(ONE.replace(old, new))


def test_a_number_given_twice_is_refused(load):
    with pytest.raises(ValueError, match="'net' gives 'exact' twice"):
        load(ONE + ONE)


def test_an_empty_file_is_refused(load):
    with pytest.raises(ValueError, match=r"holds no \[\[system\]\]"):
        load("")


def test_the_file_lies_in_the_package():
    assert PUBLISHED_FILE.is_file()
