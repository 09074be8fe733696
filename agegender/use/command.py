"""``agegender predict``: files in, a table out, and a line that says what was not used."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import cache
from itertools import islice
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from agegender.use.inputs import Input, inputs_of
from agegender.use.model import Model, load_model, table_of
from agegender.use.tables import check_output, table_writer

_SHOWN = ["path", "age", "age_low", "age_high", "age_group", "p_female", "flags", "problem"]


def predict(
    names: Sequence[str],
    *,
    output: Path | None = None,
    model: str | None = None,
    device: str = "auto",
    is_aligned: bool = False,
    is_synthetic: bool = False,
    batch_size: int = 64,
) -> int:
    """Print or write what models say of ``names`` (``inputs_of``); return 0, 1 if a file could not be used, or 130.

    ``model`` answers about all of them; without it the two that come with the package do, each about its own kind.
    After an interrupt what is done stays written. Raises ``ValueError`` for an ``output`` that would replace an input
    or cannot be written, and for a model of synthetic people unless ``is_synthetic``.
    """
    if output is not None:
        check_output(output)
    inputs, num_others = inputs_of(names)
    if output is not None and any(Path(each.path).resolve() == output.resolve() for each in inputs):
        raise ValueError(f"-o {output} is one of the inputs, and would be replaced: name another file")

    @cache
    def model_of(kind: str) -> Model:
        found = load_model(model or kind, device)
        if found.saved.is_synthetic and not is_synthetic:
            raise ValueError(
                f"{found.saved.name}: what it says of real people means nothing. Add --synthetic to see it all the same"
            )
        return found

    if model is not None:
        model_of("")
    begun, num_rows, num_unusable, is_interrupted = time.monotonic(), 0, 0, False
    try:
        with table_writer(output) if output else nullcontext(_Terminal()) as writer:
            for table in _tables(inputs, model_of, model is not None, is_aligned, batch_size):
                writer.append(table)
                num_rows, num_unusable = num_rows + len(table), num_unusable + int(table["problem"].notna().sum())
    except KeyboardInterrupt:
        is_interrupted = True
    rate = len(inputs) / max(time.monotonic() - begun, 1e-9)
    said = [f"interrupted after {num_rows} rows"] if is_interrupted else [f"{len(inputs)} files, {rate:.1f} a second"]
    said += [f"{num_unusable} not usable (column problem)"] if num_unusable else []
    said += [f"{num_others} other files in folders left out"] if num_others else []
    said += [f"written to {output}"] if output else []
    print("; ".join(said), file=sys.stderr)
    return 130 if is_interrupted else int(num_unusable > 0)


def _tables(
    inputs: Sequence[Input], model_of: Callable[[str], Model], is_given: bool, is_aligned: bool, batch_size: int
) -> Iterator[pd.DataFrame]:
    """Give the rows of every ``batch_size`` inputs, in order, whichever model answers about each."""
    rest = iter(inputs)
    with tqdm(total=len(inputs), unit="file", disable=None) as progress:
        while chunk := list(islice(rest, batch_size)):
            rows = [[{"path": each.path, "problem": each.problem}] for each in chunk]
            for kind in ("",) if is_given else ("face", "voice"):
                places = [place for place, each in enumerate(chunk) if is_given or each.kind == kind]
                part = [chunk[place] for place in places]
                for place, own in zip(places, model_of(kind).rows(part, is_aligned) if part else [], strict=True):
                    rows[place] = own
            yield table_of([row for own in rows for row in own])
            progress.update(len(chunk))


class _Terminal:
    """Prints tables, the names of the columns once."""

    has_header = True

    def append(self, table: pd.DataFrame) -> None:
        text = table[_SHOWN].round(2).to_string(index=False, header=self.has_header, na_rep="", line_width=10_000)
        tqdm.write(text)
        self.has_header = False
