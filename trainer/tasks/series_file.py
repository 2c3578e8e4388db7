"""Numbers of a user's file, which is only read: nothing in it is run."""

import functools
import hashlib
import io
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.display.words import count
from trainer.errors import UserError
from trainer.storage.files import read_bytes

FORMS = (
    "a .csv file of comma-separated numbers, with a line per time step and at most one line of "
    "names, or an .npy file of an array (time steps,) or (time steps, columns)"
)

#: Least number of rows.
LEAST = 20
#: Most standard deviations from the mean, so that squares and their sums fit into float32.
MOST_DEVIATIONS = 10**9


@dataclass(frozen=True, eq=False)
class Series:
    """A standardised series.

    Attributes:
        values: (n, C) float32; in the training part, each column has mean 0 and variance 1.
        label: the file, for messages.
        sha256: of the file's bytes, in hex.
    """

    values: np.ndarray
    label: str
    sha256: str

    @property
    def splits(self) -> dict[str, tuple[int, int]]:
        """(start, stop) of train, valid and eval: the first 80 %, then 10 % and 10 %."""
        size = len(self.values)
        first, second = size * 80 // 100, size * 90 // 100
        return {"train": (0, first), "valid": (first, second), "eval": (second, size)}

    def last_value_loss(self, horizon: int, first: int, stop: int) -> float:
        """Return the loss of repeating the last value, over all windows of the split eval.

        This is the mean of (x[t + horizon] - x[t])² over columns, windows and their steps t from
        `first` to `stop` - 1.

        Raises:
            UserError: it is 0, as the series is constant there.
        """
        begin, end = self.splits["eval"]
        x = self.values[begin:end].astype("float64")
        changes = np.mean((x[horizon:] - x[:-horizon]) ** 2, axis=1)
        totals, steps = np.cumsum([0.0, *changes]), np.arange(first, stop)
        windows = len(changes) - stop + 1
        loss = float(np.mean(totals[steps + windows] - totals[steps]) / windows)
        if loss == 0:
            raise UserError(f"{self.label}: the last 10 % of the rows are constant; omit them")
        return loss

    def describe(self) -> dict[str, Any]:
        """Return the description of the series for a run's record."""
        rows, columns = self.values.shape
        return {"sha256": self.sha256, "rows": rows, "columns": columns}


def load(path: str | os.PathLike[str] | None, window: int) -> Series:
    """Read and standardise a series.

    Args:
        path: the file, `FORMS`.
        window: minimum number of rows per split.

    Raises:
        UserError: there is no file, or it is no such file, has a value that is not a finite
            number, a column that is constant in the training part, or too few rows.
    """
    if path is None:
        raise UserError(f"the task series needs --series_path=FILE, {FORMS}")
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"path of series must be a string, got {path!r}")
    file = os.path.expanduser(os.fspath(path))
    series = _read(file, f"--series_path={os.fspath(path)}", _stamp(file))
    shortest = min(stop - start for start, stop in series.splits.values())
    if shortest < window:
        raise UserError(
            f"{series.label}: {len(series.values):,} rows are too few: the shortest of the "
            f"80/10/10 % splits has {shortest:,}, a window takes {window:,}; give at least "
            f"{10 * window:,} rows, or a smaller num_steps"
        )
    return series


def _stamp(file):
    """Return the file's modification time, or None if it cannot be read."""
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return None


@functools.lru_cache(maxsize=1)
def _read(file, label, stamp):
    """Read a file, and keep the last one in memory for all trials of a process."""
    try:
        raw = read_bytes(file)
    except OSError as error:
        raise UserError(f"{label} cannot be read: {error.strerror}; give {FORMS}") from None
    values = _of_npy(raw, label) if file.endswith(".npy") else _of_csv(raw, label)
    if len(values) < LEAST or not values.size:
        rows = len(values) if values.size else 0
        raise UserError(f"{label} has {count(rows, 'row')} of numbers; give {FORMS}")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise UserError(
            f"{label}: row {row + 1:,}, column {column + 1} is not a finite number; fill such "
            "gaps, or omit the column"
        )
    return Series(_standardised(values, label), label, hashlib.sha256(raw).hexdigest())


def _standardised(values, label):
    train = values[: len(values) * 80 // 100]
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        mean, deviation = train.mean(axis=0), train.std(axis=0)
    # The deviation of equal numbers can be above 0 by rounding.
    least = 1e-12 * abs(train).max(axis=0)
    if not (is_fine := (deviation > least) & np.isfinite(deviation)).all():
        raise UserError(
            f"{label}: column {int(np.argmin(is_fine)) + 1} is constant, or too large, in the "
            "first 80 % of the rows; omit it"
        )
    standard = (values - mean) / deviation
    if (far := abs(standard) > MOST_DEVIATIONS).any():
        row, column = np.argwhere(far)[0]
        raise UserError(
            f"{label}: row {row + 1:,}, column {column + 1} is more than {MOST_DEVIATIONS:,} "
            "standard deviations from the mean of the first 80 % of the rows; correct it"
        )
    return standard.astype("float32")


def _of_npy(raw, label):
    try:
        # Not `np.load`, which reads archives and, if asked, pickles as well.
        file = io.BytesIO(raw)
        values = np.lib.format.read_array(file, allow_pickle=False)
        if left := len(raw) - file.tell():
            raise ValueError(f"{left:,} bytes follow the array")
        if values.ndim not in (1, 2) or values.dtype.kind not in "iuf":
            raise ValueError(f"it has the shape {values.shape} and the type {values.dtype}")
    except Exception as error:  # a damaged header raises almost anything
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"{label} is not an .npy file of numbers ({reason}); give {FORMS}"
        ) from None
    return (values[:, None] if values.ndim == 1 else values).astype("float64")


def _of_csv(raw, label):
    try:
        # Not `splitlines`, which ends lines at form feeds and other characters, too.
        lines = io.StringIO(raw.decode("utf-8-sig"), newline=None).read().split("\n")
    except UnicodeDecodeError:
        raise UserError(f"{label} is not text; give {FORMS}") from None
    rows = [(number, line.split(",")) for number, line in enumerate(lines, 1) if line.strip()]
    names = rows.pop(0)[1] if rows and not any(map(_is_number, rows[0][1])) else None
    width = len(names or (rows[0][1] if rows else ()))
    values = []
    for number, cells in rows:
        if len(cells) != width:
            raise UserError(
                f"{label}: line {number:,} has {count(len(cells), 'column')}, and the first one "
                f"{width}; give {FORMS}"
            )
        try:
            values.append([*map(_number, cells)])
        except ValueError:
            column = [*map(_is_number, cells)].index(False)
            name = names[column].strip() if names else column + 1
            raise UserError(
                f"{label}: line {number:,}, column {name}: {cells[column].strip()[:40]!r} is not "
                "a number; omit columns of dates and texts, and fill gaps"
            ) from None
    return np.array(values, "float64")


def _number(cell):
    if "_" in cell:  # Python's own notation, in which 1_0 is 10
        raise ValueError(cell)
    return float(cell)


def _is_number(cell):
    try:
        _number(cell)
    except ValueError:
        return False
    return True
