"""Handmade trials for tests of the report."""

import numpy as np
import records

from trainer.storage.records import OF_CONFIG
from tuning import trials

_BASE = {
    "study": "s",
    "source": "rnn-zoo",
    "algorithm": "gp",
    "profile": "laptop",
    "setting": "{}",
    "arch": "rnn",
    "depth": 1,
    "max_params": 1000,
    "num_params": 990,
    "units": 20,
    "status": "ok",
    "is_rerun": False,
    "stopped_early": False,
    "activation": "tanh",
    "hparams": '{"lr_init": 0.1}',
    "curve": "[2, 1]",
}


def frame(*rows):
    """A DataFrame of `trials.read` from dicts of the columns that matter; others have defaults."""
    full = []
    for number, row in enumerate(rows):
        values = _BASE | {"iteration": number, "run_id": f"{number:05d}"} | row
        # Half of the trials take half of the steps.
        steps = 120_000 // (1 + len(full) % 2)
        values = {"train_steps": steps} | values
        values = {"steps_done": values["train_steps"]} | values
        full.append({"run": f"{values['study']}/{values['run_id']}"} | values)
    return trials.frame(full)


def capacity(bits, **values):
    """A capacity trial that stored `bits`."""
    row = {"task": "capacity", "num_steps": 5, "num_params": 990, **values}
    per = {"bits": bits, "bits_per_parameter": bits / row["num_params"]}
    return row | per | {"objective": -bits, "eval_loss": 0.5, "num_samples": 1.1 * bits} | values


def trial(task, loss, **values):
    """A trial of another task with this loss; it diverged if `loss` is None."""
    status = {"status": "infeasible"} if loss is None else {}
    return {"task": task, "objective": loss, "eval_loss": loss} | status | values


def losses(arch, level, count=30, task="parens", **values):
    """Trials with losses around a level, all with the same relative spread."""
    spread = np.linspace(0.7, 1.3, count)
    return [
        trial(task, float(level * x), arch=arch, study=f"{task}-{arch}", **values) for x in spread
    ]


def diverging(arch, share, count=200, depth=1, **values):
    """Trials of parens with random hyperparameters, of which a share diverged."""
    return [
        trial("parens", None if i < share * count else 1.0 + i, arch=arch, depth=depth,
              algorithm="random", max_params=200_000, chance_loss=18.2, **values)
        for i in range(count)
    ]  # fmt: skip


def record(run_id, **values):
    """The `RunRecord` of a capacity run; values of its `config` hold for the other fields too."""
    fields = {
        "task": "capacity",
        "depth": 2,
        "hparams": {"task_options": {"num_samples": 50}, "activation": "relu", "lr_init": 0.1},
        "seed": 3,
        "chance_loss": 0.69,
        "valid_loss": 0.4,
        "eval_loss": 0.4,
        "objective": -29.0,
        "metrics": {"eval": {"mutual_information": 29.0, "bits_per_parameter": 0.1}},
        "curve": [0.7, 0.4],
    }
    config = values.get("config", {})
    fields |= {name: config[own] for name, own in OF_CONFIG.items() if own in config}
    return records.record(run_id, **fields | values)
