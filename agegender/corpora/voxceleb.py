"""Reading VoxCeleb1: what celebrities said in interviews, with who they are and their gender, and no age.

Source: Nagrani, Chung and Zisserman (2017), VoxCeleb: a large-scale speaker identification dataset, Interspeech; lists
of trials are those of the release.
"""

from pathlib import Path

import pandas as pd

from agegender.corpora.tables import lines_of, parse_rows, quarantine_of, read_table, refuse_twice, set_aside
from agegender.data.manifest import Manifest, build_manifest
from agegender.labels import parse_gender

META = "vox1_meta.csv"
_ID, _GENDER, _SET = "VoxCeleb1 ID", "Gender", "Set"


def read(root: Path, labels_only: bool = False, max_quarantined_share: float = 0.05) -> Manifest:
    """Read ``vox1_meta.csv`` in ``root`` and find the clips ``<id>/<video>/<clip>.wav``; no audio is decoded.

    The folders of subjects lie in ``root`` itself, in ``wav``, or in a ``wav`` one folder deeper. With ``labels_only``
    there is one row for each subject, whose path is the folder. ``published_split`` is ``dev`` or ``test``, of the
    verification task. There is no age. Extra columns: ``video`` and ``clip`` (``<id>/<video>/<clip>.wav``).

    Quarantined are clips of a subject who is not in the table, subjects with an unknown gender, and subjects without a
    clip. Raises ``FileNotFoundError`` for a missing table and when there is no clip, and ``ValueError`` for a broken
    table and for a subject that stands twice in it.
    """
    root = Path(root)
    subjects = _subjects(root / META)
    if labels_only:
        rows, aside = set_aside(subjects.assign(path=subjects["subject"], video=None, clip=None), subjects["reason"])
    else:
        clips = _clips(root).merge(subjects, on="subject", how="left")
        is_known = clips["subject"].isin(subjects["subject"])
        rows, faulty = set_aside(clips, clips["reason"].where(is_known, f"subject is not in {META}"))
        unheard = subjects[~subjects["subject"].isin(clips["subject"])].assign(path=lambda table: table["subject"])
        aside = pd.concat([faulty, quarantine_of(unheard, "no clips of this subject")])
    return build_manifest(
        rows.drop(columns="reason").assign(corpus="voxceleb", modality="voice").astype({"video": "str", "clip": "str"}),
        aside,
        root=root,
        max_quarantined_share=max_quarantined_share,
    )


def trials(path: Path, manifest: Manifest) -> pd.DataFrame:
    """Read a list of trials: ``1 <clip> <clip>`` on each line, 1 for the same subject, 0 for two.

    Returns ``is_same`` (bool) and ``first`` and ``second``, the row numbers of the clips in ``manifest``. Raises
    ``FileNotFoundError`` for a missing list, and ``ValueError`` naming file, line and value for an empty one, a line of
    another form, a clip that is not in the manifest and a 0 or 1 that the subjects of the manifest contradict.
    """
    rows = {clip: row for row, clip in enumerate(manifest.examples["clip"])}
    subject = manifest.examples["subject"].to_numpy()
    found = []
    for line, fields in lines_of(Path(path)):
        if len(fields) != 3 or fields[0] not in ("0", "1"):
            raise ValueError(f"{path}, line {line}: expected 0 or 1 and two clips, found {' '.join(fields)!r}")
        for clip in fields[1:]:
            if clip not in rows:
                raise ValueError(
                    f"{path}, line {line}: clip {clip!r} is not among the {len(rows):,} clips of the manifest"
                )
        first, second = (rows[clip] for clip in fields[1:])
        is_same = fields[0] == "1"
        if is_same != (subject[first] == subject[second]):
            raise ValueError(f"{path}, line {line}: says {fields[0]}, but the subjects are {fields[1]} and {fields[2]}")
        found.append((is_same, first, second))
    if not found:
        raise ValueError(f"{path} is empty")
    return pd.DataFrame(found, columns=["is_same", "first", "second"])


def _subjects(path: Path) -> pd.DataFrame:
    """Return subject, gender, published split and reason of each row of the table."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: put the table of the release there")
    table = read_table(path, (_ID, _GENDER, _SET), "\t", other_columns=True)
    refuse_twice(path, table[_ID], "subject ")
    labels = parse_rows(lambda text: {"gender": parse_gender(text)}, table[_GENDER])
    return labels.assign(subject=table[_ID].str.strip(), published_split=table[_SET].str.strip())


def _clips(root: Path) -> pd.DataFrame:
    """Return path, subject, video and clip of each file, in the order of clips."""
    paths = [p for pattern in ("", "wav/", "*/wav/") for p in root.glob(f"{pattern}id*/*/*.wav")]
    if not paths:
        raise FileNotFoundError(
            f"no clip <id>/<video>/<clip>.wav in {root}, its folder wav or */wav: unpack them there"
        )
    rows = [(p.relative_to(root).as_posix(), p.parts[-3], p.parts[-2], "/".join(p.parts[-3:])) for p in paths]
    table = pd.DataFrame(rows, columns=["path", "subject", "video", "clip"], dtype="str")
    return table.sort_values(["clip", "path"], ignore_index=True)
