"""Opening a corpus of faces by its name, as a notebook's parameters give it."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from agegender.corpora import adience, folder, openpacks
from agegender.data.manifest import Manifest
from agegender.labels import FAIRFACE_9, AgeScheme


def read_faces(corpus: str, data: Path, cache: Path) -> Manifest:
    """Read the examples of ``corpus`` that have an age group and a gender.

    ``adience`` lies in ``data/adience`` and is read with its label ``(25, 23)`` repaired, so that row numbers mean the
    same in every variant; a variant that leaves these rows out does so in its split. ``fairface`` is a pack (folder or
    archive) in ``data``, unpacked into ``cache``. ``folder`` is a table of one's own in ``data``
    (``agegender.corpora.folder``) with the nine groups of FairFace, or with ages in years that are sorted into them.
    Raises ``ValueError`` for another name.
    """
    if corpus == "adience":
        return adience.read(Path(data) / "adience", subset="joint", repair_25_23=True)
    if corpus == "fairface":
        return openpacks.read_fairface(data, cache)
    if corpus == "folder":
        return with_both_labels(with_groups(folder.read(data, FAIRFACE_9), FAIRFACE_9))
    raise ValueError(f"unknown corpus of face groups {corpus!r}: expected adience, fairface or folder")


def with_groups(manifest: Manifest, scheme: AgeScheme) -> Manifest:
    """Return the manifest with the age group filled in from the age in years where only that is known."""
    examples = manifest.examples.copy()
    unknown = examples["age_group"].isna() & examples["age"].notna()
    examples.loc[unknown, "age_group"] = examples.loc[unknown, "age"].map(scheme.group_of).astype("Int64")
    return replace(manifest, examples=examples, scheme=scheme)


def with_both_labels(manifest: Manifest) -> Manifest:
    """Return the manifest with the examples that lack an age group or a gender moved to its quarantine.

    Raises ``ValueError`` when no example is left.
    """
    examples = manifest.examples
    labelled = examples["age_group"].notna() & examples["gender"].notna()
    if not labelled.any():
        raise ValueError(f"none of {len(examples)} examples has both an age (or age group) and a gender")
    aside = examples.loc[~labelled, ["path"]].assign(row=examples.index[~labelled], reason="no age group or no gender")
    quarantine = pd.concat([manifest.quarantine, aside], ignore_index=True) if len(aside) else manifest.quarantine
    return replace(manifest.select(labelled), quarantine=quarantine)
