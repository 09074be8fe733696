"""The manifest: one table that says what the examples of a corpus are, who they show and how they are labelled."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow as arrow
import pyarrow.parquet as parquet

from agegender.files import replaced_atomically
from agegender.labels import GENDERS, AgeScheme, scheme_named

COLUMNS = ("path", "subject", "age", "age_group", "gender", "corpus", "modality", "published_split")
_QUARANTINE = {"path": "str", "row": "int64", "reason": "str"}

_SCHEMA = pa.DataFrameSchema(
    {
        "path": pa.Column(str, pa.Check.str_length(min_value=1), unique=True),
        "subject": pa.Column(str, pa.Check.str_length(min_value=1)),
        "age": pa.Column(float, pa.Check.in_range(0, 120), nullable=True),
        "age_group": pa.Column("Int64", pa.Check.ge(0), nullable=True),
        "gender": pa.Column(str, pa.Check.isin(GENDERS), nullable=True),
        "corpus": pa.Column(str),
        "modality": pa.Column(str, pa.Check.isin(("voice", "face"))),
        "published_split": pa.Column(str, nullable=True),
    },
    strict=False,
)


class UnreadableFileError(ValueError):
    """A file that cannot be decoded; the message names the file and says why."""


class TooManyQuarantinedError(ValueError):
    """More rows of a corpus were set aside than the caller allows."""


@dataclass(frozen=True)
class Manifest:
    """The examples of one corpus, and what is known about them.

    ``examples`` has one row for each example and at least these columns, missing where unknown: ``path`` (relative to
    ``root``), ``subject`` (the key of every split), ``age`` (years), ``age_group`` (index into ``scheme``), ``gender``
    (``female`` / ``male``), ``corpus``, ``modality`` (``voice`` / ``face``) and ``published_split``.

    ``quarantine`` lists the rows that were set aside: ``path``, ``row`` (in the source) and ``reason``. Without
    ``has_identities`` subjects are images or groups of near-duplicates. Without ``is_aligned`` pictures are photographs
    in which a face has to be found first.
    """

    examples: pd.DataFrame
    corpus: str
    modality: str
    scheme: AgeScheme | None
    root: Path | None
    has_identities: bool
    quarantine: pd.DataFrame
    is_aligned: bool = False

    def __len__(self) -> int:
        return len(self.examples)

    def select(self, rows: pd.Series) -> "Manifest":
        """Return the manifest with only the examples for which ``rows`` (boolean) is true, renumbered from 0."""
        return replace(self, examples=self.examples[rows].reset_index(drop=True))

    def keep(self, is_usable: pd.Series, reason: str | pd.Series) -> "Manifest":
        """Return the manifest with the other examples moved to its quarantine, each with the reason."""
        if is_usable.all():
            return self
        reasons = pd.Series(reason, index=is_usable.index)[~is_usable]
        aside = self.examples.loc[~is_usable, ["path"]].assign(row=is_usable.index[~is_usable], reason=reasons)
        quarantine = pd.concat([self.quarantine, aside], ignore_index=True)
        return replace(self.select(is_usable), quarantine=quarantine)

    def require(self, *labels: str, oldest: int | None = None) -> "Manifest":
        """Keep the examples with these labels, up to ``oldest`` years; ``ValueError`` when none is left."""
        has_all = self.examples[list(labels)].notna().all(axis=1)
        if oldest is not None:
            has_all &= self.examples["age"].lt(oldest + 1)
        named = {label: label.replace("_", " ") for label in labels}
        named |= {} if oldest is None else {"age": f"age up to {oldest}"}
        reason = " or ".join(f"no {name}" for name in named.values())
        if not has_all.any():
            raise ValueError(f"none of {len(self)} examples can be used: {reason}")
        return self.keep(has_all, reason)

    def hash(self) -> str:
        """Return a SHA-256 that changes when any label, path, subject or the order of the rows changes."""
        columns = sorted(self.examples.columns)
        digest = hashlib.sha256(json.dumps([self.corpus, self.scheme and self.scheme.name, columns]).encode())
        digest.update(pd.util.hash_pandas_object(self.examples[columns], index=False).to_numpy().tobytes())
        return digest.hexdigest()

    def describe(self) -> dict:
        """Return counts for a data card or a run record: examples, subjects, labels, quarantine."""
        examples = self.examples
        labels = enumerate(self.scheme.labels if self.scheme else ())
        genders = {gender: int((examples["gender"] == gender).sum()) for gender in GENDERS}
        return {
            "corpus": self.corpus,
            "modality": self.modality,
            "num_examples": len(examples),
            "num_subjects": int(examples["subject"].nunique()),
            "has_identities": self.has_identities,
            "is_aligned": self.is_aligned,
            "num_with_age": int(examples["age"].notna().sum()),
            "age_groups": {label: int((examples["age_group"] == group).sum()) for group, label in labels},
            "genders": genders | {"unknown": int(examples["gender"].isna().sum())},
            "published_splits": examples["published_split"].value_counts(sort=False).to_dict(),
            "quarantined": self.quarantine["reason"].value_counts().to_dict(),
        }

    def save(self, path: Path) -> None:
        """Write the manifest to one parquet file, the quarantine and the facts about the corpus in its metadata."""
        table = arrow.Table.from_pandas(self.examples, preserve_index=False)
        plain = {name: getattr(self, name) for name in ("corpus", "modality", "has_identities", "is_aligned")}
        facts = plain | {
            "scheme": self.scheme.name if self.scheme else None,
            "root": str(self.root) if self.root else None,
            "quarantine": self.quarantine.to_dict(orient="records"),
        }
        metadata = {**(table.schema.metadata or {}), b"agegender": json.dumps(facts).encode()}
        with replaced_atomically(path) as temporary:
            parquet.write_table(table.replace_schema_metadata(metadata), temporary)

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Read a manifest that ``save`` wrote; raise ``ValueError`` when the file is not one."""
        table = parquet.read_table(path)
        metadata = table.schema.metadata or {}
        if b"agegender" not in metadata:
            raise ValueError(f"{path} is a parquet file but not a manifest: write it with 'agegender manifest'")
        facts = {"is_aligned": False} | json.loads(metadata[b"agegender"])  # files of earlier versions do not say
        facts["scheme"] = scheme_named(facts["scheme"]) if facts["scheme"] else None
        facts["root"] = Path(facts["root"]) if facts["root"] else None
        facts["quarantine"] = pd.DataFrame(facts["quarantine"], columns=list(_QUARANTINE)).astype(_QUARANTINE)
        return cls(examples=table.to_pandas(), **facts)


def build_manifest(
    rows: pd.DataFrame,
    quarantine: pd.DataFrame | None = None,
    *,
    scheme: AgeScheme | None = None,
    root: Path | None = None,
    has_identities: bool = True,
    is_aligned: bool = False,
    max_quarantined_share: float = 0.05,
) -> Manifest:
    """Check ``rows`` against the contract and return them as a manifest.

    ``rows`` needs ``path``, ``subject``, ``corpus`` and ``modality`` (one value each for the last two); others of the
    contract are unknown when absent. A path that stands twice with the same labels is kept once, with different
    labels not at all. Raises ``TooManyQuarantinedError`` when more than ``max_quarantined_share`` of all rows were set
    aside, and ``ValueError`` naming column, row and value when a row breaks the contract.
    """
    rows, twice = _without_repeated_paths(_with_all_columns(rows))
    set_aside = [table for table in (quarantine, twice) if table is not None and len(table)]
    aside = pd.concat(set_aside or [pd.DataFrame(columns=list(_QUARANTINE))], ignore_index=True).astype(_QUARANTINE)
    total = len(rows) + len(aside)
    if total == 0:
        raise ValueError(f"no rows at all: is {root} the right folder?")
    if len(aside) > max_quarantined_share * total:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in aside["reason"].value_counts().head(5).items())
        raise TooManyQuarantinedError(
            f"{len(aside)} of {total} rows were set aside, more than the {max_quarantined_share:.0%} allowed: "
            f"{reasons}. First: {aside['path'].iloc[0]}. Repair these rows or take them out of the table; "
            "'agegender manifest' allows more with --max-quarantined, Python with max_quarantined_share."
        )
    _check(rows, scheme)
    return Manifest(
        examples=rows.reset_index(drop=True),
        corpus=str(rows["corpus"].iloc[0]),
        modality=str(rows["modality"].iloc[0]),
        scheme=scheme,
        root=Path(root) if root else None,
        has_identities=has_identities,
        quarantine=aside[list(_QUARANTINE)],
        is_aligned=is_aligned,
    )


def _with_all_columns(rows: pd.DataFrame) -> pd.DataFrame:
    missing = sorted({"path", "subject", "corpus", "modality"} - set(rows.columns))
    if missing:
        raise ValueError(f"a manifest needs the columns {', '.join(missing)}; got {', '.join(map(str, rows.columns))}")
    rows = rows.reindex(columns=rows.columns.union(list(COLUMNS), sort=False))
    text = dict.fromkeys(("path", "subject", "gender", "corpus", "modality", "published_split"), "str")
    for name, dtype, kind in (("age", "float64", "a number"), ("age_group", "Int64", "a whole number")):
        rows[name] = _cast(rows[name], dtype, kind)
    rows = rows.astype(text)
    return rows[[*COLUMNS, *(name for name in rows.columns if name not in COLUMNS)]]


def _cast(column: pd.Series, dtype: Any, kind: str) -> pd.Series:
    try:
        return column.astype(dtype)
    except (ValueError, TypeError):
        numbers = pd.to_numeric(column, errors="coerce").astype("float64")
        is_bad = column.notna() & (numbers.isna() | ((dtype == "Int64") & (numbers % 1 != 0)))
        if not is_bad.any():
            raise
        first = int(np.argmax(is_bad))
        message = f"column {column.name!r}, row {column.index[first]}: {column.tolist()[first]!r} is not {kind}"
        raise ValueError(message) from None


def _without_repeated_paths(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    repeated = rows["path"].duplicated(keep=False) & rows["path"].notna()
    if not repeated.any():
        return rows, None
    labels = ["path", "subject", "age", "age_group", "gender"]
    agree = rows["path"].map(rows.loc[repeated, labels].drop_duplicates().groupby("path").size()) == 1
    keep = ~repeated | (agree & ~rows["path"].duplicated())
    reasons = np.where(agree[~keep], "listed twice, labels agree", "listed twice, labels differ")
    return rows[keep], rows.loc[~keep, ["path"]].assign(row=rows.index[~keep], reason=reasons)


def _check(rows: pd.DataFrame, scheme: AgeScheme | None) -> None:
    try:
        _SCHEMA.validate(rows, lazy=True)
    except pa.errors.SchemaErrors as error:
        first = {name: values.tolist()[0] for name, values in error.failure_cases.items()}
        raise ValueError(
            f"column {first['column']!r}, row {first['index']}: {first['failure_case']!r} breaks the rule "
            f"{first['check']!r} ({len(error.failure_cases)} such values in all)"
        ) from None
    groups = rows["age_group"].dropna()
    if scheme is None and len(groups):
        raise ValueError("age_group is given but no scheme says what the groups are")
    if scheme is not None and len(groups) and groups.max() >= len(scheme):
        raise ValueError(f"age_group {groups.max()} is outside {scheme.name}, which has groups 0 to {len(scheme) - 1}")
    for column in ("corpus", "modality"):
        values = rows[column].unique()
        if len(values) != 1:
            raise ValueError(f"a manifest holds one {column}, got {len(values)}: {list(values[:5])}")
