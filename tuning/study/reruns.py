"""Training of fixed configurations: sets from a file, and reruns of the best one (appendix C)."""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from trainer.callbacks import DEFAULT, Callback, Callbacks
from trainer.config import TrainConfig
from trainer.display.words import count
from trainer.errors import UserError
from trainer.storage.files import refuse_links
from trainer.storage.lease import Lease
from trainer.storage.records import RunRecord
from tuning.study.executors import Executor, Processes, run_jobs
from tuning.study.log import TrialLog, write_run
from tuning.study.pool import Job
from tuning.study.progress import StudyDisplay

VARY = ("init", "data")


def train_all(
    path: str | pathlib.Path,
    configs: Sequence[TrainConfig],
    executor: Executor | None = None,
    display: StudyDisplay | None = None,
    keep: bool = True,
    lease: Lease | None = None,
    marks: Sequence[Mapping[str, Any]] = (),
    callbacks: Sequence[Callback | str] = DEFAULT,
) -> list[RunRecord]:
    """Train configurations and log their records; skip those already logged.

    Args:
        path: the log, in the format of trials.jsonl; the lease is on its directory.
        configs: configurations to train.
        executor, display: see `Study.run`.
        keep: whether to write a run directory, with weights, for each configuration.
        lease: the lease on the log's directory, if the caller holds it.
        marks: fields to set in the record of each configuration; see `repeated` for reruns.
        callbacks: see `Study`. Without `keep`, runs have no directory.

    Returns:
        The records, in the order of `configs`; fewer if a signal stopped training.

    Raises:
        UserError: another process owns the directory, or it holds links.
    """
    display, path = display or StudyDisplay(), pathlib.Path(path)
    refuse_links(path.parent)
    optimizers = tuple({config.optimizer for config in configs})
    jobs = [
        Job(_run_id(number, config), config, {}, optimizers)
        for number, config in enumerate(configs)
    ]
    num_steps = configs[0].make_task().num_steps
    executor = (executor or Processes()).sized(configs[0], num_steps, len(configs))
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.nullcontext(lease) if lease else Lease(path.parent) as owned:
        with owned.held():
            log = TrialLog(path)
        if log.problem:
            display.say(log.problem)
        run_ids = {job.run_id for job in jobs}
        marked = dict(zip([job.run_id for job in jobs], marks, strict=False))

        def place(run_id: str) -> pathlib.Path:
            return path.parent / f"given_{run_id}"

        def facts(run_id: str) -> dict[str, str | None]:
            return {"study": path.parent.name, "run_dir": str(place(run_id)) if keep else None}

        def progress() -> tuple[dict[str, RunRecord], int]:
            return {n: record for n, record in log.records.items() if n in run_ids}, len(jobs)

        def ended(record, weights):
            for name, value in marked.get(record.run_id, {}).items():
                setattr(record, name, value)
            with owned.held():
                if keep and record.objective is not None:
                    write_run(place(record.run_id), record, weights)
                log.append(record)

        callback = Callbacks(callbacks, facts)  # before the display starts, as it may refuse a name
        headline = f"{count(len(jobs), 'training run')} of {configs[0].arch} on {configs[0].task}"
        display.begin(*progress(), f"{headline}   {executor}   in {path.parent}")
        waiting = iter([job for job in jobs if job.run_id not in log.records])
        run_jobs(executor, owned, display, progress, lambda: next(waiting, None), ended, callback)
    return [log.records[job.run_id] for job in jobs if job.run_id in log.records]


def repeated(original: RunRecord, count: int) -> list[dict[str, Any]]:
    """Return the `marks` of reruns, which are those of the original trial."""
    names = ("held", "searched", "outside")
    return [{name: getattr(original, name) for name in names}] * count


def variations(config: TrainConfig, count: int, vary: Collection[str]) -> list[TrainConfig]:
    """Return copies of a configuration with other seeds.

    Args:
        config: the original.
        count: number of copies.
        vary: seeds to change: "init" for the initial weights, "data" for the batches, or both.

    Raises:
        UserError: as for `check_vary`.
    """
    check_vary(vary)
    data_seed = config.seed if config.data_seed is None else config.data_seed
    return [
        dataclasses.replace(
            config,
            seed=config.seed + number * ("init" in vary),
            data_seed=data_seed + number * ("data" in vary),
        )
        for number in range(1, count + 1)
    ]


def check_vary(vary: Collection[str]) -> None:
    """Raise a `UserError` if `vary` is empty, or has other entries than "init" and "data"."""
    if not vary or set(vary) - set(VARY):
        raise UserError(f"--vary is one or both of {', '.join(VARY)}, not {','.join(vary)!r}")


def _run_id(number: int, config: TrainConfig) -> str:
    """Return a name unique to this configuration, so that an edited file of sets is noticed."""
    fields = dataclasses.asdict(config)
    if not config.eval_lengths:  # which earlier versions lack
        del fields["eval_lengths"]
    text = json.dumps(fields, sort_keys=True)
    return f"{number:04d}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
