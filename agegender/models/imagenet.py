"""Weights trained on ImageNet: where they lie, whether they can be had, and their contents once they are proved.

torchvision names the files and torch.hub keeps them; the first eight digits of their SHA-256 stand in their names.
"""

import hashlib
import re
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import torch
from torch import Tensor
from torchvision.models import ResNet18_Weights, ResNet50_Weights

ADDRESSES: dict[int, str] = {18: ResNet18_Weights.IMAGENET1K_V1.url, 50: ResNet50_Weights.IMAGENET1K_V1.url}
"""Depth of a ResNet -> where torchvision's first weights of it are published."""


class WeightsUnavailableError(RuntimeError):
    """The ImageNet weights are not here and cannot be fetched, or are not what they should be; says what to do."""


def imagenet_file(depth: int) -> Path:
    """Return where the weights of ResNet-``depth`` are kept, there or not: torch.hub's folder (``TORCH_HOME``)."""
    return Path(torch.hub.get_dir()) / "checkpoints" / _address(depth).rsplit("/", 1)[-1]


def has_imagenet_weights(depth: int, timeout_s: float = 5.0) -> bool:
    """Tell whether the weights of ResNet-``depth`` are here or their server answers; nothing is downloaded.

    Waits for ``timeout_s`` seconds at most for each step of the connection.
    """
    if imagenet_file(depth).exists():
        return True
    try:
        with urlopen(Request(_address(depth), method="HEAD"), timeout=timeout_s):  # noqa: S310 torchvision's own address
            return True
    except OSError:  # URLError and time-outs are kinds of it
        return False


def imagenet_weights(depth: int) -> dict[str, Tensor]:
    """Return torchvision's state of a ResNet-``depth`` trained on ImageNet, classifier included.

    The file is downloaded once, and proved by its SHA-256 every time. Raises ``WeightsUnavailableError`` when it can
    not be had or is another file than it should be, and ``ValueError`` for a depth without weights.
    """
    file = imagenet_file(depth)
    if not file.exists():
        _download(depth, file)
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if not digest.startswith(_proof(file)):
        raise WeightsUnavailableError(
            f"{file} is damaged or another file: its SHA-256 begins {digest[:8]}, not {_proof(file)}. Delete it"
        )
    return torch.load(file, map_location="cpu", weights_only=True)


def _download(depth: int, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(_address(depth), str(file), _proof(file), progress=False)
    except (OSError, RuntimeError) as error:  # no network, no such file; or contents that are not the promised ones
        reason = error.reason if isinstance(error, URLError) else error
        raise WeightsUnavailableError(
            f"the ImageNet weights of ResNet-{depth} cannot be had ({reason}). Put a copy of {file.name} "
            f"at {file}, or train from scratch with weights=None"
        ) from error


def _address(depth: int) -> str:
    if depth not in ADDRESSES:
        raise ValueError(f"ImageNet weights are known for the depths {sorted(ADDRESSES)}, not {depth}")
    return ADDRESSES[depth]


def _proof(file: Path) -> str:
    found = re.search(r"-([0-9a-f]{8,})\.", file.name)
    assert found is not None, file.name
    return found[1]
