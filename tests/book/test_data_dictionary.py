"""The data dictionary of the records names every field and every column, and its example runs."""

import re
from pathlib import Path

from agegender.evaluation.records import LAST_PREDICTIONS, OTHER_TESTS
from agegender.evaluation.schemas import _PREDICTIONS, LATER_FIELDS, RECORD_FIELDS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "book/results/README.md").read_text()
NAMED = set(re.findall(r"`([a-z_0-9]+)`", TEXT))


def test_every_field_of_a_record_is_named():
    assert set(RECORD_FIELDS | LATER_FIELDS) - NAMED == set()


def test_every_column_of_the_predictions_that_is_published_is_named():
    columns = {name.replace("[0-9]+", "0") for name in _PREDICTIONS.columns} - {"subject_number"}
    assert columns - NAMED == set()
    assert f"`{LAST_PREDICTIONS}`" in TEXT
    assert f"`{OTHER_TESTS}`" in TEXT


def test_the_example_runs_with_pandas_alone(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    [example] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert "agegender" not in example
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - our own text
    assert re.search(r"1-1-as_intended-fold0-seed0 [\d.]+% of [\d,]+ faces", capsys.readouterr().out)
