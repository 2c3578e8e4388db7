"""Sets of hyperparameters from a JSON file, in our own naming or in that of the published trials.

The paper's authors published their trials at github.com/jazcollins/cap-n-train-hps. What is known
of their naming is the one record that its README prints, an LSTM's. Its gates are i, g, c and o, so
that g must be the paper's f, eq. (10).

Inferred is the rest: that other architectures' gates have the paper's names; how a normal law, an
identity matrix and optimizers other than RMSProp are spelt; `nonlinearity`; `forget_gate_bias`
without its "_hack"; a second bias of the +RNN. What the records have otherwise is refused by name.
"""

import json
import pathlib
import reprlib

from rnn_zoo.architectures import ARCHITECTURES, canonical_name
from trainer.config import ACTIVATIONS, MATRIX_INITS, OPTIMIZERS
from trainer.errors import UserError
from tuning.search.space import configure

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
    "forget_gate_bias_hack": "gate_bias",
    "forget_gate_bias": "gate_bias",
    "depth_gate_bias_hack": "depth_gate_bias",
    "nonlinearity": "activation",
    "optimizer_logit_momentum": "momentum_logit",
    **{name: name for name in ("depth_gate_bias", "optimizer", "lr_init", "lr_decay_rate")},
    **{name: name for name in ("gradient_clip_val", "l2_decay", "train_steps")},
}
#: Architecture -> published gate -> ours, where they differ.
_GATES = {"lstm": {"g": "f"}}
_NORMAL = dict.fromkeys(("normal", "random_normal", "gaussian"), "normal")
#: Field -> published word in lower case -> ours.
_WORDS = {
    "matrix_init": {name: name for name in MATRIX_INITS} | _NORMAL,
    "bias_init": {"delta": "constant", "constant": "constant"} | _NORMAL,
    "optimizer": {name: name for name in OPTIMIZERS},
    "activation": {name: name for name in ACTIVATIONS},
}
#: Fields whose entries may be given one by one, as `input_scale.r`.
_DICTS = ("input_scale", "recurrent_scale", "bias_scale", "task_options")


def read(path):
    """Reads sets of hyperparameters: a JSON object, or a list of objects.

    Args:
        path: of the file.

    Returns:
        List of dicts, for `configurations`.

    Raises:
        UserError: the file is missing or broken, or something else is in it.
    """
    wanted = "give a JSON object of hyperparameters or a list of such objects"
    try:
        found = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; {wanted}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}; {wanted}") from None
    sets = found if isinstance(found, list) else [found]
    strangers = [each for each in sets if not isinstance(each, dict)]
    if strangers or not sets:
        raise UserError(f"{path} has {reprlib.repr(strangers[0] if sets else sets)}; {wanted}")
    return sets


def configurations(config, sets):
    """The configuration with each set's hyperparameters in it.

    Args:
        config: the base `TrainConfig`; its task, architecture, depth, budget and seed stay, and
            every hyperparameter that a set does not name.
        sets: list of dicts, each with names of `TrainConfig.hparams` (`input_scale.r` is an entry
            of a dict) or with published names. One may also be a whole `RunRecord` or a whole
            published record, of which "hparams" is taken.

    Returns:
        List of `TrainConfig`, one a set.

    Raises:
        UserError: an unknown name, a value that cannot be, or a published record of another
            architecture; the message says in which set.
    """
    made = []
    for number, each in enumerate(sets, start=1):
        try:
            made.append(configure(config, _fields(config, each)))
        except UserError as error:
            raise UserError(f"set {number} of {len(sets)}: {error}") from None
    return made


def from_published(hparams, arch):
    """Translates one published set of hyperparameters; the module says what is known of them.

    An LSTM without a nonlinearity is tanh, as theirs was. For the +RNN, that `forget_gate_bias` is
    b^{fg,h} and that b^{fg,y} is called `depth_gate_bias`, with or without "_hack", is a guess: no
    names but an LSTM's are known.

    Args:
        hparams: dict from published name to value; bytes, Python 2's strings, are read as text.
        arch: name of the architecture whose gates these are.

    Returns:
        Dict from `TrainConfig` field to value, which `TrainConfig` checks; scales are dicts by
        gate.

    Raises:
        UserError: an unknown name, gate or word, or two names of the same thing.
    """
    try:
        arch = canonical_name(_plain(arch))
    except ValueError as error:
        raise UserError(str(error)) from None
    places, fields, origins = _places(arch), {}, {}
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
    """Every published name of an architecture -> its field, and the gate of a scale or None."""
    gates = {gate: gate for gate in ARCHITECTURES[arch].gates} | _GATES.get(arch, {})
    fields = {n: f for n, f in _FIELDS.items() if arch == "+rnn" or f != "depth_gate_bias"}
    return {name: (field, None) for name, field in fields.items()} | {
        prefix + gate: (field, ours)
        for prefix, field in _SCALES.items()
        for gate, ours in gates.items()
    }


def _in_our_words(field, name, value):
    words, word = _WORDS.get(field), str(value).lower()
    if words and word not in words:
        raise _unknown(name, value, words)
    return words[word] if words else value


def _unknown(what, value, choices):
    return UserError(f"unknown {what} {value!r}; choose from {', '.join(choices)}")


def _plain(value):
    """The value without the types of NumPy and Python 2 that pickled records may have."""
    value = value.item() if hasattr(value, "item") else value
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _fields(config, given):
    """What `configure` takes, from a set in either naming or from a whole record."""
    published = {"architecture", "hparams"} <= given.keys()
    if published and given["architecture"] != config.arch:
        raise UserError(
            f"the record is of architecture {given['architecture']!r}, by whose gates its names "
            f"go, and not of {config.arch}; choose its own with --arch"
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
    return given


def _is_published(name):
    return name.startswith(tuple(_SCALES)) or _FIELDS.get(name, name) != name


def _check_names(given, names):
    for name in given:
        field, dot, entry = name.partition(".")
        if field not in names or (dot and not (field in _DICTS and entry)):
            raise _unknown("hyperparameter", name, [*names, *(f"{each}.ENTRY" for each in _DICTS)])
        if dot and field in given:
            raise UserError(f"{name!r} and {field!r} mean the same; keep one")
