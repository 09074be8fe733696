"""Reading one source of the open pack of voices as a corpus of its own, with age groups: speechocean762.

Source: Zhang and others (2021), "speechocean762: An Open-Source Non-native English Speech Corpus For Pronunciation
Assessment", Interspeech. Native speakers of Mandarin, about half of them children, read English sentences; the pack has
twelve clips of each.
"""

from dataclasses import replace
from pathlib import Path

from agegender.corpora.voicepack import read_voices
from agegender.data.manifest import Manifest
from agegender.labels import SPEECHOCEAN_6

CORPUS = "speechocean762"


def read(
    root: Path, cache: Path | None = None, labels_only: bool = False, max_quarantined_share: float = 0.05
) -> Manifest:
    """Read the clips of speechocean762 in the pack of voices below ``root``, with the groups of ``SPEECHOCEAN_6``.

    Arguments, columns and errors are those of ``voicepack.read_voices``, and the quarantine is that of the whole pack.
    Raises ``ValueError`` when the pack has none of its clips.
    """
    pack = read_voices(root, cache, labels_only, max_quarantined_share)
    own = pack.select(pack.examples["source_corpus"] == CORPUS)
    if len(own) == 0:
        raise ValueError(f"{pack.root} has {len(pack)} clips and none of {CORPUS}")
    groups = own.examples["age"].map(SPEECHOCEAN_6.group_of).astype("Int64")
    examples = own.examples.assign(corpus=CORPUS, age_group=groups)
    return replace(own, examples=examples, corpus=CORPUS, scheme=SPEECHOCEAN_6)
