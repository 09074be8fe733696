"""By what a run can be known again: hashes of its weights, its answers and the library, the date and the processor."""

import hashlib
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from agegender.evaluation.records import IDENTIFIERS, without_numbers

_DIGITS = 16


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


def circumstances() -> dict[str, Any]:
    """Return when and on which processor a run was finished, and with which state of the library."""
    return {
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
