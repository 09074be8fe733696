"""Reading the open pack of voices: Saarbruecken Voice Database and speechocean762, ``clips.csv`` and Opus files.

Age and source go together in it (children are nearly all of speechocean762, everybody above 43 is of Saarbruecken), so
results are to be given for each ``source_corpus`` too.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from agegender.corpora.openpacks import find_pack
from agegender.corpora.tables import LINE, read_table
from agegender.data.manifest import Manifest, build_manifest
from agegender.labels import check_age, parse_gender

PACK = "voice-svd-so762"
SOURCES = {"svd": "svd", "so762": "speechocean762"}
"""The table's word for a source -> the corpus that it is."""

_COLUMNS = ("file", "speaker", "age", "gender", "seconds", "split", "source", "language", "voice")
_LABELS = ("speaker", "age", "gender", "seconds", "split", "source")
_PARTS = {"train": "train", "val": "validation", "": None}


def read_voices(
    root: Path, cache: Path | None = None, labels_only: bool = False, max_quarantined_share: float = 0.05
) -> Manifest:
    """Read the pack ``voice-svd-so762`` below ``root`` (folder or archive, which is unpacked once into ``cache``).

    ``age`` is in completed years, at the recording for Saarbruecken; ``published_split`` is ``train`` or
    ``validation``. Extra columns: ``seconds`` (float), ``source_corpus`` (``svd`` or ``speechocean762``), ``language``,
    and ``voice`` (``normal``, or ``disordered`` for voice patients). With ``labels_only`` no clip needs to be there.

    Quarantined are rows with an impossible age, an unknown gender, part or source, no subject, or a missing clip.
    Raises ``FileNotFoundError`` when there is no pack, ``ValueError`` for a broken table or archive, and
    ``TooManyQuarantinedError`` as ``build_manifest`` does.
    """
    folder = find_pack(Path(root), PACK, cache, "clips.csv")
    table = read_table(folder / "clips.csv", _COLUMNS)
    labels = pd.DataFrame([_labels(*cells) for cells in zip(*(table[name] for name in _LABELS), strict=True)])
    if not labels_only:
        present = np.array([_is_inside(folder, path) for path in table["file"]])
        labels["reason"] = labels["reason"].mask(labels["reason"].isna() & ~present, "missing file")
    sources = table["source"].map(SOURCES)
    text = {
        "source_corpus": sources.astype("str"),
        **{name: table[name].astype("str") for name in ("language", "voice")},
    }
    rows = labels.assign(path=table["file"], subject=table["speaker"], corpus="voicepack", modality="voice", **text)
    is_good = labels["reason"].isna().to_numpy()
    aside = pd.DataFrame({"path": table["file"], "row": table[LINE], "reason": labels["reason"]})[~is_good]
    return build_manifest(
        rows[is_good].set_index(table.loc[is_good, LINE].to_numpy()).drop(columns="reason"),
        aside,
        root=folder,
        max_quarantined_share=max_quarantined_share,
    )


def _labels(subject: str, age: str, gender: str, seconds: str, split: str, source: str) -> dict:
    """Return the labels of one row, and in ``reason`` what is wrong with it (``None`` if nothing is)."""
    unknown = {"age": np.nan, "gender": None, "published_split": None, "seconds": np.nan, "reason": None}
    try:
        if not subject:
            raise ValueError("no subject")
        if split not in _PARTS or source not in SOURCES:
            raise ValueError(f"unknown split {split!r}" if split not in _PARTS else f"unknown source {source!r}")
        return unknown | {
            "age": check_age(float(age)),
            "gender": parse_gender(gender),
            "published_split": _PARTS[split],
            "seconds": float(seconds),
        }
    except ValueError as error:
        return unknown | {"reason": str(error)}


def _is_inside(folder: Path, path: str) -> bool:
    parts = Path(path).parts
    return bool(path) and ".." not in parts and not Path(path).is_absolute() and (folder / path).is_file()
