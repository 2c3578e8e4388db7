"""Runs Python where this project is not to be had, nor what else is named."""

import subprocess
import sys

from processes import environment

PROJECT = ("rnn_zoo", "trainer", "tuning", "gin_configs")

_HIDE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
for name in {hidden!r}:
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{{name}} is here")
"""


def run(script, *arguments, cwd, hidden=()):
    """Run a script in a process in which PROJECT and `hidden` cannot be imported.

    Args:
        script: Python's text.
        arguments: its `sys.argv[1:]`.
        cwd: its working directory.
        hidden: names of further packages.
    """
    text = _HIDE.format(hidden=(*PROJECT, *hidden)) + script
    done = subprocess.run(
        [sys.executable, "-c", text, *map(str, arguments)],
        cwd=cwd,
        env={k: v for k, v in environment().items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
