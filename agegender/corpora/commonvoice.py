"""Reading Mozilla Common Voice: sentences that volunteers read at home, with the age group and gender that they gave.

Source: Ardila et al. (2020), Common Voice: a massively-multilingual speech corpus, LREC; the tables are those of the
releases, whose columns and spellings changed over the years. Ages are groups of ten years, spelt as in the corpus.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
from pyarrow import csv

from agegender.corpora.tables import first_reason, is_present, set_aside
from agegender.data.manifest import Manifest, build_manifest
from agegender.labels import COMMON_VOICE_6

AGES = (*COMMON_VOICE_6.labels, "seventies", "eighties", "nineties")
"""All spellings of ages; the published pipeline has a group for each of the first six."""

PARTS = ("train", "dev", "test")

_GENDERS = {
    "male": "male",
    "male_masculine": "male",
    "female": "female",
    "female_feminine": "female",
    **dict.fromkeys(("", "other", "intersex", "transgender", "non-binary", "do_not_wish_to_say")),
}
"""Spellings of all releases; what is neither of the two labels of this project is unknown to it."""

_COLUMNS = ("client_id", "path", "age", "gender")


def read(root: Path, labels_only: bool = False, max_quarantined_share: float = 0.05) -> Manifest:
    """Read ``validated.tsv`` of a language, and which part (``train.tsv``, ``dev.tsv``, ``test.tsv``) has which clip.

    ``root`` is the folder of the language, or up to two folders above it when there is one language only. Clips are
    looked for in ``clips`` beside the table unless ``labels_only``. ``subject`` is ``client_id``, which is nearly a
    person: some people have several. ``age_group`` is one of six, which older people do not have. Extra column:
    ``age_label``, the age as written (``fourties``).

    Quarantined are rows with another number of columns, an unknown age or gender, no ``client_id``, a path that is not
    the name of a file, a missing clip, a clip in two parts, and a clip of a part that is not in the table. Raises
    ``FileNotFoundError``, and ``ValueError`` naming the file for a missing column, text that is not UTF-8, no row at
    all and several languages.
    """
    path = _find(Path(root), "validated.tsv")
    cells, invalid = _cells(path, _COLUMNS)
    if len(cells) == 0:
        raise ValueError(f"{path} has a header and no rows that could be read")
    parts, twice = _parts(path.parent)
    rows = _rows(cells, parts)
    rows, aside = set_aside(rows, _reasons(cells, rows["path"], twice, None if labels_only else path.parent))
    lost = parts.index[~parts.index.isin(cells["path"])].astype("str")
    without = pd.DataFrame({"path": "clips/" + lost, "row": 0, "reason": f"in a part, but not in {path.name}"})
    return build_manifest(
        rows,
        pd.concat([invalid, aside, without], ignore_index=True),
        scheme=COMMON_VOICE_6,
        root=path.parent,
        max_quarantined_share=max_quarantined_share,
    )


def _find(root: Path, name: str) -> Path:
    for pattern in (name, f"*/{name}", f"*/*/{name}"):
        found = sorted(root.glob(pattern))
        if len(found) > 1:
            languages = ", ".join(str(path.parent.relative_to(root)) for path in found[:5])
            raise ValueError(f"{root} holds {len(found)} tables {name} ({languages}): give the folder of one of them")
        if found:
            return found[0]
    raise FileNotFoundError(f"no {name} in {root} or two folders below it: unpack the release of one language there")


def _cells(path: Path, columns: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return these columns of a tab-separated table, indexed by line, and its rows of another width as quarantine.

    Ages and genders come as categories; quotes are ordinary characters, as sentences have single ones.
    """
    with path.open("rb") as file:
        header = file.readline().decode("utf-8-sig", errors="replace").rstrip("\r\n").split("\t")
    missing = [name for name in columns if name not in header]
    if missing:
        raise ValueError(f"{path}, line 1: no column {missing[0]!r}; found {', '.join(header)}")
    bad: list[tuple[int, str]] = []

    def note(row: csv.InvalidRow) -> str:
        bad.append((row.number, f"{row.actual_columns} columns instead of {row.expected_columns}"))
        return "skip"

    try:
        table = csv.read_csv(
            path,
            csv.ReadOptions(use_threads=False),  # only so are rows numbered
            csv.ParseOptions(delimiter="\t", quote_char=False, invalid_row_handler=note, ignore_empty_lines=False),
            csv.ConvertOptions(include_columns=columns, column_types=dict.fromkeys(columns, pyarrow.string())),
        )
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path} cannot be read as tab-separated UTF-8 text: {error}") from error
    lines = np.setdiff1d(np.arange(2, len(table) + len(bad) + 2), [line for line, _ in bad], assume_unique=True)
    frame = {
        name: column.combine_chunks().dictionary_encode().to_pandas()
        if name in ("age", "gender")
        else column.to_pandas().astype("str")
        for name, column in zip(columns, table.select(columns).columns, strict=True)
    }
    invalid = pd.DataFrame({"path": path.name, "row": [n for n, _ in bad], "reason": [why for _, why in bad]})
    return pd.DataFrame(frame).set_index(lines), invalid


def _parts(folder: Path) -> tuple[pd.Series, pd.Index]:
    """Return the part of each clip that is in one, by its file name, and the clips that are in several parts."""
    found = []
    for part in PARTS:
        if (folder / f"{part}.tsv").is_file():
            cells, _ = _cells(folder / f"{part}.tsv", ("path",))
            found.append(pd.Series(part, index=pd.Index(cells["path"].unique(), dtype="str"), dtype="str"))
    if not found:
        return pd.Series(dtype="str", index=pd.Index([], dtype="str")), pd.Index([], dtype="str")
    parts = pd.concat(found)
    twice = parts.index[parts.index.duplicated()]
    return parts[~parts.index.isin(twice)], twice.unique()


def _rows(cells: pd.DataFrame, parts: pd.Series) -> pd.DataFrame:
    groups = {label: group for group, label in enumerate(COMMON_VOICE_6.labels)}
    return pd.DataFrame(
        {
            "path": "clips/" + cells["path"],
            "subject": cells["client_id"],
            "age_group": cells["age"].map(groups).astype("Int64"),
            "gender": cells["gender"].map(_GENDERS.get).astype("str"),
            "corpus": "commonvoice",
            "modality": "voice",
            "published_split": cells["path"].map(parts).astype("str"),
            "age_label": cells["age"].astype("str").mask(cells["age"] == ""),
        }
    )


def _reasons(cells: pd.DataFrame, paths: pd.Series, twice: pd.Index, folder: Path | None) -> pd.Series:
    """Say for each row why it cannot be used; ``folder`` is ``None`` if clips do not matter."""
    names = cells["path"]
    faults = [
        (cells["client_id"] == "", "no client_id"),
        (names.str.contains(r"[/\\]") | (names == ""), "path is not the name of a file"),
        (names.isin(twice), "clip in two parts"),
    ]
    for column, known in (("age", {"", *AGES}), ("gender", set(_GENDERS))):
        unknown = [value for value in cells[column].cat.categories if value not in known]
        faults += [(cells[column] == value, f"unknown {column} {value!r}") for value in unknown]
    if folder is not None:
        if not (folder / "clips").is_dir():
            raise FileNotFoundError(
                f"{folder / 'clips'} does not exist: unpack the clips there, or read labels only (--labels-only)"
            )
        faults.append((~is_present(folder, paths), "missing file"))
    return first_reason(*faults)
