"""Trains given configurations: those of a file, and the best ones again (appendix C)."""

import contextlib
import dataclasses
import hashlib
import json
import pathlib

from trainer.errors import UserError
from tuning.study.executors import Processes, run_jobs
from tuning.study.lease import Lease
from tuning.study.log import TrialLog, write_run
from tuning.study.pool import Job
from tuning.study.progress import StudyDisplay

VARY = ("init", "data")


def train_all(path, configs, trainer=None, display=None, keep=True, lease=None):
    """Trains configurations of one shape, and files their records; what is filed is not repeated.

    Args:
        path: of the file of records, as trials.jsonl; the lease is on its directory.
        configs: list of `TrainConfig`.
        trainer, display: as of `Study.run`.
        keep: whether to leave each one's run directory, with its weights, beside the file.
        lease: the `Lease` on the file's directory, if the caller has it already.

    Returns:
        Their `RunRecord`s, in order; fewer if a signal ended it.

    Raises:
        UserError: configurations of different shapes.
    """
    _check_shapes(configs)
    display, path = display or StudyDisplay(), pathlib.Path(path)
    jobs = [Job(_run_id(number, config), config, {}) for number, config in enumerate(configs)]
    num_steps = configs[0].make_task().num_steps
    trainer = (trainer or Processes()).sized(configs[0], num_steps, len(configs))
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.nullcontext(lease) if lease else Lease(path.parent) as held:
        log = TrialLog(path)
        if log.problem:
            display.say(log.problem)
        ours = {job.run_id for job in jobs}

        def progress():
            return {n: record for n, record in log.records.items() if n in ours}, len(jobs)

        def ended(record, weights):
            held.check()
            if keep and record.objective is not None:
                write_run(path.parent / f"given_{record.run_id}", record, weights)
            log.append(record)

        headline = f"{len(jobs)} trainings of {configs[0].arch} on {configs[0].task}   {trainer}   "
        display.begin(*progress(), f"{headline}in {path.parent}")
        waiting = iter([job for job in jobs if job.run_id not in log.records])
        run_jobs(trainer, held, display, progress, lambda: next(waiting, None), ended)
    return [log.records[job.run_id] for job in jobs if job.run_id in log.records]


def _check_shapes(configs):
    """What lanes must share, before anything is trained."""
    for name in ("batch_size", "precision"):
        found = sorted({str(getattr(config, name)) for config in configs})
        if len(found) > 1:
            raise UserError(
                f"the sets differ in {name} ({', '.join(found)}), which one program cannot; give "
                "those of each in a file of their own"
            )


def variations(config, count, vary):
    """The configuration with other seeds.

    Args:
        config: the `TrainConfig`.
        count: how many.
        vary: what differs: "init" the initial weights, "data" the batches, or both.

    Raises:
        UserError: nothing, or something else, is to vary.
    """
    if not vary or set(vary) - set(VARY):
        raise UserError(f"--vary is one or both of {', '.join(VARY)}, not {','.join(vary)!r}")
    data_seed = config.seed if config.data_seed is None else config.data_seed
    return [
        dataclasses.replace(
            config,
            seed=config.seed + number * ("init" in vary),
            data_seed=data_seed + number * ("data" in vary),
        )
        for number in range(1, count + 1)
    ]


def _run_id(number, config):
    """A name that another configuration does not share."""
    text = json.dumps(dataclasses.asdict(config), sort_keys=True)
    return f"{number:04d}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
