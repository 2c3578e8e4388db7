"""`DurableOracle`: a keras-tuner oracle that survives kills, divergence and damaged files."""

import contextlib
import copy
import itertools
import json
import math
import os
import random
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NotRequired, TypedDict

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.src.engine import oracle as engine

from rnn_zoo.files import whole
from rnn_zoo.json_types import Count, FileName
from trainer.errors import UserError
from trainer.storage import json_files

RUNNING, STOPPED = TrialStatus.RUNNING, TrialStatus.STOPPED
COMPLETED, FAILED = TrialStatus.COMPLETED, TrialStatus.FAILED


class SearchFile(TypedDict):
    """Content of oracle.json."""

    ongoing_trials: dict[str, str]
    hyperparameters: dict[str, Any]
    start_order: list[FileName]
    end_order: list[FileName]
    run_times: dict[str, Count]
    retry_queue: list[FileName]
    seed: int | None
    seed_state: int | None
    tried_so_far: list[str]
    id_to_hash: dict[str, str | None]
    display: dict[str, Any]
    values: NotRequired[dict[str, dict[str, Any]]]
    origins: NotRequired[dict[str, str | None]]


class TrialFile(TypedDict):
    """Content of a trial's trial.json."""

    trial_id: FileName
    hyperparameters: dict[str, Any]
    metrics: dict[str, Any]
    score: float | None
    best_step: Count | None
    status: Literal["RUNNING", "IDLE", "INVALID", "STOPPED", "COMPLETED", "FAILED"]
    message: str | None
    origin: NotRequired[str | None]


class DurableOracle(keras_tuner.Oracle):
    """Base class of oracles for long searches.

    It fixes these faults of `keras_tuner.Oracle` (1.4):

    - A non-finite score fails the trial. In the base class, +inf becomes the best possible score.
    - Failed trials never end the search; in the base class, three in a row do. An exception other
      than `FailedTrialError` is a bug and ends the search with its traceback.
    - Each proposal is a function of the seed and of earlier trials, so a search continues as if it
      had not been killed. The base class loses its random state, and treats seed 0 as None.
    - Files are replaced atomically. A trial exists once `oracle.json` lists it, and has ended once
      its own file says so. A damaged file is renamed, with a warning, and its content is restored
      from the others. In the base class, a truncated `trial.json` makes the search unreadable.
    - An exception releases the oracle's lock.

    Args:
        objective: a name or a `keras_tuner.Objective`.
        max_trials: number of trials; None for no limit.
        hyperparameters: the search space; None if the model defines it.
        seed: seed of all random numbers; if None, one is drawn and stored with the search.
        first: values of the first trial, such as known good ones; None to let the search choose.
        initial_points: number of random trials before the model chooses: proposed ones, or results
            where a subclass says so; the algorithm's default if None.
        **options: other arguments of `keras_tuner.Oracle`.

    Attributes:
        origins: trial id -> origin of the values: "first", "random" or "search".
        lost: ids of ended trials whose results `reload` did not find.
        guard: makes a context manager in which files are written; it may raise an exception.
    """

    trials: dict[str, Trial]
    ongoing_trials: dict[str, Trial]

    def __init__(
        self,
        objective: "str | keras_tuner.Objective | None" = None,
        max_trials: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        seed: int | None = None,
        first: dict[str, Any] | None = None,
        initial_points: int | None = None,
        **options: Any,
    ):
        options = {"max_consecutive_failed_trials": None} | options
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            hyperparameters=hyperparameters,
            seed=seed,
            **options,
        )
        self._given_seed, self.first, self.initial_points = seed, first, initial_points
        self.origins: dict[str, str] = {}
        self.lost: frozenset[str] = frozenset()
        self.guard: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext
        self.seed = self._seed_state = random.randrange(2**31) if seed is None else seed

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if self.first is not None and not self.start_order:
            proposal = {"status": RUNNING, "values": dict(self.first), "origin": "first"}
        else:
            proposal = self.propose(trial_id)
        self.origins[trial_id] = proposal.pop("origin", "search")
        return proposal

    def propose(self, trial_id: str) -> dict[str, Any]:
        """Return the status, values and origin ("random" or "search") of the next trial.

        Status and values are those of keras-tuner's `populate_space`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define propose(trial_id)")

    def create_trial(self, tuner_id: str) -> Trial:
        with _unlocked_after_an_error(self):
            return super().create_trial(tuner_id)

    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Trial:
        with _unlocked_after_an_error(self):
            return super().update_trial(trial_id, metrics, step)

    def end_trial(self, trial: Trial) -> None:
        with _unlocked_after_an_error(self):
            self._end_trial(trial)

    @keras_tuner.synchronized
    def _end_trial(self, trial):
        known = self.trials[trial.trial_id]
        is_last = self._run_times[trial.trial_id] >= self.max_retries_per_trial
        if trial.status == TrialStatus.INVALID and is_last:
            # Not a `FailedTrialError` but a bug: the trial runs again once that is fixed.
            raise keras_tuner.errors.FatalRuntimeError(trial.message)
        if trial.status == COMPLETED:
            self.score_trial(known)
            if known.score is None or not math.isfinite(known.score):
                trial.status, trial.message = FAILED, f"its score is {known.score}"
                known.score = None
        # The base class would write oracle.json with this trial still among the running ones.
        ongoing = self.ongoing_trials.items()
        self.ongoing_trials = {k: v for k, v in ongoing if v is not known}
        super().end_trial(trial)

    def rng(self, index: int) -> np.random.Generator:
        """Return the random generator of the trial that started at position `index`."""
        return np.random.default_rng([self.seed, index])

    def ended(self) -> tuple[list[Trial], list[Trial]]:
        """Return completed and failed trials, each in the order in which they started."""
        known = [self.trials[trial_id] for trial_id in self.start_order]
        completed = [trial for trial in known if trial.status == COMPLETED]
        return completed, [trial for trial in known if trial.status == FAILED]

    def losses(self, completed: list[Trial]) -> np.ndarray:
        """Return the scores (n,) of completed trials, negated if larger ones are better."""
        sign = 1.0 if self.objective.direction == "min" else -1.0
        return sign * np.array([trial.score for trial in completed])

    def save(self) -> None:
        values = {name: trial.hyperparameters.values for name, trial in self.trials.items()}
        own = {"values": values, "origins": self.origins}
        self._write(self._get_oracle_fname(), self.get_state() | own)

    def _save_trial(self, trial):
        state = trial.get_state() | {"origin": self.origins.get(trial.trial_id)}
        self._write(os.path.join(self._get_trial_dir(trial.trial_id), "trial.json"), state)

    def _write(self, path, state):
        # Much faster than with indentation. A trial may have a metric that is not finite.
        text = json_files.dumps(state, allow_nan=True)
        with self.guard(), whole(path, "w") as file:
            file.write(text)

    def reload(
        self, digits: int | None = None, most: int | None = None, is_closed: bool = False
    ) -> None:
        """Read the search from its files.

        Args:
            digits: number of digits of all trial ids; any number if None.
            most: largest number of trials that it can have; any number if None.
            is_closed: whether the space is the one that it was made with. Else it may have grown,
                by hyperparameters that a model asked for.
        """
        found, space = {}, self.get_space()
        allowed = {each.name: each for each in space.space} if is_closed else None
        for entry in sorted(os.scandir(self._project_dir), key=lambda entry: entry.name):
            name = entry.name.removeprefix("trial_")
            if name != entry.name and (trial := self._read_trial(name, digits, allowed)):
                found[name] = trial
        new = self.get_state()

        def start(state):
            _check_order(state, found, digits, most)
            self._check_space(state, space, is_closed)
            for name, values in state.get("values", {}).items():
                _check_values(name, values, allowed)
            self.set_state(state | {"ongoing_trials": {}})

        path = self._get_oracle_fname()
        if found and not os.path.exists(path):
            warnings.warn(
                f"{path} is missing: the search goes on from the files of its trials, and may "
                "propose others than it would have",
                stacklevel=2,
            )
        state = self._read(path, SearchFile, start)
        if state is None:
            state = new | self._rebuilt({name: each for name, (_, each) in found.items()}, most)
            self.set_state(state)
        known = {name: each["origin"] for name, (_, each) in found.items() if each.get("origin")}
        self.origins = known | state.get("origins", {})
        for name in state["start_order"]:
            self.trials[name] = found[name][0] if name in found else self._trial(name, state)
        ended = [name for name, trial in self.trials.items() if trial.status in (COMPLETED, FAILED)]
        # The trials' own files take precedence: the search may have been killed between writing a
        # trial's file and oracle.json, and a trial whose file is damaged has lost its result.
        noted = [name for name in state["end_order"] if name in ended]
        self.lost = frozenset(state["end_order"]) - frozenset(noted)
        self.end_order = [*noted, *(name for name in ended if name not in noted)]
        # Trials that were running are handed out again; the queue is popped from its end.
        self._retry_queue = [name for name in reversed(self.start_order) if name not in ended]
        for trial in self.trials.values():
            self._record_values(trial)

    def _check_space(self, state, space, is_closed):
        """Refuse the state of a search in another space, or with another seed."""
        stored = state["hyperparameters"]["space"]
        if gone := {each.name for each in space.space} - {e["config"]["name"] for e in stored}:
            raise UserError(f"its space has no {min(gone)}")
        if is_closed and stored != json.loads(json.dumps(space.get_config()["space"])):
            raise UserError("its space is not that of the study")
        if is_closed and self._given_seed not in (None, state["seed"]):
            raise UserError(f"its seed is {state['seed']}, and that of the study {self.seed}")

    def _read_trial(self, name, digits, allowed):
        """Read a trial's file; return (trial, its state), or None if it is missing or damaged."""
        trial = Trial(None, name)

        def load(state):
            _check_id(name, digits)
            if state["trial_id"] != name:
                raise UserError(f"it is of the trial {state['trial_id']}")
            trial.set_state(state)
            for each in trial.hyperparameters.space:
                if not isinstance(each.name, str):
                    raise UserError(f"a hyperparameter has the name {each.name!r}")
            _check_values(name, trial.hyperparameters.values, allowed)

        state = self._read(os.path.join(self._get_trial_dir(name), "trial.json"), TrialFile, load)
        return state and (trial, state)

    def _read(self, path, kind, load):
        """Read a file and call `load` with it; rename a damaged file.

        Returns:
            Its content; None if it is missing or damaged.
        """
        try:
            found = json_files.read(path, kind)
            try:
                load(copy.deepcopy(found))  # keras-tuner modifies it
            except Exception as error:  # keras-tuner raises many for odd content
                reason = str(error) if isinstance(error, UserError) else repr(error)
                raise json_files.Damaged(path, reason) from None
            return found
        except (FileNotFoundError, NotADirectoryError):
            return None
        except json_files.Damaged as error:
            aside = f"{path}.damaged"
            with self.guard():
                os.replace(path, aside)
            warnings.warn(f"{path} is damaged; it is kept as {aside} ({error})", stacklevel=2)
            return None

    def restore(self, ended: Mapping[str, tuple[dict[str, Any], float | None]]) -> None:
        """Restore ended trials that this search has lost, from a log of their results.

        Trials are numbered in the order in which they start. If a number is neither in the search
        nor in the log, its proposal is lost, and is made again from the trials before it.

        Args:
            ended: (values, score) by trial id; the score is None if the trial failed.
        """
        known, self.trials, self.start_order, self._retry_queue = self.trials, {}, [], []
        ids = sorted({*known, *ended})
        for number in range(int(ids[-1]) + 1):
            trial_id = f"{number:0{len(ids[-1])}d}"
            if trial_id not in ids:
                self.create_trial(f"tuner{number}")
                continue
            self.trials[trial_id] = known.get(trial_id)
            if trial_id in ended:
                self.trials[trial_id] = self._ended_trial(trial_id, *ended[trial_id])
            self.start_order.append(trial_id)
            self._record_values(self.trials[trial_id])
        self.end_order = [*dict.fromkeys([*self.end_order, *sorted(ended)])]
        self.lost -= ended.keys()
        running = [name for name in known if self.trials[name].status == RUNNING]
        self._retry_queue = sorted(running, reverse=True)
        for trial_id in ended:
            self._save_trial(self.trials[trial_id])
        self.save()

    def _ended_trial(self, trial_id, values, score):
        trial = self._trial(trial_id, {"values": {trial_id: values}})
        trial.status = FAILED if score is None else COMPLETED
        if score is not None:
            trial.metrics.register(self.objective.name, direction=self.objective.direction)
            trial.metrics.update(self.objective.name, score)
            self.score_trial(trial)
        self._run_times[trial_id] = 1
        return trial

    def _trial(self, trial_id, state):
        hyperparameters = self.get_space()
        hyperparameters.values = dict(state["values"][trial_id])
        return Trial(hyperparameters, trial_id, RUNNING)

    def _rebuilt(self, found, most):
        """Return entries of the oracle's state that follow from its trials' files.

        They are those of the trials before the first one without a file, since proposals follow
        from all earlier trials.
        """
        found = {name: found[name] for name in sorted(found, key=int)[:most]}
        numbered = zip(itertools.count(), found)
        order = [name for _, name in itertools.takewhile(lambda n: n[0] == int(n[1]), numbered)]
        if gone := found.keys() - order:
            warnings.warn(
                f"no file of the trial {len(order)} is left, so those after it are proposed anew: "
                f"{', '.join(sorted(gone, key=int))}",
                stacklevel=2,
            )
        ended = [name for name in order if found[name]["status"] in (COMPLETED, FAILED)]
        spaces = [found[name]["hyperparameters"] for name in order]
        return {
            "start_order": order,
            "end_order": ended,
            "ongoing_trials": {},
            "run_times": dict.fromkeys(ended, 1),
            **({"hyperparameters": copy.deepcopy(spaces[-1])} if spaces else {}),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        if self._given_seed is not None:
            self.seed = self._given_seed
        self._seed_state = self.seed


def _check_values(trial, values, allowed):
    """Refuse values that no trial of a search can have.

    Args:
        trial: its id.
        values: its values by name.
        allowed: hyperparameters by name; None if there may be any others.
    """
    for name, value in values.items() if allowed is not None else ():
        if name not in allowed or not _allows(allowed[name], value):
            raise UserError(f"trial {trial} has the {name} {value!r}, which is not in the space")


def _allows(hyperparameter, value):
    """Return whether one of keras-tuner's hyperparameters can have a value."""
    if not hasattr(hyperparameter, "min_value"):
        return value in hyperparameter.values
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and hyperparameter.min_value <= value <= hyperparameter.max_value


def _check_order(state, found, digits, most):
    """Refuse a state whose trials are not numbered from 0, too many, or without values."""
    order = state["start_order"]
    if most is not None and len(order) > most:
        raise UserError(f"it has {len(order)} trials, of at most {most}")
    for index, name in enumerate(order):
        _check_id(name, digits)
        if int(name) != index:
            raise UserError(f"its trial {index} has the id {name}")
    if lost := set(order) - found.keys() - state.get("values", {}).keys():
        raise UserError(f"it has no values of the trial {min(lost)}")


def _check_id(name, digits):
    """Raise a `UserError` unless a trial's id is a number as keras-tuner writes it."""
    if not (name.isascii() and name.isdecimal() and digits in (None, len(name))):
        wanted = "digits" if digits is None else f"{digits} digits"
        raise UserError(f"the id of a trial is {wanted}, not {name!r}")


@contextlib.contextmanager
def _unlocked_after_an_error(oracle: keras_tuner.Oracle) -> Iterator[None]:
    """Release the lock that keras-tuner's `synchronized` keeps when its method raises."""
    outermost = engine.THREADS[oracle] != threading.current_thread().name
    try:
        yield
    except BaseException:
        if outermost and engine.THREADS[oracle] == threading.current_thread().name:
            engine.THREADS[oracle] = None
            engine.LOCKS[oracle].release()
        raise
