"""Reading the open face packs: a table ``faces.csv``, a table ``extra.csv`` and pictures, in a folder or an archive.

Neither FairFace nor UTKFace says who is shown. Each picture is therefore its own subject, except that copies of one
picture (`NEAR_DUPLICATE_BITS`) share a subject, so that no split can put them on two sides.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from agegender.corpora.tables import LINE, read_table
from agegender.data.archives import unpack
from agegender.data.duplicates import difference_hash, near_duplicate_groups
from agegender.data.manifest import Manifest, build_manifest, empty_quarantine
from agegender.files import replaced_atomically
from agegender.labels import FAIRFACE_9, AgeScheme, check_age, parse_gender

NEAR_DUPLICATE_BITS = 28
"""Pictures whose difference hashes differ in at most this many of 256 bits are taken for copies of one picture.

In both packs nearly all pairs up to this distance agree in perceived gender and in the race label; further apart, pairs
soon agree no more often than chance."""

_FACES = ("file", "subject", "age", "gender", "source")


def read_fairface(root: Path, cache: Path | None = None, max_quarantined_share: float = 0.05) -> Manifest:
    """Read the FairFace pack below ``root``: perceived gender and one of nine age groups, no age in years.

    ``root`` holds the folder ``face-fairface`` or the archive ``face-fairface.tar.gz``; an archive is unpacked once
    into ``cache``, where the hashes of the pictures are kept too. The extra column ``race_label`` is what
    annotators wrote, for breakdowns of errors only. Quarantined are rows with an unknown label, and rows whose picture
    is missing or unreadable.

    Source: Karkkainen and Joo (2021), FairFace, WACV. Raises ``FileNotFoundError`` when there is no pack,
    ``ValueError`` for a broken table or archive, ``TooManyQuarantinedError`` as ``build_manifest`` does.
    """
    return _read(root, "fairface", FAIRFACE_9, cache, max_quarantined_share)


def read_utkface(root: Path, cache: Path | None = None, max_quarantined_share: float = 0.05) -> Manifest:
    """Read the UTKFace pack below ``root`` (``face-utkface``): apparent age in years and gender, no age groups.

    For non-commercial research only. Everything else is as for ``read_fairface``.

    Source: Zhang, Song and Qi (2017), Age Progression/Regression by Conditional Adversarial Autoencoder, CVPR.
    """
    return _read(root, "utkface", None, cache, max_quarantined_share)


def find_pack(root: Path, name: str, cache: Path | None, table: str = "faces.csv") -> Path:
    """Return the folder of the pack ``name`` below ``root``, unpacking ``name.tar.gz`` into ``cache`` if need be.

    The pack is the folder that holds ``table``.
    """
    folder, archive = Path(root) / name, Path(root) / f"{name}.tar.gz"
    if (folder / table).is_file():
        return folder
    if not archive.is_file():
        raise FileNotFoundError(f"no pack here: neither {folder / table} nor {archive} exists")
    if cache is None:
        raise ValueError(f"{archive} has to be unpacked: say where with cache=")
    folder = unpack(archive, cache) / name
    if not (folder / table).is_file():
        raise FileNotFoundError(f"{archive} holds no {name}/{table}: is it the right archive?")
    return folder


def _read(root: Path, corpus: str, scheme: AgeScheme | None, cache: Path | None, share: float) -> Manifest:
    name = f"face-{corpus}"
    folder = find_pack(root, name, cache)
    table = read_table(folder / "faces.csv", _FACES)
    labels = pd.DataFrame([_labels(age, gender, scheme) for age, gender in zip(table.age, table.gender, strict=True)])
    present = np.array([_is_inside(folder, path) for path in table.file])
    hashes, readable = _hashes(folder, table.file.where(present, ""), cache and Path(cache) / f"{name}-hashes.npz")
    labels["reason"] = labels["reason"].mask(~readable, "unreadable image").mask(~present, "missing file")
    rows = labels.assign(
        path=table.file, corpus=corpus, modality="face", race_label=_race_labels(folder, table.file), row=table[LINE]
    )
    good = rows["reason"].isna().to_numpy()
    first = near_duplicate_groups(hashes[good], NEAR_DUPLICATE_BITS)
    subject = np.flatnonzero(good)[first].astype(str)
    return build_manifest(
        rows[good].assign(subject=subject).set_index("row").drop(columns="reason"),
        rows.loc[~good, list(empty_quarantine().columns)],
        scheme=scheme,
        root=folder,
        has_identities=False,
        is_aligned=True,
        max_quarantined_share=share,
    )


def _labels(age: str, gender: str, scheme: AgeScheme | None) -> dict:
    """Return the labels of one row, and in ``reason`` what is wrong with it (``None`` if nothing is)."""
    unknown = {"age": np.nan, "age_group": None, "gender": None, "reason": None}
    try:
        known = {"age": check_age(float(age))} if scheme is None else {"age_group": scheme.index(age.strip())}
        return unknown | known | {"gender": parse_gender(gender)}
    except ValueError as error:
        return unknown | {"reason": str(error)}


def _is_inside(folder: Path, path: str) -> bool:
    parts = Path(path).parts
    return bool(path) and ".." not in parts and not Path(path).is_absolute() and (folder / path).is_file()


def _race_labels(folder: Path, files: pd.Series) -> pd.Series:
    if not (folder / "extra.csv").is_file():
        return pd.Series(None, index=files.index, dtype="str")
    extra = read_table(folder / "extra.csv", ("file", "race_label"), other_columns=True).drop_duplicates("file")
    labels = files.map(extra.set_index("file")["race_label"])
    return labels.mask(labels == "").astype("str")


def _hashes(folder: Path, files: pd.Series, kept: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(n, 4)`` difference hashes and ``(n,)`` whether the picture could be read; kept for the next time."""
    states = [(folder / file).stat() if file else None for file in files]
    listed = [(file, state and (state.st_size, state.st_mtime_ns)) for file, state in zip(files, states, strict=True)]
    key = hashlib.sha256(repr(listed).encode()).hexdigest()
    if kept is not None and kept.is_file():
        with np.load(kept, allow_pickle=False) as stored:
            if str(stored["key"]) == key:
                return stored["hashes"], stored["readable"]
    found = [_hash_of(folder / file) if file else None for file in files]
    readable = np.array([each is not None for each in found])
    hashes = np.stack([np.zeros(4, np.uint64) if each is None else each for each in found])
    if kept is not None:
        with replaced_atomically(kept) as temporary:
            np.savez(temporary, key=np.array(key), hashes=hashes, readable=readable)
    return hashes, readable


def _hash_of(path: Path) -> np.ndarray | None:
    try:
        with Image.open(path) as image:
            return difference_hash(image)
    except (Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        return None
