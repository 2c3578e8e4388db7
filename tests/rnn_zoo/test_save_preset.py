"""Models are saved as presets and loaded as they were; what a preset cannot hold is refused."""

import functools
import json
import os
import pathlib

import keras
import numpy as np
import pytest
from made_presets import SMALL, make
from on_backend import to_numpy

import rnn_zoo
from rnn_zoo import presets
from rnn_zoo.model import get_weights, set_weights
from rnn_zoo.presets import reading, writing

X = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("float32")


def randomize(model):
    rng = np.random.default_rng(1)
    drawn = keras.tree.map_structure(
        lambda w: rng.normal(scale=0.5, size=w.shape).astype(w.dtype), get_weights(model)
    )
    set_weights(model, drawn)
    return model


@pytest.mark.parametrize(
    "arch, depth, options",
    [
        ("ugrnn", 2, {"gate_bias": {"g": 0.5}}),
        ("gru", 1, {"activation": "relu", "use_bias": False}),
        ("+rnn", 3, {"layer_norm": True, "kernel_initializer": "zeros"}),
        ("lstm", 1, {"learned_initial_state": False, "dropout": 0.5}),
        ("slstm", 2, {}),
    ],
)
def test_a_model_that_is_saved_is_loaded(tmp_path, arch, depth, options):
    model = randomize(rnn_zoo.build_model(arch, depth, 4, 3, 2, seed=7, **options))
    name = rnn_zoo.save_preset(model, tmp_path / "mine")
    deep = f"-depth{depth}" if depth not in (1, rnn_zoo.ARCHITECTURES[arch].min_depth) else ""
    assert name == f"{tmp_path}/mine/own/{arch}{deep}-{model.count_params()}"
    for place in (name, tmp_path / "mine"):
        again = rnn_zoo.load(place)
        np.testing.assert_array_equal(to_numpy(again(X)), to_numpy(model(X)))
        for one, other in zip(model.layers[1:-1], again.layers[1:-1], strict=True):
            apart = {"seed": None, "name": None}
            assert one.cell.get_config() | apart == other.cell.get_config() | apart
    card = again.preset
    assert (card.task, card.arch, card.depth, card.units) == ("own", arch, depth, 4)
    assert (card.num_params, card.config, card.scores) == (model.count_params(), None, None)
    assert "SHA-256" in str(card) and "eval loss" not in str(card)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"arch": "lstm"}, "config has arch 'lstm', and the model 'gru'"),
        ({"depth": 2}, "config has depth 2, and the model 1"),
        ({"gate_bias": 4.0}, r"gate_bias {'u': 1.0}, and the model of config has {'u': 4.0} there"),
        ({"activation": "relu"}, "activation 'tanh', and the model of config has 'relu' there"),
        ({"arch_options": {"layer_norm": True}}, "layer_norm False, .* has True there"),
    ],
)
def test_a_configuration_of_another_model_is_refused(tmp_path, change, message):
    """The trainer would go on with other equations."""
    model = rnn_zoo.build_model("gru", 1, 4, 3, 2)
    config = {"task": "own", "arch": "gru", "depth": 1, "task_options": {}, "gate_bias": 1.0}
    config |= {"activation": None, "arch_options": {}, "matrix_init": "xavier", "input_scale": 0.5}
    rnn_zoo.save_preset(model, tmp_path / "right", config=config)
    with pytest.raises(ValueError, match=message):
        rnn_zoo.save_preset(model, tmp_path / "wrong", config=config | change)
    assert not (tmp_path / "wrong").exists()


def test_a_directory_of_several_presets_needs_a_name(tmp_path):
    model = rnn_zoo.build_model("rnn", 1, 3, 2, 1)
    names = [rnn_zoo.save_preset(model, tmp_path, name) for name in ("b/one", "a/two")]
    assert rnn_zoo.list_presets(directory=tmp_path) == names[::-1]
    assert rnn_zoo.list_presets("b", directory=tmp_path) == names[:1]
    with pytest.raises(ValueError, match="holds 2 presets; add the name of one, such as a/two"):
        rnn_zoo.load(tmp_path)


def test_facts_are_kept_until_the_weights_change(preset_root, tmp_path):
    make(preset_root, "capacity/gru-300", SMALL)
    model = rnn_zoo.load("capacity/gru-300")
    rnn_zoo.save_preset(model, tmp_path / "same")
    assert rnn_zoo.preset(tmp_path / "same") == model.preset
    randomize(model)
    rnn_zoo.save_preset(model, tmp_path / "other", paper="none")
    card = rnn_zoo.preset(tmp_path / "other")
    assert (card.name, card.paper) == ("capacity/gru-300", "none")
    assert (card.config, card.scores, card.training, card.search) == (None,) * 4


def test_facts_are_checked(tmp_path):
    model = rnn_zoo.build_model("rnn", 1, 3, 2, 1)
    config = {"task": "adding", "task_options": {}}
    assert rnn_zoo.save_preset(model, tmp_path, config=config).endswith("/adding/rnn-25")
    for facts, message in (
        ({"units": 3}, "no fact 'units'; choose from config, scores"),
        ({"scores": {"eval": 1.0}}, "it has no chance, metrics, train, valid"),
        ({"config": 7}, "config must be a dict or null, got 7"),
        ({"search": 7}, "search must be a dict or null, got 7"),
    ):
        with pytest.raises(ValueError, match=message):
            rnn_zoo.save_preset(model, tmp_path / "refused", **facts)
    assert not (tmp_path / "refused").exists()


@pytest.mark.parametrize("name", ["gru", "a/b/c", "../gru", "a/", "a/.."])
def test_a_name_has_a_task_and_stays_in_the_directory(tmp_path, name):
    with pytest.raises(ValueError, match="must be <task>/<name>, got"):
        rnn_zoo.save_preset(rnn_zoo.build_model("rnn", 1, 3, 2, 1), tmp_path / "in", name)
    (tmp_path / "in").mkdir(exist_ok=True)
    (tmp_path / "in/index.json").write_text(f'{{"{name}": "{"0" * 64}"}}')
    with pytest.raises(ValueError, match="must be <task>/<name>, got"):
        rnn_zoo.list_presets(directory=tmp_path / "in")


@pytest.mark.parametrize("name", ["x\ny", "\x1b[31m", "a\u202eb", "x\udcff", ".next.y"])
def test_a_name_that_no_reader_takes_is_not_written(tmp_path, name):
    model = rnn_zoo.build_model("rnn", 1, 3, 2, 1)
    kept = rnn_zoo.save_preset(model, tmp_path, "mine/kept")
    with pytest.raises(ValueError, match="must be <task>/<name>, got"):
        rnn_zoo.save_preset(model, tmp_path, f"mine/{name}")
    assert rnn_zoo.list_presets(directory=tmp_path) == [kept]


@pytest.mark.parametrize("card", ["[]", "{}", "1", "[" * 100_000, '{"weights": 7}'])
def test_odd_leftovers_do_not_keep_a_preset_from_being_written(tmp_path, card):
    """And what a link leads to is not touched, nor is a directory."""
    model, root = rnn_zoo.build_model("rnn", 1, 3, 2, 1), tmp_path / "root"
    rnn_zoo.save_preset(model, root, "mine/old")
    (root / "mine/old.json").write_text(card)
    index = {"mine/old": reading.sha256_of(card.encode())}
    (root / "index.json").write_text(json.dumps(index))
    (root / "mine/.next.old.safetensors").write_bytes(b"weights")
    (root / "mine/.next.directory.json").mkdir()
    (root / "mine/.next.link.json").symlink_to("/dev/zero")
    os.mkfifo(root / "mine/.next.pipe.json")
    os.truncate(os.open(root / "mine/.next.old.json", os.O_CREAT | os.O_WRONLY), 2**40)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/.next.theirs").touch()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    rnn_zoo.save_preset(model, root, "mine/new")
    assert rnn_zoo.load(f"{root}/mine/new").preset.units == 3
    left = sorted(path.name for path in (root / "mine").glob(".*"))
    assert left == [".next.directory.json"]
    assert os.listdir(tmp_path / "elsewhere") == [".next.theirs"]


def test_a_preset_is_read_while_another_process_writes_it(tmp_path, monkeypatch):
    """The reader has the old index, and finds the new files."""
    old, new = (rnn_zoo.build_model("gru", 1, units, 3, 2) for units in (3, 4))
    name, read = rnn_zoo.save_preset(old, tmp_path, "mine/model"), reading.read_card

    def read_later(*arguments):
        monkeypatch.setattr(reading, "read_card", read)
        rnn_zoo.save_preset(new, tmp_path, "mine/model")
        return read(*arguments)

    for function in (rnn_zoo.load, rnn_zoo.preset, presets.read_weights):
        rnn_zoo.save_preset(old, tmp_path, "mine/model")
        monkeypatch.setattr(reading, "read_card", read_later)
        function(name)
    assert rnn_zoo.load(name).preset.units == 4


def test_the_task_of_a_card_is_that_of_its_configuration(tmp_path):
    model = rnn_zoo.build_model("gru", 1, 4, 3, 2)
    config = {"task": "adding", "arch": "gru", "depth": 1, "task_options": {}}
    assert (
        rnn_zoo.preset(rnn_zoo.save_preset(model, tmp_path, "a/b", config=config)).task == "adding"
    )
    assert rnn_zoo.preset(rnn_zoo.save_preset(model, tmp_path, "a/c")).task == "a"


def test_what_a_preset_cannot_hold_is_refused(tmp_path):
    last = rnn_zoo.build_model("rnn", 1, 3, 2, 1, output_steps=slice(-1, None))
    inputs = keras.Input((None, 2))
    x = inputs
    for activation in ("tanh", "relu"):
        x = rnn_zoo.layers.RNN(3, activation=activation, return_sequences=True)(x)
    unlike = rnn_zoo.RecurrentModel(inputs, keras.layers.Dense(1, name="readout")(x))
    other = keras.Sequential([keras.Input((None, 2)), keras.layers.Dense(1)])
    for model, message in (
        (last, "reads out only some time steps"),
        (unlike, "has activation 'relu', and the model of a preset has 'tanh' there"),
        (other, "expected a model of rnn_zoo.build_model or rnn_zoo.load, got a "),
        (rnn_zoo.build_model("rnn", 1, 3, 2, 1, truncate=3), "has truncate 3, which a preset"),
        (rnn_zoo.build_model("rnn", 1, 3, 2, 1, zero_output_for_mask=True), "has zero_output_for"),
        (rnn_zoo.build_model("rnn", 1, 3, 2, 1, dtype="float64"), "has the dtype policy float64"),
    ):
        with pytest.raises(ValueError, match=message):
            rnn_zoo.save_preset(model, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_nothing_is_written_through_a_link(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/own").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="mine/own is a symbolic link"):
        rnn_zoo.save_preset(rnn_zoo.build_model("rnn", 1, 3, 2, 1), tmp_path / "mine")


def test_a_card_of_another_preset_is_refused(tmp_path):
    model = rnn_zoo.build_model("rnn", 1, 3, 2, 1)
    rnn_zoo.save_preset(model, tmp_path, "a/one")
    content = (tmp_path / "a/one.json").read_bytes()
    (tmp_path / "a/two.json").write_bytes(content)
    (tmp_path / "index.json").write_text(f'{{"a/two": "{reading.sha256_of(content)}"}}')
    with pytest.raises(ValueError, match="the card of the preset a/two is that of a/one"):
        rnn_zoo.preset(tmp_path)


def test_a_preset_that_the_index_names_twice_is_refused(tmp_path):
    rnn_zoo.save_preset(rnn_zoo.build_model("rnn", 1, 3, 2, 1), tmp_path, "a/one")
    index = (tmp_path / "index.json").read_text().strip()
    (tmp_path / "index.json").write_text(f'{{"a/one": "00", {index[1:]}')
    with pytest.raises(ValueError, match=r"index\.json cannot be read \(it has 'a/one' twice"):
        rnn_zoo.list_presets(directory=tmp_path)


def test_the_directory_of_a_name_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rnn_zoo.save_preset(rnn_zoo.build_model("rnn", 1, 3, 2, 1), "mine")
    for name in ("mine", "mine/own/rnn-25"):
        assert presets.home(name).resolve() == tmp_path / "mine"
        assert presets.absolute(name) == str(tmp_path / name)
    for name in ("parens/gru-10k", "hf://me/cells", "hf://me/cells/own/rnn-25", "/"):
        assert presets.home(name) is None and presets.absolute(name) == name


@pytest.mark.parametrize("index", [None, {}, {"own/gru-39": "0" * 64}])
@pytest.mark.parametrize("file", ["own/rnn-25.json", "own/rnn-25.safetensors"])
def test_presets_that_the_index_has_lost_are_not_replaced(tmp_path, index, file):
    model = rnn_zoo.build_model("rnn", 1, 3, 2, 1)
    rnn_zoo.save_preset(model, tmp_path)
    for path in (tmp_path / "index.json", *(tmp_path / "own").iterdir()):
        if path != tmp_path / file:
            path.unlink()
    if index is not None:
        (tmp_path / "index.json").write_text(json.dumps(index))
    before = (tmp_path / file).read_bytes()
    message = rf"{file} is a preset's, and .*index\.json does not name it; restore the index"
    with pytest.raises(ValueError, match=message):
        rnn_zoo.save_preset(model, tmp_path)
    if file.endswith(".json"):  # whatever the name of the new one
        with pytest.raises(ValueError, match=message):
            rnn_zoo.save_preset(model, tmp_path, "own/other")
        with pytest.raises(ValueError, match=message):
            writing.prepare(tmp_path)
    assert (tmp_path / file).read_bytes() == before
    assert [path.name for path in (tmp_path / "own").iterdir()] == [pathlib.Path(file).name]


def test_a_directory_does_not_hide_a_preset_of_the_package(tmp_path, monkeypatch):
    rnn_zoo.save_preset(rnn_zoo.build_model("rnn", 1, 3, 2, 1), tmp_path / "parens/gru-10k")
    monkeypatch.chdir(tmp_path)
    assert rnn_zoo.preset("parens/gru-10k").arch == "gru"
    assert rnn_zoo.preset("./parens/gru-10k").arch == "rnn"


class Killed(BaseException):
    pass


def test_a_kill_leaves_the_old_preset_or_the_new_one(tmp_path, monkeypatch):
    """Before each operation that changes a file or makes it last."""
    old, new, other = (randomize(rnn_zoo.build_model("gru", 1, n, 3, 2)) for n in (3, 4, 5))
    operations = {name: getattr(os, name) for name in ("replace", "unlink", "fsync")}
    found, left, at = [], 0, 0

    def change(*arguments, kind, **options):
        nonlocal left
        # The lock of a process that is killed is free.
        if not str(arguments[0]).endswith(".lock"):
            left -= 1
            if left < 0:
                raise Killed
        return operations[kind](*arguments, **options)

    while "end" not in found:
        directory = tmp_path / str(at)
        rnn_zoo.save_preset(other, directory, "mine/other")
        rnn_zoo.save_preset(old, directory, "mine/model")
        left, at = at, at + 1
        with monkeypatch.context() as patch:
            for name in operations:
                patch.setattr(os, name, functools.partial(change, kind=name))
            try:
                rnn_zoo.save_preset(new, directory, "mine/model")
                found.append("end")
            except Killed:
                found.append(rnn_zoo.load(f"{directory}/mine/model").preset.units)
        assert rnn_zoo.load(f"{directory}/mine/other").preset.units == 5
        # The next one ends what was begun, and leaves nothing else.
        rnn_zoo.save_preset(other, directory, "mine/third")
        stems = [path.stem for path in sorted((directory / "mine").iterdir())]
        assert stems == [stem for stem in ("model", "other", "third") for _ in range(2)]
        if found[-1] != "end":
            assert rnn_zoo.load(f"{directory}/mine/model").preset.units == found[-1]
    assert found[0] == 3 and found[-2] == 4 and found[:-1] == sorted(found[:-1])
    assert len(found) > 8
