"""python -m benchmarks.halving: training steps that early stopping saves, and its best trials.

Each seed has one study per rule of early stopping, with the same number of trials: searches of the
Gaussian process on the capacity task, whose networks train in a second. `steps` is the number of
training steps of all trials, and `steps_to_equal` the number until a trial stores at least 95 % of
the best bits of the same seed's study without early stopping; it is empty if no trial does.

Results: halving.csv and machine.json in --out.
"""

import argparse
import io
import pathlib
import tempfile

from benchmarks import machine, table
from tuning.config import EARLY_STOPPING

FIELDS = ("seed", "rule", "trials", "pruned", "steps", "bits", "steps_to_equal")
#: Fraction of the best bits without early stopping that passes for equal.
EQUAL = 0.95


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--arch", default="gru")
    parser.add_argument("--num_params", type=int, default=300)
    parser.add_argument("--steps", type=int, default=1500, help="largest number of steps per trial")
    parser.add_argument("--trials", type=int, default=100, help="trials per study")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", default="benchmarks/results/halving")
    args = parser.parse_args()
    print(machine.describe())
    rows = []
    for seed in range(args.seeds):
        studies = {rule: run(rule, seed, args) for rule in EARLY_STOPPING}
        goal = EQUAL * max(bits(record) for record in studies["none"])
        for rule, records in studies.items():
            rows.append({"seed": seed, "rule": rule} | measures(records, goal))
            print(rows[-1], flush=True)
        table.save(args.out, "halving", FIELDS, rows, settings=vars(args))


def run(rule, seed, args):
    """Run a study; return its records in the order of their proposal."""
    from rich.console import Console

    from trainer.config import TrainConfig
    from tuning.config import StudyConfig
    from tuning.study.executors import InProcess
    from tuning.study.progress import StudyDisplay
    from tuning.study.study import Study

    config = TrainConfig(
        "capacity",
        args.arch,
        num_params=args.num_params,
        train_steps=args.steps,
        task_options={"num_inputs": 24},
    )
    search = StudyConfig(args.trials, seed=seed, early_stopping=rule)
    with tempfile.TemporaryDirectory() as directory:
        study = Study(pathlib.Path(directory, "study"), config, search)
        study.run(InProcess(lanes=1), StudyDisplay(Console(file=io.StringIO())))
        return [study.log.records[run_id] for run_id in sorted(study.log.records)]


def bits(record):
    """Return the bits that a trial stored; 0 if it diverged."""
    return -(record.objective or 0.0)


def measures(records, goal):
    """Return the columns of a study's row."""
    steps, reached = 0, None
    for record in records:
        steps += record.steps_done
        if reached is None and bits(record) >= goal:
            reached = steps
    return {
        "trials": len(records),
        "pruned": sum(record.stopped_early for record in records),
        "steps": steps,
        "bits": max(map(bits, records)),
        "steps_to_equal": reached,
    }


if __name__ == "__main__":
    main()
