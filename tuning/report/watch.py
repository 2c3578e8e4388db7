"""Rebuilds a report whenever its runs change."""

import hashlib
import json
import os
import pathlib
import time
from collections.abc import Callable

from rnn_zoo.files import whole
from trainer.display.progress import Display
from trainer.errors import UserError
from tuning.report.build import NoRuns
from tuning.study import log


def run(
    runs: str | os.PathLike,
    out: str | os.PathLike,
    make: Callable[..., None],
    display: Display,
    seconds: float,
) -> None:
    """Build the report, and rebuild it when records change, until Ctrl-C.

    An open page loads OUT/version.js every few seconds and reloads itself if its version differs
    from the page's. It is a script because a page opened from a file cannot fetch data.

    Args:
        runs: directory of runs; waits for the first finished one.
        out: directory of the report.
        make: make(display=..., version=...) writes the report.
        display: prints messages, each line once.
        seconds: time between checks for changes.
    """
    display, made = _Once(display.console), None
    display.say(f"watching {runs}; {out}/index.html reloads itself; Ctrl-C stops")
    try:
        while True:
            version = fingerprint(runs)
            if version != made:
                _make(make, version, out, display)
                made = version
            time.sleep(seconds)
    except KeyboardInterrupt:
        if pathlib.Path(out, "version.js").exists():
            _announce(out, "")


def fingerprint(runs: str | os.PathLike) -> str:
    """Hash of the names, sizes and times of all records below a directory."""
    digest = hashlib.sha256()
    for path, names in log.record_files(pathlib.Path(runs)):
        for name in names:
            try:
                status = log.file_of(path / name).stat()
            except (FileNotFoundError, UserError):  # no trial yet, lost, or of two files
                continue
            digest.update(os.fsencode(path / name))
            digest.update(f" {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _make(make, version, out, display):
    try:
        make(display=display, version=version)
    except NoRuns as error:
        display.say(f"waiting: {error}")
        return
    _announce(out, version)
    display.say(f"{time.strftime('%H:%M:%S')}: updated")


def _announce(out, version):
    """Write the version on disk for open pages to read; an empty one means that no more follow."""
    with whole(pathlib.Path(out, "version.js"), "w") as file:
        file.write(f"reportVersion({json.dumps(version)});\n")


class _Once(Display):
    """A display that prints each line once, so that a rebuild prints only new lines."""

    def __init__(self, console):
        super().__init__(console)
        self._said: set[str] = set()

    def say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            super().say(text)
