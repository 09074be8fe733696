"""Less talk from Lightning: what it says that does not concern the reader of a run."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_NO_CONCERN = (
    ".*LeafSpec.*is deprecated",  # between Lightning and torch
    "You're resuming from a checkpoint that ended before the epoch ended",  # a run is one long epoch, made to resume
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hide Lightning's messages below a warning (advertisements among them), and warnings that do not apply here."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in _NO_CONCERN:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        logger.setLevel(level)
