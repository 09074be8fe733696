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

from agegender.evaluation import plots, tables
from agegender.evaluation.baselines import summarise_constants
from agegender.evaluation.records import Run, predictions_together, read_runs
from agegender.evaluation.scores import EXACT, GENDER_ACCURACY
from agegender.files import replaced_atomically
from agegender.labels import scheme_named

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
    """Return the rows to draw: each system, and the best constant on the faces of the first."""
    ours = tables.summary(runs, METRICS).assign(origin="ours")
    ours["system"] = "LMTCNN-" + ours["model"] + ", " + ours["variant"].str.replace("_", " ")
    first = [
        run for run in runs if tuple(run.record[k] for k in tables.SYSTEM) == tuple(ours[list(tables.SYSTEM)].iloc[0])
    ]
    trivial = summarise_constants(predictions_together(first), scheme_named(first[0].record["scheme"]), METRICS)
    trivial = trivial.assign(origin="baseline", system="best constant")
    return pd.concat([ours, trivial], ignore_index=True).rename(columns={"pooled": "value"})


def draw(records: Path = RECORDS, picture: Path = PICTURE) -> None:
    """Draw both metrics, one over the other."""
    scores = scores_of(read_runs(records))
    figure, axes = plt.subplots(2, 1, figsize=(7, 4.2), layout="constrained")
    for ax, metric in zip(axes, METRICS, strict=True):
        plots.interval_dots(scores[scores["metric"] == metric.name], metric.label, metric.unit, ax=ax)
    with replaced_atomically(picture) as temporary:
        figure.savefig(temporary, dpi=130, metadata={KEY: checksum(records), "Software": None})
    plt.close(figure)


if __name__ == "__main__":
    draw()
    print(f"{PICTURE.relative_to(ROOT)} drawn")
