"""Identity of a study: study.json, and the settings that must match if it is continued."""

import dataclasses
import pathlib
from typing import Annotated, Any, NotRequired, TypedDict

from rnn_zoo.json_types import Size
from trainer import names
from trainer.config import TrainConfig
from trainer.storage import json_files
from trainer.storage.differences import refuse_difference
from tuning.config import MAX_BATCH, StudyConfig
from tuning.search import ranges
from tuning.search.hyperparameter import short_names

#: Settings of a search that may change when a study is continued.
FREE = ("num_trials", "keep")
#: Settings of a search that are chosen when it starts, unless the user sets them.
CHOSEN = ("batch", "seed", "initial_points")


class Settings(TypedDict):
    """Content of study.json, to continue the study."""

    config: TrainConfig
    study: StudyConfig
    backend: str
    num_trials: Size
    keep: Size
    batch: Annotated[int, lambda number: 0 < number <= MAX_BATCH, f"an int from 1 to {MAX_BATCH}"]
    transferred_from: NotRequired[str | None]
    profile: NotRequired[str | None]
    data: NotRequired[dict[str, Any]]


class ConfigFacts(TypedDict):
    """Facts of a study's configuration."""

    task: str
    arch: str
    depth: Size
    num_params: Size
    train_steps: Size
    optimizer: NotRequired[str]


class SearchFacts(TypedDict, total=False):
    """Facts of a study's search."""

    algorithm: str
    ranges: dict[str, Any]
    early_stopping: str
    num_trials: Size


class Facts(TypedDict, total=False):
    """Content of study.json, to show the study; no task, cell or optimizer is imported."""

    config: ConfigFacts
    study: SearchFacts
    num_trials: Size
    profile: str | None


def read(study: str | pathlib.Path, kind: Any = Settings) -> Any:
    """Read the study.json of a study.

    Args:
        study: directory of the study.
        kind: `Settings` or `Facts`.

    Returns:
        A value of this kind; None if there is no file.

    Raises:
        UserError: the file is damaged; as `Settings`, it names something that is not registered.
    """
    path = pathlib.Path(study, "study.json")
    try:
        if kind is Settings:
            facts = json_files.read(path, Facts)
            names.check_imported([facts.get("config", {}), facts.get("study", {})])
        return json_files.read(path, kind)
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_lost(study: pathlib.Path) -> bool:
    """Return whether the study.json of a study is gone, while other files show that it had one."""
    is_of_sweep, own = study.parent.name == "studies", study / "study.json"
    # A sweep keeps its studies in OUT/studies/NAME.
    others = study.parent.parent / "sweep.json" if is_of_sweep else study / "oracle.json"
    return not own.exists() and (others.exists() or own.is_symlink())


def identity(config: TrainConfig, study: StudyConfig) -> dict[str, Any]:
    """Return the settings that determine the trials of a study."""
    search = study.to_json()
    for name in FREE:
        del search[name]
    return {"config": dataclasses.asdict(config), "study": search}


def comparable(config: TrainConfig, study: StudyConfig) -> dict[str, Any]:
    """Return the `identity` that a continued study must match; see `ranges.settled`."""
    found = identity(*ranges.settled(config, study))
    found["study"]["ranges"] = short_names(found["study"]["ranges"])
    return found


def refuse_other(
    subject: str,
    held: dict[str, Any],
    wanted: dict[str, Any],
    way_out: str,
) -> None:
    """Raise a `UserError` if two studies differ in a setting that the user has set.

    Args:
        subject, way_out: see `refuse_difference`.
        held, wanted: the stored study and the requested one, from `comparable`. Any further entries
            must be equal too.
    """
    chosen = {name: None for name in CHOSEN if wanted["study"][name] is None}
    held = {name: held.get(name) for name in wanted}
    refuse_difference(subject, held | {"study": held["study"] | chosen}, wanted, way_out)
