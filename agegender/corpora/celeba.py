"""Reading CelebA: 202,599 aligned photographs of celebrities, 178 x 218 pixels, with 40 attributes seen in them.

Source: Liu, Luo, Wang and Tang (2015), Deep Learning Face Attributes in the Wild, ICCV; the lists and their format are
those of the corpus's own release.

Attributes are looked up by their names. The published pretraining script of the ``levihassner`` pipeline takes token 20
of each row for the gender, which is ``High_Cheekbones`` in the released list; ``Male`` is token 21.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from agegender.corpora.tables import first_reason, is_present, lines_of, quarantine_of, refuse_twice, set_aside
from agegender.data.manifest import Manifest, build_manifest

ATTRIBUTES, IDENTITIES, PARTS = "list_attr_celeba.txt", "identity_CelebA.txt", "list_eval_partition.txt"
PICTURES = "img_align_celeba"

_PART_NAMES = {"0": "train", "1": "validation", "2": "test"}
_VALUES = {"1", "-1"}


def read(root: Path, labels_only: bool = False, max_quarantined_share: float = 0.05) -> Manifest:
    """Read the CelebA tree below ``root``: three text lists and the folder ``img_align_celeba``.

    Lists and pictures lie in ``root`` itself, or as the release's archives unpack (``Anno``, ``Eval``, ``Img``), or
    either of these in a folder ``celeba`` or ``CelebA`` of ``root``.

    ``gender`` is what annotators saw (``Male``), and so is the extra column ``young`` (nullable boolean). There is no
    ``age`` and no ``age_group``: ``Young`` is an impression, not an age. ``published_split`` is ``train``,
    ``validation`` or ``test``; ``subject`` is the number of the celebrity. Without the list of identities each
    picture is a subject of its own, ``has_identities`` is false and a ``UserWarning`` says so.

    Quarantined are rows with a value other than 1 and -1, images that stand in one list and not in another, unknown
    parts, identities that are not a number, file names that are paths, and missing pictures. Raises
    ``FileNotFoundError``, and ``ValueError`` naming file and line for a list with a fault in its form.
    """
    root = Path(root)
    pictures = None if labels_only else _find(root, PICTURES)
    if not labels_only and (pictures is None or not pictures.is_dir()):
        raise FileNotFoundError(
            f"there is no folder {PICTURES} in {root} or its folders Img or celeba: unpack {PICTURES}.zip there, or "
            "read labels only (--labels-only)"
        )
    attributes = _attribute_list(_required(root, ATTRIBUTES))
    lists = {PARTS: _value_list(_required(root, PARTS))}
    identities = _find(root, IDENTITIES)
    if identities is not None:
        lists[IDENTITIES] = _value_list(identities)
    else:
        warnings.warn(
            f"{root} has no {IDENTITIES}: each picture counts as a subject of its own, so a split by subject does not "
            "keep people apart; the published parts do",
            stacklevel=2,
        )
    values = {name: attributes["file"].map(table.set_index("file")["value"]) for name, table in lists.items()}
    rows = _rows(attributes, values)
    rows, aside = set_aside(rows, _reasons(attributes, values, pictures and pictures.parent))
    return build_manifest(
        rows,
        pd.concat([aside, _without_attributes(attributes, lists)]),
        root=pictures.parent if pictures else root,
        is_aligned=True,
        has_identities=identities is not None,
        max_quarantined_share=max_quarantined_share,
    )


def _find(root: Path, name: str) -> Path | None:
    """Return where a list or folder of the release lies below ``root``, or ``None``."""
    places = [root / top / inner / name for top in ("", "celeba", "CelebA") for inner in ("", "Anno", "Eval", "Img")]
    return next((place for place in places if place.exists()), None)


def _required(root: Path, name: str) -> Path:
    path = _find(root, name)
    if path is None:
        raise FileNotFoundError(f"{name} is neither in {root} nor in its folders Anno, Eval or celeba: put it there")
    return path


def _rows(attributes: pd.DataFrame, values: dict[str, pd.Series]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": PICTURES + "/" + attributes["file"],
            "subject": values.get(IDENTITIES, attributes["file"]),
            "gender": attributes["Male"].map({"1": "male", "-1": "female"}),
            "corpus": "celeba",
            "modality": "face",
            "published_split": values[PARTS].map(_PART_NAMES),
            "young": attributes["Young"].map({"1": True, "-1": False}).astype("boolean"),
        }
    )


def _reasons(attributes: pd.DataFrame, values: dict[str, pd.Series], root: Path | None) -> pd.Series:
    """Say for each row the first thing that is wrong with it, missing where nothing is."""
    file, part = attributes["file"], values[PARTS]
    faults: list[tuple[pd.Series, str | pd.Series]] = [
        (attributes["reason"].notna(), attributes["reason"]),
        (file.str.contains(r"[/\\]"), "file name is a path"),
        *((value.isna(), f"not in {name}") for name, value in values.items()),
        (part.map(_PART_NAMES).isna(), "part " + part + " is not 0, 1 or 2"),
    ]
    if IDENTITIES in values:
        identity = values[IDENTITIES]
        faults.append((~identity.str.fullmatch(r"\d+", na=False), "identity " + identity + " is not a number"))
    if root is not None:
        faults.append((~is_present(root, PICTURES + "/" + file), "missing file"))
    return first_reason(*faults)


def _without_attributes(attributes: pd.DataFrame, lists: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the images that stand in another list only, as rows of the quarantine with their line in that list."""
    listed = pd.concat([table.assign(where=name) for name, table in lists.items()])
    extra = listed[~listed["file"].isin(attributes["file"])].drop_duplicates("file")
    return quarantine_of(
        extra.assign(path=PICTURES + "/" + extra["file"]), "in " + extra["where"] + f" but not in {ATTRIBUTES}"
    )


def _attribute_list(path: Path) -> pd.DataFrame:
    """Read the number of images, the names of the attributes, and a row for each image; indexed by line.

    Returns ``file``, the texts ``Male`` and ``Young``, and ``reason``: what is wrong with the values of the row.
    """
    lines = lines_of(path)
    number, names = _header(path, lines)
    rows = {}
    for line, fields in lines:
        if len(fields) != len(names) + 1:
            raise ValueError(
                f"{path}, line {line}: expected a file and {len(names)} values, one for each name in line 2; "
                f"found {len(fields) - 1} values after {fields[0]!r}"
            )
        wrong = None
        if not _VALUES.issuperset(fields[1:]):
            name, value = next(pair for pair in zip(names, fields[1:], strict=True) if pair[1] not in _VALUES)
            wrong = f"attribute {name} is {value!r}, not 1 or -1"
        rows[line] = (fields[0], fields[1 + names.index("Male")], fields[1 + names.index("Young")], wrong)
    if len(rows) != number:
        raise ValueError(
            f"{path}, line 1: says {number:,} images, but {len(rows):,} rows follow: is the file cut off, or was it "
            "edited? Get it anew, or correct the number"
        )
    return _checked(path, rows, ["file", "Male", "Young", "reason"])


def _value_list(path: Path) -> pd.DataFrame:
    """Read a list of one value for each image: ``file`` and ``value`` (text), indexed by line."""
    rows = dict(lines_of(path))
    for line, fields in rows.items():
        if len(fields) != 2:
            raise ValueError(f"{path}, line {line}: expected a file and one value, found {' '.join(fields)!r}")
    return _checked(path, rows, ["file", "value"])


def _header(path: Path, lines: Iterator[tuple[int, list[str]]]) -> tuple[int, list[str]]:
    _, number = next(lines, (1, []))
    if len(number) != 1 or not number[0].isdecimal():
        raise ValueError(f"{path}, line 1: expected the number of images, found {' '.join(number[:5])!r}")
    _, names = next(lines, (2, []))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path}, line 2: the attribute {twice[0]!r} stands twice")
    missing = [name for name in ("Male", "Young") if name not in names]
    if missing:
        raise ValueError(f"{path}, line 2: no attribute {missing[0]!r} among {' '.join(names)!r}")
    return int(number[0]), names


def _checked(path: Path, rows: dict[int, Any], columns: list[str]) -> pd.DataFrame:
    if not rows:
        raise ValueError(f"{path} lists no image")
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).astype("str")
    refuse_twice(path, table["file"], "")
    return table
