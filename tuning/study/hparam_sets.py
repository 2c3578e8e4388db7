"""Sets of hyperparameters from a JSON file, in this project's names or the published trials'.

The paper's authors published their trials at github.com/jazcollins/cap-n-train-hps. Its README
prints one record, of an LSTM, which is the only source of their names. The gates there are i, g, c
and o, so g must be the paper's f, eq. (10).

All other names are inferred: the gates of other architectures, as in the paper; the spellings of
the normal initializer, the identity and optimizers other than RMSProp; `nonlinearity`;
`forget_gate_bias` without "_hack"; and a second bias of the +RNN. Any further name is refused.
"""

import json
import pathlib
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rnn_zoo.architectures import ARCHITECTURES, canonical_name
from rnn_zoo.json_types import unique
from trainer.config import ACTIVATIONS, MATRIX_INITS, OPTIONS, TrainConfig
from trainer.errors import UserError, user_errors
from trainer.optimizers import PAPER_OPTIMIZERS
from trainer.storage.files import read_bytes
from tuning.search.space import by_option, configure

#: Published prefix of a gate -> field.
_SCALES = {
    "input_scale_": "input_scale",
    "recurrent_matrix_scale_": "recurrent_scale",
    "recurrent_bias_scale_": "bias_scale",
}
#: Published name -> field.
_FIELDS = {
    "recurrent_matrix_init_type": "matrix_init",
    "recurrent_bias_init_type": "bias_init",
    "nonlinearity": "activation",
    "optimizer_logit_momentum": "momentum_logit",
    **{name: name for name in ("optimizer", "lr_init", "lr_decay_rate")},
    **{name: name for name in ("gradient_clip_val", "l2_decay", "train_steps")},
}
#: Published name of b^fg -> gate of the +RNN. Other architectures have only the first name.
_GATE_BIASES = {"forget_gate_bias": "gh", "depth_gate_bias": "gy"}
_HACK = "_hack"
#: Architecture -> published gate -> gate here, where they differ.
_GATES = {"lstm": {"g": "f"}}
_NORMAL = dict.fromkeys(("normal", "random_normal", "gaussian"), "normal")
#: Field -> published word in lower case -> word here.
_WORDS = {
    "matrix_init": {name: name for name in MATRIX_INITS} | _NORMAL,
    "bias_init": {"delta": "constant", "constant": "constant"} | _NORMAL,
    "optimizer": {name: name for name in PAPER_OPTIMIZERS},
    "activation": {name: name for name in ACTIVATIONS},
}
#: Fields whose entries may be set one by one, such as `input_scale.r`.
_DICTS = ("input_scale", "recurrent_scale", "bias_scale", "gate_bias", *OPTIONS)


def read(path: str | pathlib.Path) -> list[dict[str, Any]]:
    """Read sets of hyperparameters: a JSON object or a list of objects.

    Raises:
        UserError: the file is missing or malformed, or holds something else.
    """
    wanted = "give a JSON object of hyperparameters or a list of such objects"
    try:
        found = json.loads(read_bytes(path).decode(), object_pairs_hook=unique)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; {wanted}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}; {wanted}") from None
    sets = found if isinstance(found, list) else [found]
    strangers = [each for each in sets if not isinstance(each, dict)]
    if strangers or not sets:
        raise UserError(f"{path} has {reprlib.repr(strangers[0] if sets else sets)}; {wanted}")
    return sets


def configurations(
    config: TrainConfig,
    sets: Sequence[dict[str, Any]],
    check: Callable[[TrainConfig], object] = lambda made: None,
) -> list[TrainConfig]:
    """Return one copy of a configuration per set, with the set's hyperparameters.

    Args:
        config: provides task, architecture, depth, budget and seed, and every hyperparameter that a
            set does not name.
        sets: dicts with names of `TrainConfig.hparams`, where `input_scale.r` is an entry of a
            dict, or with published names. A dict of options sets those that it names. A set may
            also be a whole `RunRecord` or published record, whose "hparams" are used.
        check: raises a UserError if a configuration is not acceptable.

    Raises:
        UserError: a name is unknown, a value is invalid, or a published record is for another
            architecture; the message names the set.
    """
    made = []
    for number, each in enumerate(sets, start=1):
        try:
            made.append(configure(config, _fields(config, each)))
            check(made[-1])
        except UserError as error:
            raise UserError(f"set {number} of {len(sets)}: {error}") from None
    return made


def from_published(hparams: Mapping[Any, Any], arch: str) -> dict[str, Any]:
    """Translate a published set of hyperparameters.

    An LSTM without a nonlinearity uses tanh, as the authors' did. For the +RNN, `forget_gate_bias`
    is taken as b^{fg,h} and `depth_gate_bias` as b^{fg,y}, each with or without "_hack". This is a
    guess, because only an LSTM's names are known.

    Args:
        hparams: values by published name; bytes (Python 2 strings) are read as text.
        arch: architecture whose gates the names refer to.

    Returns:
        Dict from `TrainConfig` field to value; the values are left for `TrainConfig` to check.
        Scales and a +RNN's `gate_bias` are dicts by gate.

    Raises:
        UserError: a name, gate or word is unknown, or two names mean the same.
    """
    with user_errors():
        arch = canonical_name(_plain(arch))
    places = _places(arch)
    fields: dict[str, Any] = {}
    origins: dict[tuple[str, str | None], str] = {}
    for name, value in hparams.items():
        name, value = _plain(name), _plain(value)
        if name not in places:
            raise _unknown(f"published hyperparameter of {arch}", name, places)
        field, gate = place = places[name]
        if place in origins:
            raise UserError(f"{origins[place]!r} and {name!r} mean the same; keep one")
        origins[place] = name
        if gate:
            fields.setdefault(field, {})[gate] = value
        else:
            fields[field] = _in_our_words(field, name, value)
    return {"activation": "tanh"} | fields if arch == "lstm" else fields


def _places(arch):
    """Return (field, gate of a scale or None) for every published name of an architecture."""
    gates = {gate: gate for gate in ARCHITECTURES[arch].gates} | _GATES.get(arch, {})
    biases = _GATE_BIASES if arch == "+rnn" else {"forget_gate_bias": None}
    return (
        {name: (field, None) for name, field in _FIELDS.items()}
        | {
            name + suffix: ("gate_bias", gate)
            for name, gate in biases.items()
            for suffix in ("", _HACK)
        }
        | {
            prefix + gate: (field, ours)
            for prefix, field in _SCALES.items()
            for gate, ours in gates.items()
        }
    )


def _in_our_words(field, name, value):
    words, word = _WORDS.get(field), str(value).lower()
    if words and word not in words:
        raise _unknown(name, value, words)
    return words[word] if words else value


def _unknown(what, value, choices):
    return UserError(f"unknown {what} {value!r}; choose from {', '.join(choices)}")


def _plain(value):
    """Convert NumPy scalars and Python 2 strings, which pickled records may contain."""
    value = value.item() if hasattr(value, "item") else value
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _fields(config, given):
    """Return the argument of `configure` for a set or a whole record, in either naming."""
    published = {"architecture", "hparams"} <= given.keys()
    if published and given["architecture"] != config.arch:
        raise UserError(
            f"the record is of architecture {given['architecture']!r}, whose gates its names refer "
            f"to, not of {config.arch}; set --arch to it"
        )
    if published or {"arch", "hparams", "task"} <= given.keys():
        given = given["hparams"]
        if not isinstance(given, dict):
            raise UserError(
                f"hparams must be an object from name to value, got {reprlib.repr(given)}"
            )
    if published or any(map(_is_published, given)):
        return from_published(given, config.arch)
    _check_names(given, config.hparams)
    return by_option(given)


def _is_published(name):
    return (
        name.startswith(tuple(_SCALES))
        or name.removesuffix(_HACK) in _GATE_BIASES
        or _FIELDS.get(name, name) != name
    )


def _check_names(given, names):
    for name in given:
        field, dot, entry = name.partition(".")
        if field not in names or (dot and not (field in _DICTS and entry)):
            raise _unknown("hyperparameter", name, [*names, *(f"{each}.ENTRY" for each in _DICTS)])
        if dot and field in given:
            raise UserError(f"{name!r} and {field!r} mean the same; keep one")
