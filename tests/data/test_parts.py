import numpy as np
import pandas as pd
import pytest

from agegender.data.parts import check_pretraining, digest_of, parts_of_subjects, split_of_subjects
from agegender.data.splits import audit, folds_of, split_by_subject


def people(seed=0):
    """Examples of 60 subjects, from one to a dozen of each, in random order."""
    rng = np.random.default_rng(seed)
    subject = rng.permutation(np.repeat(np.arange(60), rng.integers(1, 12, 60)))
    labels = {"age": 20.0 + subject % 50, "gender": np.where(subject % 2, "female", "male")}
    unknown = {
        "age_group": pd.array([None] * len(subject), "Int64"),
        "published_split": pd.Series([None] * len(subject), dtype="str"),
    }
    names = {"path": [f"{row}.wav" for row in range(len(subject))], "subject": [f"s{number}" for number in subject]}
    return pd.DataFrame(names | labels | unknown)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("fold", [0, 3])
def test_who_learns_from_one_choice_of_examples_is_never_asked_in_another(seed, fold):
    """As with the encoder of voices: one clip fewer would have drawn other folds."""
    table = people(seed)
    parts = parts_of_subjects(table, fold, seed)
    rng = np.random.default_rng(seed)
    first, second = (table[rng.random(len(table)) < 0.9].reset_index(drop=True) for _ in range(2))
    learnt = first.iloc[split_of_subjects(first, parts).train]
    asked = split_of_subjects(second, parts)
    held_out = second.iloc[np.concatenate([asked.validation, asked.test])]
    assert audit({"learnt": learnt, "asked": held_out})["num_shared"].tolist() == [0]
    assert min(len(learnt), len(asked.validation), len(asked.test)) > 0


@pytest.mark.parametrize("seed", range(4))
def test_on_the_whole_table_the_parts_are_those_of_its_split(seed):
    table = people(seed)
    split, expected = (
        split_of_subjects(table, parts_of_subjects(table, 1, seed)),
        split_by_subject(table, folds_of(table), 1, seed),
    )
    for name, rows in vars(expected).items():
        assert np.array_equal(getattr(split, name), rows)


def test_a_fold_beside_the_published_test_part_is_refused():
    table = people()
    table["published_split"] = np.where(table["subject"].isin(["s1", "s2"]), "test", "train")
    assert set(parts_of_subjects(table, 0, 0)[["s1", "s2"]]) == {"test"}
    with pytest.raises(ValueError, match=r"fold 1 has no examples: the folds are \[0\]"):
        parts_of_subjects(table, 1, 0)


def test_a_subject_without_a_part_is_refused():
    table = people()
    parts = parts_of_subjects(table, 0, 0).drop("s4")
    with pytest.raises(ValueError, match=r"1 subjects are not in the whole table: \['s4'\]"):
        split_of_subjects(table, parts)


def test_an_encoder_that_may_have_met_who_is_asked_is_refused():
    parts = pd.Series({"ann": "train", "bob": "test"})
    own = {"corpus": "voicepack", "fold": 0, "parts": digest_of(parts)}
    check_pretraining(own, "voicepack", parts[["bob", "ann"]])
    check_pretraining({"corpus": "voxceleb"}, "voicepack", parts)
    other = pd.Series({"ann": "test", "bob": "train"})
    for facts, people_now in ((own, other), (own | {"parts": None}, parts), ({"corpus": "voicepack"}, parts)):
        with pytest.raises(ValueError, match=r"pretrained on voicepack with other people held back.*2_pretrain"):
            check_pretraining(facts, "voicepack", people_now)
