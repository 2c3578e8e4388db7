"""A study: a search over the hyperparameters of one task and architecture, in its own directory.

    study.json              settings that determine its trials
    trials.jsonl            one RunRecord per finished trial
    oracle.json, trial_*/   keras-tuner's project; the directories of the best trials are also runs
    lease.json              the process that owns it

Only trials.jsonl holds results. All other files are derived from it, or written so that a continued
study recovers from a kill between any two writes. A study can be continued from study.json and
trials.jsonl alone: the search is rebuilt from them.
"""

import contextlib
import dataclasses
import pathlib
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rnn_zoo.files import whole
from trainer import initial_weights
from trainer.callbacks import DEFAULT, Callback, Callbacks
from trainer.cli.gin_files import default_batch_size
from trainer.config import TrainConfig
from trainer.display.words import count
from trainer.errors import UserError
from trainer.storage import json_files
from trainer.storage.differences import refuse_difference
from trainer.storage.files import refuse_links, remove
from trainer.storage.lease import Lease
from trainer.storage.records import RunRecord
from tuning.config import MAX_TRIALS, StudyConfig, seed_of
from tuning.search import ranges
from tuning.search import space as spaces
from tuning.search.algorithms import load_oracle
from tuning.study import consistency, log
from tuning.study.executors import Executor, Processes, run_jobs
from tuning.study.identity import CHOSEN, Settings, comparable, identity, read, refuse_other
from tuning.study.log import TRIALS, TrialLog, rank, ranked, write_run
from tuning.study.pool import Job
from tuning.study.progress import StudyDisplay
from tuning.study.pruning import pruning_limits
from tuning.study.schedule import (
    COMPLETED,
    FAILED,
    OBJECTIVE,
    RUNNING,
    Schedule,
    default_batch,
    default_initial_points,
)

if TYPE_CHECKING:
    from tuning.search.durable import DurableOracle


class Study:
    """A study and its files.

    Args:
        directory: directory of the study; a study that it holds is continued.
        config: the configuration whose hyperparameters are searched.
        study: configuration of the search.
        documents: texts to write beside study.json, by file name.
        name: name that determines the search's seed; the directory's if None.
        transferred_from: STUDY/RUN_ID of the trial whose hyperparameters are `study.first`; None
            unless they come from another study.
        callbacks: instances of `trainer.Callback`, or names as for --log_to. They are called in
            this process, wherever the trials train, and replace the default, TensorBoard.
        profile: name of the profile that `config` comes from, for study.json.
        held: names of hyperparameters that are held at their values in `config`. By default these
            are the options that it sets, a batch size other than the task's, and all that differ
            from the defaults of `TrainConfig`, unless they have a range. If there is a first trial
            (`study.first`), it uses the values that the paper tunes, and they are not held; see
            `tuning.search.ranges.changed`. To hold a value that is the default, use `study.ranges`.

    Raises:
        UserError: the search space or the first trial is invalid.

    Example:
        # Holds the learning rate and the optimizer, and searches the rest.
        config = TrainConfig("memory", "gru", lr_init=0.007, optimizer="rmsprop")
        Study("studies/mine", config, StudyConfig(num_trials=20)).run()
    """

    log: TrialLog
    _schedule: Schedule

    def __init__(
        self,
        directory: str | pathlib.Path,
        config: TrainConfig,
        study: StudyConfig,
        documents: Mapping[str, str] | None = None,
        name: str | None = None,
        transferred_from: str | None = None,
        callbacks: Sequence[Callback | str] = DEFAULT,
        profile: str | None = None,
        held: Collection[str] | None = None,
    ):
        config = initial_weights.pinned(config)
        if held is None or held:
            size = default_batch_size(config.task)
            given = ranges.changed(config, study, size) if held is None else held
            config, study = ranges.hold(config, given, study, size)
        self.path, self.config, self.study = pathlib.Path(directory), config, study
        self.documents, self.name = documents or {}, name or self.path.name
        self.transferred_from, self.profile = transferred_from, profile
        self._callback = Callbacks(callbacks, self._facts)
        self.space, self.first = ranges.of_study(config, study)
        self._clipped = ranges.clipped(config, study, self.first)
        choices = [each.choices for each in self.space if each.name == "optimizer"]
        self._optimizers = choices[0] if choices else None
        self.task = config.make_task()
        # Fail here rather than in a worker if the budget is too small.
        initial_weights.check(config, self.task)

    def run(
        self,
        executor: Executor | None = None,
        display: StudyDisplay | None = None,
        lease: Lease | None = None,
    ) -> tuple[RunRecord | None, bool]:
        """Train the remaining trials of the study.

        Args:
            executor: trains the trials; one process per GPU or core if None.
            display: shows the progress; a new one if None.
            lease: the lease on the directory, if the caller holds it.

        Returns:
            (best record, or None if no trial is feasible; whether the study is complete).

        Raises:
            UserError: another process owns the directory, or it holds something else.
        """
        display = display or StudyDisplay()
        executor = (executor or Processes()).sized(
            self.config, self.task.num_steps, self.study.num_trials
        )
        self.check()
        self._check_cells()
        self.path.mkdir(parents=True, exist_ok=True)
        with contextlib.nullcontext(lease) if lease else Lease(self.path) as self._lease:
            with display.phase("starting the search"):
                self._open(executor.slots, display)
            display.begin(*self._progress(), f"{self._headline()}   {executor}   in {self.path}")
            try:
                self._schedule.advance()
                hooks = (self._next_job, self._ended, self._callback)
                is_complete = not self._schedule.waiting or run_jobs(
                    executor, self._lease, display, self._progress, *hooks
                )
            finally:
                display.end()
        return self.best, is_complete

    @property
    def ranked(self) -> list[RunRecord]:
        """Feasible records, best first."""
        return ranked(self.log.records.values())

    @property
    def best(self) -> RunRecord | None:
        """The best feasible record; None if there is none."""
        return next(iter(self.ranked), None)

    def check(self) -> Settings | None:
        """Read study.json; return None if it does not exist.

        Raises:
            UserError: the directory holds another study, something else, or links.
        """
        refuse_links(self.path)
        held = read(self.path)
        if held is None:
            self._refuse_strangers()
            return None
        study = dataclasses.replace(held["study"], batch=held["batch"])
        if held["config"].weights_sha256 is None:  # a study of an earlier version
            self.config = dataclasses.replace(self.config, weights_sha256=None)
        refuse_other(
            f"{self.path} holds a study",
            comparable(held["config"], study) | {"backend": held["backend"]},
            self._identity(comparable),
            "continue it with its own settings (--resume), or choose another --study_dir",
        )
        data = self.task.describe()
        refuse_difference(
            f"{self.path} holds a study",
            {"data": held.get("data", data)},
            {"data": data},
            "restore the data that it began with, or choose another --study_dir",
        )
        return held

    def _check_cells(self):
        """Raise a `UserError` if the cell rejects a value that one of its options may have."""
        from trainer.trial import Trial

        options = [each for each in self.space if each.name.startswith("arch_options.")]
        points = [{each.name: value} for each in options for value in each.limits]
        for values in points:
            Trial(spaces.configure(self.config, values))

    def _refuse_strangers(self):
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is not a directory; choose another --study_dir")
        names = [p.name for p in self.path.iterdir()] if self.path.exists() else []
        strangers = [name for name in names if "lease" not in name and name[0] != "."]
        if strangers:
            raise UserError(
                f"{self.path} holds {strangers[0]} but no study; choose another --study_dir"
            )

    def trial_path(self, run_id: str) -> pathlib.Path:
        """Return the directory of a trial."""
        return self.path / f"trial_{run_id}"

    def _identity(self, form=identity):
        import keras

        study = dataclasses.replace(self.study, first=self.first)
        return form(self.config, study) | {"backend": keras.backend.backend()}

    def _open(self, slots, display):
        """Create or read the study's files."""
        held = self.check()
        if self._clipped and not held:
            display.say(self._clipped)
        self.study = self._chosen(held, slots)
        self.transferred_from = (held or {}).get("transferred_from", self.transferred_from)
        self.profile = held.get("profile") if held else self.profile
        with self._lease.held():
            self._write_settings()
            # Before the log is repaired.
            if foreign := consistency.read(self.path, vars(self.config)).foreign:
                raise UserError(f"{foreign}; {consistency.WAY_OUT}")
            self.log = TrialLog(self.path / TRIALS)
            self._keep_trials(display)
            self._drop_weights()
        before = held.get("keep") if held else None
        if before and min(self.study.keep, len(self.ranked)) > before:
            display.say(
                f"{self.path} kept the weights of {count(before, 'trial')}; others are gone"
            )
        if edited := log.edited(self.log.records.values(), vars(self.config)):
            display.say(edited)
        oracle = self._reloaded(display)
        if lost := self._lost(oracle):
            display.say(f"the search is rebuilt from {self.log.path}")
            oracle.restore(lost)
        gone = [each for each in oracle.end_order if each not in self.log.records]
        if gone and not self.log.problem:
            display.say(
                f"{self.log.path} lacks {count(len(gone), 'trial')} that had ended; they run again"
            )
        self._schedule = Schedule(oracle, self.log, self.study.num_trials, self.study.batch)

    def _keep_trials(self, display):
        """Raise the number of trials to that of the log, if the user wants fewer."""
        number, wanted = len(self.log.records), self.study.num_trials
        if number > wanted:
            display.say(f"{self.path} keeps its {count(number, 'trial')}, though you want {wanted}")
            self.study = dataclasses.replace(self.study, num_trials=number)
            self._write_settings()

    def _drop_weights(self):
        """Remove the weights of all but the best trials."""
        for dropped in self.ranked[self.study.keep :]:
            remove(self.trial_path(dropped.run_id) / "checkpoints")

    def _write_settings(self):
        own = {name: getattr(self.study, name) for name in ("num_trials", "keep", "batch")}
        settings = self._identity()
        del settings["study"]["batch"]
        own |= {"transferred_from": self.transferred_from, "profile": self.profile}
        own |= {"data": self.task.describe()}
        json_files.write(self.path / "study.json", settings | own)
        for name, text in self.documents.items():
            if not (self.path / name).exists():
                with whole(self.path / name, "w") as file:
                    file.write(text)

    def _reloaded(self, display):
        """Return the search as its files hold it, or a new one."""
        oracle = self._make_oracle()
        oracle.guard = self._lease.held
        with warnings.catch_warnings(record=True) as problems:
            warnings.simplefilter("always", UserWarning)
            # Either may be missing after a kill, or damaged.
            if list(self.path.glob("oracle.json")) or list(self.path.glob("trial_*/trial.json")):
                oracle.reload(len(str(MAX_TRIALS)), self._most_trials(), is_closed=True)
        for problem in filter(None, (self.log.problem, *(str(p.message) for p in problems))):
            display.say(problem)
        return oracle

    def _chosen(self, held, slots):
        """Return the search, completed with the settings that are chosen when it starts."""
        free = sum(each.fixed is None for each in self.space)
        values = {
            "seed": seed_of(self.name),
            "batch": default_batch(self.study.num_trials, slots),
            "initial_points": default_initial_points(self.study.num_trials, free),
        }
        for source in (held or {}, vars(held["study"]) if held else {}, vars(self.study)):
            values |= {n: source[n] for n in CHOSEN if source.get(n) is not None}
        return dataclasses.replace(self.study, **values)

    def _lost(self, oracle):
        """Return (values, score) of the trials in the log that the search does not have, by id.

        Raises:
            UserError: a trial in the log is not one of this study.
        """
        lost = {}
        for run_id, record in self.log.records.items():
            values, trial = self.values_of(record), oracle.trials.get(run_id)
            if trial is None or run_id in oracle.lost or not _is_of(trial, values, record):
                lost[run_id] = (values, record.objective)
        return lost

    def values_of(self, record: RunRecord) -> dict[str, Any]:
        """Return the values of a trial in the log, as the search proposed them.

        Raises:
            UserError: the trial does not fit the search space.
        """
        try:
            if not re.fullmatch("[0-9]{5}", record.run_id):
                raise UserError("its id is not the number of a trial")
            if int(record.run_id) >= self._most_trials():
                raise UserError(
                    f"the study has {count(self.study.num_trials, 'trial')}; {consistency.WAY_OUT}"
                )
            for each in self.space:
                if each.name.partition(".")[0] not in record.config:
                    raise UserError(f"it has no {each.name}")
            config = TrainConfig(**record.config)
            values = spaces.values_of(config, self.space)
            refuse_difference(
                "it ran",
                dataclasses.asdict(config),
                dataclasses.asdict(spaces.configure(self.config, values)),
                consistency.WAY_OUT,
            )
            for each in self.space:
                value = values.get(each.name)
                if each.name in values and not each.contains(value):
                    raise UserError(
                        f"its {each.name} {value!r} is not in {each}; {consistency.WAY_OUT}"
                    )
        except (UserError, TypeError) as error:
            raise UserError(
                f"{self.log.path}: trial {record.run_id} does not fit the search space: {error}"
            ) from None
        return values

    def _most_trials(self):
        # Those that train at once are of two batches.
        most = len(self.log.records) + 2 * (self.study.batch or 0)
        return max(self.study.num_trials, most)

    def _make_oracle(self) -> "DurableOracle":
        import keras_tuner

        oracle = load_oracle(self.study.algorithm)(
            objective=keras_tuner.Objective(OBJECTIVE, "min"),
            max_trials=MAX_TRIALS,
            hyperparameters=spaces.hyperparameters(self.space),
            seed=self.study.seed,
            first=self.first,
            initial_points=self.study.initial_points,
        )
        oracle._set_project_dir(str(self.path.parent), self.path.name)
        oracle.verbose = 0
        return oracle

    def _progress(self) -> tuple[Mapping[str, RunRecord], int]:
        return self.log.records, self._schedule.num_trials

    def _headline(self):
        config, study = self.config, self.study
        by_name = {each.name: each for each in self.space}
        depth = "searched" if "depth" in by_name else config.depth
        steps = by_name["train_steps"].ends[1] if "train_steps" in by_name else config.train_steps
        return (
            f"task {config.task}   architecture {config.arch}   depth {depth}   budget "
            f"{config.num_params:,}   {study.algorithm} in {spaces.summary(self.space)}   "
            f"{count(study.num_trials, 'trial')} of up to {count(steps, 'step')} "
            f"in batches of {study.batch}"
        )

    def _next_job(self):
        schedule = self._schedule
        if not schedule.waiting:
            schedule.advance()
        if not schedule.waiting:
            return None
        run_id = schedule.waiting[0]
        config = spaces.configure(self.config, schedule.values(run_id))
        limits = self._limits(schedule.known(run_id), config)
        if limits is None:
            return None
        schedule.waiting.popleft()
        return Job(run_id, config, limits, self._optimizers)

    def _limits(self, known, config):
        """Return the losses above which a trial is pruned, from trials known at its proposal.

        Other trials are left out so that the study does not depend on the order in which trials
        end. Returns None while a record is missing because its line in the log was lost.
        """
        if self.study.early_stopping == "none":
            return {}
        if any(run_id not in self.log.records for run_id in known):
            return None
        records = [self.log.records[run_id] for run_id in known]
        return pruning_limits(self.study.early_stopping, records, config)

    def _ended(self, record, weights):
        for name, value in self._origin(record.run_id).items():
            setattr(record, name, value)
        record.outside = spaces.outside(TrainConfig(**record.config), self.space)
        with self._lease.held():
            if record.objective is not None:
                better = [each for each in self.ranked if rank(each) < rank(record)]
                if len(better) < self.study.keep:
                    write_run(self.trial_path(record.run_id), record, weights, self.profile)
            # The log is written last: a trial in the log is not trained again.
            self.log.append(record)
            self._drop_weights()
        # Propose while others still train, so that no lane waits for the search.
        self._schedule.advance()

    def _origin(self, run_id):
        """Return the fields of a record that say where a trial's hyperparameters come from."""
        origin, source = self._schedule.origin(run_id), None
        if origin == "first" and self.transferred_from:
            origin, source = "transfer", self.transferred_from
        return {
            "origin": origin,
            "transferred_from": source,
            "held": [each.name for each in self.space if each.fixed is not None],
            "searched": [each.name for each in self.space if each.fixed is None],
        }

    def _facts(self, run_id):
        """Return the entries of a trial's `info` that do not follow from its configuration."""
        place = {"study": self.path.name, "run_dir": str(self.trial_path(run_id))}
        return self._origin(run_id) | place


def _is_of(trial, values, record):
    """Return whether a trial of the search has the values and the result of a record."""
    found = trial.hyperparameters.values
    # Searches of earlier versions lack hyperparameters with a single value.
    if any(found.get(name, value) != value for name, value in values.items()):
        return False
    if trial.status == RUNNING:  # it was killed before it told the search
        return True
    ended = FAILED if record.objective is None else COMPLETED
    return trial.status == ended and trial.score == record.objective
