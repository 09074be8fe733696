"""Which examples train a model, which select it and which judge it; and the audit that finds who is in two parts.

``folds`` is everywhere an array with the fold of each example; an example of a negative fold is in no part.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

TRAINS_ONLY = np.iinfo(np.int64).max
"""The fold of what a corpus publishes for training: it is never tested."""
_PUBLISHED_PARTS = ("train", "validation", "val", "dev", "test")


@dataclass(frozen=True)
class Split:
    """Row numbers of each part, in the order of reading; no row is in two parts.

    Where published code selects on what it tests, ``validation`` and ``test`` are the same rows in the same order.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def __post_init__(self) -> None:
        for name, other in combinations(("train", "validation", "test"), 2):
            shared = np.intersect1d(getattr(self, name), getattr(self, other))
            is_test_itself = name == "validation" and np.array_equal(self.validation, self.test)
            if len(shared) and not is_test_itself:
                raise ValueError(f"{len(shared)} rows are in both {name} and {other}, first {shared[:5].tolist()}")

    def parts(self, examples: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """Return the examples of each part by its name, for ``audit`` and for counting."""
        return {name: examples.iloc[getattr(self, name)] for name in ("train", "validation", "test")}


def subject_folds(examples: pd.DataFrame, num_folds: int = 5, seed: int = 0, key: str = "subject") -> np.ndarray:
    """Return the fold (0 to ``num_folds`` - 1) of each example, all of a subject (or coarser ``key``) in one fold.

    Folds are balanced by age group and gender, or by size alone when none of these has as many examples as there are
    folds, whatever the order of the rows. Raises ``ValueError`` for fewer subjects than folds.
    """
    num_keys = examples[key].nunique()
    if not 2 <= num_folds <= num_keys:
        raise ValueError(f"num_folds must lie in 2..{num_keys} (the number of {key}s), got {num_folds}")
    order = np.argsort(examples["path"].to_numpy(), kind="stable")
    ordered = examples.iloc[order]
    age = ordered["age_group"] if ordered["age_group"].notna().any() else ordered["age"] // 10
    stratum = age.astype("str").fillna("unknown") + "/" + ordered["gender"].astype("str").fillna("unknown")
    if stratum.value_counts().max() < num_folds:
        stratum[:] = "all"
    folds = np.empty(len(examples), dtype=np.int64)
    kfold = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a stratum smaller than the number of folds is balanced as far as it goes
        warnings.filterwarnings("ignore", message="The least populated class in y", category=UserWarning)
        for fold, (_, held_out) in enumerate(kfold.split(ordered, stratum, ordered[key])):
            folds[order[held_out]] = fold
    return folds


def published_folds(examples: pd.DataFrame) -> np.ndarray:
    """Return the fold that the corpus publishes for each example.

    ``test`` is fold 0, other named parts are ``TRAINS_ONLY``. Raises ``ValueError`` when an example has none, for
    other names, and when a subject stands in two folds.
    """
    published = examples["published_split"]
    if published.isna().any():
        first = examples.loc[published.isna(), "path"].iloc[0]
        raise ValueError(f"{published.isna().sum()} examples have no published fold, first {first!r}")
    parts = published.str.lower()
    if parts.isin(_PUBLISHED_PARTS).all():
        folds = (parts == "test").map({True: 0, False: TRAINS_ONLY}).astype("int64")
    elif published.str.fullmatch(r"\d+").all():
        folds = published.astype("int64")
    else:
        names = sorted(published.unique())[:5]
        raise ValueError(f"published folds must be numbers, or {', '.join(_PUBLISHED_PARTS)}; got {names}")
    per_subject = folds.groupby(examples["subject"]).nunique()
    if straddling := sorted(per_subject.index[per_subject > 1]):
        raise ValueError(
            f"{len(straddling)} subjects are in more than one published fold: {straddling[:5]}; a split of one's own "
            "can be left out, then folds are drawn by subject"
        )
    return folds.to_numpy(copy=True)


def folds_of(examples: pd.DataFrame, seed: int = 0, table: pd.DataFrame | None = None) -> np.ndarray:
    """Return the published folds, five subject-disjoint ones drawn with ``seed`` where none is published for the test.

    They are those of ``table``, the whole table from which ``examples`` come. Raises ``ValueError`` as
    ``published_folds`` does, and for subjects that are not in the table.
    """
    table = examples if table is None else table
    published = table["published_split"].str.lower()
    is_published = published.notna().any() and not published.isin(set(_PUBLISHED_PARTS) - {"test"}).all()
    folds = published_folds(table) if is_published else subject_folds(table, seed=seed)
    return by_subject(examples, dict(zip(table["subject"], folds, strict=True))).to_numpy(dtype=np.int64, copy=True)


def split_by_subject(
    examples: pd.DataFrame,
    folds: np.ndarray,
    test_fold: int,
    seed: int,
    validation_share: float = 0.1,
    key: str = "subject",
) -> Split:
    """Test on one fold; subjects with about ``validation_share`` (at most a half) of the others validate.

    ``key`` is that of ``subject_folds``. Raises ``ValueError`` for an empty fold, another number of folds than
    examples, and too few subjects.
    """
    _check_share(examples, folds, validation_share)
    test, pool = test_and_pool(folds, test_fold)
    pool_folds = subject_folds(examples.iloc[pool], round(1 / validation_share), seed, key)
    return Split(train=pool[pool_folds != 0], validation=pool[pool_folds == 0], test=test)


def clip_folds(examples: pd.DataFrame, num_folds: int = 5, seed: int = 0) -> np.ndarray:
    """Return the fold (0 to ``num_folds`` - 1) of each example, drawn by example whatever the order of the rows.

    Raises ``ValueError`` for fewer examples than folds.
    """
    if not 2 <= num_folds <= len(examples):
        raise ValueError(f"num_folds must lie in 2..{len(examples)} (the number of examples), got {num_folds}")
    folds = np.empty(len(examples), dtype=np.int64)
    folds[shuffled(examples, seed)] = np.arange(len(examples)) % num_folds
    return folds


def shuffled(examples: pd.DataFrame, seed: int | Sequence[int]) -> np.ndarray:
    """Return the row numbers in a random order that does not depend on the order of the rows."""
    by_path = np.argsort(examples["path"].to_numpy(dtype=object), kind="stable")
    return np.random.default_rng(seed).permutation(by_path)


def split_by_clip(
    examples: pd.DataFrame, folds: np.ndarray, test_fold: int, seed: int, validation_share: float = 0.2
) -> Split:
    """Test on one fold and draw validation examples out of the others, as the Common Voice pipeline (unseeded) does.

    Raises ``ValueError`` as ``split_by_subject`` does.
    """
    _check_share(examples, folds, validation_share)
    test, pool = test_and_pool(folds, test_fold)
    drawn = pool[shuffled(examples.iloc[pool], (seed, test_fold))]
    num_validation = round(validation_share * len(pool))
    if num_validation == 0:
        raise ValueError(f"{len(pool)} examples cannot be split with a validation share of {validation_share}")
    return Split(train=np.sort(drawn[num_validation:]), validation=np.sort(drawn[:num_validation]), test=test)


def of_subjects(split: Split, examples: pd.DataFrame, subjects: pd.Series) -> Split:
    """Return what the parts of ``split`` have of ``subjects``; ``ValueError`` when a part is left empty."""
    is_theirs = examples["subject"].isin(subjects).to_numpy()
    parts = {name: rows[is_theirs[rows]] for name, rows in vars(split).items()}
    if empty := [name for name, rows in parts.items() if len(rows) == 0]:
        raise ValueError(f"the part {empty[0]} has no example of the {subjects.nunique()} subjects")
    return Split(**parts)


def split_as_published(
    folds: np.ndarray,
    test_fold: int,
    seed: int,
    is_off_by_one: bool = True,
    repeats: np.ndarray | None = None,
    num_other_lines: int = 0,
) -> Split:
    """Split as the Levi-Hassner list builder does: validation images are drawn at random from the training subjects.

    Of the pool (all folds but one), shuffled (the original: unseeded), the first ``n // 10`` lines validate; training
    starts at line ``n // 10 + 1``: one is in neither list, unless ``is_off_by_one=False``. With ``repeats`` (examples,)
    an example counts as that many lines; ``num_other_lines`` of the pool show no example. The copies of an example
    stay in one part; the original may tear them apart.
    """
    test, pool = test_and_pool(folds, test_fold)
    repeats = np.ones(len(folds), np.int64) if repeats is None else repeats
    rng = np.random.default_rng(seed)
    drawn, test = rng.permutation(np.append(pool, np.full(num_other_lines, -1))), rng.permutation(test)
    num_lines = np.where(drawn < 0, 1, repeats[drawn])
    order = np.argsort(num_lines > 1, kind="stable")
    lines = np.repeat(drawn[order], num_lines[order])
    num_validation = len(lines) // 10
    train, validation = lines[num_validation + is_off_by_one :], lines[:num_validation]
    return Split(train=train[train >= 0], validation=validation[validation >= 0], test=np.repeat(test, repeats[test]))


def split_by_image(num_examples: int, seed: int) -> Split:
    """Split as the IMDB pipeline does: all images are shuffled, the last tenth is tested on, whoever is on them.

    ``validation`` is empty. The original has no seed. Raises ``ValueError`` for fewer than two examples.
    """
    num_train = int(0.9 * num_examples)
    if num_train < 1:
        raise ValueError(f"{num_examples} examples cannot be split into nine tenths and one: a part is empty")
    drawn = np.random.default_rng(seed).permutation(num_examples)
    return Split(train=drawn[:num_train], validation=drawn[:0], test=drawn[num_train:])


def audit(parts: dict[str, pd.DataFrame], keys: Sequence[str] = ("subject",)) -> pd.DataFrame:
    """Count for each pair of parts and each key (a column) the values in both (``num_shared``).

    ``share_of_a`` and ``share_of_b`` are the shares of a part's examples whose value is in the other too. Raises
    ``ValueError`` for a key that is not a column.
    """
    rows = []
    for (name_a, a), (name_b, b) in combinations(parts.items(), 2):
        for key in keys:
            if key not in a or key not in b:
                raise ValueError(f"cannot audit by {key!r}: the examples have {', '.join(map(str, a.columns))}")
            shared = set(a[key].dropna()) & set(b[key].dropna())
            shares = (float(part[key].isin(shared).mean()) if len(part) else 0.0 for part in (a, b))
            rows.append((name_a, name_b, key, len(shared), *shares))
    return pd.DataFrame(rows, columns=["part_a", "part_b", "key", "num_shared", "share_of_a", "share_of_b"])


def test_and_pool(folds: np.ndarray, test_fold: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the test fold and of the others (not negative); ``ValueError`` when either is empty."""
    test = np.flatnonzero(folds == test_fold)
    if len(test) == 0 or test_fold == TRAINS_ONLY:
        known, others = np.unique(folds[folds != TRAINS_ONLY]).tolist(), np.sum(folds == TRAINS_ONLY)
        why = f"; the other {others} examples are published for training and never tested" if others else ""
        raise ValueError(f"fold {test_fold} has no examples: the folds are {known}{why}")
    pool = np.flatnonzero((folds != test_fold) & (folds >= 0))
    if len(pool) == 0:
        raise ValueError(f"all examples are in fold {test_fold}: nothing is left to train on")
    return test, pool


def by_subject(examples: pd.DataFrame, of: dict) -> pd.Series:
    """Return what ``of`` says of the subject of each example; ``ValueError`` where it says nothing."""
    found = examples["subject"].map(of)
    if strangers := sorted(set(examples.loc[found.isna(), "subject"])):
        raise ValueError(f"{len(strangers)} subjects are not in the whole table: {strangers[:5]}")
    return found


def _check_share(examples: pd.DataFrame, folds: np.ndarray, validation_share: float) -> None:
    if not 0 < validation_share <= 0.5:
        raise ValueError(f"validation_share must lie above 0 and be at most 0.5, got {validation_share}")
    if len(folds) != len(examples):
        raise ValueError(f"there are {len(folds)} fold numbers for {len(examples)} examples")
