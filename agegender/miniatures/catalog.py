"""The writer of each miniature by the name of its corpus."""

from collections.abc import Callable
from pathlib import Path

from agegender.miniatures import layouts
from agegender.miniatures.celeba import write_celeba
from agegender.miniatures.commonvoice import write_commonvoice
from agegender.miniatures.imdb_wiki import write_imdb, write_wiki
from agegender.miniatures.musan_rirs import write_musan, write_rirs
from agegender.miniatures.timit import write_timit
from agegender.miniatures.voicepack import write_voicepack
from agegender.miniatures.voxceleb import write_voxceleb

WRITERS: dict[str, Callable[[Path, int, int], Path]] = {
    "adience": layouts.write_adience,
    "celeba": write_celeba,
    "fairface": layouts.write_fairface,
    "utkface": layouts.write_utkface,
    "folder": layouts.write_folder,
    "imdb": write_imdb,
    "wiki": write_wiki,
    "commonvoice": write_commonvoice,
    "musan": write_musan,
    "rirs": write_rirs,
    "timit": write_timit,
    "voicepack": write_voicepack,
    "voxceleb": write_voxceleb,
}
"""Name of a corpus -> writer of (folder, number of subjects, seed). A writer of a pack writes its folder below that."""

PACKS = {"fairface": "face-fairface", "utkface": "face-utkface", "voicepack": "voice-svd-so762"}
"""Name of a pack -> the folder that its writer makes below the one it is given."""
