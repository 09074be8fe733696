"""What the parts of a run may share, by each recipe."""

import numpy as np
import pandas as pd
import pytest

from agegender.data.audio import Crop, EvenCrops
from agegender.data.batches import EvaluationBatches
from agegender.data.cache import examples_in_memory
from agegender.pipelines import commonvoice, imdb, levihassner, lmtcnn, timit
from agegender.training.protocol import Protocol, checked_overlaps, describe_parts, rows_of

EXAMPLES = pd.DataFrame({"path": list("abcdef"), "subject": ["s0", "s0", "s1", "s1", "s2", "s3"]})
APART = {"train": [0, 1], "validation": [2, 3], "test": [4, 5]}
TRAIN_AND_VALIDATION = {"train": [0, 2], "validation": [1, 3], "test": [4, 5]}
SELECTS_ON_TEST = {"train": [0, 1], "validation": [4, 5], "test": [5, 4]}
EVERYBODY = {"train": [0, 2], "validation": [1], "test": [3]}
SELECTS_ON_TEST_OF_EVERYBODY = {"train": [0, 2], "validation": [1, 3], "test": [1, 3]}
TRAINED_ON_TEST = {"train": [4, 5], "validation": [2], "test": [4, 5]}

ALLOWED = {
    "lmtcnn as published": (lmtcnn.RECIPES["as_published"], [APART, TRAIN_AND_VALIDATION]),
    "levihassner as published": (levihassner.RECIPES["as_published"], [SELECTS_ON_TEST]),
    "imdb as published": (imdb.RECIPES["as_published"], [SELECTS_ON_TEST, SELECTS_ON_TEST_OF_EVERYBODY]),
    "timit as published": (timit.RECIPES["as_published"], [SELECTS_ON_TEST]),
    "commonvoice as published": (commonvoice.RECIPES["as_published"], [APART, TRAIN_AND_VALIDATION, EVERYBODY]),
}
ALLOWED |= {
    f"{name} as intended": (recipes["as_intended"], [APART])
    for name, recipes in (
        ("lmtcnn", lmtcnn.RECIPES), ("levihassner", levihassner.RECIPES), ("imdb", imdb.RECIPES),
        ("timit", timit.RECIPES), ("commonvoice", commonvoice.RECIPES),
    )
}  # fmt: skip


def as_arrays(parts):
    return {name: np.array(rows) for name, rows in parts.items()}


@pytest.mark.parametrize("name", ALLOWED)
def test_each_recipe_allows_its_own_protocol_and_no_other(name):
    recipe, allowed = ALLOWED[name]
    every = (APART, TRAIN_AND_VALIDATION, SELECTS_ON_TEST, EVERYBODY, SELECTS_ON_TEST_OF_EVERYBODY, TRAINED_ON_TEST)
    for parts in every:
        if parts in allowed:
            checked_overlaps(as_arrays(parts), EXAMPLES, recipe.protocol)
        else:
            with pytest.raises(ValueError, match=r"Nothing was trained|selects on the test part"):
                checked_overlaps(as_arrays(parts), EXAMPLES, recipe.protocol)


def test_many_subjects_are_counted_and_the_first_are_named():
    examples = pd.DataFrame({"path": [str(row) for row in range(14)], "subject": [f"s{row % 7}" for row in range(14)]})
    parts = {"train": np.arange(7), "test": np.arange(7, 14)}
    message = (
        "7 subjects are in both train and test, which the recipe does not allow: 's0', 's1', 's2', 's3', 's4', ..."
    )
    with pytest.raises(ValueError, match=message):
        checked_overlaps(parts, examples, Protocol())


def test_examples_and_subjects_that_two_parts_share_are_counted():
    protocol = imdb.RECIPES["as_published"].protocol
    assert checked_overlaps(as_arrays(SELECTS_ON_TEST_OF_EVERYBODY), EXAMPLES, protocol) == {
        "train and validation": {"examples": 0, "subjects": 2},
        "train and test": {"examples": 0, "subjects": 2},
        "validation and test": {"examples": 2, "subjects": 2},
    }


def test_the_rows_of_examples_are_known_by_their_paths():
    cache = examples_in_memory([np.arange(20, dtype=np.int16) + row for row in range(5)], 16_000)
    chosen = EvaluationBatches(cache.select(np.array([3, 1])), {}, 2, EvenCrops(Crop(5)))
    assert rows_of(chosen, cache.manifest).tolist() == [3, 1]
    with pytest.raises(ValueError, match="1 of 2 examples are not in the manifest"):
        rows_of(chosen, cache.select(np.array([0, 1])).manifest)


def test_the_labels_of_a_pack_are_counted_by_the_corpus_that_predictions_name():
    examples = EXAMPLES.assign(corpus="pack", source_corpus=["svd", "svd", "x", "x", "x", "x"], age=[6, 6, 7, 8, 8, 9])
    labels = describe_parts({"train": np.array([0, 1, 2])}, examples)["train"]["labels"]
    assert labels == {"svd": {"age": {"6": 2}}, "x": {"age": {"7": 1}}}
