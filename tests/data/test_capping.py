import numpy as np
import pandas as pd
import pytest

from agegender.data.capping import cap_per_age
from agegender.data.manifest import build_manifest

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
