"""Reading one struct out of a MATLAB file, with errors that say what is wrong with the file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.io import loadmat

_ORDINAL_AHEAD = 366
"""MATLAB counts days from the year 0, Python's ordinals from the year 1; the year 0 has 366 days."""

_EPOCH = 719163  # the ordinal of 1970-01-01, where numpy's dates begin
_LAST = 3652059  # the ordinal of 9999-12-31


def struct_fields(path: Path, variable: str, fields: Sequence[str]) -> dict[str, np.ndarray]:
    """Return ``fields`` of the struct ``variable`` in a MATLAB file, each as a one-dimensional array of equal length.

    Numbers come as float64, cells as objects (see ``texts``). Raises ``FileNotFoundError`` for a missing file, and
    ``ValueError`` naming the file and what was found for a file that is damaged, cut short or of version 7.3 (HDF5),
    and for a variable or field that is missing, is not what it should be or has another length than the first field.
    """
    struct = _load(Path(path), variable)
    if struct.dtype.names is None or struct.size != 1:
        raise ValueError(f"{path}: {variable!r} is not one struct but {struct.dtype} of shape {struct.shape}")
    missing = [name for name in fields if name not in struct.dtype.names]
    if missing:
        raise ValueError(
            f"{path}: {variable!r} lacks the fields {', '.join(missing)}; it has {', '.join(struct.dtype.names)}"
        )
    found = {name: np.ravel(struct.ravel()[0][name]) for name in fields}
    lengths = {name: len(values) for name, values in found.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(
            f"{path}: the fields of {variable!r} differ in length: "
            + ", ".join(f"{name} {length}" for name, length in lengths.items())
        )
    return {name: _plain(path, name, values) for name, values in found.items()}


def texts(cells: np.ndarray) -> list[str]:
    """Return the text of each cell, ``""`` for a cell that is empty or holds no text."""
    return [
        str(cell.flat[0]).strip() if isinstance(cell, np.ndarray) and cell.dtype.kind == "U" and cell.size else ""
        for cell in cells
    ]


def dates(datenums: np.ndarray) -> np.ndarray:
    """Return MATLAB's day numbers as ``datetime64[D]``, ``NaT`` for what is no day in the years 1 to 9999.

    >>> dates(np.array([736330.0, 0.0]))
    array(['2016-01-01',        'NaT'], dtype='datetime64[D]')
    """
    ordinals = np.floor(datenums) - _ORDINAL_AHEAD
    is_date = (ordinals >= 1) & (ordinals <= _LAST)
    days = np.where(is_date, ordinals - _EPOCH, 0).astype("int64").astype("datetime64[D]")
    return np.where(is_date, days, np.datetime64("NaT", "D"))


def _load(path: Path, variable: str) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        contents = loadmat(path, variable_names=[variable])
    except NotImplementedError as error:
        raise ValueError(
            f"{path} is a MATLAB file of version 7.3 (HDF5): save it as version 7, with save(..., '-v7')"
        ) from error
    except Exception as error:  # of a damaged file scipy raises whatever it stumbles over
        raise ValueError(f"{path} is damaged, cut short or no MATLAB file ({error}): unpack it again") from error
    if variable not in contents:
        raise ValueError(f"{path} holds no variable {variable!r}: is it the file of another corpus?")
    return np.asarray(contents[variable])


def _plain(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "O":
        return values
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{path}: the field {name!r} holds neither numbers nor cells but {values.dtype}")
    return values.astype("float64")
