"""Result files of a benchmark: a table of rows, and facts about the machine."""

import csv
import pathlib

from benchmarks import machine
from rnn_zoo import files


def save(directory, name, fields, rows, **facts):
    """Write rows as `name`.csv, and the machine, the versions and further facts as machine.json.

    Args:
        directory: created if missing.
        name: name of the table.
        fields: columns.
        rows: dicts; floats are written to five digits.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with files.whole(directory / f"{name}.csv", "w") as file:
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows
        )
    files.write_json(directory / "machine.json", machine.facts() | facts)
