"""A JSON-lines file that receives each figure as soon as it is measured."""

import json
import os
import pathlib
import time


class Journal:
    """A file whose lines are synced to disk one by one, so that a killed run keeps those it wrote.

    Args:
        path: path of the file; new lines are appended to existing ones.
    """

    def __init__(self, path):
        self.path, self._began = pathlib.Path(path), time.monotonic()
        if self.path.exists() and not self.path.read_bytes().endswith(b"\n"):
            with open(self.path, "a") as file:  # A killed run may have cut its last line.
                file.write("\n")

    def write(self, section, **fields):
        """Append a line with the section, the seconds since the start, and the fields."""
        line = {"section": section, "at": round(time.monotonic() - self._began, 2)} | fields
        with open(self.path, "a") as file:
            file.write(json.dumps(line, default=str) + "\n")
            file.flush()
            os.fsync(file.fileno())


def read(path):
    """Read a journal's lines as dicts, except those that a kill cut off."""
    lines = []
    for line in pathlib.Path(path).read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines
