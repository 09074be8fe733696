"""Reading what training clips are spoilt with: MUSAN (music, speech and noise) and simulated room impulse responses.

Source: Snyder, Chen and Povey (2015), MUSAN: a music, speech, and noise corpus, arXiv 1510.08484; Ko, Peddinti, Povey,
Seltzer and Khudanpur (2017), A study on data augmentation of reverberant speech for robust speech recognition, ICASSP.
A recording is its own subject, a room is one.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from agegender.data.audio import cache_clips
from agegender.data.audio_augmentation import AudioAugmentation, published_augmentation
from agegender.data.manifest import Manifest, build_manifest

KINDS = ("music", "noise", "speech")
_KINDS = {"musan": KINDS, "rirs": ("smallroom", "mediumroom", "largeroom")}
_FOLDERS = {"musan": ("musan",), "rirs": ("simulated_rirs", "RIRS_NOISES/simulated_rirs")}


def read(root: Path, corpus: str) -> Manifest:
    """List the recordings ``<kind>/<source>/*.wav`` of ``musan``, or the impulse responses of ``rirs``.

    They lie in ``root``, ``root/musan``, ``root/simulated_rirs`` or ``root/RIRS_NOISES/simulated_rirs``. Extra columns:
    ``kind`` (``music``, ``noise`` or ``speech``; of rooms ``smallroom``, ``mediumroom`` or ``largeroom``) and
    ``source`` (or room). Raises ``FileNotFoundError`` when a kind is missing.
    """
    places = [Path(root) / name for name in _FOLDERS[corpus]]
    base = next((place for place in places if place.is_dir()), Path(root))
    found = {kind: list((base / kind).glob("*/*.wav")) for kind in _KINDS[corpus]}
    if missing := [kind for kind, paths in found.items() if not paths]:
        raise FileNotFoundError(f"{base} has no {missing[0]}/*/*.wav: unpack the whole corpus there")
    paths = sorted(path.relative_to(base) for each in found.values() for path in each)
    rows = pd.DataFrame([(p.as_posix(), *p.parts[:2]) for p in paths], columns=["path", "kind", "source"], dtype="str")
    subject = [path.stem if corpus == "musan" else path.parent.as_posix() for path in paths]
    return build_manifest(
        rows.assign(subject=subject, corpus=corpus, modality="voice"), root=base, has_identities=False
    )


def read_augmentation(data: Path, cache: Path) -> AudioAugmentation | None:
    """Read ``data / "musan"`` and ``data / "rirs"``, decoded into ``cache``; ``None`` when neither folder is there.

    Raises ``FileNotFoundError`` when only one of them is, and otherwise as their readers and ``cache_clips`` do.
    """
    folders = [Path(data) / name for name in ("musan", "rirs")]
    missing = [folder for folder in folders if not folder.is_dir()]
    if len(missing) == 2:
        return None
    if missing:
        raise FileNotFoundError(
            f"{missing[0]} does not exist: what surrounds voices is made of both musan and rirs; put it there, or take "
            "the other folder away to train without"
        )
    sounds, rooms = (cache_clips(read(folder, folder.name), cache) for folder in folders)
    kind = sounds.manifest.examples["kind"].to_numpy()
    of_kind = (sounds.select(np.flatnonzero(kind == name)) for name in ("music", "speech", "noise"))
    return published_augmentation(rooms, *of_kind)
