"""Measuring two ways of doing one thing, turn by turn in one process, and comparing their medians."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Comparison:
    """Medians in seconds of both arms; ``ratio`` is plain / ours and should be at least ``at_least``."""

    name: str
    ratio: float
    at_least: float
    ours_s: float
    plain_s: float
    rounds: int

    @property
    def holds(self) -> bool:
        """Whether the ratio is as large as it should be."""
        return self.ratio >= self.at_least

    def as_dict(self) -> dict:
        """Return the entry of ``results.json``."""
        return asdict(self) | {"holds": self.holds}


def compare(
    name: str, ours: Callable[[], object], plain: Callable[[], object], at_least: float, rounds: int, warm_up: int = 1
) -> Comparison:
    """Time both arms ``rounds`` times in turns, after ``warm_up`` untimed turns, and print the outcome.

    Taking turns spreads whatever else the machine does over both arms.
    """
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for turn in range(warm_up + rounds):
        for arm, function in (("ours", ours), ("plain", plain)):
            start = time.perf_counter()
            function()
            if turn >= warm_up:
                times[arm].append(time.perf_counter() - start)
    ours_s, plain_s = statistics.median(times["ours"]), statistics.median(times["plain"])
    result = Comparison(name, plain_s / ours_s, at_least, ours_s, plain_s, rounds)
    print(line(result), flush=True)
    return result


def line(result: Comparison) -> str:
    """Return one row of the printed table."""
    verdict = "holds" if result.holds else "MISSED"
    return (
        f"{result.name:<58} ours {1e3 * result.ours_s:9.1f} ms  plain {1e3 * result.plain_s:9.1f} ms  "
        f"ratio {result.ratio:6.2f}  (at least {result.at_least:g}) {verdict}"
    )
