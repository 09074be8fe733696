"""At most so many examples of one age, so that the common ages do not drown the others."""

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


def _turns(examples: pd.DataFrame, seed: list[int]) -> np.ndarray:
    """Return the place of each example when subjects take turns, in an order that does not depend on the rows'."""
    by_path = np.argsort(examples["path"].to_numpy(dtype=object), kind="stable")
    shuffled = np.random.default_rng(seed).permutation(by_path)
    turn = examples["subject"].iloc[shuffled].groupby(examples["subject"].iloc[shuffled]).cumcount()
    place = np.empty(len(examples), dtype=np.int64)
    place[shuffled[np.argsort(turn.to_numpy(), kind="stable")]] = np.arange(len(examples))
    return place
