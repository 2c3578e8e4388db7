"""Sets of hyperparameters from files: the published record, this project's names, and errors."""

import dataclasses
import json
import os

import numpy as np
import pytest

from trainer import RunRecord, TrainConfig, UserError
from tuning.study.hparam_sets import configurations, from_published, read

#: The record in the README of the published trials.
PUBLISHED = {
    "recurrent_bias_scale_o": 1.2967042923,
    "recurrent_bias_scale_i": -0.250855892897,
    "recurrent_bias_scale_g": 0.631270706654,
    "recurrent_bias_scale_c": -1.62440180779,
    "input_scale_c": 0.209308668971,
    "input_scale_g": 0.222167253494,
    "optimizer_logit_momentum": 5.89666414261,
    "recurrent_matrix_init_type": "orthogonal",
    "input_scale_i": 1.20329034328,
    "lr_decay_rate": 0.108852244914,
    "input_scale_o": 0.407466441393,
    "train_steps": 1176212,
    "forget_gate_bias_hack": 4.88674783707,
    "recurrent_bias_init_type": "delta",
    "lr_init": 0.00398490205407,
    "optimizer": "RMSProp",
    "gradient_clip_val": 27.6603736877,
    "recurrent_matrix_scale_g": 0.035970274359,
    "recurrent_matrix_scale_c": 0.619497835636,
    "recurrent_matrix_scale_o": 0.0714097246528,
    "recurrent_matrix_scale_i": 0.520125091076,
    "l2_decay": 1.79227910735e-07,
}
#: The same as a configuration, written by hand.
EXPECTED = {
    "activation": "tanh",
    "matrix_init": "orthogonal",
    "bias_init": "constant",
    "gate_bias": 4.88674783707,
    "input_scale": {
        "i": 1.20329034328,
        "f": 0.222167253494,
        "c": 0.209308668971,
        "o": 0.407466441393,
    },
    "recurrent_scale": {
        "i": 0.520125091076,
        "f": 0.035970274359,
        "c": 0.619497835636,
        "o": 0.0714097246528,
    },
    "bias_scale": {
        "i": -0.250855892897,
        "f": 0.631270706654,
        "c": -1.62440180779,
        "o": 1.2967042923,
    },
    "optimizer": "rmsprop",
    "momentum_logit": 5.89666414261,
    "lr_init": 0.00398490205407,
    "lr_decay_rate": 0.108852244914,
    "gradient_clip_val": 27.6603736877,
    "l2_decay": 1.79227910735e-07,
    "train_steps": 1176212,
}
LSTM = {"task": "text8", "arch": "lstm", "depth": 4, "num_params": 1_268_217, "seed": 3}
GRU = TrainConfig("parens", "gru", depth=2, seed=5)
GATES = {
    "rnn": {"h": "h"},
    "irnn": {"h": "h"},
    "ugrnn": {"c": "c", "g": "g"},
    "gru": {"r": "r", "u": "u", "c": "c"},
    "lstm": {"i": "i", "g": "f", "f": "f", "c": "c", "o": "o"},
    "+rnn": {"y": "y", "h": "h", "gy": "gy", "gh": "gh"},
}


def written(path, value):
    path.write_text(json.dumps(value))
    return path


def refusal(function, *arguments):
    with pytest.raises(UserError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def replayed(*sets):
    return configurations(GRU, list(sets))


def test_the_published_record_equals_a_configuration(tmp_path):
    sets = read(written(tmp_path / "sets.json", PUBLISHED))
    assert configurations(TrainConfig(**LSTM), sets) == [TrainConfig(**LSTM, **EXPECTED)]
    assert from_published(PUBLISHED, "lstm") == EXPECTED


def test_a_whole_published_record():
    record = {"architecture": "lstm", "task_type": "text8", "n_layers": 4, "eval_loss": 1.54927}
    (made,) = configurations(TrainConfig(**LSTM), [record | {"hparams": PUBLISHED}])
    assert made == TrainConfig(**LSTM, **EXPECTED)
    # Names that both namings share are read as the authors' in one of their records.
    (made,) = replayed({"architecture": "gru", "hparams": {"optimizer": "ADAM", "lr_init": 0.02}})
    assert made == dataclasses.replace(GRU, optimizer="adam", lr_init=0.02)


@pytest.mark.parametrize("arch", GATES)
def test_gates(arch):
    for published, ours in GATES[arch].items():
        hparams = {
            f"input_scale_{published}": 0.1,
            f"recurrent_matrix_scale_{published}": 0.2,
            f"recurrent_bias_scale_{published}": -0.3,
        }
        fields = from_published(hparams, arch)
        scales = {"input_scale": 0.1, "recurrent_scale": 0.2, "bias_scale": -0.3}
        assert {name: fields[name] for name in scales} == {
            name: {ours: value} for name, value in scales.items()
        }


@pytest.mark.parametrize(
    "name, words",
    [
        ("optimizer", {"RMSProp": "rmsprop", "ADAM": "adam", "Adam": "adam"}),
        ("optimizer", {"SGD": "sgd", "Momentum": "momentum"}),
        ("recurrent_matrix_init_type", {"orthogonal": "orthogonal", "identity": "identity"}),
        ("recurrent_matrix_init_type", {"normal": "normal", "random_normal": "normal"}),
        ("recurrent_bias_init_type", {"delta": "constant", "normal": "normal"}),
        ("recurrent_bias_init_type", {"gaussian": "normal"}),
        ("nonlinearity", {"ReLU": "relu", "tanh": "tanh"}),
    ],
)
def test_words(name, words):
    fields = {
        "recurrent_matrix_init_type": "matrix_init",
        "recurrent_bias_init_type": "bias_init",
        "nonlinearity": "activation",
        "optimizer": "optimizer",
    }
    for published, ours in words.items():
        assert from_published({name: published}, "gru") == {fields[name]: ours}
        assert from_published({name: published}, "lstm")[fields[name]] == ours


def test_biases_of_gates():
    assert from_published({"forget_gate_bias": 2.0}, "gru") == {"gate_bias": 2.0}
    for second in ("depth_gate_bias", "depth_gate_bias_hack"):
        hparams = {"forget_gate_bias_hack": 2.0, second: 3.0}
        expected = {"gate_bias": {"gh": 2.0, "gy": 3.0}}
        assert from_published(hparams, "+rnn") == from_published(hparams, "plus_rnn") == expected


def test_python_2_and_numpy_values_are_plain_ones():
    hparams = {
        name.encode(): value.encode() if isinstance(value, str) else np.array([value])[0]
        for name, value in PUBLISHED.items()
    }
    fields = from_published(hparams, b"lstm")
    assert fields == EXPECTED
    assert type(fields["train_steps"]) is int
    assert TrainConfig(**LSTM, **fields) == TrainConfig(**LSTM, **EXPECTED)


@pytest.mark.parametrize("arch", GATES)
def test_only_fields_come_out(arch):
    places = refusal(from_published, {"nothing": 1}, arch).split("choose from ")[1].split(", ")
    assert len(places) == len(set(places)) > 10
    words = {"recurrent_matrix_init_type": "normal", "recurrent_bias_init_type": "delta"}
    words |= {"nonlinearity": "relu", "optimizer": "SGD"}
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    for place in places:
        assert from_published({place: words.get(place, 1.0)}, arch).keys() <= fields


def test_the_project_s_names_round_trip(tmp_path):
    sets = [
        GRU,
        TrainConfig("parens", "gru", matrix_init="identity", activation="relu", batch_size=7),
        TrainConfig("parens", "gru", lr_init=0.1 + 0.2, bias_scale={"r": 1, "u": -0.5, "c": 1e-9}),
    ]
    sets = read(written(tmp_path / "sets.json", [each.hparams for each in sets]))
    made = configurations(GRU, sets)
    assert [each.hparams for each in made] == sets
    assert made[1] == dataclasses.replace(
        GRU, matrix_init="identity", activation="relu", batch_size=7
    )
    assert all((each.depth, each.seed) == (2, 5) for each in made)


def test_a_whole_record_of_a_run():
    values = dict.fromkeys(field.name for field in dataclasses.fields(RunRecord))
    hparams = TrainConfig("parens", "gru", lr_init=0.5).hparams
    record = values | {"task": "parens", "arch": "gru", "seed": 9, "hparams": hparams}
    assert replayed(record, {}) == [dataclasses.replace(GRU, lr_init=0.5), GRU]


def test_dotted_names():
    (made,) = replayed({"input_scale.r": 0.1, "input_scale.u": 0.2, "input_scale.c": 0.3})
    assert made == dataclasses.replace(GRU, input_scale={"r": 0.1, "u": 0.2, "c": 0.3})
    base = TrainConfig("capacity", "gru", task_options={"num_inputs": 7})
    (made,) = configurations(base, [{"task_options.num_samples": 50}])
    assert made.task_options == {"num_inputs": 7, "num_samples": 50}


def test_a_set_keeps_the_options_and_gates_that_it_does_not_name():
    base = TrainConfig("capacity", "gru", task_options={"num_inputs": 7, "num_samples": 9})
    base = dataclasses.replace(base, gate_bias={"u": 2.0}, input_scale=0.5)
    sets = [{"task_options": {"num_samples": 50}}, {"input_scale.r": 0.1}, {"task_options": {}}]
    some, gate, none = configurations(base, sets)
    assert some.task_options == {"num_inputs": 7, "num_samples": 50}
    assert gate == dataclasses.replace(base, input_scale={"r": 0.1, "u": 0.5, "c": 0.5})
    assert none == base


FIELDS = ["lr_init", "gate_bias", "task_options", "input_scale.ENTRY"]
#: Name of an error -> (set for the GRU, words in the message).
WRONG = {
    "unknown name": ({"momentum": 1.0}, ["'momentum'", "momentum_logit", *FIELDS]),
    "experiment's": ({"seed": 1}, ["'seed'", *FIELDS]),
    "entry of a number": ({"lr_init.r": 1.0}, ["'lr_init.r'", *FIELDS]),
    "entry without a name": ({"input_scale.": 1.0}, ["'input_scale.'", *FIELDS]),
    "entry's gate": ({"input_scale.f": 1.0}, ["gates of gru", "r, u, c", "got r, u, c, f"]),
    "entry and whole": ({"input_scale": 1.0, "input_scale.r": 1.0}, ["'input_scale.r'", "keep"]),
    "value": ({"lr_init": -1}, ["lr_init", "greater than 0", "-1"]),
    "published name": (
        {"nonlinearity": "tanh", "dropout": 1.0},
        ["'dropout'", "of gru", "lr_init", "optimizer_logit_momentum", "input_scale_r"],
    ),
    "mixed naming": ({"nonlinearity": "tanh", "momentum_logit": 1.0}, ["'momentum_logit'"]),
    "published gate": (
        {"recurrent_bias_scale_f": 1.0},
        ["'recurrent_bias_scale_f'", *(f"recurrent_bias_scale_{gate}" for gate in "ruc")],
    ),
    "another's gate": ({"recurrent_bias_scale_g": 1.0}, ["'recurrent_bias_scale_g'"]),
    "missing gate": ({"input_scale_r": 1.0}, ["input_scale", "r, u, c", "got r"]),
    "depth gate": ({"nonlinearity": "tanh", "depth_gate_bias": 1.0}, ["'depth_gate_bias'"]),
    "capitals": ({"nonlinearity": "tanh", "LR_INIT": 1.0}, ["'LR_INIT'", "lr_init"]),
    "word": ({"recurrent_bias_init_type": "Beta"}, ["'Beta'", "init_type", "delta", "normal"]),
    "number for a word": ({"nonlinearity": [1]}, ["nonlinearity [1]", "tanh", "relu"]),
    "one thing twice": (
        {"forget_gate_bias": 1.0, "forget_gate_bias_hack": 2.0},
        ["'forget_gate_bias'", "'forget_gate_bias_hack'", "keep one"],
    ),
    "another's record": (
        {"architecture": "lstm\n", "hparams": PUBLISHED},
        ["'lstm\\n'", "gru", "--arch"],
    ),
    "record's hparams": ({"architecture": "gru", "hparams": 3}, ["hparams", "got 3"]),
    "run's hparams": ({"arch": "gru", "task": "x", "hparams": [3]}, ["hparams", "got [3]"]),
}


@pytest.mark.parametrize("what", WRONG)
def test_invalid_sets_are_refused(what):
    wrong, words = WRONG[what]
    message = refusal(replayed, {"lr_init": 0.1}, wrong)
    assert message.startswith("set 2 of 2: ")
    for word in words:
        assert word in message


def test_a_set_that_does_not_pass_a_check_is_named():
    def check(made):
        if made.lr_init > 1:
            raise UserError("too much")

    message = refusal(configurations, TrainConfig("parens", "gru"), [{}, {"lr_init": 5.0}], check)
    assert message == "set 2 of 2: too much"


def test_an_lstm_s_two_names_of_the_forget_gate():
    message = refusal(from_published, {"input_scale_g": 1.0, "input_scale_f": 1.0}, "lstm")
    assert "'input_scale_g' and 'input_scale_f'" in message


def test_an_unknown_architecture():
    message = refusal(from_published, {}, b"gur")
    assert "'gur'" in message
    assert "ugrnn" in message


@pytest.mark.parametrize(
    "content, words",
    [
        (None, ["No such file"]),
        (b"{'lr_init': 1}", ["not JSON", "line 1 column 2"]),
        (b"\xff", ["not JSON", "0xff"]),
        (b'{"lr_init": 0.5, "lr_init": 0.001}', ["not JSON", "it has 'lr_init' twice"]),
        (b"[" * 100_000, ["not JSON"]),
        (b'[{"lr_init": 1}, 3]', ["has 3;"]),
        (b'"a\\nb"', ["has 'a\\nb';"]),
        (b"[]", ["has [];"]),
        (b"[[1]]", ["has [1];"]),
    ],
    ids=["missing", "broken", "no text", "twice", "deep", "number", "text", "empty", "list"],
)
def test_files_that_are_refused(tmp_path, content, words):
    path = tmp_path / "sets.json"
    if content is not None:
        path.write_bytes(content)
    message = refusal(read, path)
    for word in (*words, str(path), "give a JSON object", "or a list of such objects"):
        assert word in message


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_directory_or_a_pipe_is_refused(tmp_path, make):
    """Reading a pipe waits until somebody writes."""
    make(tmp_path / "sets")
    assert f"cannot read {tmp_path}/sets: it is not a regular file" in refusal(
        read, tmp_path / "sets"
    )
