"""The weights that training starts from: those of a preset, of a run, or new random ones."""

import dataclasses

from rnn_zoo.architectures import ARCHITECTURES, INITIAL_ARGUMENTS
from rnn_zoo.presets import Preset, preset, read_weights
from trainer import memory
from trainer.config import TrainConfig, read_config
from trainer.errors import UserError, user_errors
from trainer.storage import checkpoints
from trainer.storage.records import RunDirectory, RunRecord
from trainer.tasks.base import Task


def check(
    config: TrainConfig,
    task: Task,
    subject: str = "this training",
    way_out: str = memory.ADVICE,
) -> None:
    """Check budget and memory, and that weights to start from fit the model.

    Args:
        config: the configuration.
        task, subject, way_out: as for `TrainConfig.check_memory`.

    Raises:
        UserError: as for `TrainConfig.check_memory`, a missing preset or run, or weights of another
            shape, of other equations, or of another SHA-256 than the configuration's.
    """
    units = config.check_memory(task, subject, way_out)
    card: Preset | RunRecord
    if config.preset is not None:
        card, way_out = find_preset(config.preset), ", or draw new weights (--scratch)"
    elif config.init_from is None:
        return
    else:
        directory = RunDirectory(config.init_from)
        card, way_out = directory.read_record(), ""
        directory.refuse_stranger(card)
    names = ("arch", "depth", "units", "input_dim", "output_dim")
    shape = (config.arch, config.depth, units, task.input_dim, task.output_dim)
    for name, wanted in zip(names, shape, strict=True):
        held = getattr(card, name)
        if held != wanted:
            tasks = f" of {card.task}", f" of {config.task}"
            old, new = tasks if card.task != config.task else ("", "")
            raise UserError(
                f"{config.weights_from}{old} has {name} {held}, and this training{new} {wanted}; "
                f"keep its task, architecture and size{way_out}"
            )
    _check_equations(config, card, way_out)
    if config.weights_sha256 is not None and (found := _sha256(config)) != config.weights_sha256:
        raise UserError(
            f"{config.weights_from} has weights of SHA-256 {found}, but training started from "
            f"weights of {config.weights_sha256}; restore those, or start from the present ones in "
            "a new directory, with weights_sha256 = None"
        )


def pinned(config: TrainConfig) -> TrainConfig:
    """Return the configuration with the digest of the weights that training starts from.

    Raises:
        UserError: the preset or the run has none, or is damaged.
    """
    if config.weights_from is None or config.weights_sha256 is not None:
        return config
    return dataclasses.replace(config, weights_sha256=_sha256(config))


def find_preset(name: str) -> Preset:
    """Return the card of a preset.

    Raises:
        UserError: no such preset, or its file is damaged.
    """
    with user_errors():
        return preset(name)


def preset_config(card: Preset) -> TrainConfig:
    """Return the training configuration of a preset.

    Raises:
        UserError: it has none, or an invalid one.
    """
    if card.config is None:
        raise UserError(
            f"the preset {card.name} has no training configuration; save it again with one, as in "
            "rnn_zoo.save_preset(model, directory, config=record.config)"
        )
    return read_config(card.config, f"the preset {card.name}")


def read_preset_weights(name: str) -> dict:
    """Return the weights of a preset as NumPy arrays, in the form of `rnn_zoo.model.get_weights`.

    Raises:
        UserError: no such preset, it has no weights, or its file is damaged.
    """
    with user_errors():
        return read_weights(name)


def _check_equations(config, card, way_out):
    """Raise a `UserError` if the weights to start from belong to other equations."""
    if isinstance(card, RunRecord):
        held = read_config(card.config, RunDirectory(config.init_from).record_path).cell_options()
    else:
        held = card.options
    held, wanted = (_equations(config.arch, each) for each in (held, config.cell_options()))
    for name in held | wanted:
        if held.get(name) != wanted.get(name):
            raise UserError(
                f"{config.weights_from} has {name} {held.get(name)!r}, and this training "
                f"{wanted.get(name)!r}; set it as there{way_out}"
            )


def _equations(arch, options):
    """Return the arguments that make a model of given weights, with their defaults."""
    facts = ARCHITECTURES[arch]
    found = {"activation": facts.activation, "gate_bias": 1.0, **facts.options, **options}
    bias = found["gate_bias"]
    by_gate = bias if isinstance(bias, dict) else dict.fromkeys(facts.forget_gates, bias)
    return {n: v for n, v in found.items() if n not in INITIAL_ARGUMENTS} | {"gate_bias": by_gate}


def _sha256(config):
    if config.preset is not None:
        return find_preset(config.preset).weights
    return checkpoints.newest_sha256(RunDirectory(config.init_from))
