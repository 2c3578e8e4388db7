"""Trained models and tuned hyperparameters: those of the package, and your own.

    rnn_zoo.list_presets()                    names of those of the package
    rnn_zoo.preset("parens/gru-10k")          a preset's card: its model, training and scores
    rnn_zoo.load("parens/gru-10k")            the trained Keras model
    rnn_zoo.load("DIR/parens/gru-10k")        that of a directory of your own
    rnn_zoo.load("hf://OWNER/NAME")           that of a repository on the Hugging Face Hub
    rnn_zoo.save_preset(model, "DIR")         writes one

A preset is a card, <task>/<name>.json, and, if trained, weights in <task>/<name>.safetensors. The
card has the SHA-256 of the weights' file, and index.json has that of every card. Such a directory
is written by `save_preset`, and from sweeps by `python -m tuning.presets`, which also uploads it.
"""

import contextlib
import dataclasses
import difflib
import errno
import hashlib
import importlib.resources
import json
import os
import pathlib
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, TypedDict

from rnn_zoo.architectures import ARCHITECTURES, canonical_name
from rnn_zoo.json_types import Count, Size, is_file_name, reader
from rnn_zoo.presets import hub

if TYPE_CHECKING:
    from rnn_zoo.model import RecurrentModel

INDEX = "index.json"
#: Begins the name of a file that is to replace one of a preset.
NEXT = ".next."
#: Most bytes of an index or a card, and of weights.
_MOST_TEXT, _MOST_BYTES = 10**7, 2**31


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
    """How hyperparameters were found."""

    algorithm: str | None
    num_trials: Count
    infeasible: Count


@dataclasses.dataclass(frozen=True)
class Preset:
    """A model, how it was trained, and its results.

    What is not known of a model, such as the search for one that was trained elsewhere, is None.

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
    weights: str | None = None

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
        rows["weights"] = f"SHA-256 `{self.weights}`" if self.weights else "none"
        lines = [f"### {self.name}", "", "| | |", "|---|---|"]
        for name, value in rows.items():
            text = value.replace("|", r"\|").replace("<", "&lt;")
            lines.append(f"| {name} | {text} |")
        return "\n".join(map(_printable, lines))


def list_presets(
    task: str | None = None,
    arch: str | None = None,
    trained: bool | None = None,
    directory: str | os.PathLike | None = None,
) -> list[str]:
    """List the names of the presets in alphabetical order.

    Args:
        task, arch: list only presets of this task or architecture; all if None.
        trained: True for presets with weights, False for presets without; all if None.
        directory: list the presets of this directory, or hf://OWNER/NAME, as
            DIRECTORY/<task>/<name>; those of the package if None.

    Raises:
        ValueError: unknown architecture, no preset of the task, a damaged card, or a directory
            without presets.
    """
    arch, found = arch and canonical_name(arch), []
    root, prefix = _package(), ""
    if directory is not None:
        root, prefix = _root(os.fspath(directory)), f"{os.fspath(directory).rstrip('/')}/"

    def read():
        index = read_index(root)
        return {f"{prefix}{name}": read_card(root, name, index[name]) for name in sorted(index)}

    cards = _steadily(root, read)
    tasks = dict.fromkeys(card.task for card in cards.values())
    if task is not None and task not in tasks:
        raise ValueError(f"no preset is of the task {task!r}; there are {', '.join(tasks)}")
    for name, each in cards.items():
        right = task in (None, each.task) and arch in (None, each.arch)
        if right and trained in (None, each.weights is not None):
            found.append(name)
    return found


def preset(name: str | os.PathLike) -> Preset:
    """Return the card of a preset; `str` renders it as Markdown.

    Args:
        name: <task>/<name> of the package, or DIRECTORY/<task>/<name>, where DIRECTORY may be
            hf://OWNER/NAME or hf://OWNER/NAME@REVISION. DIRECTORY alone is enough if it holds one
            preset.

    Raises:
        ValueError: unknown name, or a file that differs from the published one.
    """
    root, own_name = _found(name)
    return _steadily(root, lambda: _find(root, own_name))


def _steadily(root, read):
    """Call a function that reads presets, again if another process wrote some meanwhile."""
    while True:
        before = read_index(root)
        try:
            return read()
        except ValueError:
            if read_index(root) == before:
                raise


def absolute(name: str) -> str:
    """Return the name of a preset for use in any working directory."""
    return os.path.abspath(name) if home(name) else name


def home(name: str) -> pathlib.Path | None:
    """Return the directory of presets that a name leads to; None for the package and the Hub."""
    root, _ = _place(name)
    return root if isinstance(root, pathlib.Path) and not _is_package(root) else None


def load(name: str | os.PathLike) -> "RecurrentModel":
    """Load the trained model of a preset.

    Args:
        name: as for `preset`.

    Returns:
        A `RecurrentModel`, as from `build_model`, whose attribute `preset` is the card.

    Raises:
        ValueError: as for `preset`, or it has no weights.
    """
    from rnn_zoo.model import build_model, set_weights

    card, weights = _card_and_weights(name)
    shape = (card.arch, card.depth, card.units, card.input_dim, card.output_dim)
    try:
        model = build_model(*shape, seed=0, **card.options)
    except Exception as error:  # options may be anything, and Keras may fail in any way
        reason = _printable(str(error))
        raise ValueError(f"no model has the options of the preset {card.name}: {reason}") from None
    set_weights(model, weights)
    model.preset = card
    return model


def read_weights(name: str | os.PathLike) -> dict[str, Any]:
    """Read a preset's weights as NumPy arrays in the form of `rnn_zoo.functional.forward`.

    Args:
        name: as for `preset`.

    Raises:
        ValueError: as for `preset`, or it has no weights.
    """
    return _card_and_weights(name)[1]


def _card_and_weights(name):
    root, own_name = _found(name)

    def read():
        card = _find(root, own_name)
        return card, _weights(root, card)

    return _steadily(root, read)


def _weights(root, card):
    if card.weights is None:
        raise ValueError(
            f"the preset {card.name} has tuned hyperparameters and no weights; train a model with "
            "them, or choose one of rnn_zoo.list_presets(trained=True)"
        )
    import keras
    import numpy as np
    from safetensors.numpy import load as parse

    from rnn_zoo.functional import named, weights_to_fill

    content = _verified(root, f"{card.name}.safetensors", card.weights)
    try:
        arrays = parse(content)
    except Exception as error:  # the library has an error of its own, and no list of the others
        raise ValueError(
            f"the weights of the preset {card.name} are no safetensors file ({error}); "
            f"{_way_out(root)}"
        ) from None
    mismatch = ValueError(
        f"the weights of the preset {card.name} are not the float32 arrays of its card's shapes"
    )
    shape = (card.arch, card.depth, card.units, card.input_dim, card.output_dim)
    count = sum(array.size for array in arrays.values())
    try:
        like = weights_to_fill(*shape, count, **card.options)
    except (TypeError, ValueError, OverflowError) as error:  # options may be anything
        raise ValueError(f"{mismatch}: {_printable(str(error))}") from None
    expected = named(like)
    found = {path: (array.shape, array.dtype) for path, array in arrays.items()}
    wanted = {path: (np.shape(array), np.dtype("float32")) for path, array in expected.items()}
    # Biases that a model does not use are in the file, too.
    if found != wanted or count < card.num_params:
        raise mismatch
    return keras.tree.pack_sequence_as(like, [arrays[path] for path in expected])


def read_files(directory: str | os.PathLike) -> dict[str, bytes]:
    """Read all files of a directory of presets, and check them.

    Returns:
        dict from path in the directory to content: the index, the cards and the weights.

    Raises:
        ValueError: there are none, or one is damaged.
    """
    root = _root(os.fspath(directory))
    files = {}
    for name, digest in read_index(root).items():
        files[f"{name}.json"] = _verified(root, f"{name}.json", digest)
        card = _find(root, name)
        if card.weights is not None:
            path = f"{name}.safetensors"
            files[path] = _verified(root, path, card.weights)
    if not files:
        raise ValueError(f"{directory} holds no presets")
    return {INDEX: read_bytes(root.joinpath(INDEX))} | files


def _printable(text):
    """Return a text whose control characters are escapes, as a terminal would obey them."""
    return text if text.isprintable() else repr(text)[1:-1]


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _package():
    return importlib.resources.files(__name__)


def _is_package(root):
    return root == _package()


def _root(directory):
    """Return a directory of presets, or a repository that stands for one."""
    if not directory.startswith(hub.SCHEME):
        return pathlib.Path(directory)
    root, rest = hub.parse(directory.rstrip("/"))
    if rest is not None:
        raise ValueError(f"{directory} is not of the form hf://OWNER/NAME[@REVISION]")
    return root


def _found(name):
    """Return `_place` of a name; refuse what is no preset but may be a run or a packed file."""
    root, own_name = _place(name)
    text = os.fspath(name).rstrip("/")
    file = f"{own_name}.json" if _is_package(root) else INDEX
    if os.path.exists(text) and not root.joinpath(file).is_file():
        raise ValueError(
            f"{text} holds no presets (no {INDEX}); trainer.export.load_model loads a run, and "
            "trainer.quantize.packed.load_model a packed file"
        )
    return root, own_name


def _place(name):
    """Return the directory of a preset and its name there, None for the only one."""
    text = os.fspath(name)
    if text.startswith(hub.SCHEME):
        return hub.parse(text)
    is_shipped = text.count("/") == 1 and _package().joinpath(f"{text}.json").is_file()
    if not is_shipped and pathlib.Path(text, INDEX).is_file():
        return pathlib.Path(text), None
    parts = text.rsplit("/", 2)
    root = pathlib.Path(parts[0] or "/") if len(parts) == 3 else _package()
    return root, "/".join(parts[-2:])


def _find(root, name):
    """Return the card of a preset of a directory, or of its only one if `name` is None."""
    index = read_index(root)
    where = "" if _is_package(root) else f"directory={str(root)!r}"
    if name is None and len(index) == 1:
        (name,) = index
    if name is None:
        raise ValueError(
            f"{root} holds {len(index)} presets; add the name of one, such as {min(index)}"
            if index
            else f"{root} holds no presets"
        )
    if name not in index:
        close = difflib.get_close_matches(name, index, n=3, cutoff=0.3) or sorted(index)[:3]
        full = name if _is_package(root) else f"{root}/{name}"
        raise ValueError(
            f"there is no preset {full!r}; there is {', '.join(close) or 'none at all'} "
            f"(rnn_zoo.list_presets({where}) has them all)"
        )
    card = read_card(root, name, index[name])
    if card.name != name:
        held = _printable(card.name)
        raise ValueError(f"the card of the preset {name} is that of {held}; {_way_out(root)}")
    return card


def read_index(root: Any) -> dict[str, str]:
    """Return dict name -> SHA-256 of its card.

    Args:
        root: a directory of presets: a path, or what stands for one.

    Raises:
        ValueError: there is no index, or it is damaged.
    """
    path = root.joinpath(INDEX)
    if not (_is_package(root) or path.is_file()):
        raise ValueError(f"{root} holds no presets (no {INDEX})")
    try:
        found = reader(dict[str, str])(json.loads(read_bytes(path)))
        for name in found:
            check_name(name)
        return found
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"the presets' {INDEX} cannot be read ({error}); {_way_out(root)}"
        ) from None


def read_card(root: Any, name: str, digest: str) -> Preset:
    """Read a card of a directory of presets; raise a ValueError unless it has the digest."""
    path = f"{name}.json"
    content = _verified(root, path, digest)
    try:
        return reader(Preset)(json.loads(content))
    except (ValueError, RecursionError) as error:
        reason = _printable(str(error))
        raise ValueError(
            f"the preset's file {path} is no card ({reason}); {_way_out(root)}"
        ) from None


def check_name(name: str) -> None:
    """Raise a ValueError unless a name is <task>/<name>, of printable names of files."""
    parts = name.split("/")
    if (
        len(parts) != 2
        or not all(map(is_file_name, parts))
        or not name.isprintable()
        or parts[1].startswith(NEXT)
    ):
        raise ValueError(f"the name of a preset must be <task>/<name>, got {name!r}")


def next_of(path: pathlib.Path) -> pathlib.Path:
    """Return where the file waits that is to replace one of a preset."""
    return path.with_name(f"{NEXT}{path.name}")


def _verified(root, path, digest):
    if isinstance(root, pathlib.Path):
        # A process was killed between the index and the replacement, see `writing.write`.
        with contextlib.suppress(OSError):
            content = read_bytes(next_of(root / path))
            if sha256_of(content) == digest:
                return content
    try:
        content = read_bytes(root.joinpath(path))
    except OSError as error:
        raise ValueError(
            f"the preset's file {path} cannot be read: {error.strerror}; {_way_out(root)}"
        ) from None
    found = sha256_of(content)
    if found != digest:
        raise ValueError(
            f"the preset's file {path} has the SHA-256 {found}, and not {digest}: "
            f"it was changed or damaged; {_way_out(root)}"
        )
    return content


def read_bytes(path: pathlib.Path) -> bytes:
    """Return the bytes of a regular file of a preset: reading a FIFO, say, would not end.

    Raises:
        OSError: it is something else, or far too large.
    """
    if not path.is_file():
        code = errno.EINVAL if path.exists() else errno.ENOENT
        raise OSError(code, os.strerror(code), str(path))
    is_text = path.name.endswith(".json")
    if os.stat(path).st_size > (_MOST_TEXT if is_text else _MOST_BYTES):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return path.read_bytes()


def _way_out(root):
    if _is_package(root):
        return "install rnn-zoo again"
    return f"{'upload it again to' if isinstance(root, hub.Repository) else 'restore it in'} {root}"
