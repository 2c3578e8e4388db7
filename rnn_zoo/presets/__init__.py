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

import difflib
import os
import pathlib
from typing import TYPE_CHECKING, Any

from rnn_zoo.architectures import canonical_name
from rnn_zoo.presets import hub, reading
from rnn_zoo.presets.card import Preset, printable

if TYPE_CHECKING:
    from rnn_zoo.model import RecurrentModel


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
    root, prefix = reading.package(), ""
    if directory is not None:
        root, prefix = _root(os.fspath(directory)), f"{os.fspath(directory).rstrip('/')}/"

    def read():
        index = reading.read_index(root)
        return {
            f"{prefix}{name}": reading.read_card(root, name, index[name]) for name in sorted(index)
        }

    cards = _steadily(root, read)
    tasks = dict.fromkeys(card.task for card in cards.values())
    if task is not None and task not in tasks:
        raise ValueError(f"no preset is for the task {task!r}; choose from {', '.join(tasks)}")
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
        before = reading.read_index(root)
        try:
            return read()
        except ValueError:
            if reading.read_index(root) == before:
                raise


def absolute(name: str) -> str:
    """Return the name of a preset for use in any working directory."""
    return os.path.abspath(name) if home(name) else name


def home(name: str) -> pathlib.Path | None:
    """Return the directory of presets that a name leads to; None for the package and the Hub."""
    if os.fspath(name).startswith(hub.SCHEME):
        return None
    root, _ = _place(name)
    return None if reading.is_package(root) else root


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
        reason = printable(str(error))
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

    content = reading.verified(root, f"{card.name}.safetensors", card.weights)
    try:
        arrays = parse(content)
    except Exception as error:  # the library has an error of its own, and no list of the others
        raise ValueError(
            f"the weights of the preset {card.name} are not a safetensors file ({error}); "
            f"{reading.way_out(root)}"
        ) from None
    mismatch = ValueError(
        f"the weights of the preset {card.name} are not the float32 arrays of its card's shapes"
    )
    shape = (card.arch, card.depth, card.units, card.input_dim, card.output_dim)
    count = sum(array.size for array in arrays.values())
    try:
        like = weights_to_fill(*shape, count, **card.options)
    except (TypeError, ValueError, OverflowError) as error:  # options may be anything
        raise ValueError(f"{mismatch}: {printable(str(error))}") from None
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
        ValueError: there are none, one is damaged, or the index lacks one.
    """
    root = _root(os.fspath(directory))
    index, files = reading.read_index(root), {}
    if isinstance(root, pathlib.Path):
        reading.refuse_unnamed(root, index)
    for name, digest in index.items():
        files[f"{name}.json"] = reading.verified(root, f"{name}.json", digest)
        card = _find(root, name)
        if card.weights is not None:
            path = f"{name}.safetensors"
            files[path] = reading.verified(root, path, card.weights)
    if not files:
        raise ValueError(f"{directory} holds no presets")
    return {reading.INDEX: reading.read_bytes(root.joinpath(reading.INDEX))} | files


def _root(directory):
    """Return a directory of presets, or a repository that stands for one."""
    if not directory.startswith(hub.SCHEME):
        return pathlib.Path(directory)
    root, rest = hub.parse(directory.rstrip("/"))
    if rest is not None:
        raise ValueError(f"{directory} is not of the form hf://OWNER/NAME[@REVISION]")
    return root


def _found(name):
    """Return `_place` of a name; refuse what is not a preset but may be a run or a packed file."""
    root, own_name = _place(name)
    text = os.fspath(name).rstrip("/")
    file = f"{own_name}.json" if reading.is_package(root) else reading.INDEX
    if os.path.exists(text) and not root.joinpath(file).is_file():
        raise ValueError(
            f"{text} holds no presets (no {reading.INDEX}); trainer.export.load_model loads a run, "
            "and trainer.quantize.packed.load_model a packed file"
        )
    return root, own_name


def _place(name):
    """Return the directory of a preset and its name there, None for the only one."""
    text = os.fspath(name)
    if text.startswith(hub.SCHEME):
        return hub.parse(text)
    is_shipped = text.count("/") == 1 and reading.package().joinpath(f"{text}.json").is_file()
    if not is_shipped and pathlib.Path(text, reading.INDEX).is_file():
        return pathlib.Path(text), None
    parts = text.rsplit("/", 2)
    root = pathlib.Path(parts[0] or "/") if len(parts) == 3 else reading.package()
    return root, "/".join(parts[-2:])


def _find(root, name):
    """Return the card of a preset of a directory, or of its only one if `name` is None."""
    index = reading.read_index(root)
    where = "" if reading.is_package(root) else f"directory={str(root)!r}"
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
        full = name if reading.is_package(root) else f"{root}/{name}"
        raise ValueError(
            f"there is no preset {full!r}; the nearest: {', '.join(close) or 'none at all'} "
            f"(rnn_zoo.list_presets({where}) lists them all)"
        )
    card = reading.read_card(root, name, index[name])
    if card.name != name:
        raise ValueError(
            f"the card of the preset {name} is that of {printable(card.name)}; "
            f"{reading.way_out(root)}"
        )
    return card
