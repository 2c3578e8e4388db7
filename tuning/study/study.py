"""A study: a search over one task's and architecture's hyperparameters, in a directory of its own.

    study.json        what decides its trials
    trials.jsonl      a RunRecord a finished trial
    oracle.json, trial_*/   keras-tuner's project; the best trials' directories are runs as well
    lease.json        the process that owns it

Which trials there are is a function of study.json alone, not of how many train at once, of which
ends first, or of who kills the process: proposals are made in batches, and each batch is told the
results of all batches but the last, which counts as pending. (A study that has grown is not the one
that was large from the start: it knew all its results when it went on.)
"""

import contextlib
import dataclasses
import json
import pathlib
import shutil
import statistics
import warnings

from trainer.errors import UserError
from trainer.storage.differences import refuse_difference
from trainer.storage.files import whole, write_json
from tuning.config import MAX_TRIALS
from tuning.progress import StudyDisplay
from tuning.search import space as spaces
from tuning.study.executors import Processes, train
from tuning.study.lease import Lease
from tuning.study.log import TrialLog, rank, ranked, write_run
from tuning.study.pool import Job

#: Where in their steps trials are compared, and how many must have come so far.
RUNGS, MIN_COMPARED = (0.25, 0.5, 0.75), 5
OBJECTIVE = "objective"
# keras-tuner's statuses; it is imported with the backend only.
RUNNING, COMPLETED, FAILED, STOPPED = "RUNNING", "COMPLETED", "FAILED", "STOPPED"


class Study:
    """A study and its files.

    Args:
        directory: where; a study that it holds is continued.
        config: the `TrainConfig` whose hyperparameters are searched.
        study: the `StudyConfig`.
        documents: dict from file name to text, written beside study.json.

    Raises:
        UserError: the directory holds another study, or something else.
    """

    def __init__(self, directory, config, study, documents=None):
        self.path, self.config, self.study = pathlib.Path(directory), config, study
        self.documents = documents or {}
        self.space, self.first = spaces.of_study(config, study)
        self.task = config.make_task()
        config.units(self.task.input_dim, self.task.output_dim)
        self.log = self.oracle = self.batch = None

    def run(self, trainer=None, display=None, lease=None):
        """Trains what the study has not trained yet.

        Args:
            trainer: `training.Processes` or `training.InProcess`; a process a core or GPU if None.
            display: a `progress.StudyDisplay`; one of its own if None.
            lease: the `Lease` on the directory, if the caller has it already.

        Returns:
            The best `RunRecord`, None if no trial is feasible; and whether the study is complete.

        Raises:
            UserError: another process owns it, or it holds another study.
        """
        display = display or StudyDisplay()
        trainer = (trainer or Processes()).sized(
            self.config, self.task.num_steps, self.study.num_trials
        )
        self.check()
        self.path.mkdir(parents=True, exist_ok=True)
        with contextlib.nullcontext(lease) if lease else Lease(self.path) as self._lease:
            self._open(trainer.slots, display)
            display.begin(*self._progress(), f"{self._headline()}   {trainer}   in {self.path}")
            self._advance()
            is_complete = not self._waiting or train(
                trainer, self._lease, display, self._progress, self._next_job, self._ended
            )
            display.end()
        return self.best, is_complete

    @property
    def ranked(self):
        """Feasible records, the best first."""
        return ranked(self.log.records.values())

    @property
    def best(self):
        """The best feasible record; None if there is none."""
        return next(iter(self.ranked), None)

    def check(self):
        """Reads study.json if there is one, and refuses a directory that is not this study's."""
        try:
            held = json.loads((self.path / "study.json").read_text())
            if not isinstance(held, dict) or not isinstance(held.get("batch"), int):
                raise ValueError("it is not a study's")
        except FileNotFoundError:
            strangers = self.path.exists() and [p.name for p in self.path.iterdir()]
            strangers = [name for name in strangers or () if "lease" not in name and name[0] != "."]
            if strangers:
                raise UserError(
                    f"{self.path} holds {strangers[0]} but no study; choose another --study_dir"
                ) from None
            return None
        except (ValueError, NotADirectoryError) as error:
            raise UserError(f"{self.path}/study.json cannot be read: {error}") from None
        wanted = self._identity()
        if self.study.batch is not None:
            wanted["batch"] = self.study.batch
        refuse_difference(
            f"{self.path} holds a study",
            {name: held.get(name) for name in wanted},
            wanted,
            "continue it with its own settings (--resume), or choose another --study_dir",
        )
        return held

    def trial_path(self, run_id):
        return self.path / f"trial_{run_id}"

    def _identity(self):
        """What decides the trials; `num_trials` does not, so that a study can grow."""
        import keras

        study = dataclasses.asdict(self.study) | {"first": self.first}
        for free in ("num_trials", "keep", "batch"):
            study.pop(free)
        config = dataclasses.asdict(self.config)
        return {"config": config, "study": study, "backend": keras.backend.backend()}

    def _open(self, slots, display):
        import keras_tuner

        from tuning.search.algorithms import load_oracle

        held = self.check()
        self.batch = held["batch"] if held else self.study.batch or max(4, slots)
        self.oracle = load_oracle(self.study.algorithm)(
            objective=keras_tuner.Objective(OBJECTIVE, "min"),
            max_trials=MAX_TRIALS,
            hyperparameters=spaces.hyperparameters(self.space),
            seed=self.study.seed,
            first=self.first,
        )
        self.oracle._set_project_dir(str(self.path.parent), self.path.name)
        self.oracle.verbose = 0
        sizes = {name: getattr(self.study, name) for name in ("num_trials", "keep")}
        write_json(self.path / "study.json", self._identity() | sizes | {"batch": self.batch})
        for name, text in self.documents.items():
            if not (self.path / name).exists():
                with whole(self.path / name, "w") as file:
                    file.write(text)
        self.log = TrialLog(self.path / "trials.jsonl")
        with warnings.catch_warnings(record=True) as problems:
            warnings.simplefilter("always", UserWarning)
            if list(self.path.glob("oracle.json")) or list(self.path.glob("trial_*/trial.json")):
                self.oracle.reload()
        for problem in filter(None, (self.log.problem, *(str(p.message) for p in problems))):
            display.say(problem)
        while self.oracle._retry_queue:
            self.oracle.create_trial(f"again-{self.oracle._retry_queue[-1]}")
        self._waiting = [name for name in self.oracle.start_order if name not in self.log.records]

    def _progress(self):
        return self.log.records, self.study.num_trials

    def _headline(self):
        config, study = self.config, self.study
        return (
            f"task {config.task}   architecture {config.arch}   depth {config.depth}   budget "
            f"{config.num_params:,}   {study.algorithm} in {len(self.space)} dimensions   "
            f"{study.num_trials} trials of up to {config.train_steps:,} steps"
        )

    def _next_job(self):
        if not self._waiting:
            self._advance()
        if not self._waiting:
            return None
        run_id = self._waiting[0]
        limits = self._limits(self.oracle.start_order.index(run_id))
        if limits is None:
            return None
        self._waiting.pop(0)
        values = self.oracle.trials[run_id].hyperparameters.values
        return Job(run_id, spaces.configure(self.config, values), limits)

    def _advance(self):
        """Tells the oracle what it may know by now, and asks for what it may propose by now."""
        while action := next_action(
            len(self.oracle.start_order), self._is_told, self._has_ended, self.study.num_trials,
            self.batch,
        ):  # fmt: skip
            if action == "propose":
                trial = self.oracle.create_trial(f"tuner{len(self.oracle.start_order)}")
                if trial.status == STOPPED:
                    # The space is exhausted.
                    self.study = dataclasses.replace(
                        self.study, num_trials=max(1, len(self.oracle.start_order))
                    )
                    return
                self._waiting.append(trial.trial_id)
            else:
                self._tell(self.oracle.start_order[action[1]])

    def _is_told(self, index):
        return self.oracle.trials[self.oracle.start_order[index]].status != RUNNING

    def _has_ended(self, index):
        return self.oracle.start_order[index] in self.log.records

    def _tell(self, run_id):
        record, trial = self.log.records[run_id], self.oracle.trials[run_id]
        if record.objective is None:
            trial.status, trial.message = FAILED, f"infeasible at step {record.infeasible_at}"
        else:
            self.oracle.update_trial(run_id, {OBJECTIVE: record.objective})
            trial.status = COMPLETED
        self.oracle.end_trial(trial)

    def _limits(self, index):
        """The losses above which a trial is pruned: medians over what its batch knows.

        None while a result that it knows is missing, of a line of the log that was lost.
        """
        if self.study.early_stopping == "none":
            return {}
        known = self.oracle.start_order[: max(0, index // self.batch - 1) * self.batch]
        if any(run_id not in self.log.records for run_id in known):
            return None
        curves = [self.log.records[run_id].curve for run_id in known]
        limits = {}
        for share in RUNGS:
            losses = [c[round(share * 20) - 1] for c in curves if len(c) >= round(share * 20)]
            if len(losses) >= MIN_COMPARED:
                limits[share] = statistics.median(losses)
        return limits

    def _ended(self, record, weights):
        self._lease.check()
        if record.objective is not None:
            better = [each for each in self.ranked if rank(each) < rank(record)]
            if len(better) < self.study.keep:
                write_run(self.trial_path(record.run_id), record, weights)
        self._note_hparams(record)
        self.log.append(record)
        for dropped in self.ranked[self.study.keep :]:
            shutil.rmtree(self.trial_path(dropped.run_id) / "checkpoints", ignore_errors=True)
        # While others still train, so that none waits for proposals.
        self._advance()

    def _note_hparams(self, record):
        """The trial for TensorBoard's HParams page."""
        from trainer.storage.events import Events

        values = self.oracle.trials[record.run_id].hyperparameters.values
        results = {"objective": record.objective, "eval_loss": record.eval_loss}
        results = {name: value for name, value in results.items() if value is not None}
        events = Events(self.trial_path(record.run_id) / "events", 0)
        events.hparams(values, results)
        events.scalars(record.steps_done, results)
        events.close()


def next_action(created, is_told, has_ended, target, batch):
    """What a study does next; a function of counts alone, so that kills and speeds do not matter.

    The order is: propose batches 0 and 1, tell batch 0, propose batch 2, tell batch 1, and so on.

    Args:
        created: number of trials proposed so far.
        is_told, has_ended: called with a trial's index.
        target: number of trials wanted.
        batch: trials of a batch.

    Returns:
        "propose", ("tell", index), or None where only a trial's end changes anything.
    """
    begun = created // batch
    must_know = max(0, begun - 1) * batch
    if created < target and all(map(is_told, range(must_know))):
        return "propose"
    may_know = created if created >= target else must_know
    for index in range(may_know):
        if not is_told(index):
            return ("tell", index) if has_ended(index) else None
    return None
