"""Opening a corpus of voices by its name, as a command or a notebook's parameters give it."""

from pathlib import Path

from agegender.corpora import commonvoice, folder, musan_rirs, speechocean762, timit, voicepack, voxceleb
from agegender.data.manifest import Manifest

LABELLED = ("commonvoice", "speechocean762", "timit", "voicepack", "voxceleb")
"""Corpora whose labels can be read without a clip."""

CORPORA = (*LABELLED, "musan", "rirs")


def open_corpus(
    corpus: str, root: Path, cache: Path | None = None, labels_only: bool = False, max_quarantined_share: float = 0.05
) -> Manifest:
    """Read the corpus that lies in ``root``; ``cache`` is where the archive of the pack is unpacked to.

    ``voicepack`` is the whole pack, ``speechocean762`` one of its two sources, with age groups.

    Raises ``ValueError`` for another name and for ``labels_only`` with a corpus without labels; otherwise as the
    readers of the corpora do.
    """
    if corpus not in (LABELLED if labels_only else CORPORA):
        raise ValueError(
            f"unknown corpus of voices {corpus!r}: expected {', '.join(LABELLED if labels_only else CORPORA)}"
        )
    if corpus == "voicepack":
        return voicepack.read_voices(root, cache, labels_only, max_quarantined_share)
    if corpus == "speechocean762":
        return speechocean762.read(root, cache, labels_only, max_quarantined_share)
    if corpus == "musan":
        return musan_rirs.read_musan(root)
    if corpus == "rirs":
        return musan_rirs.read_rirs(root)
    module = {"commonvoice": commonvoice, "timit": timit, "voxceleb": voxceleb}[corpus]
    return module.read(root, labels_only=labels_only, max_quarantined_share=max_quarantined_share)


def read_labelled_voices(corpus: str, data: Path, cache: Path, labels_only: bool = False) -> Manifest:
    """Read the examples of ``corpus`` that have an age in years and a gender.

    ``timit`` lies in ``data / "timit"``; ``voicepack`` is a pack in ``data``, unpacked into ``cache``; ``folder`` is a
    table of one's own in ``data`` (``agegender.corpora.folder``). With ``labels_only`` it is all that the table lists,
    whichever clips are there: what parts are drawn from. Raises as ``open_corpus`` does, and ``ValueError`` when
    nothing is left.
    """
    if corpus == "folder":
        manifest = folder.read(data, modality="voice", labels_only=labels_only)
    else:
        root = Path(data) if corpus == "voicepack" else Path(data) / corpus
        manifest = open_corpus(corpus, root, Path(cache), labels_only)
    examples = manifest.examples
    return manifest.keep(examples["age"].notna() & examples["gender"].notna(), "no age or no gender")
