"""Saves models as presets."""

import dataclasses
import os
import pathlib
from typing import Any

from rnn_zoo.architectures import ARCHITECTURES, INITIAL_ARGUMENTS
from rnn_zoo.cells import CELLS
from rnn_zoo.functional import make_cells
from rnn_zoo.json_types import reader
from rnn_zoo.model import RecurrentModel, check_as_built, get_weights, stack_of
from rnn_zoo.presets import Preset
from rnn_zoo.presets.writing import weights_file, write

_FACTS = ("config", "scores", "training", "search", "paper")
#: Arguments of a cell that a card has elsewhere, or that make no difference to given weights.
_NOT_OPTIONS = ("name", "dtype", "trainable", "autocast", "units", "seed")
#: Options of layers that a preset does not hold -> their values in `build_model`.
_OF_LAYERS = {"truncate": None, "zero_output_for_mask": False, "activity_regularizer": None}
_OF_LAYERS |= {"trainable": True}


def save_preset(
    model: RecurrentModel,
    directory: str | os.PathLike,
    name: str | None = None,
    **facts: Any,
) -> str:
    """Write a model as a preset, for `load` and for `python -m tuning.presets --upload`.

    Args:
        model: from `build_model` or `load`. Unless its weights have changed since `load`, the
            preset keeps the facts of its card.
        directory: where presets are; made if it is missing. A preset of the same name is replaced.
        name: <task>/<name>. By default that of the model's card, or else
            <task>/<architecture>[-depth<D>]-<parameters>, with the task of `config`, or "own".
        **facts: the fields `config`, `scores`, `training`, `search` and `paper` of `Preset`, as far
            as they are known.

    Returns:
        The preset's full name, DIRECTORY/<task>/<name>.

    Raises:
        ValueError: another kind of model, a malformed name, a fact that `Preset` does not have, or
            a `config` of another architecture, depth or cell.

    Example:
        model = rnn_zoo.build_model("ugrnn", depth=1, units=64, input_dim=27, output_dim=27)
        rnn_zoo.save_preset(model, "mine")
        model = rnn_zoo.load("mine")
    """
    if unknown := facts.keys() - set(_FACTS):
        raise ValueError(f"a preset has no fact {min(unknown)!r}; choose from {', '.join(_FACTS)}")
    check_as_built(model)
    weights, held = get_weights(model), model.preset
    made = _card(model, name or (held.name if held else None), facts)
    if isinstance(facts.get("config"), dict):
        _check_config(facts["config"], made.arch, model)
    if held is not None and held.weights == weights_file(weights)[1]:
        known_facts = {each: getattr(held, each) for each in _FACTS} | facts
        made = dataclasses.replace(held, name=made.name, **known_facts)
    reader(Preset)(dataclasses.asdict(made))
    write(pathlib.Path(directory), made, weights)
    return os.path.join(directory, made.name)


def _card(model, name, facts):
    """Return the card of a model without a digest."""
    layers, readout = stack_of(model)
    if len(model.operations) > len(layers) + 2:  # with the inputs and the readout
        raise ValueError(
            "the model reads out only some time steps, and a preset reads out all; build the model "
            "without output_steps"
        )
    policy = layers[0].dtype_policy.name
    if policy != "float32":
        raise ValueError(
            f"the model has the dtype policy {policy}, and presets hold float32 models; build it "
            "in float32, and set its weights"
        )
    for layer in layers:
        for option, usual in _OF_LAYERS.items():
            if getattr(layer, option) != usual:
                raise ValueError(
                    f"{layer.name} has {option} {getattr(layer, option)!r}, which a preset does "
                    "not hold; build the model without it, set its weights, and save that"
                )
    cell, depth = layers[0].cell, len(layers)
    arch = next(name for name, each in CELLS.items() if each is type(cell))
    options = _options(arch, cell)
    _check_alike(arch, layers, options)
    num_params = model.count_params()
    config = facts.get("config")
    task = config.get("task") if isinstance(config, dict) else None
    if name is None:
        deep = f"-depth{depth}" if depth != ARCHITECTURES[arch].min_depth else ""
        name = f"{task or 'own'}/{arch}{deep}-{num_params}"
    input_dim, output_dim = model.inputs[0].shape[-1], readout.units
    shape = (depth, cell.units, num_params, num_params, input_dim, output_dim)
    return Preset(name, task or name.partition("/")[0], arch, *shape, options, **facts)


def _options(arch, cell):
    """Return the arguments of a cell that are not the architecture's defaults."""
    usual = CELLS[arch](cell.units).get_config()
    return {
        name: value
        for name, value in cell.get_config().items()
        if name not in _NOT_OPTIONS and value != usual[name]
    }


def _check_config(config, arch, model):
    """Raise unless a training configuration is one of the model's architecture and cells."""
    layers, _ = stack_of(model)
    for name, found in (("arch", arch), ("depth", len(layers))):
        if config.get(name, found) != found:
            raise ValueError(f"config has {name} {config[name]!r}, and the model {found!r}")
    given = {name: config.get(name) for name in ("activation", "gate_bias")}
    given = {name: value for name, value in given.items() if value is not None}
    options = given | config.get("arch_options", {})
    _check_alike(arch, layers, options, "the model of config", (*_NOT_OPTIONS, *INITIAL_ARGUMENTS))


def _check_alike(arch, layers, options, subject="the model of a preset", ignored=_NOT_OPTIONS):
    """Raise unless all layers are what `build_model` makes of the options."""
    made = make_cells(arch, len(layers), layers[0].cell.units, **options)
    for layer, like in zip(layers, made, strict=True):
        found, expected = (each.get_config() for each in (layer.cell, like))
        for name in found:
            if name not in ignored and found[name] != expected[name]:
                raise ValueError(
                    f"{layer.name} has {name} {found[name]!r}, and {subject} has "
                    f"{expected[name]!r} there"
                )
