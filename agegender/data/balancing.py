"""At most so many examples of one age or of one group, so that the common ages do not drown the others."""

from dataclasses import replace

import numpy as np
import pandas as pd

from agegender.data.manifest import Manifest

ORDERS = ("first_come", "spread")


def cap_per_age(manifest: Manifest, most: int = 5000, order: str = "first_come", seed: int = 0) -> Manifest:
    """Keep at most ``most`` examples of each age in completed years, and quarantine the others with the reason.

    ``order="first_come"`` keeps the first ones of the table, as published: where the table is sorted by person, the
    people at its beginning fill the common ages. ``"spread"`` takes the subjects of an age in turns, one example of
    each before a second of any, in an order drawn with ``seed``: no subject has two examples more than another unless
    the other has none left. It depends on the set of an age's examples and on ``seed``, not on the order of the rows.

    To be applied after detection, so that pictures without a face do not fill the places. The examples that stay keep
    their order; those without an age stay too. Raises ``ValueError`` for ``most`` below 1 and an unknown ``order``.
    """
    if most < 1 or order not in ORDERS:
        raise ValueError(f"most must be at least 1 and order one of {', '.join(ORDERS)}; got {most} and {order!r}")
    examples = manifest.examples
    rank = np.zeros(len(examples), dtype=np.int64)
    years = np.floor(examples["age"])
    for age, rows in years.groupby(years).indices.items():  # an unknown age is in no group
        turns = np.arange(len(rows)) if order == "first_come" else _turns(examples.iloc[rows], [seed, int(age)])
        rank[rows] = turns
    kept = rank < most
    if kept.all():
        return manifest
    aside = examples.loc[~kept, ["path"]].assign(row=np.flatnonzero(~kept), reason=f"more than {most} of this age")
    quarantine = pd.concat([manifest.quarantine, aside], ignore_index=True)
    return replace(manifest.select(pd.Series(kept, index=examples.index)), quarantine=quarantine)


def balance_groups(
    manifest: Manifest, per_group: int | None = None, most_per_subject: int | None = None, seed: int = 0
) -> Manifest:
    """Keep the same number of examples of each age group, drawn with ``seed``, and quarantine the others.

    ``per_group`` is that number; without it, it is the size of the smallest group. ``most_per_subject=None`` draws
    examples, whosever they are (as published): prolific subjects stay prolific. With a number no subject has more
    examples than that in a group, and the subjects of a group take turns, as in ``cap_per_age``. Which examples are
    kept depends on their set and on ``seed``, not on the order of the rows. Those without an age group are put aside
    too.

    Raises ``ValueError`` for a number below 1, a manifest without groups, and a group that has too few examples.
    """
    if any(number is not None and number < 1 for number in (per_group, most_per_subject)):
        raise ValueError(f"expected numbers of at least 1, got {per_group} and {most_per_subject}")
    if manifest.scheme is None:
        raise ValueError(f"{manifest.corpus} has no age groups: there is nothing to balance")
    examples, labels = manifest.examples, manifest.scheme.labels
    rank = np.full(len(examples), np.inf)
    groups = examples["age_group"].to_numpy(dtype="float64", na_value=np.nan)
    for group in range(len(labels)):
        rows = np.flatnonzero(groups == group)
        rank[rows] = _places(examples.iloc[rows], most_per_subject, [seed, group])
    sizes = {label: int(np.sum(np.isfinite(rank) & (groups == group))) for group, label in enumerate(labels)}
    most = min(sizes.values()) if per_group is None else per_group
    smallest = min(sizes, key=lambda label: sizes[label])
    if not 1 <= most <= sizes[smallest]:
        raise ValueError(f"group {smallest!r} has {sizes[smallest]} examples to choose from, {max(most, 1)} are wanted")
    kept = rank < most
    reason = np.where(examples["age_group"].isna(), "no age group", f"more than {most} of this group")
    reason = np.where(np.isposinf(rank) & ~np.isnan(groups), f"more than {most_per_subject} of this subject", reason)
    aside = examples.loc[~kept, ["path"]].assign(row=np.flatnonzero(~kept), reason=reason[~kept])
    quarantine = pd.concat([manifest.quarantine, aside], ignore_index=True)
    return replace(manifest.select(pd.Series(kept, index=examples.index)), quarantine=quarantine)


def _places(examples: pd.DataFrame, most_per_subject: int | None, seed: list[int]) -> np.ndarray:
    """Return the place of each example of a group in the drawing, infinite for those above ``most_per_subject``."""
    if most_per_subject is not None:
        places = _turns(examples, seed).astype(np.float64)
        own = pd.Series(places).groupby(examples["subject"].to_numpy()).rank(method="first").to_numpy()
        return np.where(own > most_per_subject, np.inf, places)
    by_path = np.argsort(examples["path"].to_numpy(dtype=object), kind="stable")
    places = np.empty(len(examples))
    places[np.random.default_rng(seed).permutation(by_path)] = np.arange(len(examples))
    return places


def _turns(examples: pd.DataFrame, seed: list[int]) -> np.ndarray:
    """Return the place of each example when subjects take turns, in an order that does not depend on the rows'."""
    by_path = np.argsort(examples["path"].to_numpy(dtype=object), kind="stable")
    shuffled = np.random.default_rng(seed).permutation(by_path)
    turn = examples["subject"].iloc[shuffled].groupby(examples["subject"].iloc[shuffled]).cumcount()
    place = np.empty(len(examples), dtype=np.int64)
    place[shuffled[np.argsort(turn.to_numpy(), kind="stable")]] = np.arange(len(examples))
    return place
