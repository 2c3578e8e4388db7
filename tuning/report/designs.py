"""Studies that two cores can run, by the claim that they decide."""

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from trainer.tasks.capacity import least_inputs
from tuning.report.claims.base import SHALLOW
from tuning.report.paper import ARCHS, UNROLLED

#: Values of one study, as in `SweepConfig.grid`.
Point = Mapping[str, Any]

#: Around the defaults of the capacity task; two cores have no time for all of appendix A's ranges.
_RANGES = {
    "optimizer": ["adam", "rmsprop"],
    "lr_init": (0.0002, 0.02),
    "lr_decay_rate": (0.001, 0.1),
    "l2_decay": (1e-8, 1e-6),
    "input_scale": (0.3, 2.0),
    "bias_scale": (-1.0, 1.0),
}
#: Samples per parameter of a capacity study: fewest, first trial, most. Networks of this size store
#: one to three bits per parameter.
_FEWEST, _FIRST, _MOST = 0.5, 4, 6
_SIZES = (500, 1500, 5000)
#: Inputs of all capacity studies, which must agree to be compared.
_INPUTS = least_inputs(_MOST * max(_SIZES))
#: Largest steps of a trial: the laptop profile's, or more where its shortest trials, of a quarter
#: of these steps, are below the floors.
STEPS = {
    "capacity": 80_000,
    "memory": 10_000,
    "text8": 8_000,
    "rcf": 8_000,
    "parens": 4_000,
    "arithmetic": 10_000,
}


class Design(NamedTuple):
    """Studies that decide a claim, and how they grow.

    Attributes:
        smallest: the studies of the smallest design.
        grows: "num_trials", or "seed" if more studies with other seeds help more.
    """

    smallest: tuple[Point, ...]
    grows: str = "num_trials"

    def studies(self, scale: int, longer: int = 1) -> tuple[Point, ...]:
        """Return the studies with `scale` times the trials or seeds, `longer` times the steps."""
        points = [{**p, "train_steps": longer * p["train_steps"]} for p in self.smallest]
        if self.grows == "num_trials":
            return tuple({**p, "num_trials": scale * p["num_trials"]} for p in points)
        last = max(point["seed"] for point in points)
        return tuple(
            {**point, "seed": point["seed"] + turn * last}
            for turn in range(scale)
            for point in points
        )


def key(point: Point) -> tuple:
    """Return a key of the settings that all trials of a study share."""
    names = (
        *("task", "arch", "depth", "num_params", "algorithm", "seed", "train_steps"),
        *("activation", "optimizer"),
    )
    options = point.get("task_options", {})
    of_capacity = (options.get("num_inputs"), options.get("num_steps", UNROLLED))
    return (*map(point.get, names), *(of_capacity if point["task"] == "capacity" else ()))


def product(task: str, **values: Any) -> tuple[Point, ...]:
    """Return a study of a task for each combination of the lists; other values are shared."""
    lists = {n: v if isinstance(v, (list, tuple)) else [v] for n, v in values.items()}
    shared = {
        "task": task,
        "depth": 1,
        "algorithm": "gp",
        "seed": 1,
        "train_steps": STEPS[task],
    }
    return tuple(
        shared | dict(zip(lists, each, strict=True)) for each in itertools.product(*lists.values())
    )


def capacity(
    arch: Iterable[str], trials: int, sizes: Iterable[int] = _SIZES, **values: Any
) -> tuple[Point, ...]:
    """Return capacity studies at several sizes."""
    options = values.pop("task_options", [{}])
    return tuple(
        point
        for size in sizes
        for point in product(
            "capacity",
            arch=tuple(arch),
            num_params=size,
            task_options=[{"num_inputs": _INPUTS} | each for each in options],
            first={"num_samples": _FIRST * size},
            ranges=_RANGES | {"num_samples": (round(_FEWEST * size), _MOST * size)},
            num_trials=trials,
            **values,
        )
    )


def _searches(task, trials=40, **values):
    return product(
        task,
        arch=SHALLOW,
        num_params=10_000,
        num_trials=trials,
        **{"seed": (1, 2, 3, 4)} | values,
    )


def _random(arch, trials, depth=1):
    return product(
        "parens",
        arch=arch,
        depth=depth,
        num_params=10_000,
        algorithm="random",
        num_trials=trials,
    )


# The +RNN needs another architecture at its depth to be compared with.
_CAPACITY = Design((*capacity(SHALLOW, 24), *capacity(["lstm", "+rnn"], 24, depth=2)))
_TEXT8 = Design(
    product("text8", arch=SHALLOW, num_params=(5000, 10_000, 20_000, 40_000), num_trials=20)
)
_MANY = Design(_random(SHALLOW, 200))
_DEEP = Design(_random(ARCHS, 40, depth=8))
_HARD = Design((*_searches("parens"), *_searches("arithmetic")), grows="seed")

#: Claim -> design. The other claims are about the paper's sizes, depths or numbers of steps.
DESIGNS: dict[str, Design] = {
    "linear": _CAPACITY,
    "similar_capacity": _CAPACITY,
    "dataset_size": _CAPACITY,
    "capacity_order": Design(_CAPACITY.smallest, grows="seed"),
    "relu": Design(capacity(("rnn", "ugrnn"), 20, activation=("tanh", "relu"))),
    "unrolling": Design(
        capacity(
            ("rnn", "gru", "lstm"),
            20,
            sizes=(500,),
            task_options=[
                {"num_steps": 1},
                {"num_steps": 2},
                {"num_steps": 3},
                {},
                {"num_steps": 10},
            ],
        )
    ),
    "number_per_unit": Design(
        product(
            "memory",
            arch=SHALLOW,
            num_params=(5000, 10_000, 20_000, 40_000),
            num_trials=12,
            first="config",
        )
    ),
    "text8_equal": _TEXT8,
    "per_unit_misleads": _TEXT8,
    "rcf_equal": Design(
        product("rcf", arch=SHALLOW, num_params=(2000, 5000, 10_000, 20_000), num_trials=20)
    ),
    "gated_easier": _HARD,
    "gru_most_trainable": _HARD,
    "gru_untuned": _MANY,
    "table_app_2": _MANY,
    "irnn_diverges": Design(_random(("irnn",), 150)),
    "plus_rnn_untuned": _DEEP,
}


def entries(points: Iterable[Point], merge: bool) -> list[dict[str, Any]]:
    """Return studies as entries of a `SweepConfig.grid`, in the order of their first study.

    Values that may vary are written as lists, even single ones, because listed values are part of
    a study's name. Studies thus keep their names as the grid grows.

    Args:
        points: the studies; those of one entry get the lowest `priority` among them.
        merge: whether to write studies that differ in one value as one entry.
    """
    found = [{name: _list(point, name) for name in point} for point in points]
    for name in _LISTED if merge else ():
        by_rest: dict[str, dict[str, Any]] = {}
        for entry in found:
            rest = {n: v for n, v in entry.items() if n not in (name, "priority")}
            same = by_rest.setdefault(json.dumps(rest, sort_keys=True), dict(entry))
            if name in same:
                same[name] = [*same[name], *(v for v in entry[name] if v not in same[name])]
        found = list(by_rest.values())
    ordered = (sorted(entry.items(), key=lambda item: _rank(item[0])) for entry in found)
    return [{name: _single(name, value) for name, value in items} for items in ordered]


#: The first names of an entry, in order.
_FIRST_NAMES = ("task", "arch", "depth", "num_params", "algorithm", "num_trials", "seed")
#: Names whose values are written as lists; those of them that every study's name has anyway.
_LISTED = ("arch", "num_params", "seed", "activation", "optimizer", "task_options")
_NAMED = ("arch", "num_params")


def _list(point, name):
    # Studies of other lengths are other studies, whose names must differ.
    is_longer = name == "train_steps" and point[name] != STEPS[point["task"]]
    return [point[name]] if name in _LISTED or is_longer else point[name]


def _rank(name):
    return _FIRST_NAMES.index(name) if name in _FIRST_NAMES else len(_FIRST_NAMES)


def _single(name, value):
    return value[0] if name in _NAMED and len(value) == 1 else value
