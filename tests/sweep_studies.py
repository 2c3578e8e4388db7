"""Sweeps without training, for tests of their engines.

The objectives of a study follow from its name, so tests can tell whether a trial was lost, repeated
or changed. `python -m sweep_studies DIR ENGINE WORKERS RUNNER` runs a sweep like the command line,
with one of the runners below.
"""

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
import zlib

import records
from processes import environment

from trainer import TrainConfig, UserError
from trainer.storage.lease import PATIENCE
from tuning.config import StudyConfig
from tuning.study.log import TrialLog, read
from tuning.sweep import local
from tuning.sweep.config import Spec
from tuning.sweep.directory import State, Sweep
from tuning.sweep.status import SweepDisplay
from tuning.sweep.worker import Studies

TRIALS = 6


def make(path, count):
    """Create a sweep with this number of studies."""
    return add(path, range(count))


def add(path, numbers, num_trials=TRIALS):
    """Create a sweep with these studies, or add them to the one in the directory."""
    sweep = Sweep(path, [spec(number, num_trials) for number in numbers])
    sweep.create()
    return sweep


def spec(number, num_trials=TRIALS):
    """Return the study of a number."""
    config = TrainConfig("parens", "gru", seed=number)
    return Spec(f"study-{number:03d}", config, StudyConfig(num_trials=num_trials), 0, 175)


def expected(sweep):
    """Return the objectives that its logs must hold in the end, by study and trial."""
    return {
        name: {str(n): _objective(name, n) for n in range(spec.study.num_trials)}
        for name, spec in sweep.specs.items()
    }


def found(sweep):
    """Read the objectives of its logs; repeated or damaged lines are errors."""
    trials = {}
    for name in sweep.specs:
        path = sweep.study_path(name) / "trials.jsonl"
        records, bad = read(path)
        assert not bad and len(path.read_bytes().splitlines()) == len(records)
        trials[name] = {run_id: record.objective for run_id, record in records.items()}
    return trials


def begun(sweep):
    """Return (study, process id) of every attempt so far."""
    path = sweep.path / "states" / ".begun"
    lines = path.read_text().split() if path.exists() else []
    return [tuple(line.split(":")) for line in lines]


@dataclasses.dataclass(frozen=True)
class Quick:
    """A runner whose trials take about this number of seconds."""

    seconds: float = 0.02

    def prepare(self, spec):
        """Needs nothing."""

    def run(self, sweep, name, lease, stop):
        with open(sweep.path / "states" / ".begun", "a") as file:
            file.write(f"{name}:{os.getpid()}\n")
        log = TrialLog(sweep.study_path(name) / "trials.jsonl")
        for number in range(sweep.specs[name].study.num_trials):
            if stop():
                return False, ""
            if str(number) not in log.records:
                time.sleep(self.seconds * 2 * random.random())
                lease.check()
                log.append(_record(sweep.specs[name], number))
        return True, ""


class Failing(Quick):
    """A runner in which some studies raise an error and some kill their process."""

    def run(self, sweep, name, lease, stop):
        if name.endswith("1"):
            raise ZeroDivisionError(f"a bug in {name}")
        if name.endswith("2"):
            raise UserError("no such file")
        if name.endswith("3"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(sweep, name, lease, stop)


class Unprepared(Quick):
    """A runner for which this machine is unusable."""

    def prepare(self, spec):
        raise UserError("no backend here")


class Broken(Quick):
    """A runner with a bug outside of studies."""

    def prepare(self, spec):
        return 1 / 0


@dataclasses.dataclass(frozen=True)
class Untrained(Studies):
    """Real studies with their files, whose trials are not trained but take this many seconds."""

    seconds: float = 0.0

    def prepare(self, spec):
        """Needs nothing."""

    def executor(self, stop):
        from untrained import Untrained

        return Untrained(stop=stop, seconds=self.seconds)


def make_chain(path, sizes, num_trials=TRIALS, **options):
    """Create or grow a sweep of real studies, in which each starts from the next smaller one."""
    study = StudyConfig(num_trials=num_trials, algorithm="random", **options)
    specs = [
        Spec(
            f"parens-rnn-1-{size}-random",
            TrainConfig("parens", "rnn", num_params=size),
            study,
            reruns=0,
            num_steps=175,
            transfer="num_params",
        )
        for size in sizes
    ]
    sweep = Sweep(path, specs, "jax")
    sweep.create()
    return sweep


RUNNERS = {
    "untrained": Untrained(),
    "untrained-slowly": Untrained(seconds=0.2),
    "quick": Quick(),
    "slow": Quick(0.3),
    "instant": Quick(0.0),
    "failing": Failing(0.0),
    "unprepared": Unprepared(),
    "broken": Broken(),
}


def _objective(name, number):
    return zlib.crc32(f"{name} {number}".encode()) / 2**32


def end(sweep, name, trials=TRIALS, **values):
    """Make a study look done with so many trials; values are other fields of its state."""
    sweep.study_path(name).mkdir(parents=True, exist_ok=True)
    (sweep.study_path(name) / "study.json").write_text('{"num_trials": 6}')
    log = TrialLog(sweep.study_path(name) / "trials.jsonl")
    for number in range(len(log.records), trials):
        log.append(_record(sweep.specs[name], number))
    sweep.write_state(name, State(**{"status": "done"} | sweep.results(name) | values))


def _record(spec, number):
    config = spec.config
    values = {"task": config.task, "arch": config.arch, "max_params": config.num_params}
    # About as long as a real record.
    values["outside"] = ["0.123456"] * 300
    return records.record(str(number), _objective(spec.name, number), **values)


def drive(path, engine, workers, runner, max_megabytes="4000", patience=PATIENCE):
    """Run the studies that are not over; return the exit code."""
    sweep, display, runner = Sweep.open(path), SweepDisplay(), RUNNERS[runner]
    display.begin(sweep)
    try:
        if engine == "local":
            limits = (int(workers), int(max_megabytes))
            is_over = local.run(sweep, runner, *limits, display, float(patience))
        else:
            from tuning.sweep import ray_core

            settings = ray_core.Settings(None, int(workers), None, int(max_megabytes))
            is_over = ray_core.run(sweep, runner, settings, display)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        display.end()
    return 0 if is_over else 130


def start(sweep, engine="local", workers=2, runner="quick", *arguments, group=False, **variables):
    """Start `drive` in another process."""
    command = [sys.executable, "-m", "sweep_studies", str(sweep.path), engine, str(workers), runner]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        env=environment(**variables),
        start_new_session=group,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, timeout=180):
    """Return the exit code and the output of a process."""
    stdout, stderr = process.communicate(timeout=timeout)
    return process.returncode, stdout, stderr


def wait_for(condition, timeout=60):
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


if __name__ == "__main__":
    import sweep_studies  # by this name, so that other processes can unpickle its functions

    sys.exit(sweep_studies.drive(*sys.argv[1:]))
