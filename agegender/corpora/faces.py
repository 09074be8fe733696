"""Opening a corpus of faces by its name, as a notebook's parameters give it."""

from dataclasses import replace
from pathlib import Path

from agegender.corpora import adience, folder, imdb_wiki, openpacks
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
        return with_both_labels(with_groups(folder.read(data, FAIRFACE_9, "face"), FAIRFACE_9))
    raise ValueError(f"unknown corpus of face groups {corpus!r}: expected adience, fairface or folder")


def read_aged_faces(
    corpus: str,
    data: Path,
    cache: Path,
    age_of: str = "mid_year",
    min_face_score: float | None = 1.0,
    oldest: int = 100,
) -> Manifest:
    """Read the examples of ``corpus`` that have an age in years, of at most ``oldest``, and a gender.

    ``imdb`` and ``wiki`` lie in ``data`` (``agegender.corpora.imdb_wiki``, which explains ``age_of`` and
    ``min_face_score``; they concern no other corpus). ``utkface`` is a pack in ``data``, unpacked into ``cache``;
    ``folder`` is a table of one's own. Raises ``ValueError`` for another name and when nothing is left.
    """
    if corpus in imdb_wiki.CORPORA:
        filters = imdb_wiki.Filters(ages=(0, oldest), min_face_score=min_face_score)
        return imdb_wiki.read(data, corpus, age_of, filters)
    if corpus == "utkface":
        manifest = openpacks.read_utkface(data, cache)
    elif corpus == "folder":
        manifest = folder.read(data, FAIRFACE_9, "face")
    else:
        raise ValueError(f"unknown corpus of faces with ages {corpus!r}: expected imdb, wiki, utkface or folder")
    examples = manifest.examples
    is_usable = examples["age"].lt(oldest + 1) & examples["gender"].notna()
    return manifest.keep(is_usable, f"no age up to {oldest} or no gender")


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
    return manifest.keep(labelled, "no age group or no gender")
