"""Well-formed records of trials, for tests to which most fields do not matter."""

import dataclasses
import json

from trainer.storage.records import OF_CONFIG, RunRecord
from trainer.windows import window_ends

_FIELDS = {
    **{"task": "parens", "arch": "gru", "depth": 1, "units": 7, "max_params": 300},
    **{"num_params": 290, "seed": 0, "train_steps": 60, "input_dim": 6, "output_dim": 1},
    **{"chance_loss": 2.0, "config": {}, "data": {}, "backend": "jax", "versions": {}},
    **{"hparams": {"task_options": {}, "activation": None}, "status": "ok"},
}


def record(run_id="00000", objective=None, **values):
    """Return a record whose losses are its objective; it diverged in its first step if that is so.

    Args:
        run_id, objective: fields of the record.
        values: other fields; those of `config` hold for the fields and hyperparameters that it has.
    """
    fields = _FIELDS | {"run_id": run_id, "objective": objective}
    fields |= {"valid_loss": objective, "eval_loss": objective}
    config = values.get("config", {})
    fields |= {name: config[own] for name, own in OF_CONFIG.items() if own in config}
    hparams = values.pop("hparams", fields["hparams"])
    fields["hparams"] = {name: config.get(name, value) for name, value in hparams.items()}
    if values.get("status") == "infeasible":
        fields |= {"infeasible_at": 1, "steps_done": 1}
    fields |= values
    if fields["status"] == "ok":
        fields.setdefault("steps_done", fields["train_steps"])
    return RunRecord(**fields)


def write_run(directory, record):
    """Write the record of a run of the trainer, and all measurements of its training loss."""
    directory.mkdir(parents=True)
    (directory / "record.json").write_text(json.dumps(dataclasses.asdict(record)))
    rows = [{"step": end, "train_loss": 1.0} for end in window_ends(record.train_steps)]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
