"""Identity of a study: the settings that must match if it is continued."""

import dataclasses
from typing import Any

from trainer.config import TrainConfig
from trainer.storage.differences import refuse_difference
from tuning.config import StudyConfig

#: Settings of a search that may change when a study is continued.
FREE = ("num_trials", "keep")
#: Settings of a search that are chosen when it starts, unless the user sets them.
CHOSEN = ("batch", "seed", "initial_points")


def identity(config: TrainConfig, study: StudyConfig) -> dict[str, Any]:
    """Returns the settings that a continued study must match."""
    search = study.to_json()
    for name in FREE:
        del search[name]
    return {"config": dataclasses.asdict(config), "study": search}


def refuse_other(
    subject: str,
    held: dict[str, Any],
    wanted: dict[str, Any],
    way_out: str,
) -> None:
    """Raises a `UserError` if two studies differ in a setting that the user has set.

    Args:
        subject, way_out: see `refuse_difference`.
        held, wanted: the stored study and the requested one, from `identity`. Any further entries
            must be equal too.
    """
    chosen = {name: None for name in CHOSEN if wanted["study"][name] is None}
    held = {name: held.get(name) for name in wanted}
    refuse_difference(subject, held | {"study": held["study"] | chosen}, wanted, way_out)
