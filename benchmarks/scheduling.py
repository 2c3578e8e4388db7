"""python -m benchmarks.scheduling: overhead of a sweep's engine per study.

Runs 864 empty studies, the paper's number for six tasks, six architectures, four depths and six
sizes. The remaining cost is taking the lease, writing the states, and scheduling the next study.
Two numbers per engine: wall-clock milliseconds per study from the start of the first to the end of
the last, and the seconds before the first starts.
"""

import argparse
import io
import tempfile
import time

from rich.console import Console

from benchmarks import machine, table
from trainer.config import TrainConfig
from tuning.config import StudyConfig
from tuning.study import places
from tuning.sweep import local
from tuning.sweep.config import Spec
from tuning.sweep.directory import Sweep
from tuning.sweep.status import SweepDisplay

FIELDS = ("engine", "studies", "workers", "milliseconds_a_study", "start_seconds")


class Empty:
    """A runner that records the time of each call."""

    def prepare(self, spec):
        pass

    def run(self, sweep, name, lease, stop):
        with open(sweep.log_path(name), "w") as file:
            file.write(repr(time.time()))
        return True, ""


def measure(engine, studies, workers):
    """Measure one engine and return its row."""
    with tempfile.TemporaryDirectory() as path:
        config, study = TrainConfig("parens", "gru"), StudyConfig()
        sweep = Sweep(path, [Spec(f"study-{i:04d}", config, study, 0, 175) for i in range(studies)])
        sweep.create()
        display = SweepDisplay(Console(file=io.StringIO()))
        began = time.time()
        if engine == "local":
            local.run(sweep, Empty(), workers, 4000, display)
        else:
            from tuning.sweep import ray_core

            ray_core.run(sweep, Empty(), ray_core.Settings(None, workers, None, 4000), display)
        times = sorted(float(sweep.log_path(name).read_text()) for name in sweep.specs)
        assert all(sweep.state(name).status == "done" for name in sweep.specs)
    return {
        "engine": engine,
        "studies": studies,
        "workers": workers,
        "milliseconds_a_study": 1e3 * (times[-1] - times[0]) / (studies - 1),
        "start_seconds": times[0] - began,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--engines", nargs="*", default=["local", "ray"], choices=["local", "ray"])
    parser.add_argument("--studies", type=int, default=864)
    parser.add_argument("--workers", type=int, default=places.default_workers())
    parser.add_argument("--out", default="benchmarks/results/scheduling")
    args = parser.parse_args()
    rows = []
    for engine in args.engines:
        row = measure(engine, args.studies, args.workers)
        rows.append(row)
        print(
            f"{engine:6} {row['milliseconds_a_study']:6.1f} ms per study, "
            f"{row['start_seconds']:.1f} s to the first ({row['workers']} processes)",
            flush=True,
        )
        table.save(args.out, "scheduling", FIELDS, rows)
    print(machine.describe())


if __name__ == "__main__":
    main()
