"""The authors' trials as one Parquet file, with a digest of its values."""

import hashlib
import json
import os
from typing import BinaryIO

import pandas as pd

from rnn_zoo.json_types import LARGEST, reader
from rnn_zoo.names import is_name
from trainer.errors import UserError
from trainer.storage.files import open_regular
from tuning import rows, trials

#: Key of the digest in the metadata of the file that `read` reads.
_DIGEST = b"rnn_zoo.sha256"
#: Most rows of that file; the authors have some 100,000.
_MOST_ROWS = 500_000
#: How to make that file.
CONVERT = (
    "convert the authors' files with python -m tuning.report.convert_published --published=DIR "
    "--out=published.parquet"
)


def write(found: pd.DataFrame, file: BinaryIO) -> None:
    """Write the authors' trials as Parquet, with a digest of the values among its metadata.

    Parquet's own checksums leave out the pages of a column's different values.
    """
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.Table.from_pandas(found, preserve_index=False)
    digest = {_DIGEST: _digest(found).encode()}
    parquet.write_table(table.replace_schema_metadata(table.schema.metadata | digest), file)


def read(path: str | os.PathLike) -> pd.DataFrame:
    """Read the authors' trials, as written by `write`.

    Args:
        path: Parquet file.

    Returns:
        DataFrame as from `trials.read`.

    Raises:
        UserError: the file cannot be read, lacks columns, or was changed.
    """
    from pyarrow import parquet

    try:
        with open(open_regular(path), "rb") as file:
            about = parquet.ParquetFile(file).metadata
            if about.num_rows > _MOST_ROWS:  # a few bytes can stand for millions of rows
                raise ValueError(f"it has more than {_MOST_ROWS:,} rows")
            table = parquet.read_table(file)
        found, digest = table.to_pandas(), (table.schema.metadata or {}).get(_DIGEST, b"").decode()
    except Exception as error:  # a damaged file raises many kinds
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"cannot read {path} as Parquet: {reason}; {CONVERT}") from None
    missing = [each for each in rows.COLUMNS if each not in found and each not in rows.LATER]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}; {CONVERT}")
    try:
        columns, found = list(found.columns), trials.frame(found)
        # Files of earlier versions lack columns, which are not part of their digest.
        same = _digest(found[columns]) == digest
        _check(found)
    except Exception as error:  # pyarrow, too, converts a column's text only when it is used
        raise UserError(f"{path} does not hold the authors' trials: {error}; {CONVERT}") from None
    if not same:
        raise UserError(f"{path} was changed or damaged after it was written; {CONVERT}")
    return found


def _digest(found):
    """Return the SHA-256 of a table's values."""
    hashes = pd.util.hash_pandas_object(found.astype(str), index=False)
    return hashlib.sha256(hashes.to_numpy("<u8").tobytes()).hexdigest()


def _check(found):
    """Raise ValueError or TypeError unless names are names, and JSON is what it should be."""
    for name in {*found.task, *found.arch}:
        if not is_name(name):
            raise ValueError(f"{name!r} is not a name of a task or architecture")
    for name, kind in rows.JSON.items():
        for text in found[name].dropna().unique():
            try:
                values = reader(kind)(json.loads(text))
                json.dumps(values, allow_nan=False)
            except ValueError as error:
                raise ValueError(f"{name} is {text[:80]}: {error}") from None
    for name in rows.NUMBERS:
        if (found[name].abs() > LARGEST).any():
            raise ValueError(f"{name} has a value that float32 cannot hold")
    for name in ("run", "study", "run_id"):
        if not all(isinstance(text, str) for text in found[name]):
            raise ValueError(f"{name} has a value that is not text")
