"""At most so many examples of one age or of one group, so that the common ages do not drown the others."""

import numpy as np
import pandas as pd

from agegender.data.manifest import Manifest
from agegender.data.splits import shuffled

ORDERS = ("first_come", "spread")


def cap_per_age(manifest: Manifest, most: int = 5000, order: str = "first_come", seed: int = 0) -> Manifest:
    """Keep at most ``most`` examples of each age in completed years, and quarantine the others with the reason.

    ``order="first_come"`` keeps the first ones of the table, as published. ``"spread"`` takes the subjects of an age in
    turns, drawn with ``seed`` whatever the order of the rows. Examples without an age stay. Raises ``ValueError`` for
    ``most`` below 1 and an unknown ``order``.
    """
    if most < 1 or order not in ORDERS:
        raise ValueError(f"most must be at least 1 and order one of {', '.join(ORDERS)}; got {most} and {order!r}")
    examples = manifest.examples
    rank = np.zeros(len(examples), dtype=np.int64)
    years = np.floor(examples["age"])
    for age, rows in years.groupby(years).indices.items():  # an unknown age is in no group
        turns = np.arange(len(rows)) if order == "first_come" else _turns(examples.iloc[rows], [seed, int(age)])
        rank[rows] = turns
    return manifest.keep(pd.Series(rank < most), f"more than {most} of this age")


def balance_groups(manifest: Manifest, most_per_subject: int | None = None, seed: int = 0) -> Manifest:
    """Keep as many examples of each age group as the smallest has, drawn with ``seed``, and quarantine the others.

    ``most_per_subject=None`` draws examples, whosever they are (as published). With a number no subject has more
    examples than that in a group, and the subjects of a group take turns. The order of the rows does not matter. Raises
    ``ValueError`` for a number below 1, a manifest without groups, and an empty group.
    """
    if most_per_subject is not None and most_per_subject < 1:
        raise ValueError(f"most_per_subject must be at least 1, got {most_per_subject}")
    if manifest.scheme is None:
        raise ValueError(f"{manifest.corpus} has no age groups: there is nothing to balance")
    examples, labels = manifest.examples, manifest.scheme.labels
    rank = np.full(len(examples), np.inf)
    groups = examples["age_group"].to_numpy(dtype="float64", na_value=np.nan)
    for group in range(len(labels)):
        rows = np.flatnonzero(groups == group)
        rank[rows] = _places(examples.iloc[rows], most_per_subject, [seed, group])
    sizes = [int(np.sum(np.isfinite(rank) & (groups == group))) for group in range(len(labels))]
    most = min(sizes)
    if most == 0:
        raise ValueError(f"group {labels[sizes.index(0)]!r} has 0 examples to choose from, 1 are wanted")
    reason = np.where(np.isnan(groups), "no age group", f"more than {most} of this group")
    reason = np.where(np.isposinf(rank) & ~np.isnan(groups), f"more than {most_per_subject} of this subject", reason)
    return manifest.keep(pd.Series(rank < most), pd.Series(reason))


def _places(examples: pd.DataFrame, most_per_subject: int | None, seed: list[int]) -> np.ndarray:
    """Return the place of each example of a group in the drawing, infinite for those above ``most_per_subject``."""
    if most_per_subject is None:
        return np.argsort(shuffled(examples, seed)).astype(np.float64)
    places = _turns(examples, seed).astype(np.float64)
    own = pd.Series(places).groupby(examples["subject"].to_numpy()).rank(method="first").to_numpy()
    return np.where(own > most_per_subject, np.inf, places)


def _turns(examples: pd.DataFrame, seed: list[int]) -> np.ndarray:
    """Return the place of each example when subjects take turns."""
    drawn = shuffled(examples, seed)
    subjects = examples["subject"].iloc[drawn]
    turn = subjects.groupby(subjects).cumcount()
    return np.argsort(drawn[np.argsort(turn.to_numpy(), kind="stable")])
