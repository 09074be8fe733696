"""By what a run can be known again: hashes of its weights, its answers and the library, the date and the processor."""

import hashlib
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from agegender.evaluation.records import IDENTIFIERS, without_numbers

_DIGITS = 16
_PACKAGES = ("agegender", "torch", "torchvision", "numpy", "pandas", "pillow", "scikit-learn")


def weights_hash(model: nn.Module) -> str:
    """Return sixteen digits that change with any weight or buffer of ``model``, and not with their layout in memory."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:_DIGITS]


def predictions_hash(predictions: pd.DataFrame) -> str:
    """Return sixteen digits that change with any answer or label; names may become numbers without changing it."""
    kept = without_numbers(predictions).drop(columns=[name for name in IDENTIFIERS if name in predictions])
    hashes = pd.util.hash_pandas_object(kept, index=False).to_numpy()
    return hashlib.sha256(repr(list(kept)).encode() + hashes.tobytes()).hexdigest()[:_DIGITS]


def library_hash() -> str:
    """Return sixteen digits that change with any module of the library."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()} ".encode() + path.read_bytes())
    return digest.hexdigest()[:_DIGITS]


def commit() -> str:
    """Return the commit of the library's checkout, with ``+`` when files differ from it, or ``"unknown"``."""
    try:
        command = ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
        here = Path(__file__).parent
        return subprocess.run(command, cwd=here, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def circumstances() -> dict[str, Any]:
    """Return when and on which processor a run was finished, and with which state of the library and of others."""
    return {
        "commit": commit(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}",
        "library_hash": library_hash(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
