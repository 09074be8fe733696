"""The published lists of Adience, rebuilt from fold files with the published counts by the two pipelines."""

import numpy as np
import pandas as pd
import pytest

from agegender.corpora import adience
from agegender.evaluation.published_arithmetic import num_batches, padded_accuracy
from agegender.pipelines import levihassner, lmtcnn
from agegender.training.runs import predictions_table
from tests.corpora.published_adience import (
    FACES_WITH_BOTH,
    GROUPS_OF_BOTH,
    LISTS_OF_LMTCNN,
    ROWS,
    WITH_BOTH,
    write_published_folds,
)

FOLDS = pytest.mark.parametrize("fold", range(5))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    root = write_published_folds(tmp_path_factory.mktemp("folds"), repeats_lines=True)
    return adience.read(root, labels_only=True, repair_25_23=True)


def lists_of_lmtcnn(manifest, variant, fold, seed=0):
    return lmtcnn.split(lmtcnn.RECIPES[variant], manifest, manifest.examples, fold, seed)


def parts_of_levi_hassner(manifest, variant, fold):
    return vars(levihassner.split(levihassner.RECIPES[variant], manifest, manifest.examples, fold, seed=0))


@FOLDS
def test_as_published_the_lists_of_lmtcnn_have_the_published_sizes(manifest, fold):
    """The draw has no published seed: lists vary as the published ones do, and lose one line, labelled or not."""
    published_train, published_validation = LISTS_OF_LMTCNN[fold]
    drawn = [lists_of_lmtcnn(manifest, "as_published", fold, seed) for seed in range(12)]
    assert {len(split.test) for split in drawn} == {WITH_BOTH[fold]}
    lost = [16_258 - WITH_BOTH[fold] - len(split.train) - len(split.validation) for split in drawn]
    assert set(lost) <= {0, 1}
    assert 16_258 - WITH_BOTH[fold] - published_train - published_validation in (0, 1)
    lines, labelled = sum(ROWS) - ROWS[fold], 16_258 - WITH_BOTH[fold]
    share, cut = labelled / lines, lines // 10
    sd = (cut * share * (1 - share) * (lines - cut) / (lines - 1)) ** 0.5  # of the hypergeometric distribution
    sizes = [len(split.validation) for split in drawn]
    assert np.abs(np.array([*sizes, published_validation]) - cut * share).max() < 4 * sd
    assert np.std(sizes) > 0.4 * sd
    again = lists_of_lmtcnn(manifest, "as_published", fold, 3)
    assert np.array_equal(again.train, drawn[3].train)


def test_as_published_the_lost_line_is_an_unlabelled_one_now_and_then(manifest):
    lists = [lists_of_lmtcnn(manifest, "as_published", 0, seed) for seed in range(40)]
    lost = [16_258 - WITH_BOTH[0] - len(split.train) - len(split.validation) for split in lists]
    assert 0.5 < np.mean(lost) < 1  # 82.6 % of the lines have both labels


@FOLDS
def test_as_published_every_line_of_a_face_is_in_the_part_of_the_face(manifest, fold):
    split, repeats = lists_of_lmtcnn(manifest, "as_published", fold), manifest.examples["repeats"].to_numpy()
    for rows in (split.train, split.test):
        own, counts = np.unique(rows, return_counts=True)
        assert np.array_equal(counts, repeats[own])
        assert counts.max() > 1


@FOLDS
def test_as_intended_a_face_is_in_one_list_once(manifest, fold):
    split = lists_of_lmtcnn(manifest, "as_intended", fold)
    rows = np.concatenate([split.train, split.validation, split.test])
    assert len(np.unique(rows)) == len(rows) == len(manifest)
    slips = manifest.examples.iloc[split.test]["age_label"].eq("(25, 23)").sum()
    assert len(split.test) - slips == FACES_WITH_BOTH[fold]


@FOLDS
def test_levi_hassner_as_published_has_the_lines_of_seven_groups_and_as_intended_the_faces_of_eight(manifest, fold):
    parts = parts_of_levi_hassner(manifest, "as_published", fold)
    lines = {name: len(rows) for name, rows in parts.items()}
    without = [sum(groups) - groups[2] for groups in GROUPS_OF_BOTH]  # (8, 12) is lost
    assert lines == {"train": sum(without) - without[fold], "validation": without[fold], "test": without[fold]}
    intended = parts_of_levi_hassner(manifest, "as_intended", fold)
    rows = np.concatenate(list(intended.values()))
    assert len(np.unique(rows)) == len(rows) == len(manifest)


@pytest.mark.parametrize(("fold", "divisor"), list(enumerate((3968, 3072, 3200, 2944, 3456))))
def test_predictions_hold_a_face_once_and_the_published_divisor_counts_its_lines(manifest, fold, divisor):
    rows = lists_of_lmtcnn(manifest, "as_published", fold).test
    p_female = np.linspace(0, 1, len(rows), dtype=np.float32)
    table = predictions_table(manifest.examples, rows, fold, {"p_female": p_female})
    assert len(table) == table["example"].nunique() == FACES_WITH_BOTH[fold]
    assert table["repeats"].sum() == WITH_BOTH[fold]
    assert num_batches(table["repeats"].sum(), 128) * 128 == divisor
    said_first = pd.Series(p_female).groupby(rows, sort=False).first()
    assert np.array_equal(table["p_female"], said_first)
    assert np.array_equal(table["example"], said_first.index)
    right = np.ones(len(table))
    assert padded_accuracy(right, 128, "last_batch_dropped", table["repeats"]) == pytest.approx(1 - 128 / divisor)
    assert padded_accuracy(right, 128, "each_once", table["repeats"]) == 1


def test_a_list_without_copies_makes_no_column_of_them(manifest):
    table = predictions_table(manifest.examples, np.arange(3), 0, {"p_female": np.zeros(3, np.float32)})
    assert "repeats" not in table
