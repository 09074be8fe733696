"""The writer of each miniature by the name of its corpus."""

from collections.abc import Callable
from pathlib import Path

from agegender.miniatures import face_corpora, imdb_wiki, voice_corpora

WRITERS: dict[str, Callable[[Path, int, int], Path]] = {
    "adience": face_corpora.write_adience,
    "celeba": face_corpora.write_celeba,
    "fairface": face_corpora.write_fairface,
    "utkface": face_corpora.write_utkface,
    "folder": face_corpora.write_folder,
    "imdb": imdb_wiki.write_imdb,
    "wiki": imdb_wiki.write_wiki,
    "commonvoice": voice_corpora.write_commonvoice,
    "musan": voice_corpora.write_musan,
    "rirs": voice_corpora.write_rirs,
    "timit": voice_corpora.write_timit,
    "voicepack": voice_corpora.write_voicepack,
    "voxceleb": voice_corpora.write_voxceleb,
}
"""Name of a corpus -> writer of (folder, number of subjects, seed). A writer of a pack writes its folder below that."""

PACKS = {"fairface": "face-fairface", "utkface": "face-utkface", "voicepack": "voice-svd-so762"}
"""Name of a pack -> the folder that its writer makes below the one it is given."""
