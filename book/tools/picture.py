"""Draw the picture of the README from the committed records: ``python book/tools/picture.py``.

The picture carries a checksum of the records that it was drawn from; a test compares it, so that a picture of old
records is noticed.
"""

import hashlib
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd

from agegender.evaluation import comparison, plots
from agegender.evaluation.metrics import EXACT, GENDER_ACCURACY
from agegender.evaluation.records import Run, read_runs
from agegender.files import replaced_atomically

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "book" / "results" / "open" / "lmtcnn"
PICTURE = ROOT / "book" / "results" / "lmtcnn.png"
KEY = "agegender-records"
METRICS = (EXACT, GENDER_ACCURACY)


def checksum(records: Path) -> str:
    """Return a SHA-256 of the names and bytes of all records below a folder."""
    digest = hashlib.sha256()
    for path in sorted(records.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(records).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def scores_of(runs: list[Run]) -> pd.DataFrame:
    """Return the rows to draw: each system, and the best constant."""
    scores = comparison.scores(runs, METRICS)
    named = "LMTCNN-" + scores["model"] + ", " + scores["variant"].str.replace("_", " ")
    return scores.assign(system=named.fillna(scores["system"]))


def draw(records: Path = RECORDS, picture: Path = PICTURE) -> None:
    """Draw both metrics, one over the other."""
    scores = scores_of(read_runs(records))
    figure, axes = plt.subplots(2, 1, figsize=(7, 4.2), layout="constrained")
    for ax, metric in zip(axes, METRICS, strict=True):
        plots.interval_dots(scores, metric, ax)
    with replaced_atomically(picture) as temporary:
        figure.savefig(temporary, dpi=130, metadata={KEY: checksum(records), "Software": None})
    plt.close(figure)


if __name__ == "__main__":
    draw()
    print(f"{PICTURE.relative_to(ROOT)} drawn")
