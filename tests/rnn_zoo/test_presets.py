"""Presets: what is made is loaded, what was tampered with is refused; and those of the package."""

import dataclasses
import json
import os
import pathlib

import keras
import numpy as np
import pytest
from made_presets import DEEP, SMALL, make
from on_backend import tensorflow_only, to_numpy
from safetensors.numpy import save
from slow import slow_except

import rnn_zoo
from rnn_zoo import presets
from rnn_zoo.functional import named
from rnn_zoo.model import get_weights
from rnn_zoo.presets import reading
from trainer.config import TrainConfig
from trainer.evaluation import evaluate
from trainer.tasks import PAPER_TASKS
from trainer.trial import Trial
from tuning.presets import name_of

SHIPPED = rnn_zoo.list_presets()
TRAINED = rnn_zoo.list_presets(trained=True)


def test_what_was_written_is_loaded(preset_root):
    weights = make(preset_root, "memory/+rnn-depth3-3k", DEEP)
    model = rnn_zoo.load("memory/+rnn-depth3-3k")
    keras.tree.map_structure(np.testing.assert_array_equal, get_weights(model), weights)
    card = model.preset
    assert card == rnn_zoo.preset("memory/+rnn-depth3-3k")
    assert TrainConfig(**card.config) == DEEP
    assert (card.task, card.arch, card.depth) == ("memory", "+rnn", 3)
    assert model.count_params() == card.num_params <= card.max_params == 3000
    cell = model.get_layer("layer_0").cell
    assert (cell.activation.__name__, cell.gate_bias) == ("relu", {"gy": 1.0, "gh": 2.0})
    outputs = to_numpy(model(np.ones((2, 5, 64), "float32")))
    stepper = model.stepper(2)
    streamed = np.stack([stepper(np.ones((2, 64))) for _ in range(5)], axis=1)
    np.testing.assert_allclose(outputs, streamed, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_loaded_model_is_trained_on_and_saved_like_any_other(preset_root, tmp_path):
    make(preset_root, "capacity/gru-300", SMALL)
    model = rnn_zoo.load("capacity/gru-300")
    inputs, targets = np.ones((8, 5, 32), "float32"), np.zeros((8, 5, 1), "float32")
    model.compile("sgd", "mse")
    before = model.evaluate(inputs, targets, verbose=0)
    model.fit(inputs, targets, epochs=2, verbose=0)
    after = model.evaluate(inputs, targets, verbose=0)
    assert after < before
    model.save(tmp_path / "tuned.keras")
    again = keras.saving.load_model(tmp_path / "tuned.keras")
    np.testing.assert_array_equal(to_numpy(again(inputs)), to_numpy(model(inputs)))


def test_presets_are_listed_by_what_they_are_of(preset_root):
    make(preset_root, "capacity/gru-300", SMALL)
    make(preset_root, "memory/+rnn-depth3-3k", DEEP, weights=False)
    both = ["capacity/gru-300", "memory/+rnn-depth3-3k"]
    assert rnn_zoo.list_presets() == both
    assert rnn_zoo.list_presets(task="memory") == rnn_zoo.list_presets(arch="+rnn") == both[1:]
    assert rnn_zoo.list_presets(trained=True) == both[:1]
    assert rnn_zoo.list_presets(trained=False) == both[1:]
    assert rnn_zoo.list_presets(arch="plus_rnn") == both[1:]
    assert rnn_zoo.list_presets("memory", "gru") == []
    with pytest.raises(ValueError, match="for the task 'memroy'; choose from capacity, memory"):
        rnn_zoo.list_presets("memroy")
    with pytest.raises(ValueError, match="unknown architecture 'gated'"):
        rnn_zoo.list_presets(arch="gated")


@pytest.mark.parametrize(
    "text",
    [
        None,
        "null",
        "[1]",
        "{",
        "7",
        '{"parens/gru-10k": 7}',
        r'{"parens/\u001b": ""}',
        "[" * 10**5,
        r'{"parens/gru-10k": "\u001b[31m"}',
    ],
)
def test_an_index_that_is_missing_or_damaged_is_named(preset_root, text):
    preset_root.mkdir()
    if text:
        (preset_root / "index.json").write_text(text)
    for call in (rnn_zoo.list_presets, lambda: rnn_zoo.preset("parens/gru-10k")):
        with pytest.raises(ValueError, match=r"index.json cannot be read \(.*\); install") as error:
            call()
        assert str(error.value).isprintable()


def test_a_file_of_another_shape_is_no_card(preset_root):
    make(preset_root, "capacity/gru-300", SMALL)
    for text in ("null", "[]", '{"name": "x"}'):
        (preset_root / "capacity/gru-300.json").write_text(text)
        index = {"capacity/gru-300": reading.sha256_of(text.encode())}
        (preset_root / "index.json").write_text(json.dumps(index))
        with pytest.raises(ValueError, match=r"capacity/gru-300.json is not a card \("):
            rnn_zoo.preset("capacity/gru-300")


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("units", "7", "units must be an int, got '7'"),
        ("depth", 0, "depth must be an int of at least 1, got 0"),
        ("config", {}, "it has no task_options"),
        ("scores", {"train": 1}, "it has no chance, eval, metrics, valid"),
        ("training", [], r"training must be a dict or null, got \[\]"),
        ("colour", 1, "it has an unknown field 'colour'"),
    ],
)
def test_an_odd_card_is_one_line(preset_root, field, value, message):
    make(preset_root, "capacity/gru-300", SMALL)
    path = preset_root / "capacity/gru-300.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    index = {"capacity/gru-300": reading.sha256_of(path.read_bytes())}
    (preset_root / "index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=rf"gru-300\.json is not a card \({message}\); ") as error:
        rnn_zoo.preset("capacity/gru-300")
    assert "\n" not in str(error.value)


def alter(root, change, content=None):
    """Change the card of capacity/gru-300 and its weights' file, and write their digests."""
    path = root / "capacity/gru-300.json"
    if content is not None:
        path.with_suffix(".safetensors").write_bytes(content)
        change = change | {"weights": reading.sha256_of(content)}
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    index = {"capacity/gru-300": reading.sha256_of(path.read_bytes())}
    (root / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("change", [{"units": 3}, {"units": 10**9}, {"depth": 10**9}])
def test_weights_of_another_shape_are_refused(preset_root, change):
    make(preset_root, "capacity/gru-300", SMALL)
    alter(preset_root, change)
    with pytest.raises(ValueError, match="not the float32 arrays of its card's shapes"):
        presets.read_weights("capacity/gru-300")


@pytest.mark.parametrize(
    "options",
    [{"seed": 1}, {"found": 3}, {"arch": "gru"}, {"gate_bias": 10**400}, {"activation": {"a": 1}}],
    ids=str,
)
def test_options_that_no_model_takes_are_refused(preset_root, options):
    make(preset_root, "capacity/gru-300", SMALL)
    alter(preset_root, {"options": options})
    with pytest.raises(ValueError, match="not the float32 arrays of its card's shapes"):
        rnn_zoo.load("capacity/gru-300")


@pytest.mark.parametrize("options", [{"name": "layer"}, {"dtype": {"class_name": 5}}], ids=str)
def test_options_that_no_layer_takes_are_refused(preset_root, options):
    make(preset_root, "capacity/gru-300", SMALL)
    alter(preset_root, {"options": options})
    with pytest.raises(ValueError, match="no model has the options of the preset capacity/gru-300"):
        rnn_zoo.load("capacity/gru-300")


def test_a_metric_that_no_float_can_hold_is_not_on_the_card(preset_root):
    make(preset_root, "capacity/gru-300", SMALL)
    path = preset_root / "capacity/gru-300.json"
    scores = json.loads(path.read_text())["scores"] | {"metrics": {"odd": 10**400, "even": 2}}
    alter(preset_root, {"scores": scores})
    text = str(rnn_zoo.preset("capacity/gru-300"))
    assert "| even | 2 |" in text and "odd" not in text


@pytest.mark.parametrize("name", ["index.json", "capacity/gru-300.safetensors"])
def test_a_file_that_is_far_too_large_is_not_read(preset_root, name):
    make(preset_root, "capacity/gru-300", SMALL)
    os.truncate(preset_root / name, 3 * 2**30)  # of zeros, which take no place
    with pytest.raises(ValueError, match="File too large"):
        rnn_zoo.load("capacity/gru-300")


def test_control_characters_of_a_card_become_escapes():
    card = dataclasses.replace(rnn_zoo.preset("parens/gru-10k"), paper="\x1b[31mred\x9b")
    assert r"| the paper | \x1b&#91;31mred\x9b |" in str(card)


def test_a_card_has_no_markup_of_its_names():
    card = rnn_zoo.preset("parens/gru-10k")
    metrics = {"<img src=x onerror=alert(1)>": 1.0, "a|b": 2.0, "![x](//example.org)": 3.0}
    scores = card.scores | {"metrics": metrics}
    text = str(dataclasses.replace(card, name="parens/<b>", scores=scores))
    assert "<" not in text
    assert "| &lt;img src=x onerror=alert(1)> | 1 |" in text and r"| a\|b | 2 |" in text
    assert "| !&#91;x](//example.org) | 3 |" in text


def test_the_hash_of_a_card_is_one(preset_root):
    make(preset_root, "capacity/gru-300", SMALL)
    alter(preset_root, {"weights": "`[x](//example.org)"})
    with pytest.raises(ValueError, match="weights must be a SHA-256 in hexadecimal or null"):
        rnn_zoo.preset("capacity/gru-300")


def test_the_number_of_weights_is_the_card_s(preset_root):
    make(preset_root, "capacity/gru-300", SMALL)
    alter(preset_root, {"num_params": 2**62})
    with pytest.raises(ValueError, match="not the float32 arrays of its card's shapes"):
        presets.read_weights("capacity/gru-300")


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "bool"])
def test_weights_of_another_type_are_refused(preset_root, dtype):
    weights = named(make(preset_root, "capacity/gru-300", SMALL))
    alter(preset_root, {}, save({name: array.astype(dtype) for name, array in weights.items()}))
    with pytest.raises(ValueError, match="not the float32 arrays of its card's shapes"):
        presets.read_weights("capacity/gru-300")


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 8 + b"{}"])
def test_weights_that_are_no_safetensors_are_refused(preset_root, content):
    make(preset_root, "capacity/gru-300", SMALL)
    alter(preset_root, {}, content)
    with pytest.raises(
        ValueError, match=r"are not a safetensors file \(.*\); install rnn-zoo again"
    ):
        rnn_zoo.load("capacity/gru-300")


@pytest.mark.parametrize("file", ["index.json", "capacity/gru-300.json"])
def test_a_pipe_in_place_of_a_file_is_refused(preset_root, file):
    make(preset_root, "capacity/gru-300", SMALL)
    (preset_root / file).unlink()
    os.mkfifo(preset_root / file)
    with pytest.raises(ValueError, match="cannot be read"):
        rnn_zoo.load("capacity/gru-300")


def test_a_text_of_a_card_stays_in_its_cell(preset_root):
    make(preset_root, "capacity/gru-300", SMALL)
    alter(preset_root, {"paper": "a | b <script>"})
    assert r"| the paper | a \| b &lt;script> |" in str(rnn_zoo.preset("capacity/gru-300"))


def test_a_card_says_how_the_model_came_about(preset_root):
    make(preset_root, "capacity/gru-300", SMALL)
    text = str(rnn_zoo.preset("capacity/gru-300"))
    card = rnn_zoo.preset("capacity/gru-300")
    for part in (
        "### capacity/gru-300",
        "| architecture | gated recurrent unit, depth 1, 2 units |",
        "| eval loss | 2.5 (chance 0.6931) |",
        "| accuracy | 0.25 |",
        "| search | the best of 4 trials (random), 1 of them infeasible |",
        f"| weights | SHA-256 `{card.weights}` |",
    ):
        assert part in text
    assert "stopped early" not in text
    longer = card.config | {"train_steps": card.training["steps"] + 1000}
    text = str(dataclasses.replace(card, config=longer))
    steps = card.training["steps"]
    assert f"| training | {steps:,} steps of {steps + 1000:,}, stopped early, " in text


def test_a_preset_that_is_not_there_is_refused_with_those_that_are(preset_root):
    make(preset_root, "capacity/gru-300", SMALL)
    with pytest.raises(
        ValueError, match=r"no preset 'capacity/gru-30'; the nearest: capacity/gru-300"
    ):
        rnn_zoo.load("capacity/gru-30")


def test_hyperparameters_without_weights_are_not_loaded_as_a_model(preset_root):
    make(preset_root, "capacity/gru-300", SMALL, weights=False)
    assert rnn_zoo.preset("capacity/gru-300").weights is None
    with pytest.raises(ValueError, match="and no weights; train a model with them"):
        rnn_zoo.load("capacity/gru-300")


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_a_file_that_was_tampered_with_is_refused(suffix, preset_root):
    make(preset_root, "capacity/gru-300", SMALL)
    path = preset_root / f"capacity/gru-300.{suffix}"
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path.name} has the SHA-256 \w+, and not \w+"):
        rnn_zoo.load("capacity/gru-300")


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_a_file_that_is_missing_is_one_line(suffix, preset_root):
    make(preset_root, "capacity/gru-300", SMALL)
    (preset_root / f"capacity/gru-300.{suffix}").unlink()
    with pytest.raises(ValueError, match=f"gru-300.{suffix} cannot be read: No such file"):
        rnn_zoo.load("capacity/gru-300")


def test_a_card_that_was_changed_by_hand_changes_nothing(preset_root):
    make(preset_root, "capacity/gru-300", SMALL)
    rnn_zoo.preset("capacity/gru-300").config.clear()
    assert TrainConfig(**rnn_zoo.preset("capacity/gru-300").config) == SMALL


def test_presets_of_a_directory_are_used_by_its_path(preset_root, tmp_path, monkeypatch):
    make(preset_root, "capacity/gru-300", SMALL)
    weights = make(tmp_path / "own", "memory/+rnn-depth3-3k", DEEP)
    make(tmp_path / "own", "capacity/gru-300", SMALL, weights=False)
    monkeypatch.chdir(tmp_path)
    names = ["own/capacity/gru-300", "own/memory/+rnn-depth3-3k"]
    assert rnn_zoo.list_presets(directory="own/") == names
    assert rnn_zoo.list_presets(trained=True, directory=tmp_path / "own") == [
        f"{tmp_path}/{names[1]}"
    ]
    assert rnn_zoo.list_presets() == ["capacity/gru-300"]
    for name in (names[1], f"./{names[1]}", tmp_path / names[1]):
        model = rnn_zoo.load(name)
        keras.tree.map_structure(np.testing.assert_array_equal, get_weights(model), weights)
    monkeypatch.chdir("own")
    assert rnn_zoo.list_presets("memory", directory=".") == ["./memory/+rnn-depth3-3k"]
    assert rnn_zoo.preset("./memory/+rnn-depth3-3k") == model.preset


def test_mistakes_with_a_directory_are_one_line(tmp_path, monkeypatch):
    make(tmp_path / "own", "capacity/gru-300", SMALL)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^own/a holds no presets \(no index.json\)$"):
        rnn_zoo.load("own/a/capacity/gru-300")
    (tmp_path / "runs/gru").mkdir(parents=True)
    (tmp_path / "runs/gru/4bit_row.safetensors").touch()
    for place in ("runs/gru", tmp_path / "runs/gru/4bit_row.safetensors"):
        with pytest.raises(
            ValueError, match=rf"^{place} holds no presets .*; trainer\.export\.load"
        ):
            rnn_zoo.load(place)
    (tmp_path / "parens/gru-10k").mkdir(parents=True)
    assert rnn_zoo.preset("parens/gru-10k").arch == "gru"
    wanted = (
        r"the nearest: capacity/gru-300 \(rnn_zoo.list_presets\(directory='own'\) lists them all"
    )
    with pytest.raises(ValueError, match=wanted):
        rnn_zoo.load("own/capacity/gru-30")
    card = tmp_path / "own/capacity/gru-300.json"
    card.write_text(card.read_text().replace("gru", "lstm"))
    with pytest.raises(ValueError, match=r"has the SHA-256 .* restore it in own$"):
        rnn_zoo.preset("own/capacity/gru-300")


def test_names_say_the_task_the_architecture_and_the_budget():
    def named(config, **values):
        return name_of(Trial(dataclasses.replace(config, **values)).record())

    assert named(SMALL) == "capacity/gru-300"
    assert named(SMALL, num_params=30000) == "capacity/gru-30k"
    assert named(SMALL, num_params=3000, depth=4) == "capacity/gru-depth4-3k"
    assert named(DEEP) == "memory/+rnn-depth3-3k"
    assert named(DEEP, depth=2) == "memory/+rnn-3k"


# Those of the package.


SIZES = {"memory": "40k", "capacity": "3k", "rcf": "10k"}
GATED, SIX = ("ugrnn", "gru", "lstm"), ("rnn", "irnn", "ugrnn", "gru", "lstm", "+rnn")


@pytest.mark.parametrize("arch", SIX)
@pytest.mark.parametrize("task", PAPER_TASKS)
def test_there_are_hyperparameters_of_every_task_and_architecture(task, arch):
    assert f"{task}/{arch}-{SIZES.get(task, '30k')}" in SHIPPED


def test_there_are_weights():
    large = {f"{task}/{arch}-30k" for task in ("parens", "arithmetic", "text8") for arch in SIX}
    small = {f"parens/{arch}-10k" for arch in GATED} | {f"text8/{arch}-10k" for arch in SIX}
    deep = {f"parens/{arch}-depth4-{size}" for arch in ("gru", "+rnn") for size in ("10k", "30k")}
    assert large | small | deep == set(TRAINED)


def test_most_sums_of_the_gru_are_right():
    card = rnn_zoo.preset("arithmetic/gru-30k")
    assert card.config["task_options"]["largest"] == 999
    assert card.scores["metrics"]["answer_accuracy"] > 0.5


def test_the_package_stays_small_and_has_no_file_that_nobody_names():
    directory = pathlib.Path(presets.__file__).parent
    files = {str(p.relative_to(directory)) for p in directory.rglob("*.*") if p.parent != directory}
    assert sum(os.path.getsize(directory / file) for file in files) < 8e6
    named = {f"{name}.json" for name in SHIPPED} | {f"{name}.safetensors" for name in TRAINED}
    assert {file for file in files if "__pycache__" not in file} == named


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_is_of_what_its_name_says_and_of_no_machine(name):
    card = rnn_zoo.preset(name)
    config = TrainConfig(**card.config)
    assert (config.task, config.arch, config.depth) == (card.task, card.arch, card.depth)
    assert name.startswith(f"{card.task}/{card.arch}")
    assert card.options == json.loads(json.dumps(config.cell_options()))
    expected = rnn_zoo.count_params(
        card.arch, card.depth, card.units, card.input_dim, card.output_dim
    )
    assert card.num_params == expected <= card.max_params == config.num_params
    assert "path" not in config.task_options


@tensorflow_only
@pytest.mark.parametrize("name", slow_except(["parens/gru-10k"], TRAINED))
def test_the_score_of_a_card_is_what_its_model_has(name):
    model = rnn_zoo.load(name)
    config, scores = TrainConfig(**model.preset.config), model.preset.scores
    if config.task == "text8":
        path = os.environ.get("RNN_ZOO_TEXT8")
        if path is None:
            pytest.skip("the text is not at hand; RNN_ZOO_TEXT8 may name the file")
        config = dataclasses.replace(config, task_options=config.task_options | {"path": path})
    measured = evaluate(model, config)
    assert measured["loss"] == pytest.approx(scores["eval"], rel=1e-3)
    assert measured["loss"] < scores["chance"]
    for metric, value in measured.items():
        assert value == pytest.approx(scores["metrics"][metric], rel=1e-2, abs=1e-3)
