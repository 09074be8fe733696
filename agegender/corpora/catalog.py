"""The one place where the name of a corpus becomes its reader."""

from pathlib import Path
from typing import NamedTuple

from agegender.corpora import adience, celeba, commonvoice, folder, imdb_wiki, musan_rirs, packs, timit, voxceleb
from agegender.data.manifest import Manifest
from agegender.labels import FAIRFACE_9, AgeScheme

LABELS_ALONE = (
    "adience", "celeba", "commonvoice", "folder", "imdb", "speechocean762", "timit", "voicepack", "voxceleb", "wiki",
)  # fmt: skip
"""Corpora whose labels can be read without a picture or clip."""

CORPORA = (*LABELS_ALONE, "fairface", "musan", "rirs", "utkface")


class Options(NamedTuple):
    """What can be chosen when a corpus is read. A choice that a corpus does not have is not looked at.

    Of ``adience`` the ``subset`` and ``repair_25_23`` (true, so that row numbers mean the same in every variant), of
    ``imdb`` and ``wiki`` ``age_of`` and ``min_face_score``, of ``fairface`` ``has_more``, of ``folder`` ``scheme``,
    ``modality`` and ``is_aligned``.
    """

    subset: str = "joint"
    repair_25_23: bool = True
    age_of: str = "years_apart"
    min_face_score: float | None = None
    has_more: bool = False
    scheme: AgeScheme | None = None
    modality: str | None = None
    is_aligned: bool = False
    max_quarantined_share: float = 0.05


ANY = Options()
"""Every choice as it stands above."""

FACES = Options(scheme=FAIRFACE_9, modality="face")
"""A table of one's own has pictures, and the nine groups of FairFace or ages that are sorted into them."""

VOICES = Options(modality="voice")
"""A table of one's own has recordings."""


def read(
    name: str, data: Path, cache: Path | None = None, *, labels_only: bool = False, options: Options = ANY
) -> Manifest:
    """Read the corpus ``name`` in the folder ``data`` of all corpora, or in ``data`` itself.

    A corpus or pack lies in the folder of its name, or in ``data`` itself (an archive is unpacked into ``cache``);
    ``folder`` is a table of one's own in ``data``. With ``labels_only`` it is all that the tables list, whichever files
    are there. Raises ``ValueError`` for an unknown name and where labels cannot be read alone, else as the readers do.
    """
    if name not in CORPORA:
        raise ValueError(f"unknown corpus {name!r}: expected one of {', '.join(sorted(CORPORA))}")
    if labels_only and name not in LABELS_ALONE:
        raise ValueError(f"labels only (--labels-only) is for {', '.join(LABELS_ALONE)}, not for {name}")
    data, share = Path(data), options.max_quarantined_share
    root = data / name if (data / name).is_dir() else data
    match name:
        case "adience":
            return adience.read(root, labels_only, options.subset, options.repair_25_23, share)
        case "imdb" | "wiki":
            return imdb_wiki.read(data, name, options.age_of, options.min_face_score, labels_only, share)
        case "folder":
            return folder.read(data, options.scheme, options.modality, options.is_aligned, share, labels_only)
        case "fairface":
            return packs.read_fairface(root, cache, share, options.has_more)
        case "utkface":
            return packs.read_utkface(root, cache, share)
        case "voicepack" | "speechocean762":
            read_pack = packs.read_voices if name == "voicepack" else packs.read_speechocean762
            return read_pack(root, cache, labels_only, share)
        case "musan" | "rirs":
            return musan_rirs.read(root, name)
    module = {"celeba": celeba, "commonvoice": commonvoice, "timit": timit, "voxceleb": voxceleb}[name]
    return module.read(root, labels_only, share)
