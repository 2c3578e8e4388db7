"""Grids of studies that decide claims: a laptop's, of about 25 core-hours, and the paper's."""

import itertools

SHALLOW = ("rnn", "irnn", "ugrnn", "gru", "lstm")
ALL = (*SHALLOW, "+rnn")


def product(**values):
    """A study for each combination of the lists."""
    lists = {n: v if isinstance(v, (list, tuple)) else [v] for n, v in values.items()}
    return [dict(zip(lists, each, strict=True)) for each in itertools.product(*lists.values())]


def _capacity(trials, sizes):
    return [
        study
        for depth, archs in ((1, SHALLOW), (2, ("lstm", "+rnn")))
        for study in product(task="capacity", arch=archs, depth=depth, num_params=sizes,
                             num_trials=trials)
    ]  # fmt: skip


def _both(tasks=("parens", "arithmetic"), **values):
    return product(task=tasks, num_params=10_000, **values)


def _unrolled(trials, archs):
    options = [{"num_steps": steps} for steps in (1, 2, 3, 5, 10)]
    return product(task="capacity", arch=archs, num_params=1000, num_trials=trials,
                   task_options=options)  # fmt: skip


def _random(trials, archs, depth, size):
    return product(task="parens", arch=archs, depth=depth, num_params=size, algorithm="random",
                   num_trials=trials)  # fmt: skip


#: Name -> studies that a laptop can run.
LAPTOP = {
    "capacity": _capacity(60, (1000, 3000, 10_000)),
    "relu": product(task="capacity", arch=("rnn", "ugrnn"), activation=("tanh", "relu"),
                    num_params=(1000, 3000, 10_000), num_trials=40),
    "unrolled": _unrolled(60, ("rnn", "ugrnn", "gru", "lstm")),
    "memory": product(task="memory", arch=SHALLOW, num_trials=12,
                      num_params=(5000, 10_000, 20_000, 40_000)),
    "text8": product(task="text8", arch=SHALLOW, num_params=(5000, 10_000, 20_000, 40_000),
                     num_trials=160),
    "rcf": product(task="rcf", arch=SHALLOW, num_params=(2000, 5000, 10_000, 20_000),
                   num_trials=40),
    "searches": _both(arch=SHALLOW, num_trials=40, seed=tuple(range(1, 9))),
    "random": _random(300, SHALLOW, 1, 10_000),
    "many random": _random(560, SHALLOW, 1, 10_000),
    "most random": _random(700, SHALLOW, 1, 10_000),
    "deep random": _random(60, ALL, 8, 10_000),
    "reruns": _both(("parens",), arch=SHALLOW, num_trials=30, reruns=20),
}  # fmt: skip
#: Name -> studies of the paper's size.
PAPER = {
    "capacity": _capacity(1000, (1000, 3000, 10_000, 30_000)),
    "order": [
        study
        for depth, archs in ((1, SHALLOW), (2, ALL), (4, ALL))
        for study in product(task="capacity", arch=archs, depth=depth, num_trials=1000,
                             num_params=(1000, 3000, 10_000, 30_000, 100_000, 300_000))
    ],
    "relu": product(task="capacity", arch=("rnn", "ugrnn"), activation=("tanh", "relu"),
                    num_params=(1000, 3000, 10_000), num_trials=1000),
    "unrolled": _unrolled(1000, ("rnn", "ugrnn", "gru", "lstm")),
    "memory": product(task="memory", arch=SHALLOW, num_trials=500,
                      num_params=(5000, 10_000, 20_000, 40_000)),
    "text8": product(task="text8", arch=SHALLOW, num_params=(10_000, 30_000, 100_000, 300_000),
                     num_trials=500),
    "rcf": product(task="rcf", arch=SHALLOW, num_params=(1000, 3000, 10_000, 30_000),
                   num_trials=500),
    "searches": [
        study
        for depth, archs in ((1, SHALLOW), (8, ALL))
        for task, trials in (("parens", 1500), ("arithmetic", 2500))
        for study in product(task=task, arch=archs, depth=depth, num_params=100_000,
                             num_trials=trials, seed=(1, 2, 3, 4))
    ],
    "random": _random(1000, SHALLOW, 1, 200_000) + _random(1000, ALL, 8, 200_000),
    "reruns": product(task="parens", arch=SHALLOW, num_params=100_000, num_trials=1500,
                      reruns=100),
}  # fmt: skip
# All trials have at least the paper's 50,000 steps.
PAPER = {name: [study | {"train_steps": 200_000} for study in grid] for name, grid in PAPER.items()}
