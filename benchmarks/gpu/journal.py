"""A JSON-lines file that holds each figure from the moment it is measured."""

import json
import os
import pathlib
import time


class Journal:
    """Appends lines to a file, each synced to disk, so that a killed run leaves all it had.

    Args:
        path: of the file; lines are added to those that it holds.
    """

    def __init__(self, path):
        self.path, self._began = pathlib.Path(path), time.monotonic()
        if self.path.exists() and not self.path.read_bytes().endswith(b"\n"):
            with open(self.path, "a") as file:  # A run that was killed here has cut its last line.
                file.write("\n")

    def write(self, section, **fields):
        """Appends a line with the section, the seconds since the start, and fields."""
        line = {"section": section, "at": round(time.monotonic() - self._began, 2)} | fields
        with open(self.path, "a") as file:
            file.write(json.dumps(line, default=str) + "\n")
            file.flush()
            os.fsync(file.fileno())


def read(path):
    """Reads a journal's lines as dicts, without those that a kill has cut off."""
    lines = []
    for line in pathlib.Path(path).read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines
