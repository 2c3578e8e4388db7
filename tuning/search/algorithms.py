"""Search algorithms by name.

Importing this module loads neither Keras nor an optional package; `load_oracle` does.
"""

import contextlib
import importlib
from typing import TYPE_CHECKING, NamedTuple

from trainer.config import check_choice
from trainer.errors import extra

if TYPE_CHECKING:
    from tuning.search.durable import DurableOracle


class Algorithm(NamedTuple):
    """Oracle class of an algorithm, and the extra that it needs.

    Attributes:
        module, oracle: the module and the name of its oracle class.
        extra: the extra of this package that installs its dependencies; None if it has none.
    """

    module: str
    oracle: str
    extra: str | None = None


ALGORITHMS = {
    "gp": Algorithm("tuning.search.oracles", "GPOracle"),
    "random": Algorithm("tuning.search.oracles", "RandomOracle"),
    "keras_tuner": Algorithm("tuning.search.oracles", "StockOracle"),
    "optuna": Algorithm("tuning.search.optuna_oracle", "OptunaOracle", extra="optuna"),
}


def load_oracle(name: str) -> "type[DurableOracle]":
    """Import the oracle class of an algorithm.

    Args:
        name: a key of `ALGORITHMS`.

    Raises:
        UserError: the name is unknown, or an optional package is not installed.
    """
    check_choice("algorithm", name, ALGORITHMS)
    algorithm = ALGORITHMS[name]
    packages = extra(algorithm.extra, f"the algorithm {name}") if algorithm.extra else None
    with packages or contextlib.nullcontext():
        return getattr(importlib.import_module(algorithm.module), algorithm.oracle)
