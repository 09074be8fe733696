"""Reading CelebA: 202,599 aligned photographs of celebrities, 178 x 218 pixels, with 40 attributes seen in them.

Source: Liu, Luo, Wang and Tang (2015), Deep Learning Face Attributes in the Wild, ICCV; the lists and their format are
those of the corpus's own release.

Attributes are looked up by their names. The published pretraining script of the ``levihassner`` pipeline takes token 20
of each row for the gender. Counted from the file as token 0, that is ``High_Cheekbones`` in the released list; ``Male``
is token 21. The run that was published reached a gender accuracy that cheekbones do not give, so it must have read
another file, which is not known. Its other labels, six age classes in a second file, are not part of CelebA either: all
that the release says of age is ``Young``.
"""

import warnings
from pathlib import Path

import pandas as pd

from agegender.corpora.celeba_lists import attribute_list, value_list
from agegender.corpora.tables import LINE
from agegender.data.manifest import Manifest, build_manifest

ATTRIBUTES, IDENTITIES, PARTS = "list_attr_celeba.txt", "identity_CelebA.txt", "list_eval_partition.txt"
PICTURES = "img_align_celeba"

_PART_NAMES = {"0": "train", "1": "validation", "2": "test"}


def read(root: Path, labels_only: bool = False, max_quarantined_share: float = 0.05) -> Manifest:
    """Read the CelebA tree below ``root``: three text lists and the folder ``img_align_celeba``.

    Lists and pictures lie in ``root`` itself, or as the release's archives unpack (``Anno``, ``Eval``, ``Img``), or
    either of these in a folder ``celeba`` or ``CelebA`` of ``root``; the manifest is the same. With ``labels_only`` no
    picture needs to be there.

    ``gender`` is what annotators saw (``Male``), and so is the extra column ``young`` (nullable boolean). There is no
    ``age`` and no ``age_group``: ``Young`` is an impression, not an age. ``published_split`` is ``train``,
    ``validation`` or ``test``; ``subject`` is the number of the celebrity. Without the list of identities each
    picture is a subject of its own, ``has_identities`` is false and a ``UserWarning`` says so.

    Quarantined are rows with a value other than 1 and -1, images that stand in one list and not in another, unknown
    parts, identities that are not a number, file names that are paths, and missing pictures. Raises
    ``FileNotFoundError`` for a missing list or folder, ``ValueError`` naming file and line for a list with a fault in
    its form (see ``celeba_lists``) and ``TooManyQuarantinedError`` as ``build_manifest`` does.
    """
    root = Path(root)
    pictures = None if labels_only else _folder_of_pictures(root)
    attributes = attribute_list(_required(root, ATTRIBUTES), ("Male", "Young"))
    lists = {PARTS: value_list(_required(root, PARTS))}
    identities = _find(root, IDENTITIES)
    if identities is not None:
        lists[IDENTITIES] = value_list(identities)
    else:
        _warn_of_no_identities(root)
    values = {name: attributes["file"].map(table.set_index("file")["value"]) for name, table in lists.items()}
    reasons = _reasons(attributes, values, pictures)
    rows = _rows(attributes, values)
    aside = pd.DataFrame({"path": rows["path"], "row": rows[LINE], "reason": reasons})[reasons.notna()]
    return build_manifest(
        rows[reasons.isna()].set_index(LINE),
        pd.concat([aside, _without_attributes(attributes, lists)], ignore_index=True),
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


def _folder_of_pictures(root: Path) -> Path:
    folder = _find(root, PICTURES)
    if folder is None or not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder {PICTURES} in {root} or its folders Img or celeba: unpack {PICTURES}.zip there, or "
            "read labels only (--labels-only)"
        )
    return folder


def _warn_of_no_identities(root: Path) -> None:
    warnings.warn(
        f"{root} has no {IDENTITIES}: each picture counts as a subject of its own, so a split by subject does not keep "
        "people apart; the published parts do",
        stacklevel=3,
    )


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
            LINE: attributes[LINE],
        }
    )


def _reasons(attributes: pd.DataFrame, values: dict[str, pd.Series], pictures: Path | None) -> pd.Series:
    """Say for each row the first thing that is wrong with it, missing where nothing is."""
    file, part = attributes["file"], values[PARTS]
    faults: list[tuple[pd.Series, str | pd.Series]] = [(file.str.contains(r"[/\\]"), "file name is a path")]
    faults += [(value.isna(), f"not in {name}") for name, value in values.items()]
    faults.append((part.map(_PART_NAMES).isna(), "part " + part + " is not 0, 1 or 2"))
    if IDENTITIES in values:
        identity = values[IDENTITIES]
        faults.append((~identity.str.fullmatch(r"\d+", na=False), "identity " + identity + " is not a number"))
    if pictures is not None:
        present = {entry.name for entry in pictures.iterdir()}  # one look at the folder, not one for each file
        faults.append((pd.Series([name not in present for name in file]), "missing file"))
    reasons = attributes["reason"]
    for is_faulty, reason in faults:
        reasons = reasons.mask(reasons.isna() & is_faulty, reason)
    return reasons


def _without_attributes(attributes: pd.DataFrame, lists: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the images that stand in another list only, as rows of the quarantine with their line in that list."""
    known = set(attributes["file"])
    listed = pd.concat([table.assign(where=name) for name, table in lists.items()])
    extra = listed[[file not in known for file in listed["file"]]].drop_duplicates("file")
    reason = "in " + extra["where"] + f" but not in {ATTRIBUTES}"
    return pd.DataFrame({"path": PICTURES + "/" + extra["file"], "row": extra[LINE], "reason": reason})
