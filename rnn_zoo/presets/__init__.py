"""Trained models and tuned hyperparameters shipped with the package.

    rnn_zoo.list_presets()                    their names
    rnn_zoo.preset("parens/gru-10k")          a preset's card: its model, training and scores
    rnn_zoo.load("parens/gru-10k")            the trained Keras model

A preset is a card, <task>/<name>.json, and, if trained, weights in <task>/<name>.safetensors. The
card has the SHA-256 of the weights' file, and index.json has that of every card.
"""

import dataclasses
import difflib
import functools
import hashlib
import importlib.resources
import json
from typing import TYPE_CHECKING, Any

from rnn_zoo.architectures import ARCHITECTURES, canonical_name

if TYPE_CHECKING:
    from rnn_zoo.model import RecurrentModel

INDEX = "index.json"
AGAIN = "install rnn-zoo again"


@dataclasses.dataclass(frozen=True)
class Preset:
    """A tuned configuration and its results.

    Attributes:
        name: <task>/<architecture>[-depth<D>]-<budget>; the depth is omitted if it is the
            architecture's minimum.
        task, arch, depth, units, num_params, max_params, input_dim, output_dim: the model's shape;
            `max_params` is the budget.
        options: arguments of `build_model` beyond the shape.
        config: the training configuration, as a dict.
        scores: losses of all splits, the chance loss, and the task's metrics on the eval split.
        training: steps, time, learning curve, backend and versions of the training run.
        search: how the hyperparameters were found.
        paper: the paper's result for this setting, with its source; None if it gives none.
        weights: SHA-256 of the weights' file in hexadecimal; None for hyperparameters only.
    """

    name: str
    task: str
    arch: str
    depth: int
    units: int
    num_params: int
    max_params: int
    input_dim: int
    output_dim: int
    options: dict
    config: dict
    scores: dict
    training: dict
    search: dict
    paper: str | None = None
    weights: str | None = None

    def __str__(self) -> str:
        """Return the card as Markdown."""
        scores, training, search = self.scores, self.training, self.search
        architecture = ARCHITECTURES[canonical_name(self.arch)]
        summary = architecture.summary.rstrip(".")
        given = {k: v for k, v in self.config["task_options"].items() if v is not None}
        options = ", ".join(f"{name} {value}" for name, value in given.items())
        rows = {
            "task": f"{self.task} ({options})" if options else self.task,
            "architecture": f"{summary}, depth {self.depth}, {self.units} units",
            "parameters": f"{self.num_params:,}",
            "training": f"{training['steps']:,} steps, {training['seconds']:.0f} s on "
            f"{training['backend']}",
            "eval loss": f"{scores['eval']:.4g} (chance {scores['chance']:.4g})",
            **{
                name.replace("_", " "): f"{value:.4g}"
                for name, value in scores["metrics"].items()
                if name != "loss" and isinstance(value, (int, float))
            },
            "the paper": self.paper or "gives no figure for this",
            "search": f"the best of {search['num_trials']} trials ({search['algorithm']}), "
            f"{search['infeasible']} of them infeasible",
            "weights": f"SHA-256 `{self.weights}`" if self.weights else "none",
        }
        lines = [f"| {name} | {value} |" for name, value in rows.items()]
        return "\n".join([f"### {self.name}", "", "| | |", "|---|---|", *lines])


def list_presets(
    task: str | None = None, arch: str | None = None, trained: bool | None = None
) -> list[str]:
    """List the names of the presets in alphabetical order.

    Args:
        task, arch: list only presets of this task or architecture; all if None.
        trained: True for presets with weights, False for presets without; all if None.

    Raises:
        ValueError: unknown architecture, no preset of the task, or a damaged card.
    """
    arch, found = arch and canonical_name(arch), []
    cards = {name: preset(name) for name in sorted(_index())}
    tasks = dict.fromkeys(card.task for card in cards.values())
    if task is not None and task not in tasks:
        raise ValueError(f"no preset is of the task {task!r}; there are {', '.join(tasks)}")
    for name, each in cards.items():
        right = task in (None, each.task) and arch in (None, each.arch)
        if right and trained in (None, each.weights is not None):
            found.append(name)
    return found


def preset(name: str) -> Preset:
    """Return the card of a preset; `str` renders it as Markdown.

    Raises:
        ValueError: unknown name, or a file that differs from the published one.
    """
    index = _index()
    if name not in index:
        close = difflib.get_close_matches(name, index, n=3, cutoff=0.3) or sorted(index)[:3]
        raise ValueError(
            f"there is no preset {name!r}; there is {', '.join(close) or 'none at all'} "
            "(rnn_zoo.list_presets() has them all)"
        )
    try:
        return Preset(**json.loads(_card(name)))
    except TypeError as error:
        raise ValueError(f"the preset's file {name}.json is no card ({error}); {AGAIN}") from None


def load(name: str) -> "RecurrentModel":
    """Load the trained model of a preset.

    Returns:
        A `RecurrentModel`, as from `build_model`, whose attribute `preset` is the card.

    Raises:
        ValueError: as for `preset`, or it has no weights.
    """
    from rnn_zoo.model import build_model, set_weights

    card = preset(name)
    weights = read_weights(card)
    model = build_model(
        card.arch, card.depth, card.units, card.input_dim, card.output_dim, seed=0, **card.options
    )
    set_weights(model, weights)
    model.preset = card
    return model


def read_weights(card: Preset) -> dict[str, Any]:
    """Read a preset's weights as NumPy arrays in the form of `rnn_zoo.functional.forward`.

    Raises:
        ValueError: it has none, or the file differs from the published one.
    """
    if card.weights is None:
        raise ValueError(
            f"the preset {card.name} has tuned hyperparameters and no weights; train a model with "
            "them, or choose one of rnn_zoo.list_presets(trained=True)"
        )
    import keras
    from safetensors.numpy import load as parse

    from rnn_zoo.functional import draw_weights, make_cells, named

    arrays = parse(_verified(f"{card.name}.safetensors", card.weights))
    cells = make_cells(card.arch, card.depth, card.units, seed=0, **card.options)
    like = draw_weights(cells, card.input_dim, card.output_dim, seed=0)
    return keras.tree.pack_sequence_as(like, [arrays[path] for path in named(like)])


def files_of(card: Preset, weights: dict[str, Any] | None = None) -> dict[str, bytes]:
    """Render the files of a preset.

    Args:
        card: the `Preset`; its `weights` digest is filled in here.
        weights: in the form of `read_weights`; None for hyperparameters only.

    Returns:
        dict from file name, relative to this package's directory, to content: the weights, then
        the card.
    """
    files = {}
    if weights is not None:
        from safetensors.numpy import save

        from rnn_zoo.functional import named

        files[f"{card.name}.safetensors"] = save(named(weights))
    digest = next(map(sha256_of, files.values()), None)
    text = json.dumps(
        dataclasses.asdict(dataclasses.replace(card, weights=digest)), indent=1, allow_nan=False
    )
    return files | {f"{card.name}.json": f"{text}\n".encode()}


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _root():
    return importlib.resources.files(__name__)


@functools.cache
def _index():
    """Return dict name -> SHA-256 of its card."""
    try:
        found = json.loads(_root().joinpath(INDEX).read_text())
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError) as error:
        raise ValueError(f"the presets' {INDEX} cannot be read ({error}); {AGAIN}") from None
    return found


@functools.cache
def _card(name):
    return _verified(f"{name}.json", _index()[name])


def _verified(path, digest):
    try:
        content = _root().joinpath(path).read_bytes()
    except OSError as error:
        raise ValueError(
            f"the preset's file {path} cannot be read: {error.strerror}; {AGAIN}"
        ) from None
    found = sha256_of(content)
    if found != digest:
        raise ValueError(
            f"the preset's file {path} has the SHA-256 {found}, and not {digest}: "
            f"it was changed or damaged; {AGAIN}"
        )
    return content
