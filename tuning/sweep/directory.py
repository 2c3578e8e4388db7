"""The directory of a sweep, which any process with access to it can join.

sweep.json          its studies, in the order in which they are started
sweep.gin           the gin files and bindings that define them, and the flags as a comment;
                    sweep-2.gin, ... if it grew from others
studies/NAME/       each study, in the format of `python -m tuning`, and its lease
states/NAME.json    its state, written only by the owner of its lease
logs/NAME.txt       its output
"""

import contextlib
import dataclasses
import os
import pathlib
import time
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

from rnn_zoo.files import locked, whole
from rnn_zoo.json_types import Count, FileName, Size
from trainer import names
from trainer.config import is_registered, read_config
from trainer.display.words import count
from trainer.errors import UserError
from trainer.storage import json_files
from trainer.storage.differences import refuse_difference
from trainer.storage.files import open_regular, read_bytes, refuse_link
from trainer.storage.lease import PATIENCE, Lease
from tuning.config import MAX_RERUNS, StudyConfig
from tuning.study import identity, log
from tuning.study.identity import ConfigFacts
from tuning.study.log import RERUNS, TRIALS
from tuning.sweep import results
from tuning.sweep.config import TRANSFERS, Spec
from tuning.sweep.growth import Union, union
from tuning.sweep.transfer import sources

Seconds = Annotated[float, lambda seconds: 0 <= seconds < 1e12, "a float from 0 to 1e12"]
WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
#: Fields of a done study's state that must agree with its results.
_COMPARED = ("trials", "infeasible", "proposed", "best")
_FOLDERS = ("studies", "states", "logs")
#: Phases of a running study before its first step, as its output names them.
PHASES = ("starting", "compiling")
#: Number of errors, without a finished trial in between, after which a study fails.
MAX_FAILURES = 3
#: Number of processes that may die in a row while running a study, without a finished trial.
MAX_DEATHS = 20


@dataclasses.dataclass(frozen=True)
class State:
    """State of a study.

    Attributes:
        status: "waiting", "running", "done" or "failed"; an owner that was killed leaves "running".
        trials: number of finished trials, and of reruns of the best one, when this was written.
        infeasible, proposed, best: number of diverged trials, number of trials that the search's
            model proposed, and the best objective, once it is done.
        wanted: number of trials and reruns that the sweep wanted when it was done; it is reopened
            if the sweep wants more.
        failures: messages of errors since its last finished trial.
        note: how it began, if its first trial was to be transferred.
        deaths: number of processes in a row that died while running it, without a finished trial.
        seconds: time spent by its owners, except those that were killed.
        core_seconds: processor time of these owners, which other processes do not affect.
    """

    status: Annotated[str, Literal["waiting", "running", "done", "failed"]] = WAITING
    trials: Count = 0
    infeasible: Count | None = None
    proposed: Count | None = None
    best: float | None = None
    wanted: Count = 0
    note: str = ""
    failures: tuple[str, ...] = ()
    deaths: Count = 0
    seconds: Seconds = 0.0
    core_seconds: Seconds = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the study is done or failed."""
        return self.status in (DONE, FAILED)

    def taken(self, trials: int) -> "State":
        """Return the state after a process takes the study, to start or continue it.

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
        """Return the state after an error: waiting for another attempt, or failed."""
        failures = (*self.failures, message)
        is_final = is_final or len(failures) >= MAX_FAILURES
        return dataclasses.replace(
            self, status=FAILED if is_final else WAITING, failures=failures, deaths=0
        )


class StoredSpec(NamedTuple):
    """A `Spec` in sweep.json."""

    name: FileName
    config: ConfigFacts
    study: StudyConfig
    reruns: Annotated[
        int, lambda number: 0 <= number <= MAX_RERUNS, f"an int from 0 to {MAX_RERUNS:,}"
    ]
    num_steps: Size
    transfer: Annotated[
        str | None,
        lambda name: name in (None, *TRANSFERS),
        f"null or one of {', '.join(TRANSFERS)}",
    ] = None
    priority: Count = 0


class Manifest(TypedDict):
    """Content of sweep.json."""

    backend: str
    profile: str
    studies: list[StoredSpec]


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
        self._sources: tuple[dict[str, Spec], dict[str, str]] = ({}, {})
        self._manifest = self.path / "sweep.json"
        self._read_at = _stamp(self._manifest)
        self._seen: dict[str, tuple[list, results.Results]] = {}

    @classmethod
    def open(cls, path: str | pathlib.Path, lenient: bool = False) -> "Sweep":
        """Read the sweep in a directory.

        Args:
            path: the directory.
            lenient: whether studies may name something that is not registered: they are shown, and
                left to processes that know them.

        Raises:
            UserError: there is none, or a study names something that is not registered.
        """
        manifest = pathlib.Path(path, "sweep.json")
        try:
            held = json_files.read(manifest, Manifest)
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{path} holds no sweep (no sweep.json)") from None
        if not lenient:
            names.check_imported(
                fields for each in held["studies"] for fields in (each.config, vars(each.study))
            )
        specs = [_spec(each, manifest, lenient) for each in held["studies"]]
        if len({spec.name for spec in specs}) < len(specs):
            raise json_files.Damaged(manifest, "it has two studies of one name")
        return cls(path, specs, held["backend"], held["profile"])

    def refresh(self) -> None:
        """Read the studies again if another process has changed the manifest."""
        stamp = _stamp(self._manifest)
        if stamp not in (None, self._read_at):
            self.specs, self._read_at = Sweep.open(self.path, lenient=True).specs, stamp

    @property
    def runnable(self) -> list[str]:
        """Names of the studies that this process can run: it knows the names that they have."""
        return [name for name, spec in self.specs.items() if spec.is_known]

    def union(self) -> Union:
        """Return the studies of this sweep and those that its directory holds; write nothing.

        Raises:
            UserError: the directory holds a sweep of another backend or profile, or something else.
        """
        if not self._manifest.exists():
            self._refuse_strangers()
        if not self._manifest.exists():
            return union(f"{self.path}", {}, self.specs)
        held, way_out = Sweep.open(self.path), "choose another --out"
        for name, way in (("backend", f"set KERAS_BACKEND={held.backend}, or "), ("profile", "")):
            old, new = {name: getattr(held, name)}, {name: getattr(self, name)}
            refuse_difference(f"{self.path} holds a sweep", old, new, way + way_out)
        return union(f"{self.path}", held.specs, self.specs)

    def create(self, text: str = "") -> Union:
        """Create the sweep, or add its studies to the one that the directory holds.

        Args:
            text: content of the gin file, to be kept beside sweep.json.

        Returns:
            The studies; `specs` has all of them.

        Raises:
            UserError: as in `union`, or a study has other settings than its namesake in the sweep,
                or a directory is a link.
        """
        merged = self._merge(self.union())
        folders = [self.path / name for name in _FOLDERS]
        for path in (*folders, *map(self.study_path, self.specs)):
            refuse_link(path)
        if not self._manifest.exists() or Sweep.open(self.path).specs != self.specs:
            self._write(text)
        return merged

    def _merge(self, merged):
        for conflict in merged.conflicts.values():
            raise UserError(conflict)
        self.specs = merged.specs
        return merged

    def _write(self, text):
        """Write the manifest under a lock: other processes may be adding other studies."""
        for name in _FOLDERS:
            (self.path / name).mkdir(parents=True, exist_ok=True)
        try:
            with locked(self.path / ".sweep.lock", PATIENCE):
                self._merge(self.union())
                self._write_text(text)
                studies = [_values(spec) for spec in self.specs.values()]
                values = {"backend": self.backend, "profile": self.profile, "studies": studies}
                json_files.write(self._manifest, values)
        except BlockingIOError:
            raise UserError(
                f"{self.path}/.sweep.lock is held by a suspended process; continue or end it, and "
                "run the same command again"
            ) from None
        self._read_at = _stamp(self._manifest)

    def _write_text(self, text):
        number, path = 1, self.path / "sweep.gin"
        while path.exists() and not _holds(path, text):
            number += 1
            path = self.path / f"sweep-{number}.gin"
        if text and not path.exists():
            with whole(path, "w") as file:
                file.write(text)

    def _refuse_strangers(self):
        expected = (*_FOLDERS, "sweep.json", "sweep.gin")
        held = [p.name for p in self.path.iterdir()] if self.path.is_dir() else []
        if any((self.path / "states").glob("*.json")):
            raise UserError(f"{self.path} lost its sweep.json; restore it, or choose another --out")
        strangers = [name for name in held if name not in expected and name[0] != "."]
        if strangers or (self.path.exists() and not self.path.is_dir()):
            what = f"holds {strangers[0]} but no sweep" if strangers else "is not a directory"
            raise UserError(f"{self.path} {what}; choose another --out")

    def edited(self) -> Iterator[str]:
        """Yield which studies have trials of code that was edited since."""
        for name, spec in self.specs.items():
            fields = vars(spec.config)
            if names.code_of(fields):
                records, _ = log.read(self.study_path(name) / TRIALS)
                if text := log.edited(records.values(), fields):
                    yield f"{name}: {text}"

    def study_path(self, name: str) -> pathlib.Path:
        """Return the directory of a study."""
        return self.path / "studies" / name

    @property
    def sources(self) -> dict[str, str]:
        """Study with a transfer -> the study that it starts from; see `transfer.sources`."""
        if self._sources[0] is not self.specs:
            self._sources = (self.specs, sources(self.specs))
        return self._sources[1]

    def waits_for(self, name: str) -> str | None:
        """Return the study that must be over before this one begins; None if there is none."""
        source = self.sources.get(name)
        has_begun = (self.study_path(name) / "study.json").exists()
        return None if source is None or has_begun or self.state(source).is_over else source

    def retry(self, name: str) -> None:
        """Set a failed study back to waiting."""
        if self.state(name).status == FAILED:
            with Lease(self.study_path(name)):
                state = dataclasses.replace(self.state(name), failures=(), deaths=0)
                self.write_state(name, dataclasses.replace(state, status=WAITING))

    def log_path(self, name: str) -> pathlib.Path:
        """Return the file of a study's output."""
        return self.path / "logs" / f"{name}.txt"

    def phase(self, name: str) -> str | None:
        """Return the phase of `PHASES` that the last line of a study's output names, if any."""
        try:
            with open(open_regular(self.log_path(name)), "rb") as file:
                file.seek(max(file.seek(0, os.SEEK_END) - 1000, 0))
                last = file.read().decode(errors="replace").splitlines()[-1]
        except (OSError, IndexError):
            return None
        return next((phase for phase in PHASES if phase in last), None)

    def taken_at(self, name: str) -> float:
        """Return when a running study was taken by its owner, as files have the time."""
        try:
            return self._state_path(name).stat().st_mtime
        except FileNotFoundError:
            return time.time()

    def state(self, name: str) -> State:
        """Read the state of a study; derive it from the results where they contradict it."""
        state, problem = self._read_state(name)
        wants_more = state.wanted < self.specs[name].num_runs
        if state.status == DONE and wants_more and self._found(name).missing:
            state = dataclasses.replace(state, status=WAITING)
        return dataclasses.replace(state, note=problem) if problem else state

    def problem(self, name: str) -> str:
        """Say how a study's files are damaged, lost, or contradict one another, if they are."""
        study = self.study_path(name)
        if log.file_of(study / TRIALS).exists() and identity.is_lost(study):
            return "its study.json is lost"
        try:
            identity.read(study, identity.Facts)
        except UserError:
            return "its study.json is damaged"
        return self._read_state(name)[1]

    def _read_state(self, name):
        """Return (the state of a study, the problem of its file or "")."""
        try:
            held = json_files.read(self._state_path(name), State)
        except FileNotFoundError:
            found = self._found(name)
            return self._state_of_results(name), found.foreign or found.damaged
        except json_files.Damaged:
            problem = f"{name}.json was damaged, and its times are lost"
            return self._state_of_results(name), problem
        except OSError as error:  # another user's, or on a disk that fails
            problem = f"{name}.json cannot be read: {error.strerror}"
            return self._state_of_results(name), problem
        if held.status != DONE:
            return held, ""
        found, _, other, _ = self._found(name)
        if not other and all(getattr(held, each) == found[each] for each in _COMPARED):
            return held, ""
        state, lost = self._state_of_results(name), held.trials - found["trials"]
        if state.is_over or lost <= 0:
            return state, other or f"{name}.json is not of these trials, and its times are lost"
        times = {each: getattr(held, each) for each in ("seconds", "core_seconds")}
        total, logs = count(held.trials, "finished run"), [TRIALS]
        logs += [RERUNS] * log.file_of(self.study_path(name) / RERUNS).exists()
        problem = other or f"{' and '.join(logs)} lost {lost} of its {total}"
        return dataclasses.replace(state, **times), problem

    def _state_of_results(self, name):
        found, missing, other, _ = self._found(name)
        if other or missing:
            return State(trials=found["trials"])
        return State(DONE, **found)

    def results(self, name: str) -> dict[str, Any]:
        """Return the fields of a done study's state that its logs determine."""
        return self._found(name).fields

    def _found(self, name):
        """Return the results of a study, which are read again after a change."""
        study, spec = self.study_path(name), self.specs[name]
        stamps = [spec, *(_stamp(study / each) for each in results.FILES)]
        if name not in self._seen or self._seen[name][0] != stamps:
            self._seen[name] = stamps, results.read(study, spec)
        return self._seen[name][1]

    def write_state(self, name: str, state: State) -> None:
        """Write the state of a study; its lease must be held."""
        json_files.write(self._state_path(name), dataclasses.asdict(state))

    def num_ended(self, name: str) -> int:
        """Count the finished trials, and the reruns of the best one, in the study's files."""
        study = self.study_path(name)
        if log.file_of(study / RERUNS).exists():
            return self._found(name).fields["trials"]
        return log.num_lines(study) or 0

    def _state_path(self, name):
        return self.path / "states" / f"{name}.json"


def _stamp(path):
    """Return a value that changes whenever a file changes or is replaced; None without one."""
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_ino, found.st_mtime_ns, found.st_size
    return None


def _values(spec):
    return spec._asdict() | {
        "config": dataclasses.asdict(spec.config),
        "study": spec.study.to_json(),
    }


def _holds(path, text):
    """Return whether a file can be read and has a text."""
    with contextlib.suppress(OSError):
        return read_bytes(path) == text.encode()
    return False


def _spec(values, manifest, lenient):
    config = values.config
    config = None if lenient and not is_registered(config) else read_config(config, manifest)
    return Spec(**values._asdict() | {"config": config})
