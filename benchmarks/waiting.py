"""python -m benchmarks.waiting: how long small commands take, and what they wait for.

The commands are

    python -m trainer --task=parens --arch=gru --num_params=10000 --train_steps=400
    python -m tuning --task=memory --arch=gru --num_trials=12 --train_steps=300

and the sweep `python -m tuning.sweep --dry_run` of nine studies of the smoke profile. Each runs
with an empty directory of compiled programs, then with those that the first run has kept. Seconds
are wall-clock and processor time, that of all processes; only the latter means something on a busy
machine. Phases end with the line that the command prints: its headline, the first after a trained
step, its last trial.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from benchmarks import machine

RUN = "trainer --task=parens --arch=gru --num_params=10000 --train_steps=400 --run_dir=run"
STUDY = "tuning --task=memory --arch=gru --num_trials=12 --train_steps=300 --study_dir=study"
GRID = """
SweepConfig.grid = [{
    "task": ["memory", "parens", "rcf"], "arch": ["gru", "rnn", "ugrnn"], "num_trials": 4,
}]
"""
SWEEP = "tuning.sweep --dry_run --profile=smoke --gin_file=nine.gin"
#: Name of a command -> (its arguments, dict from phase to the first line of the next one).
COMMANDS = {
    "run": (RUN, {"starting": r"task ", "compiling": r"(step|measuring) ", "training": None}),
    "study": (
        STUDY,
        {
            "starting": r"task ",
            "compiling": r"trials .*(training|feasible)",
            "training": r"\d+ trials, ",
            "exporting": None,
        },
    ),
    "dry run": (SWEEP, {"all": None}),
}


def main():
    print(machine.describe())
    print(f"{'':30}{'wall':>8}{'processor':>12}")
    with tempfile.TemporaryDirectory() as path:
        for run in ("nothing kept", "programs kept"):
            directory = pathlib.Path(path, run)
            directory.mkdir()
            (directory / "nine.gin").write_text(GRID)
            os.environ["RNN_ZOO_CACHE"] = path
            for name, (command, phases) in COMMANDS.items():
                rows = time_phases(command.split(), directory, phases)
                rows["all"] = tuple(map(sum, zip(*rows.values(), strict=True)))
                for phase, (wall, processor) in rows.items():
                    print(f"{f'{name}, {run}':22} {phase:10}{wall:5.1f} s{processor:10.1f} s")


def time_phases(arguments, directory, phases):
    """Return (wall-clock, processor) seconds of each phase of a command."""
    began, before, found, lines = time.monotonic(), 0.0, {}, list(phases.items())
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=directory,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.getcwd(), "PYTHONUNBUFFERED": "1"},
    )
    for line in process.stdout:
        spent = processor_seconds(process.pid)
        while lines and lines[0][1] and re.match(lines[0][1], line):
            now = time.monotonic()
            found[lines.pop(0)[0]] = (now - began, spent - before)
            began, before = now, spent
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    found[lines[0][0]] = (time.monotonic() - began, usage.ru_utime + usage.ru_stime - before)
    return found


def processor_seconds(pid):
    """Return the processor time of a process and of its children that have ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
