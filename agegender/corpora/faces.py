"""Opening a corpus of faces by its name, as a notebook's parameters give it."""

from pathlib import Path

from agegender.corpora import adience, openpacks
from agegender.data.manifest import Manifest


def read_faces(corpus: str, data: Path, cache: Path, repairs_25_23: bool = False) -> Manifest:
    """Read the examples of ``corpus`` that have an age group and a gender.

    ``adience`` lies in ``data/adience``; ``fairface`` is a pack (folder or archive) in ``data``, unpacked into
    ``cache``. ``repairs_25_23`` concerns Adience only. Raises ``ValueError`` for another name.
    """
    if corpus == "adience":
        return adience.read(Path(data) / "adience", subset="joint", repair_25_23=repairs_25_23)
    if corpus == "fairface":
        return openpacks.read_fairface(data, cache)
    raise ValueError(f"unknown corpus of face groups {corpus!r}: expected 'adience' or 'fairface'")
