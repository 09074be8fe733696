import numpy as np
import pandas as pd
import pytest

from agegender.evaluation.published import COLUMNS, PUBLISHED_FILE, load_published

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
    for _, result in table.groupby(["system", "metric"]):
        folds, whole = result[result["fold"].notna()], result[result["fold"].isna()]
        if len(folds) == 5:
            assert abs(folds["value"].mean() - whole["value"].item()) <= 0.0151  # two roundings to two digits
            if whole["spread"].notna().all():
                assert abs(folds["value"].std(ddof=1) - whole["spread"].item()) <= 0.0501
            checked += 1
    assert checked == 12


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
