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
ROOMS = ("smallroom", "mediumroom", "largeroom")


def read_musan(root: Path) -> Manifest:
    """List the recordings ``<kind>/<source>/*.wav`` of MUSAN in ``root``, or in its folder ``musan``.

    Extra columns: ``kind`` (``music``, ``noise`` or ``speech``) and ``source``. Raises ``FileNotFoundError`` when a
    kind is missing.
    """
    return _read(_base(Path(root), "musan", KINDS), "musan", KINDS)


def read_rirs(root: Path) -> Manifest:
    """List the impulse responses ``<size>/<room>/*.wav`` below ``simulated_rirs`` in ``root`` or ``root/RIRS_NOISES``.

    Extra columns: ``kind`` (``smallroom``, ``mediumroom`` or ``largeroom``) and ``source`` (the room). ``subject`` is
    the room. Raises ``FileNotFoundError`` when a size is missing.
    """
    root = Path(root)
    places = [root / "simulated_rirs", root / "RIRS_NOISES/simulated_rirs"]
    base = next((place for place in places if place.is_dir()), root)
    return _read(_base(base, "simulated_rirs", ROOMS), "rirs", ROOMS)


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
    sounds, rooms = cache_clips(read_musan(folders[0]), cache), cache_clips(read_rirs(folders[1]), cache)
    kind = sounds.manifest.examples["kind"].to_numpy()
    of_kind = (sounds.select(np.flatnonzero(kind == name)) for name in ("music", "speech", "noise"))
    return published_augmentation(rooms, *of_kind)


def _base(root: Path, name: str, kinds: tuple[str, ...]) -> Path:
    base = root / name if (root / name).is_dir() else root
    missing = [kind for kind in kinds if not any((base / kind).glob("*/*.wav"))]
    if missing:
        raise FileNotFoundError(f"{base} has no {missing[0]}/*/*.wav: unpack the whole corpus there")
    return base


def _read(base: Path, corpus: str, kinds: tuple[str, ...]) -> Manifest:
    paths = sorted(path.relative_to(base) for kind in kinds for path in (base / kind).glob("*/*.wav"))
    rows = pd.DataFrame([(p.as_posix(), *p.parts[:2]) for p in paths], columns=["path", "kind", "source"], dtype="str")
    subject = [path.stem if corpus == "musan" else path.parent.as_posix() for path in paths]
    return build_manifest(
        rows.assign(subject=subject, corpus=corpus, modality="voice"), root=base, has_identities=False
    )
