"""The card of a preset."""

import dataclasses
from typing import Annotated, Any, NotRequired, TypedDict

from rnn_zoo.architectures import ARCHITECTURES, canonical_name
from rnn_zoo.json_types import Count, Sha256, Size


class Config(TypedDict):
    """Fields of a training configuration that are read by name."""

    task_options: dict[str, Any]
    train_steps: NotRequired[Size]


class Scores(TypedDict):
    """Losses of the splits, and metrics on the eval split."""

    train: float
    valid: float
    eval: float
    chance: float
    metrics: dict[str, Any]


class Training(TypedDict):
    """Facts of the training run."""

    steps: Count
    seconds: float
    backend: str


class Search(TypedDict):
    """How hyperparameters were found, and the eval loss there if the model was trained again."""

    algorithm: str | None
    num_trials: Count
    infeasible: Count
    eval: NotRequired[float]


@dataclasses.dataclass(frozen=True)
class Preset:
    """A model, how it was trained, and its results.

    Unknown facts, such as the search of a model that was trained elsewhere, are None.

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
    depth: Size
    units: Size
    num_params: Size
    max_params: Size
    input_dim: Size
    output_dim: Size
    options: dict[str, Any]
    config: Annotated[dict[str, Any] | None, Config | None] = None
    scores: Annotated[dict[str, Any] | None, Scores | None] = None
    training: Annotated[dict[str, Any] | None, Training | None] = None
    search: Annotated[dict[str, Any] | None, Search | None] = None
    paper: str | None = None
    weights: Annotated[str | None, Sha256 | None] = None

    def __str__(self) -> str:
        """Return the card as Markdown."""
        architecture = ARCHITECTURES[canonical_name(self.arch)]
        summary = architecture.summary.rstrip(".")
        rows = {
            "task": self.task,
            "architecture": f"{summary}, depth {self.depth}, {self.units} units",
            "parameters": f"{self.num_params:,}",
        }
        if self.config is not None:
            given = {k: v for k, v in self.config["task_options"].items() if v is not None}
            options = ", ".join(f"{name} {value}" for name, value in given.items())
            rows["task"] += f" ({options})" if options else ""
        if self.training is not None:
            steps, wanted = self.training["steps"], (self.config or {}).get("train_steps")
            ended = f" of {wanted:,}, stopped early" if wanted and steps < wanted else ""
            rows["training"] = (
                f"{steps:,} steps{ended}, {self.training['seconds']:.0f} s on "
                f"{self.training['backend']}"
            )
        if self.scores is not None:
            scores = self.scores
            rows["eval loss"] = f"{scores['eval']:.4g} (chance {scores['chance']:.4g})"
            rows |= {
                name.replace("_", " "): f"{value:.4g}"
                for name, value in scores["metrics"].items()
                if name != "loss" and isinstance(value, (int, float)) and abs(value) < 1e300
            }
            rows["the paper"] = self.paper or "gives no figure for this"
        if self.search is not None:
            rows["search"] = (
                f"the best of {self.search['num_trials']} trials ({self.search['algorithm']}), "
                f"{self.search['infeasible']} of them infeasible"
            )
            if "eval" in self.search:
                rows["search"] += f", with eval loss {self.search['eval']:.4g}"
        rows["weights"] = f"SHA-256 `{self.weights}`" if self.weights else "none"
        lines = [f"### {_markdown(self.name)}", "", "| | |", "|---|---|"]
        lines += [f"| {_markdown(name)} | {_markdown(value)} |" for name, value in rows.items()]
        return "\n".join(map(printable, lines))


def _markdown(text):
    """Return a text without HTML, links, images or the ends of a table's cells."""
    return text.replace("|", r"\|").replace("<", "&lt;").replace("[", "&#91;")


def most_bytes(path: str) -> int:
    """Return the most bytes of a file of presets: an index, a card, or weights."""
    return 10**7 if path.endswith(".json") else 2**31


def printable(text: str) -> str:
    """Return a text whose control characters are escapes, as a terminal would obey them."""
    return text if text.isprintable() else repr(text)[1:-1]
