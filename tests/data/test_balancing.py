from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from agegender.data.balancing import balance_groups, cap_per_age
from agegender.data.manifest import build_manifest
from agegender.labels import COMMON_VOICE_6

SEEDS = range(8)


def faces(subjects, ages):
    """A manifest whose examples show the given subjects at the given ages, in this order."""
    rows = pd.DataFrame({"subject": subjects, "age": ages}).assign(corpus="imdb", modality="face")
    return build_manifest(rows.assign(path=[f"{number:05}.jpg" for number in range(len(rows))]))


def crowd(seed, num=600):
    """People with very different numbers of pictures, sorted by person as in the corpus."""
    rng = np.random.default_rng(seed)
    return faces(np.sort(rng.geometric(0.08, num)).astype(str), rng.integers(20, 25, num) + rng.random(num))


def per_age(manifest):
    return manifest.examples.groupby(np.floor(manifest.examples["age"])).size()


@pytest.mark.parametrize("order", ["first_come", "spread"])
@pytest.mark.parametrize("seed", SEEDS)
def test_each_age_keeps_as_many_as_it_has_and_no_more_than_the_cap(seed, order):
    manifest = crowd(seed)
    for most in (1, 7, 118, 1000):
        capped = cap_per_age(manifest, most, order, seed)
        assert per_age(capped).tolist() == per_age(manifest).clip(upper=most).tolist()


def test_an_age_is_in_completed_years():
    capped = cap_per_age(faces(["a", "b", "c"], [20.0, 20.99, 21.0]), most=1)
    assert capped.examples["age"].tolist() == [20.0, 21.0]


def test_first_come_keeps_the_first_rows_of_each_age_so_that_early_people_fill_it():
    manifest = crowd(0)
    capped = cap_per_age(manifest, 10).examples
    for age, rows in manifest.examples.groupby(np.floor(manifest.examples["age"])):
        kept = capped.loc[np.floor(capped["age"]) == age, "path"]
        assert kept.tolist() == rows["path"].tolist()[:10]
    spread = cap_per_age(manifest, 10, "spread").examples
    assert spread["subject"].nunique() > 3 * capped["subject"].nunique()


@pytest.mark.parametrize("seed", SEEDS)
def test_spread_gives_nobody_two_more_than_another_who_has_pictures_left(seed):
    manifest = crowd(seed)
    capped = cap_per_age(manifest, 40, "spread", seed)
    for age in per_age(manifest).index:
        had, kept = (
            each.examples.loc[np.floor(each.examples["age"]) == age, "subject"].value_counts()
            for each in (manifest, capped)
        )
        kept = kept.reindex(had.index, fill_value=0)
        assert kept.max() - kept[kept < had].min() <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_spread_depends_on_the_set_of_examples_and_the_seed_and_not_on_the_order_of_the_rows(seed):
    manifest = crowd(seed)
    mixed = build_manifest(manifest.examples.sample(frac=1, random_state=seed))
    one, other = (cap_per_age(each, 20, "spread", seed).examples["path"] for each in (manifest, mixed))
    assert set(one) == set(other)
    assert set(one) != set(cap_per_age(manifest, 20, "spread", seed + 1).examples["path"])


def test_what_is_kept_of_one_age_does_not_depend_on_the_other_ages():
    manifest = crowd(0)
    young = manifest.select(manifest.examples["age"] < 22)
    kept = cap_per_age(manifest, 15, "spread").examples
    assert kept.loc[kept["age"] < 22, "path"].tolist() == cap_per_age(young, 15, "spread").examples["path"].tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_each_age_draws_its_own_order_of_the_same_people(seed):
    """Else the same few would stand for every age."""
    subjects = [f"s{number:02}" for number in range(30)]
    capped = cap_per_age(faces(3 * subjects, np.repeat([20, 21, 22], 30)), 8, "spread", seed).examples
    kept = [frozenset(own["subject"]) for _, own in capped.groupby("age")]
    assert [len(own) for own in kept] == [8, 8, 8]
    assert len(set(kept)) == 3


@pytest.mark.parametrize("most_per_subject", [None, 2])
@pytest.mark.parametrize("seed", SEEDS)
def test_each_group_draws_its_own_order_of_the_same_people(seed, most_per_subject):
    rows = pd.DataFrame({"subject": 6 * [f"s{number:02}" for number in range(30)]}).assign(
        corpus="cv", modality="voice"
    )
    rows = rows.assign(path=[f"{n:05}.mp3" for n in range(180)], age_group=pd.array(np.repeat(range(6), 30), "Int64"))
    rows = rows[:158]  # 8 of the last group
    balanced = balance_groups(build_manifest(rows, scheme=COMMON_VOICE_6), most_per_subject, seed).examples
    assert len({frozenset(own["subject"]) for _, own in balanced.groupby("age_group")}) == 6


@pytest.mark.parametrize("order", ["first_come", "spread"])
def test_what_stays_keeps_its_order_and_what_goes_is_quarantined(order):
    manifest = crowd(1)
    capped = cap_per_age(manifest, 30, order)
    assert capped.examples["path"].is_monotonic_increasing
    assert set(capped.quarantine["reason"]) == {"more than 30 of this age"}
    assert sorted([*capped.examples["path"], *capped.quarantine["path"]]) == manifest.examples["path"].tolist()
    paths = manifest.examples["path"]
    assert capped.quarantine["path"].tolist() == paths.iloc[capped.quarantine["row"]].tolist()


def test_examples_without_an_age_stay_and_a_cap_that_is_not_reached_changes_nothing():
    manifest = faces(["a", "a", "b", "b"], [np.nan, 30.0, np.nan, 30.5])
    assert cap_per_age(manifest, 2) is manifest
    assert cap_per_age(manifest, 1).examples["path"].tolist() == ["00000.jpg", "00001.jpg", "00002.jpg"]


@pytest.mark.parametrize(("most", "order"), [(0, "spread"), (-1, "first_come"), (5, "random")])
def test_an_impossible_cap_and_an_unknown_order_are_refused(most, order):
    with pytest.raises(ValueError, match=f"at least 1 and order one of first_come, spread; got {most} and '{order}'"):
        cap_per_age(crowd(0), most, order)


def clips(seed, num=400):
    """A manifest of Common Voice's groups in which a few subjects have most clips, and some clips no group."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"subject": np.sort(rng.geometric(0.15, num)).astype(str)}).assign(
        corpus="cv", modality="voice"
    )
    group = pd.array([value if value < 6 else None for value in rng.integers(0, 7, num)], dtype="Int64")
    return build_manifest(rows.assign(path=[f"{n:05}.mp3" for n in range(num)], age_group=group), scheme=COMMON_VOICE_6)


def smallest(manifest, most_per_subject):
    """How many examples the smallest group has, of each subject at most so many."""
    sizes = manifest.examples.groupby(["age_group", "subject"]).size()
    return sizes.clip(upper=most_per_subject).groupby("age_group").sum().min()


@pytest.mark.parametrize("most_per_subject", [None, 4])
@pytest.mark.parametrize("seed", range(3))
def test_every_group_has_the_same_number_of_examples(seed, most_per_subject):
    manifest = clips(seed)
    balanced = balance_groups(manifest, most_per_subject, seed)
    num = smallest(manifest, most_per_subject)
    assert balanced.examples["age_group"].value_counts().to_dict() == dict.fromkeys(range(6), num)
    assert len(balanced.quarantine) == len(manifest) - 6 * num
    assert sorted([*balanced.examples["path"], *balanced.quarantine["path"]]) == list(manifest.examples["path"])


def test_no_subject_has_more_of_a_group_than_the_cap_and_others_come_before_their_second():
    manifest = clips(1)
    per_subject = balance_groups(manifest, 3).examples.groupby(["age_group", "subject"]).size()
    assert per_subject.max() <= 3
    available = manifest.examples.groupby(["age_group", "subject"]).size()
    for group, counts in per_subject.groupby("age_group"):
        assert len(counts) == min(smallest(manifest, 3), len(available[group]))


def test_balancing_by_clip_keeps_prolific_subjects_prolific():
    manifest = clips(2, 3000)
    shares = manifest.examples["subject"].value_counts(normalize=True)
    drawn = balance_groups(manifest).examples["subject"].value_counts(normalize=True)
    assert drawn[shares.index[0]] == pytest.approx(shares.iloc[0], abs=0.03)
    capped = balance_groups(manifest, 5).examples["subject"].value_counts(normalize=True)
    assert capped.max() < 0.7 * drawn.max()


@pytest.mark.parametrize("most_per_subject", [None, 4])
def test_what_is_drawn_depends_on_the_seed_and_not_on_the_order_of_the_rows(most_per_subject):
    manifest = clips(3)
    drawn = [set(balance_groups(manifest, most_per_subject, seed).examples["path"]) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    turned = replace(manifest, examples=manifest.examples.sample(frac=1, random_state=5).reset_index(drop=True))
    assert set(balance_groups(turned, most_per_subject).examples["path"]) == drawn[0]


def test_each_example_that_is_left_out_has_its_reason():
    manifest = clips(0)
    most = smallest(manifest, 2)
    reasons = balance_groups(manifest, 2).quarantine["reason"].unique()
    assert set(reasons) == {"no age group", f"more than {most} of this group", "more than 2 of this subject"}


def test_a_cap_below_one_and_an_empty_group_are_refused():
    manifest = clips(0)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        balance_groups(manifest, 0)
    with pytest.raises(ValueError, match="group 'thirties' has 0 examples"):
        balance_groups(manifest.select(manifest.examples["age_group"] != 2))


def test_a_manifest_without_groups_cannot_be_balanced():
    with pytest.raises(ValueError, match="imdb has no age groups"):
        balance_groups(faces(["a"], [20.0]))
