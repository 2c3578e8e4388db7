"""A sweep is its directory; whoever can write to it can take part.

sweep.json          its studies, in the order in which they are taken up
sweep.gin           the gin file that asked for them
studies/NAME/       a study each, as `python -m tuning` leaves it, and its lease
states/NAME.json    how it fares; written by the owner of the study's lease alone
logs/NAME.txt       what was said of it
"""

import contextlib
import dataclasses
import json
import pathlib

from trainer.config import TrainConfig
from trainer.errors import UserError
from trainer.storage.differences import refuse_difference
from trainer.storage.files import whole, write_json
from tuning.config import StudyConfig
from tuning.study.lease import Lease
from tuning.study.log import RERUNS
from tuning.sweep.config import Spec

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
#: How often a study may fail by an error of its own before it is set aside.
MAX_FAILURES = 3
#: How many processes in a row may die with a study before it has a finished trial more.
MAX_DEATHS = 20


@dataclasses.dataclass(frozen=True)
class State:
    """How a study fares.

    Attributes:
        status: "waiting", "running", "done" or "failed". "running" is as its owner left it: one
            that was killed left it so.
        trials: finished ones, reruns included, when this was written.
        infeasible, best: how many of them diverged, and the least objective; of one that is done.
        failures: messages of the errors that ended it since its last trial.
        deaths: processes in a row that died with it and had no trial to show.
        seconds: that its owners have spent, those that were killed aside.
    """

    status: str = WAITING
    trials: int = 0
    infeasible: int | None = None
    best: float | None = None
    failures: tuple = ()
    deaths: int = 0
    seconds: float = 0.0

    @property
    def is_over(self):
        return self.status in (DONE, FAILED)

    def taken(self, trials):
        """The state once a process has taken the study up, which has so many finished trials."""
        state = dataclasses.replace(self, status=RUNNING, trials=trials)
        if trials > self.trials:
            return dataclasses.replace(state, failures=(), deaths=0)
        deaths = self.deaths + (self.status == RUNNING)
        if deaths < MAX_DEATHS:
            return dataclasses.replace(state, deaths=deaths)
        message = f"its process died {deaths} times in a row; often that is want of memory"
        failures = (*self.failures, message)
        return dataclasses.replace(state, status=FAILED, deaths=deaths, failures=failures)

    def failed(self, message, is_final):
        """The state after an error; the study waits for another attempt unless it had enough."""
        failures = (*self.failures, message)
        is_final = is_final or len(failures) >= MAX_FAILURES
        return dataclasses.replace(
            self, status=FAILED if is_final else WAITING, failures=failures, deaths=0
        )


class Sweep:
    """The files of a sweep.

    Args:
        path: the directory.
        specs: list of `Spec`.
        backend: the Keras backend that it is to run on.
        profile: the one that its studies were made with; for whoever reads their results.
    """

    def __init__(self, path, specs, backend="tensorflow", profile="laptop"):
        self.path, self.backend, self.profile = pathlib.Path(path), backend, profile
        self.specs = {spec.name: spec for spec in specs}

    @classmethod
    def open(cls, path):
        """The sweep that a directory holds.

        Raises:
            UserError: it holds none.
        """
        manifest = pathlib.Path(path, "sweep.json")
        try:
            held = json.loads(manifest.read_text())
            specs = [_spec(each) for each in held["studies"]]
            return cls(path, specs, held["backend"], held["profile"])
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{path} holds no sweep (no sweep.json)") from None
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{manifest} is not a sweep's: {error}") from None

    def create(self, documents):
        """Writes what says which studies there are; a directory that has it already must agree.

        Args:
            documents: dict from file name to text, written beside sweep.json.

        Raises:
            UserError: the directory holds another sweep, or something else.
        """
        manifest, ours = self.path / "sweep.json", ("studies", "states", "logs", *documents)
        names = [p.name for p in self.path.iterdir()] if self.path.is_dir() else []
        strangers = [name for name in names if name not in ours and name[0] != "."]
        # Another process may be creating the same at this moment.
        if manifest.exists():
            self._refuse_difference(Sweep.open(self.path))
            return
        if strangers or (self.path.exists() and not self.path.is_dir()):
            what = f"holds {strangers[0]} but no sweep" if strangers else "is no directory"
            raise UserError(f"{self.path} {what}; choose another --out")
        for name in ("studies", "states", "logs"):
            (self.path / name).mkdir(parents=True, exist_ok=True)
        for name, text in documents.items():
            with whole(self.path / name, "w") as file:
                file.write(text)
        studies = [_values(spec) for spec in self.specs.values()]
        values = {"backend": self.backend, "profile": self.profile, "studies": studies}
        write_json(manifest, values)

    def study_path(self, name):
        return self.path / "studies" / name

    def retry(self, name):
        """Makes a study that was set aside wait for another try."""
        if self.state(name).status == FAILED:
            with Lease(self.study_path(name)):
                state = dataclasses.replace(self.state(name), failures=(), deaths=0)
                self.write_state(name, dataclasses.replace(state, status=WAITING))

    def log_path(self, name):
        return self.path / "logs" / f"{name}.txt"

    def state(self, name):
        """The study's `State`; a new one where there is none, or where it is damaged."""
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError, KeyError):
            values = json.loads(self._state_path(name).read_bytes())
            return State(**values | {"failures": tuple(values["failures"])})
        return State(trials=self.num_ended(name))

    def write_state(self, name, state):
        write_json(self._state_path(name), dataclasses.asdict(state))

    def num_ended(self, name):
        """Finished trials and reruns that the study's files have now."""
        count = 0
        for file in ("trials.jsonl", RERUNS):
            with contextlib.suppress(FileNotFoundError):
                count += (self.study_path(name) / file).read_bytes().count(b"\n")
        return count

    def _state_path(self, name):
        return self.path / "states" / f"{name}.json"

    def _refuse_difference(self, held):
        subject, way_out = f"{self.path} holds a sweep", "choose another --out"
        refuse_difference(
            subject,
            {"backend": held.backend},
            {"backend": self.backend},
            f"set KERAS_BACKEND={held.backend}, or {way_out}",
        )
        for name in sorted(held.specs.keys() ^ self.specs.keys()):
            missing = "with" if name in held.specs else "without"
            raise UserError(f"{subject} {missing} the study {name}; {way_out}")
        refuse_difference(subject, *map(_values_by_name, (held, self)), way_out)


def _values(spec):
    return spec._asdict() | {
        "config": dataclasses.asdict(spec.config),
        "study": dataclasses.asdict(spec.study),
    }


def _spec(values):
    config, study = TrainConfig(**values["config"]), StudyConfig(**values["study"])
    return Spec(**values | {"config": config, "study": study})


def _values_by_name(sweep):
    return {name: _values(spec) for name, spec in sweep.specs.items()}
