"""Opening a corpus of faces by its name, as a notebook's parameters give it."""

from pathlib import Path

from agegender.corpora import adience, openpacks
from agegender.data.manifest import Manifest


def read_faces(corpus: str, data: Path, cache: Path) -> Manifest:
    """Read the examples of ``corpus`` that have an age group and a gender.

    ``adience`` lies in ``data/adience`` and is read with its label ``(25, 23)`` repaired, so that row numbers mean the
    same in every variant; a variant that leaves these rows out does so in its split. ``fairface`` is a pack (folder or
    archive) in ``data``, unpacked into ``cache``. Raises ``ValueError`` for another name.
    """
    if corpus == "adience":
        return adience.read(Path(data) / "adience", subset="joint", repair_25_23=True)
    if corpus == "fairface":
        return openpacks.read_fairface(data, cache)
    raise ValueError(f"unknown corpus of face groups {corpus!r}: expected 'adience' or 'fairface'")
