"""Reading the open packs: a table and files, in a folder or an archive. Two of faces, one of voices.

Neither FairFace nor UTKFace says who is shown: each picture is its own subject, except that copies of one picture
(`NEAR_DUPLICATE_BITS`) share a subject. In the pack of voices (Saarbruecken Voice Database and speechocean762) age and
source go together, so that results are to be given for each ``source_corpus``.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from agegender.corpora.tables import first_reason, is_present, parse_rows, read_table, set_aside
from agegender.data.archives import unpack
from agegender.data.duplicates import difference_hash, near_duplicate_groups
from agegender.data.known_files import Row, look_up
from agegender.data.manifest import Manifest, build_manifest
from agegender.labels import FAIRFACE_9, SPEECHOCEAN_6, AgeScheme, check_age, parse_gender

NEAR_DUPLICATE_BITS = 28
"""Pictures whose difference hashes differ in at most this many of 256 bits are taken for copies of one picture: nearly
all such pairs agree in perceived gender and in the race label."""

VOICE_PACK = "voice-svd-so762"
SPEECHOCEAN = "speechocean762"
_SOURCES = {"svd": "svd", "so762": SPEECHOCEAN}  # the table's word for a source -> the corpus that it is
_AT_ONCE = 1000  # pictures
_PARTS = {"train": "train", "val": "validation", "": None}


def read_fairface(
    root: Path, cache: Path | None = None, max_quarantined_share: float = 0.05, has_more: bool = False
) -> Manifest:
    """Read the FairFace pack below ``root``: perceived gender and one of nine age groups, no age in years.

    ``root`` holds the folder ``face-fairface`` or the archive ``face-fairface.tar.gz``, which is unpacked into
    ``cache``, where the hashes of the pictures are kept too. The extra column ``race_label`` is what annotators wrote.
    Quarantined are rows with an unknown label, and rows whose picture is missing or unreadable. With ``has_more`` the
    faces of the pack ``face-fairface-more`` follow.

    Source: Karkkainen and Joo (2021), FairFace, WACV. Raises ``FileNotFoundError`` when there is no pack,
    ``ValueError`` for a broken table or archive, ``TooManyQuarantinedError`` as ``build_manifest`` does.
    """
    names = ("face-fairface", "face-fairface-more") if has_more else ("face-fairface",)
    return _read_faces(root, names, FAIRFACE_9, cache, max_quarantined_share)


def read_utkface(root: Path, cache: Path | None = None, max_quarantined_share: float = 0.05) -> Manifest:
    """Read the UTKFace pack below ``root`` (``face-utkface``): apparent age in years and gender, no age groups.

    Everything else is as for ``read_fairface``.

    Source: Zhang, Song and Qi (2017), Age Progression/Regression by Conditional Adversarial Autoencoder, CVPR.
    """
    return _read_faces(root, ("face-utkface",), None, cache, max_quarantined_share)


def read_voices(
    root: Path, cache: Path | None = None, labels_only: bool = False, max_quarantined_share: float = 0.05
) -> Manifest:
    """Read the pack ``voice-svd-so762`` below ``root`` (folder or archive, which is unpacked once into ``cache``).

    ``age`` is in completed years, at the recording for Saarbruecken; ``published_split`` is ``train`` or
    ``validation``. Extra columns: ``seconds`` (float), ``source_corpus`` (``svd`` or ``speechocean762``), ``language``,
    and ``voice`` (``normal``, or ``disordered`` for voice patients). With ``labels_only`` no clip needs to be there.

    Quarantined are rows with an impossible age, an unknown gender, part or source, no subject, or a missing clip.
    Raises as ``read_fairface`` does.
    """
    folder = _find(Path(root), VOICE_PACK, cache, "clips.csv")
    columns = ("file", "speaker", "age", "gender", "seconds", "split", "source", "language", "voice")
    table = read_table(folder / "clips.csv", columns)
    labels = parse_rows(_voice_labels, *(table[name] for name in columns[1:7]))
    text = {"source_corpus": table["source"].map(_SOURCES), **{name: table[name] for name in ("language", "voice")}}
    rows = labels.assign(path=table["file"], subject=table["speaker"], corpus="voicepack", modality="voice", **text)
    is_missing = ~is_present(folder, table["file"]) & (not labels_only)
    reasons = first_reason((labels["reason"].notna(), labels["reason"]), (is_missing, "missing file"))
    rows, aside = set_aside(rows.drop(columns="reason"), reasons)
    return build_manifest(rows, aside, root=folder, max_quarantined_share=max_quarantined_share)


def read_speechocean762(
    root: Path, cache: Path | None = None, labels_only: bool = False, max_quarantined_share: float = 0.05
) -> Manifest:
    """Read the clips of speechocean762 in the pack of voices as a corpus of its own, with ``SPEECHOCEAN_6``.

    Native speakers of Mandarin, about half of them children, read English sentences; the pack has twelve clips of each.
    The quarantine is that of the whole pack. Raises as ``read_voices`` does, and ``ValueError`` when the pack has none
    of its clips.

    Source: Zhang and others (2021), "speechocean762: An Open-Source Non-native English Speech Corpus For Pronunciation
    Assessment", Interspeech.
    """
    pack = read_voices(root, cache, labels_only, max_quarantined_share)
    own = pack.select(pack.examples["source_corpus"] == SPEECHOCEAN)
    if len(own) == 0:
        raise ValueError(f"{pack.root} has {len(pack)} clips and none of {SPEECHOCEAN}")
    groups = own.examples["age"].map(SPEECHOCEAN_6.group_of).astype("Int64")
    examples = own.examples.assign(corpus=SPEECHOCEAN, age_group=groups)
    return replace(own, examples=examples, corpus=SPEECHOCEAN, scheme=SPEECHOCEAN_6)


def _find(root: Path, name: str, cache: Path | None, table: str) -> Path:
    """Return the folder of the pack ``name``, which holds ``table``; its archive is unpacked into ``cache``."""
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


def _read_faces(
    root: Path, names: Sequence[str], scheme: AgeScheme | None, cache: Path | None, share: float
) -> Manifest:
    folders = [_find(root, name, cache, "faces.csv") for name in names]
    folder = folders[0] if len(folders) == 1 else Path(os.path.commonpath(folders))
    tables = [_table_of(each, folder) for each in folders]
    table = (
        tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)
    )  # row numbers are lines of one table

    def labels_of(age: str, gender: str) -> dict:
        known = {"age": check_age(float(age))} if scheme is None else {"age_group": scheme.index(age.strip())}
        return known | {"gender": parse_gender(gender)}

    labels = parse_rows(labels_of, table["age"], table["gender"])
    present = table["is_present"]
    hashes = _hashes(folder, table.loc[present, "file"], cache, f"{names[-1]}-hashes")
    reasons = first_reason(
        (~present, "missing file"),
        (~table.index.to_series().isin(hashes.index), "unreadable image"),
        (labels["reason"].notna(), labels["reason"]),
    )
    good = reasons.isna().to_numpy()
    of_good = np.array(hashes[reasons.index[good]].to_list(), np.uint64).reshape(-1, 4)
    subjects = np.arange(len(table))
    subjects[good] = np.flatnonzero(good)[near_duplicate_groups(of_good, NEAR_DUPLICATE_BITS)]
    rows = labels.drop(columns="reason").assign(
        path=table["file"], subject=subjects.astype(str), corpus=names[0].removeprefix("face-"), modality="face",
        race_label=table["race_label"],
    )  # fmt: skip
    manifest = build_manifest(*set_aside(rows, reasons), scheme=scheme, root=folder, max_quarantined_share=share)
    return replace(manifest, has_identities=False, is_aligned=True)


def _table_of(pack: Path, folder: Path) -> pd.DataFrame:
    """Return the table of one pack of faces; what it calls ``file`` begins below ``folder``."""
    table = read_table(pack / "faces.csv", ("file", "subject", "age", "gender", "source"))
    below = pack.relative_to(folder).as_posix()
    return table.assign(
        is_present=is_present(pack, table["file"]),
        race_label=_race_labels(pack, table["file"]),
        file=table["file"] if below == "." else f"{below}/" + table["file"],
    )


def _voice_labels(subject: str, age: str, gender: str, seconds: str, split: str, source: str) -> dict:
    if not subject:
        raise ValueError("no subject")
    if split not in _PARTS or source not in _SOURCES:
        raise ValueError(f"unknown split {split!r}" if split not in _PARTS else f"unknown source {source!r}")
    return {
        "age": check_age(float(age)),
        "gender": parse_gender(gender),
        "published_split": _PARTS[split],
        "seconds": float(seconds),
    }


def _race_labels(folder: Path, files: pd.Series) -> pd.Series:
    if not (folder / "extra.csv").is_file():
        return pd.Series(None, index=files.index, dtype="str")
    extra = read_table(folder / "extra.csv", ("file", "race_label"), other_columns=True).drop_duplicates("file")
    labels = files.map(extra.set_index("file")["race_label"])
    return labels.mask(labels == "").astype("str")


def _hashes(folder: Path, files: pd.Series, cache: Path | None, name: str) -> pd.Series:
    """Return the difference hash (4,) of each picture that can be read; kept for as long as the file is unchanged."""

    def look(rows: list[int]) -> list[Row | str]:
        found = [_hash_of(folder / files.iloc[row]) for row in rows]
        return ["unreadable" if each is None else {"hash": each.tobytes()} for each in found]

    states = [(file, (folder / file).stat()) for file in files]
    texts = [f"{file} {state.st_size} {state.st_mtime_ns}" for file, state in states]
    keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    rows = look_up(cache, name, "difference hash", keys, look, _AT_ONCE)
    hashes = [None if isinstance(row, str) else np.frombuffer(row["hash"], np.uint64) for row in rows]
    return pd.Series(hashes, index=files.index, dtype=object).dropna()


def _hash_of(path: Path) -> np.ndarray | None:
    try:
        with Image.open(path) as image:
            return difference_hash(image)
    except (Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        return None
