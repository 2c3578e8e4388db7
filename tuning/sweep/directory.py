"""The directory of a sweep, which any process with access to it can join.

sweep.json          its studies, in the order in which they are started
sweep.gin           the gin file that defines them
studies/NAME/       each study, in the format of `python -m tuning`, and its lease
states/NAME.json    its state, written only by the owner of its lease
logs/NAME.txt       its output
"""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping

from trainer.config import TrainConfig
from trainer.errors import UserError
from trainer.storage.differences import refuse_difference
from trainer.storage.files import whole, write_json
from tuning.config import StudyConfig
from tuning.study.lease import Lease
from tuning.study.log import RERUNS
from tuning.sweep.config import Spec

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
#: Number of errors, without a finished trial in between, after which a study fails.
MAX_FAILURES = 3
#: Number of processes that may die in a row while running a study, without a finished trial.
MAX_DEATHS = 20


@dataclasses.dataclass(frozen=True)
class State:
    """State of a study.

    Attributes:
        status: "waiting", "running", "done" or "failed"; an owner that was killed leaves "running".
        trials: number of finished trials and reruns when this was written.
        infeasible, best: number of diverged trials and the best objective, once it is done.
        failures: messages of errors since its last finished trial.
        deaths: number of processes in a row that died while running it, without a finished trial.
        seconds: time spent by its owners, except those that were killed.
    """

    status: str = WAITING
    trials: int = 0
    infeasible: int | None = None
    best: float | None = None
    failures: tuple[str, ...] = ()
    deaths: int = 0
    seconds: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the study is done or failed."""
        return self.status in (DONE, FAILED)

    def taken(self, trials: int) -> "State":
        """Returns the state after a process takes the study, to start or continue it.

        Args:
            trials: number of finished trials in the study's files.
        """
        state = dataclasses.replace(self, status=RUNNING, trials=trials)
        if trials > self.trials:
            return dataclasses.replace(state, failures=(), deaths=0)
        deaths = self.deaths + (self.status == RUNNING)
        if deaths < MAX_DEATHS:
            return dataclasses.replace(state, deaths=deaths)
        message = f"its process died {deaths} times in a row; usually out of memory"
        failures = (*self.failures, message)
        return dataclasses.replace(state, status=FAILED, deaths=deaths, failures=failures)

    def failed(self, message: str, is_final: bool) -> "State":
        """Returns the state after an error: waiting for another attempt, or failed."""
        failures = (*self.failures, message)
        is_final = is_final or len(failures) >= MAX_FAILURES
        return dataclasses.replace(
            self, status=FAILED if is_final else WAITING, failures=failures, deaths=0
        )


class Sweep:
    """Files of a sweep.

    Args:
        path: the directory.
        specs: the studies.
        backend: the Keras backend that trains them.
        profile: the profile of the studies, for readers of the results.
    """

    def __init__(
        self,
        path: str | pathlib.Path,
        specs: Iterable[Spec],
        backend: str = "tensorflow",
        profile: str = "laptop",
    ):
        self.path, self.backend, self.profile = pathlib.Path(path), backend, profile
        self.specs = {spec.name: spec for spec in specs}

    @classmethod
    def open(cls, path: str | pathlib.Path) -> "Sweep":
        """Reads the sweep in a directory.

        Raises:
            UserError: there is none.
        """
        manifest = pathlib.Path(path, "sweep.json")
        try:
            held = json.loads(manifest.read_text())
            specs = [_spec(each) for each in held["studies"]]
            return cls(path, specs, held["backend"], held["profile"])
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{path} holds no sweep (no sweep.json)") from None
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{manifest} describes no sweep: {error}") from None

    def create(self, documents: Mapping[str, str]) -> None:
        """Creates the directory, or checks that it holds this sweep.

        Args:
            documents: texts to write beside sweep.json, by file name.

        Raises:
            UserError: the directory holds another sweep, or something else.
        """
        manifest, expected = self.path / "sweep.json", ("studies", "states", "logs", *documents)
        names = [p.name for p in self.path.iterdir()] if self.path.is_dir() else []
        strangers = [name for name in names if name not in expected and name[0] != "."]
        # Checked after listing: another process may be creating the same sweep.
        if manifest.exists():
            self._refuse_difference(Sweep.open(self.path))
            return
        if strangers or (self.path.exists() and not self.path.is_dir()):
            what = f"holds {strangers[0]} but no sweep" if strangers else "is not a directory"
            raise UserError(f"{self.path} {what}; choose another --out")
        for name in ("studies", "states", "logs"):
            (self.path / name).mkdir(parents=True, exist_ok=True)
        for name, text in documents.items():
            with whole(self.path / name, "w") as file:
                file.write(text)
        studies = [_values(spec) for spec in self.specs.values()]
        values = {"backend": self.backend, "profile": self.profile, "studies": studies}
        write_json(manifest, values)

    def study_path(self, name: str) -> pathlib.Path:
        """Returns the directory of a study."""
        return self.path / "studies" / name

    def retry(self, name: str) -> None:
        """Sets a failed study back to waiting."""
        if self.state(name).status == FAILED:
            with Lease(self.study_path(name)):
                state = dataclasses.replace(self.state(name), failures=(), deaths=0)
                self.write_state(name, dataclasses.replace(state, status=WAITING))

    def log_path(self, name: str) -> pathlib.Path:
        """Returns the file of a study's output."""
        return self.path / "logs" / f"{name}.txt"

    def state(self, name: str) -> State:
        """Reads the state of a study; returns a new one if it is missing or damaged."""
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError, KeyError):
            values = json.loads(self._state_path(name).read_bytes())
            return State(**values | {"failures": tuple(values["failures"])})
        return State(trials=self.num_ended(name))

    def write_state(self, name: str, state: State) -> None:
        """Writes the state of a study; its lease must be held."""
        write_json(self._state_path(name), dataclasses.asdict(state))

    def num_ended(self, name: str) -> int:
        """Counts the finished trials and reruns in the study's files."""
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
