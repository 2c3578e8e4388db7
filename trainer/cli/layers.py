"""Gin texts as layers: later ones override earlier ones, and dicts of options are merged."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

try:
    import gin
except ModuleNotFoundError:  # commands say so in one line, see `trainer.cli.main`
    gin = None

from rnn_zoo.architectures import ALIASES
from trainer.config import OPTIONS

#: Field of options -> field that names their owner.
_OWNERS = dict(zip(OPTIONS, ("task", "arch", "optimizer"), strict=True))


class Layer(NamedTuple):
    """A gin text.

    Attributes:
        bound: the `TrainConfig` fields that it binds, with references instead of their values.
        macros: names of the macros that it defines.
        has_all_options: whether a dict of options in it has all that differ from the defaults, as
            in the config.gin of a run.
    """

    bound: dict[str, Any]
    macros: set[str]
    has_all_options: bool

    @property
    def is_whole(self) -> bool:
        """Whether it alone describes a run, as the config.gin of a run does."""
        return {"task", "arch", "train_steps"} <= self.bound.keys()


def parsed_alone(texts: Sequence[str]) -> Layer:
    """Return the layer that gin texts make; clear gin's configuration."""
    gin.clear_config()
    gin.parse_config(texts)
    bound = gin.get_bindings("TrainConfig", resolve_references=False)
    # `gin.config_str` begins with this comment, and `TrainConfig.as_gin` has every field.
    is_written = any("# Parameters for TrainConfig:" in text for text in texts)
    layer = Layer(bound, macros(), is_written)
    return layer._replace(
        has_all_options=is_written or (layer.is_whole and {*OPTIONS} <= bound.keys())
    )


def macros() -> set[str]:
    """Return the names of the macros that are defined."""
    return {scope for scope, selector in gin.config._CONFIG if selector == "gin.macro"}


def bind_options(
    start: Mapping[str, Any], layers: Sequence[Layer], flags: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Binds the options of all layers together, once gin has parsed all of them.

    A layer sets the options that it names, and keeps the others. All others are dropped if it
    binds {} or `has_all_options`. Options of another task, cell or optimizer are dropped too,
    whichever layer or flag replaces the owner. Options of a layer that names no owner are those of
    the flag's, else of the last one named before, else of the first one named after.

    Args:
        start: the fields that are bound before the layers, those that name owners among them.
        layers: the user's layers.
        flags: the fields that flags set.

    Returns:
        Field of options -> options that the layers set, for the fields that they bind.
    """
    found: dict[str, dict[str, Any]] = {}
    for field, owner in _OWNERS.items():
        kept, of = start.get(field, {}), _name(start.get(owner))
        own: dict[str, Any] = {}
        named = (_name(layer.bound[owner]) for layer in layers if owner in layer.bound)
        name, is_bound = next(named, of), False
        for layer in layers:
            name = _name(layer.bound.get(owner, flags.get(owner, name)))
            if field not in layer.bound:
                continue
            values, is_bound = _as_dict(field, layer.bound[field]), True
            if values is None:
                return found
            if layer.has_all_options or not values or name != of:
                own, kept, of = {}, {}, name
            own |= values
        last = _name(flags.get(owner, name))
        is_replaced = last != of and isinstance(last, str) and isinstance(of, str)
        if is_replaced:
            own, kept = {}, start.get(field, {}) if last == _name(start.get(owner)) else {}
        if is_bound or is_replaced:
            gin.bind_parameter(f"TrainConfig.{field}", {**kept, **own})
        if is_bound:
            values = gin.get_bindings("TrainConfig")[field]
            found[field] = {option: values[option] for option in own}
    return found


def _name(name):
    return ALIASES.get(name, name) if isinstance(name, str) else name


def _as_dict(field, value):
    """Return a dict with any references in it, also of a value that is a reference; else None."""
    if not isinstance(value, dict):
        gin.bind_parameter(f"TrainConfig.{field}", value)
        value = gin.get_bindings("TrainConfig")[field]
    return value if isinstance(value, dict) else None
