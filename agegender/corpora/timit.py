"""Reading TIMIT: 630 people, ten read sentences each, with sex, date of birth and date of recording.

Source: Garofolo, Lamel, Fisher, Fiscus, Pallett and Dahlgren (1993), DARPA TIMIT acoustic-phonetic continuous speech
corpus, NISTIR 4930; the files are those of the release LDC93S1 and of the copies that unpack them otherwise.
"""

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pandas as pd

from agegender.corpora.tables import first_reason, parse_rows, quarantine_of, refuse_twice, set_aside
from agegender.data.manifest import Manifest, build_manifest
from agegender.labels import check_age, parse_gender

DAYS_PER_YEAR = 365.25
_PARTS = {"TRN": "train", "TST": "test"}


def read(root: Path, labels_only: bool = False, max_quarantined_share: float = 0.05) -> Manifest:
    """Read ``SPKRINFO.TXT`` below ``root`` and find the clips in ``TRAIN`` and ``TEST``; no audio is decoded.

    Both may lie up to two folders deep (``TIMIT/DOC``), in capitals or not. A clip is any ``.WAV`` in a folder named
    as its subject, with a dialect folder above it or without. With ``labels_only`` there is one row for each subject,
    whose path is the folder.

    ``age`` is that at the recording in decimal years: days since birth / 365.25; dates of birth written with ``??``
    give none. ``published_split`` is ``train`` or ``test``. Extra columns: ``sentence`` (``SA1``; missing with
    ``labels_only``) and ``dialect`` (``1`` to ``8``).

    Quarantined are rows and clips that contradict each other or cannot be understood: unknown sex, part or date, a
    subject without a row or without clips, a clip in the other part. A second file of one sentence is set aside too,
    but does not count for ``max_quarantined_share``. Raises ``FileNotFoundError`` for a missing table or tree, and
    ``ValueError`` for a table without any row and a subject that stands twice.
    """
    root = Path(root)
    table_path = _find(root, "spkrinfo.txt", 3)
    if table_path is None:
        raise FileNotFoundError(f"no SPKRINFO.TXT in {root} or its folders: it stands in TIMIT/DOC of the release")
    subjects = _subjects(table_path)
    good, aside = set_aside(subjects, subjects["reason"])
    if labels_only:
        rows, copies = good.assign(sentence=None), aside[:0]
    else:
        root = _tree(root)
        rows, faults, copies = _joined(good, _clips(root), set(subjects["subject"]))
        aside = pd.concat([aside, faults])
    columns = ["path", "subject", "age", "gender", "published_split", "sentence", "dialect"]
    manifest = build_manifest(
        rows[columns].assign(corpus="timit", modality="voice", sentence=rows["sentence"].astype("str")),
        aside,
        root=root,
        max_quarantined_share=max_quarantined_share,
    )
    return replace(manifest, quarantine=pd.concat([manifest.quarantine, copies], ignore_index=True))


def age_at(born: str, recorded: str) -> float:
    """Return the age in decimal years between two dates written month/day/year in the last century.

    NaN when either is unknown (a question mark in it). Raises ``ValueError`` for anything else and for ages that nobody
    has.

    >>> round(age_at("06/17/60", "03/03/86"), 3), age_at("??", "03/03/86")
    (25.708, nan)
    """
    birth, recording = _day(born), _day(recorded)
    if birth is None or recording is None:
        return float("nan")
    return check_age((recording - birth).days / DAYS_PER_YEAR)


def _day(text: str) -> date | None:
    if "?" in text:
        return None
    try:
        return datetime.strptime(f"{text[:-2]}19{text[-2:]}", "%m/%d/%Y").date()
    except ValueError:
        raise ValueError(f"date {text!r} is not month/day/year") from None


def _find(root: Path, name: str, depth: int) -> Path | None:
    """Return the first file or folder of this name, in capitals or not, at most ``depth`` levels below ``root``."""
    for level in range(1, depth + 1):
        found = sorted(path for path in root.glob("/".join("*" * level)) if path.name.lower() == name)
        if found:
            return found[0]
    return None


def _tree(root: Path) -> Path:
    train = _find(root, "train", 3)
    if train is None or _find(train.parent, "test", 1) is None:
        raise FileNotFoundError(
            f"no folders TRAIN and TEST beside each other in {root}: unpack the clips there, or read labels only "
            "(--labels-only)"
        )
    return train.parent


def _subjects(path: Path) -> pd.DataFrame:
    """Return one row for each line of the table, with what is wrong with it in ``reason``."""
    lines = path.read_text(encoding="latin-1").splitlines()
    fields = {n: text.split() for n, text in enumerate(lines, 1) if text.strip() and not text.lstrip().startswith(";")}
    if not fields:
        raise ValueError(f"{path} has no row: expected lines such as 'ABC0 M 6 TRN 03/03/86 06/17/60'")
    rows = pd.Series(fields)
    known = ["path", "subject", "age", "gender", "published_split", "dialect", "reason"]
    table = parse_rows(_subject, rows).reindex(columns=known)
    for column in ("path", "subject"):
        table[column] = table[column].fillna(rows.str[0]).astype("str")
    refuse_twice(path, table["subject"], "subject ")
    return table


def _subject(fields: list[str]) -> dict:
    if len(fields) < 6:
        raise ValueError(f"{len(fields)} fields instead of ID, Sex, DR, Use, RecDate, BirthDate")
    name, sex, dialect, use, recorded, born = fields[:6]
    gender = parse_gender(sex)
    if use.upper() not in _PARTS:
        raise ValueError(f"part {use!r} is neither TRN nor TST")
    subject, part = (sex[0] + name).upper(), _PARTS[use.upper()]
    return {
        "path": f"{part.upper()}/DR{dialect}/{subject}", "subject": subject, "age": age_at(born, recorded),
        "gender": gender, "published_split": part, "dialect": dialect,
    }  # fmt: skip


def _clips(root: Path) -> pd.DataFrame:
    """Return path, subject, sentence and part of each ``.wav`` below ``TRAIN`` and ``TEST``, in the order of paths."""
    rows = []
    for part in sorted(folder for folder in root.iterdir() if folder.name.lower() in _PARTS.values()):
        for path in sorted(part.rglob("*")):
            if path.suffix.lower() == ".wav" and path.is_file():
                sentence = path.name.split(".")[0].upper()
                rows.append((path.relative_to(root).as_posix(), path.parent.name.upper(), sentence, part.name.lower()))
    return pd.DataFrame(rows, columns=["path", "subject", "sentence", "part"], dtype="str")


def _joined(
    subjects: pd.DataFrame, clips: pd.DataFrame, named: set[str]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the clips with the labels of their subjects, the faults, and second files of a sentence."""
    rows = clips.merge(subjects.drop(columns=["path", "reason"]), on="subject", how="left")
    faults = first_reason(
        (rows["subject"].str[1:].isin(named), "the subject's row is not usable"),
        (~rows["subject"].isin(subjects["subject"]), "no row in SPKRINFO.TXT"),
        (rows["published_split"] != rows["part"], "SPKRINFO.TXT has the subject in the other part"),
    )
    silent = subjects[~subjects["subject"].isin(clips["subject"])]
    second = rows.duplicated(["subject", "sentence", "part"]) & faults.isna()
    faulty = quarantine_of(rows[faults.notna()], faults[faults.notna()])
    return (
        rows[faults.isna() & ~second],
        pd.concat([faulty, quarantine_of(silent, "no clips of this subject")]),
        quarantine_of(rows[second], "another file of the same sentence"),
    )
