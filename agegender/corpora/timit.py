"""Reading TIMIT: 630 people, ten read sentences each, with sex, date of birth and date of recording.

Source: Garofolo, Lamel, Fisher, Fiscus, Pallett and Dahlgren (1993), DARPA TIMIT acoustic-phonetic continuous speech
corpus, NISTIR 4930; the files are those of the release LDC93S1 and of the copies that unpack them otherwise.
"""

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd

from agegender.data.manifest import Manifest, build_manifest
from agegender.labels import check_age, parse_gender

DAYS_PER_YEAR = 365.25
COMMON_SENTENCES = ("SA1", "SA2")
"""The two sentences that everybody reads; the training and the test part share their words."""

_LINE = "_line"
_PARTS = {"TRN": "train", "TST": "test"}
_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{2})")


def read(
    root: Path, labels_only: bool = False, with_common_sentences: bool = True, max_quarantined_share: float = 0.05
) -> Manifest:
    """Read ``SPKRINFO.TXT`` below ``root`` and find the clips in ``TRAIN`` and ``TEST``; no audio is decoded.

    Both may lie up to two folders deep (``TIMIT/DOC``), in capitals or not. A clip is any ``.WAV`` in a folder named
    as its subject, with a dialect folder above it or without: ``TRAIN/DR1/FABC0/SA1.WAV``, ``train/fabc0/sa1.wav`` and
    ``SA1.WAV.wav`` are all found. Whether it is SPHERE or RIFF is for the decoder to see.
    With ``labels_only`` no clip is looked for, and there is one row for each subject, whose path is the folder.

    ``age`` is that at the recording in decimal years: days since birth / 365.25; dates of birth written with ``??``
    give none. ``published_split`` is ``train`` or ``test``. Extra columns: ``sentence`` (``SA1``; missing with
    ``labels_only``) and ``dialect`` (``1`` to ``8``). ``with_common_sentences=False`` leaves SA1 and SA2 out.

    Quarantined are rows and clips that contradict each other or cannot be understood: unknown sex, part or date, a
    subject without a row or without clips, a clip in the other part. A second file of one sentence is set aside too,
    but does not count for ``max_quarantined_share``, as a converted copy may stand beside each original.

    Raises ``FileNotFoundError`` for a missing table or tree, ``ValueError`` for a table without any row and a subject
    that stands twice, and ``TooManyQuarantinedError`` as ``build_manifest`` does.
    """
    root = Path(root)
    table_path = _find(root, "spkrinfo.txt", 3)
    if table_path is None:
        raise FileNotFoundError(f"no SPKRINFO.TXT in {root} or its folders: it stands in TIMIT/DOC of the release")
    subjects = _subjects(table_path)
    good = subjects[subjects["reason"].isna()]
    aside = subjects.loc[subjects["reason"].notna(), ["path", _LINE, "reason"]].rename(columns={_LINE: "row"})
    if labels_only:
        rows, copies = good, aside.iloc[:0]
    else:
        root = _tree(root)
        rows, faults, copies = _joined(good, _clips(root), set(subjects["subject"]))
        aside = pd.concat([aside, faults], ignore_index=True)
    columns = ["path", "subject", "age", "gender", "published_split", "sentence", "dialect"]
    manifest = build_manifest(
        rows[columns].assign(corpus="timit", modality="voice", sentence=rows["sentence"].astype("str")),
        aside,
        root=root,
        max_quarantined_share=max_quarantined_share,
    )
    if len(copies):
        manifest = replace(manifest, quarantine=pd.concat([manifest.quarantine, copies], ignore_index=True))
    if with_common_sentences:
        return manifest
    return manifest.select(~manifest.examples["sentence"].isin(COMMON_SENTENCES))


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
    found = _DATE.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        month, day, year = map(int, found.groups())
        return date(1900 + year, month, day)
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
    rows = []
    for line, text in enumerate(path.read_text(encoding="latin-1").splitlines(), start=1):
        if text.strip() and not text.lstrip().startswith(";"):
            rows.append({**_subject(text.split()), _LINE: line})
    if not rows:
        raise ValueError(f"{path} has no row: expected lines such as 'ABC0 M 6 TRN 03/03/86 06/17/60'")
    table = pd.DataFrame(rows)
    twice = table["subject"].duplicated()
    if twice.any():
        subject, line = table.loc[twice, ["subject", _LINE]].iloc[0]
        raise ValueError(f"{path}, line {line}: subject {subject} stands twice: keep the right one of the two rows")
    return table.astype({"sentence": "str", "reason": "str"})


def _subject(fields: list[str]) -> dict:
    unknown = {
        "path": fields[0], "subject": fields[0], "age": float("nan"), "gender": None, "published_split": None,
        "sentence": None, "dialect": None,
    }  # fmt: skip
    try:
        if len(fields) < 6:
            raise ValueError(f"{len(fields)} fields instead of ID, Sex, DR, Use, RecDate, BirthDate")
        name, sex, dialect, use, recorded, born = fields[:6]
        gender = parse_gender(sex)
        if use.upper() not in _PARTS:
            raise ValueError(f"part {use!r} is neither TRN nor TST")
        subject = (sex[0] + name).upper()
        part = _PARTS[use.upper()]
        known = {"path": f"{part.upper()}/DR{dialect}/{subject}", "subject": subject, "published_split": part}
        age = age_at(born, recorded)
        return unknown | known | {"age": age, "gender": gender, "dialect": dialect, "reason": None}
    except ValueError as error:
        return unknown | {"reason": str(error)}


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
    labels = subjects.drop(columns=["path", "sentence", "reason"])
    rows = clips.merge(labels, on="subject", how="left")
    faults = {
        "the subject's row is not usable": rows["subject"].str[1:].isin(named),
        "no row in SPKRINFO.TXT": rows[_LINE].isna(),
        "SPKRINFO.TXT has the subject in the other part": rows["published_split"] != rows["part"],
    }
    reasons = pd.Series(None, index=rows.index, dtype="str")
    for reason, is_faulty in faults.items():
        reasons = reasons.mask(reasons.isna() & is_faulty, reason)
    second = rows.duplicated(["subject", "sentence", "part"]) & reasons.isna()
    silent = subjects[~subjects["subject"].isin(clips["subject"])]
    missing = pd.DataFrame({"path": silent["path"], "row": silent[_LINE], "reason": "no clips of this subject"})
    is_wanted = reasons.isna() & ~second

    def aside(which: pd.Series, reason: pd.Series | str) -> pd.DataFrame:
        return pd.DataFrame({"path": rows["path"], "row": rows.index, "reason": reason})[which]

    faulty = pd.concat([aside(reasons.notna(), reasons), missing], ignore_index=True)
    return rows[is_wanted], faulty, aside(second, "another file of the same sentence")
