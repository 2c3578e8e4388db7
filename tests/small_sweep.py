"""A sweep of small studies with real training, which many tests read."""

_CAPACITY = {"task": "capacity", "num_params": 300, "train_steps": 60}
_CAPACITY |= {"task_options": {"num_inputs": 22}}
_PARENS = {"task": "parens", "num_params": 3000, "train_steps": 4, "algorithm": "random"}
_PARENS |= {"task_options": {"num_steps": 6}}
#: Studies of both algorithms, one with reruns, for figure 1, table 1 and table App.1. The third is
#: trained after the first, whose compiled programs it uses.
ENTRIES = [
    _CAPACITY | {"arch": "irnn", "num_trials": 4, "algorithm": "random"},
    _PARENS | {"arch": "rnn", "num_trials": 3, "reruns": 2},
    _CAPACITY | {"arch": "irnn", "num_trials": 3},
]
#: A study of a user's cell.
OWN = _PARENS | {"arch": "own_cells.leaky", "num_trials": 2}
ARGUMENTS = (
    *("-m", "tuning.sweep", "--gin_file=grid.gin", "--out=sweep", "--profile=smoke"),
    *("--workers=1", "--lanes=1"),
)
#: Study -> its numbers of trials and reruns.
STUDIES = {
    "capacity-irnn-1-300-random": (4, 0),
    "capacity-irnn-1-300-gp": (3, 0),
    "parens-rnn-1-3000-random": (3, 2),
    "parens-own_cells.leaky-1-3000-random": (2, 0),
}


def gin(entries):
    """The text of a gin file with this grid."""
    return f"SweepConfig.grid = {entries}\n"
