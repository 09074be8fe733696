"""A model and what it predicts about files and arrays: one row for each face, and for each recording."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from agegender.data.cache import ExampleCache
from agegender.evaluation import age_distributions
from agegender.evaluation.metrics import Floats
from agegender.models.heads import ClassHead
from agegender.training.config import Precision, precision_here
from agegender.training.prediction import crops_of
from agegender.use.faces import Example, FaceReader
from agegender.use.inputs import Input, looked_at
from agegender.use.saved import SavedModel, read_model

COLUMNS = (
    "path", "kind", "index", "box", "age", "age_low", "age_high", "age_group", "p_female", "flags", "problem", "model",
)  # fmt: skip
FAR = "far from the training data"
_KINDS = {"face": "pictures", "voice": "recordings"}


@dataclass(frozen=True)
class Model:
    """A trained model with the preprocessing of its test.

    ``precision`` is that of the net where the device has it; ``"32-true"`` gives the very numbers of the test.
    """

    saved: SavedModel
    device: torch.device
    precision: Precision

    @property
    def kind(self) -> str:
        """``"face"`` or ``"voice"``."""
        return "voice" if self.saved.is_of_voices else "face"

    def predict(
        self,
        inputs: str | Path | np.ndarray | Sequence[str | Path | np.ndarray],
        *,
        aligned: bool = False,
        batch_size: int = 64,
        distributions: bool = False,
    ) -> pd.DataFrame:
        """Return ``COLUMNS`` for each face or recording of ``inputs``, in their order; see ``chunks``.

        An input is a path, or an array: an upright face (height, width, 3) uint8, or a recording (samples,) at the rate
        that the model hears, float in [-1, 1] or int16.
        """
        given = [inputs] if isinstance(inputs, str | Path | np.ndarray) else list(inputs)
        tables = list(self.chunks(given, aligned=aligned, batch_size=batch_size, distributions=distributions))
        return pd.concat(tables, ignore_index=True) if tables else table_of([])

    def chunks(
        self,
        inputs: Sequence[str | Path | np.ndarray | Input],
        *,
        aligned: bool = False,
        batch_size: int = 64,
        distributions: bool = False,
    ) -> Iterator[pd.DataFrame]:
        """Give the table of every ``batch_size`` inputs as soon as it is known: no more are in memory at once.

        Of a photograph each face has a row (``index`` from left to right, ``box`` in its pixels); with ``aligned`` a
        picture is one upright face. Of a model whose uncertainty was measured, ``age`` is the median in years, and
        ``age_low`` to ``age_high`` hold the true age of 90 % of the people who are like those of its test; of any
        other, ``age`` is what its head says. A file that cannot be used has one row with the ``problem``. With
        ``distributions`` there is also ``p_age_below``: for the ages 0, 1, ..., 101 the probability of being younger.
        Raises ``ImportError`` when faces are to be found and the detector is not installed.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        rest = iter(inputs)
        while chunk := list(islice(rest, batch_size)):
            rows = self.rows(chunk, aligned, distributions)
            yield table_of([row for own in rows for row in own], distributions)

    def rows(
        self, inputs: Sequence[str | Path | np.ndarray | Input], aligned: bool = False, distributions: bool = False
    ) -> list[list[dict[str, Any]]]:
        """Return the rows of each input, as ``chunks`` describes them, by column."""
        found = self._read(inputs, aligned)
        examples = [example for each in found if not isinstance(each, str) for example in each]
        said = iter(self._ask(examples, distributions))
        rows: list[list[dict[str, Any]]] = []
        for given, each in zip(inputs, found, strict=True):
            name = {"path": _name_of(given), "kind": self.kind, "model": self.saved.name}
            if isinstance(each, str):
                rows.append([name | {"problem": each}])
            else:
                rows.append([name | {"index": i, "box": face.box} | next(said) for i, face in enumerate(each)])
        return rows

    def _read(self, chunk: Sequence[Any], aligned: bool) -> list[list[Example] | str]:
        """Return the examples of each input, or why there are none."""
        reader = self.saved.reader
        inputs = [None if isinstance(each, np.ndarray) else each for each in chunk]
        looked = [each if isinstance(each, Input) or each is None else looked_at(str(each)) for each in inputs]
        usable = [Path(each.path) for each in looked if each is not None and each.kind == self.kind]
        read = iter(reader.read(usable, aligned) if isinstance(reader, FaceReader) else reader.read(usable))
        found: list[list[Example] | str] = []
        for given, each in zip(chunk, looked, strict=True):
            if each is None:
                found.append([reader.of_array(given)])
            elif each.kind == self.kind:
                found.append(next(read))
            else:
                found.append(each.problem or f"this model is asked about {_KINDS[self.kind]}")
        return found

    def _ask(self, examples: list[Example], distributions: bool) -> list[dict[str, Any]]:
        """Return what is said of each example, by column."""
        rows: list[dict[str, Any]] = [{} for _ in examples]
        counts = np.array([self.saved.num_crops(example.content) for example in examples])
        for count in np.unique(counts):
            places = np.flatnonzero(counts == count)
            outputs = self._outputs([examples[place].content for place in places], int(count))
            for place, row in zip(places, self._rows(outputs, distributions), strict=True):
                rows[place] = row
        for row, example in zip(rows, examples, strict=True):
            row["flags"] = "; ".join((*example.flags, *([FAR] if row.pop("is_far") else [])))
        return rows

    def outputs_of(self, examples: ExampleCache) -> dict[str, np.ndarray]:
        """Return predictions and embeddings of decoded examples, in the crops of the test, and nothing calibrated."""
        return self._outputs([examples[row] for row in range(len(examples))], self.saved.reads.get("num_crops", 1))

    @torch.inference_mode()
    def _outputs(self, contents: list[np.ndarray], num_crops: int) -> dict[str, np.ndarray]:
        """Return predictions and embeddings of examples, each the mean over the ``num_crops`` of an example."""
        parts = []
        for batch, _ in crops_of(self.saved.batches(contents, num_crops), self.device):
            answers = self._answers(self.saved.prepare(batch))
            parts.append({name: value.float().unflatten(0, (-1, num_crops)).mean(1) for name, value in answers.items()})
        return {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]}

    def _answers(self, inputs: Tensor) -> dict[str, Tensor]:
        model = self.saved.model
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed"):
            embedding = model.encoder(inputs)
            logits = {task: head(embedding) for task, head in model.heads.items()}
        answers = {"embedding": embedding} | model.decode(logits)
        if self.saved.is_in_years:
            answers["p_year"] = cast(ClassHead, model.heads["age"]).probabilities(logits["age"])
        return answers

    def _rows(self, outputs: dict[str, np.ndarray], distributions: bool) -> list[dict[str, Any]]:
        saved, scheme = self.saved, self.saved.scheme
        columns: dict[str, Any] = {"is_far": saved.is_far(outputs["embedding"])}
        below: Floats | None = None
        if "age" in outputs:
            columns["age"] = outputs["age"]
        if "p_year" in outputs:
            below = age_distributions.of_years(saved.tempered(outputs["p_year"], "age"))
        elif "p_group" in outputs and scheme is not None:
            p_group = saved.tempered(outputs["p_group"], "age")
            columns["age_group"] = [scheme.labels[group] for group in p_group.argmax(1)]
            below = age_distributions.of_groups(p_group, scheme)
        if below is not None and distributions:
            columns["p_age_below"] = list(below)
        if below is not None and (level := saved.uncertainty.get("age_level")) is not None:
            columns["age"] = age_distributions.quantiles(below, [0.5])[:, 0]
            columns["age_low"], columns["age_high"] = age_distributions.central_interval(below, level).T
        if "p_female" in outputs:
            p_female = outputs["p_female"].astype(np.float64)
            columns["p_female"] = saved.tempered(np.stack([1 - p_female, p_female], 1), "gender")[:, 1]
        number = len(outputs["embedding"])
        return [{name: values[row] for name, values in columns.items()} for row in range(number)]


def load_model(model: str | Path, device: str = "auto", precision: Precision = "bf16-mixed") -> Model:
    """Return a model: ``"face"`` or ``"voice"``, which ship with the package, a run folder, or a file of weights.

    ``device`` is ``"auto"``, ``"cpu"`` or ``"cuda"``. Raises as ``read_model`` does.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda: there is no CUDA device here; leave it out, or say cpu")
    chosen = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu"))
    saved = read_model(model)
    saved.model.to(chosen, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]  # stubs lack it
    return Model(saved, chosen, precision_here(precision, chosen.type))


def _name_of(given: Any) -> str:
    return "" if isinstance(given, np.ndarray) else given.path if isinstance(given, Input) else str(given)


def table_of(rows: list[dict[str, Any]], distributions: bool = False) -> pd.DataFrame:
    """Return ``rows`` with ``COLUMNS`` of fixed types; what a row does not say is missing."""
    names = [*COLUMNS, *(["p_age_below"] if distributions else [])]
    table = pd.DataFrame(rows, columns=names).astype({"index": "Int64", "box": object})
    table["box"] = [row.get("box") for row in rows]  # pandas would write NaN for a missing one
    for name in ("age", "age_low", "age_high", "p_female"):
        table[name] = table[name].astype("float64")
    for name in ("path", "kind", "age_group", "flags", "problem", "model"):
        table[name] = table[name].astype("str")
    return table
