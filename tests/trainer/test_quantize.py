"""Quantised runs: measured losses, files, and reloaded models."""

import csv
import json
import math
import shutil
import sys

import keras
import numpy as np
import pytest
from on_backend import tensorflow_only, to_numpy
from random_runs import write_run
from safetensors import safe_open
from safetensors.numpy import save_file
from slow import slow_except

import rnn_zoo
from rnn_zoo.model import get_weights, set_weights
from rnn_zoo.quantization import quantize
from trainer import TrainConfig, UserError
from trainer.export import load_model
from trainer.quantize import __main__ as command
from trainer.quantize import packed
from trainer.quantize.plot import plot
from trainer.storage import checkpoints
from trainer.storage.records import RunDirectory
from trainer.trial import Trial

pytestmark = tensorflow_only

#: Task -> rest of its configuration; one task has a fixed data set, one draws samples.
RUNS = {
    "capacity": {
        "arch": "+rnn",
        "gate_bias": {"gy": 2.0, "gh": 0.5},
        "activation": "relu",
        "task_options": {"num_inputs": 6, "num_samples": 40, "num_steps": 2},
    },
    "memory": {"arch": "rnn", "eval_samples": 60, "task_options": {"delay": 2}},
}


@pytest.fixture(scope="module", params=slow_except(["capacity"], RUNS))
def finished(request, tmp_path_factory):
    """The directory of a run with random weights, after the command."""
    directory = tmp_path_factory.mktemp("runs") / request.param
    config = TrainConfig(request.param, num_params=1500, **RUNS[request.param])
    write_run(directory, config, step=config.train_steps)
    trial, run = Trial(config, directory.name), RunDirectory(directory)
    program = trial.program()
    weights = checkpoints.latest_weights(run, trial.draw_weights())
    record = run.read_record()
    record.status = "ok"
    trial.complete(
        record,
        lambda split, size, whole, multiple: program.evaluate(
            weights, trial.hparams(program), trial.task.device_data, split, size, whole
        ),
    )
    run.write_record(record)
    assert call(f"--run_dir={directory}", "--bits=8,3,8", f"--out={directory / 'out'}") == 0
    return directory


def test_packed_models_are_not_written_through_a_link(tmp_path, capsys):
    (tmp_path / "quantized").symlink_to(tmp_path)
    assert call(f"--run_dir={tmp_path}") == 2
    assert f"{tmp_path}/quantized is a symbolic link" in capsys.readouterr().err


def call(*arguments):
    """Run the main in this process; return its exit code."""
    command.FLAGS.unparse_flags()
    before, sys.argv = sys.argv, ["quantize", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as ended:
            command.run()
    finally:
        sys.argv = before
    return ended.value.code


def table(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def test_the_first_line_is_the_record_s_and_the_others_are_of_rounded_weights(finished):
    """Compute the loss from the Keras model with rounded weights and the task's loss."""
    record = RunDirectory(finished).read_record()
    config = TrainConfig(**record.config)
    rows = table(finished / "out/losses.csv")
    assert [(row["bits"], row["granularity"]) for row in rows] == [
        ("32", ""),
        ("8", "tensor"),
        ("3", "tensor"),
        ("8", "row"),
        ("3", "row"),
    ]
    assert {k: float(v) for k, v in rows[0].items() if k in record.metrics["eval"]} == {
        k: v for k, v in record.metrics["eval"].items() if isinstance(v, float)
    }
    task = config.make_task()
    if config.task == "capacity":
        batch = task.sweep(task.device_data, "train", 0, 0, 40).dense()
    else:
        batch = task.sample("eval", 0, 60)
    model, _ = load_model(finished)
    weights = get_weights(model)
    for row in rows[1:]:
        set_weights(model, quantize(weights, int(row["bits"]), row["granularity"]))
        metrics = to_numpy(task.metrics(model(batch.inputs), batch))
        assert float(row["loss"]) == pytest.approx(float(metrics["loss"]), rel=1e-5)
        if config.task == "capacity":
            assert float(row["accuracy"]) == pytest.approx(float(metrics["accuracy"]), rel=1e-6)
    losses = [float(row["loss"]) for row in rows]
    assert len(set(losses)) == 5
    assert abs(losses[1] - losses[0]) < abs(losses[2] - losses[0])


def test_packed_models_are_small_and_come_back_as_they_were_measured(finished):
    record = RunDirectory(finished).read_record()
    config = TrainConfig(**record.config)
    model, _ = load_model(finished)
    weights = get_weights(model)
    flat = keras.tree.flatten(weights)
    matrices = sum(array.size for array in flat if array.ndim == 2)
    vectors = sum(array.size for array in flat if array.ndim == 1)
    assert matrices + vectors == record.num_params
    for row in table(finished / "out/losses.csv")[1:]:
        bits, granularity = int(row["bits"]), row["granularity"]
        path = finished / f"out/{bits}bit_{granularity}.safetensors"
        scales = sum(a.shape[1] if granularity == "row" else 1 for a in flat if a.ndim == 2)
        least = math.ceil(matrices * bits / 8) + 4 * vectors + 4 * scales
        assert least < path.stat().st_size < least + 700
        assert int(row["bytes"]) == path.stat().st_size
        assert float(row["storage_bits"]) == 8 * path.stat().st_size / record.num_params

        rounded, facts = packed.read(path)
        expected = quantize(weights, bits, granularity)
        keras.tree.map_structure(np.testing.assert_array_equal, rounded, expected)
        assert facts["eval_loss"] == float(row["loss"])
        assert (facts["bits"], facts["granularity"], facts["task"]) == (
            bits,
            granularity,
            config.task,
        )
        x = np.random.default_rng(0).normal(size=(2, 5, record.input_dim)).astype("float32")
        set_weights(model, expected)
        np.testing.assert_array_equal(packed.load_model(path)(x), model(x))


def test_a_damaged_packed_model_is_refused(finished, tmp_path):
    whole = (finished / "out/3bit_row.safetensors").read_bytes()
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(whole)
    packed.read(path)
    places = [*range(0, len(whole), 97), len(whole) - 1]
    for content in (b"", whole[:-1], whole + b"x", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(
            UserError, match=r"damaged\.safetensors is not a quantised model, or is"
        ):
            packed.read(path)
    for place in places:
        content = bytearray(whole)
        content[place] ^= 1
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged"):
            packed.read(path)
    with pytest.raises(UserError, match="nowhere"):
        packed.read(tmp_path / "nowhere")


def test_a_packed_model_of_a_type_that_numpy_lacks_is_refused(finished, tmp_path):
    whole = (finished / "out/3bit_row.safetensors").read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    header["codes"]["dtype"] = "F8_E4M3"
    text = json.dumps(header).encode()
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + whole[8 + size :])
    with pytest.raises(UserError, match="is not a quantised model, or is damaged"):
        packed.read(path)


HUGE = {"arch": "rnn", "depth": 10**9, "units": 1, "input_dim": 1, "output_dim": 1}


def altered(finished, path, change):
    """Write a packed model with a valid checksum and other facts."""
    with safe_open(finished / "out/3bit_row.safetensors", framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        facts = json.loads(file.metadata()["facts"])
    text = json.dumps(facts | change)
    save_file(arrays, path, {"facts": text, "sha256": checkpoints.digest_of(arrays, text)})


@pytest.mark.parametrize(
    "change, message",
    [
        ({"bits": "3"}, "bits must be an int, got '3'"),
        ({"granularity": "col"}, "granularity must be one of tensor, row, got 'col'"),
        ({"model": None}, "model must be a dict, got None"),
        ({"options": {"gate_bias": 1.0, "colour": 1}}, "describes another model than it holds"),
        ({"bits": 4}, "describes another model than it holds"),
        ({"model": HUGE}, "describes another model than it holds: the model has [0-9],000,000,0"),
    ],
)
def test_an_odd_packed_model_is_one_line(change, message, finished, tmp_path):
    path = tmp_path / "odd.safetensors"
    altered(finished, path, change)
    with pytest.raises(UserError, match=rf"odd\.safetensors:? {message}") as error:
        packed.read(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("options", [{"name": "layer"}, {"dtype": {"class_name": 5}}], ids=str)
def test_a_packed_model_with_options_that_no_layer_takes_is_one_line(options, finished, tmp_path):
    path = tmp_path / "odd.safetensors"
    altered(finished, path, {"options": options})
    with pytest.raises(UserError, match=r"no model has the options of .*odd\.safetensors"):
        packed.load_model(path)


@pytest.mark.parametrize(
    "name, alter",
    [
        ("vectors", lambda found: found[:-1]),
        ("vectors", lambda found: found[:, None]),
        ("vectors", lambda found: found.astype("float64")),
        ("scales", lambda found: found[0]),
        ("scales", lambda found: np.append(found, found)),
        ("scales", lambda found: np.full_like(found, np.inf)),
    ],
)
def test_a_packed_model_with_other_arrays_is_one_line(name, alter, finished, tmp_path):
    source, path = finished / "out/3bit_row.safetensors", tmp_path / "odd.safetensors"
    with safe_open(source, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = file.metadata()["facts"]
    arrays[name] = np.asarray(alter(arrays[name]))
    save_file(arrays, path, {"facts": text, "sha256": checkpoints.digest_of(arrays, text)})
    with pytest.raises(UserError, match=rf"holds: (its {name} are not|the model has) [0-9]"):
        packed.read(path)


def test_packed_models_of_an_earlier_call_are_named(finished, tmp_path, capsys):
    record = RunDirectory(finished).read_record()
    row = {"bits": 32, "granularity": "", "loss": 1.0, "bytes": 9, "storage_bits": 1.0}
    for name in ("4bit_row", "2bit_tensor", "5bit_row"):
        (tmp_path / f"{name}.safetensors").touch()
    rows = [row, row | {"bits": 4, "granularity": "row"}]
    command.show(rows, record, tmp_path)
    *_, last = capsys.readouterr().out.splitlines()
    names = "2bit_tensor.safetensors, 5bit_row.safetensors"
    assert last == f"packed by an earlier call, and not in losses.csv: {names}"
    command.show(
        [*rows, *(row | {"bits": b, "granularity": g} for b, g in [(2, "tensor"), (5, "row")])],
        record,
        tmp_path,
    )
    assert "earlier call" not in capsys.readouterr().out


def test_the_picture(finished):
    from matplotlib.image import imread

    picture = imread(finished / "out/losses.png")
    # Capacity has a second panel for the bits stored.
    assert picture.shape[1] == (1200 if finished.name == "capacity" else 600)
    assert picture.std() > 0.01


def test_a_loss_that_is_not_finite_is_a_gap(finished, tmp_path):
    record = RunDirectory(finished).read_record()
    row = {"bits": 32, "granularity": "", "loss": 1.0, "bytes": 9, "storage_bits": 1.0}
    rows = [row, row | {"bits": 4, "granularity": "row", "loss": 500.0}]
    rows.append(row | {"bits": 2, "granularity": "row", "loss": None})
    command.write_table(tmp_path / "losses.csv", rows)
    assert [r["loss"] for r in table(tmp_path / "losses.csv")] == ["1.0", "500.0", ""]
    plot(tmp_path / "losses.png", record, rows)
    assert (tmp_path / "losses.png").stat().st_size > 1000
    weights = get_weights(load_model(finished)[0])
    packed.write(tmp_path / "2bit_row.safetensors", record, weights, 2, "row", None)
    assert packed.read(tmp_path / "2bit_row.safetensors")[1]["eval_loss"] is None


# Errors.


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the run, without the command's files."""
    shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("out"))
    return tmp_path / "run"


def other_weights(run):
    (path,) = (run / "checkpoints").iterdir()
    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    arrays["weights/readout/kernel"] = arrays["weights/readout/kernel"] + 1
    save_file(arrays, path, {"sha256": checkpoints.digest_of(arrays)})


def no_weights(run):
    shutil.rmtree(run / "checkpoints")


def changed(**fields):
    def change(run):
        record = json.loads((run / "record.json").read_text())
        (run / "record.json").write_text(json.dumps(record | fields | {"crc32": None}))

    return change


REFUSED = {
    "interrupted": (
        changed(metrics={}, eval_loss=None, objective=None, status="interrupted"),
        ["interrupted", "--resume"],
    ),
    "not measured yet": (changed(metrics={}, eval_loss=None, objective=None), ["ok", "--resume"]),
    "infeasible": (
        changed(metrics={}, eval_loss=None, objective=None, status="infeasible", infeasible_at=1),
        ["infeasible", "another"],
    ),
    "other data": (changed(data={"num_samples": 7}), ["data.num_samples 7, not"]),
    "other loss": (changed(eval_loss=0.123), ["0.123", "record.json"]),
    "other weights": (other_weights, ["eval loss", "checkpoints"]),
    "no weights": (no_weights, ["no readable checkpoint"]),
}


@pytest.mark.parametrize("finished", ["capacity"], indirect=True)
@pytest.mark.parametrize("what", REFUSED)
def test_a_run_that_cannot_be_measured_again_is_refused(copy, capsys, what):
    spoil, parts = REFUSED[what]
    spoil(copy)
    before = sorted(copy.rglob("*"))
    assert call(f"--run_dir={copy}") == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    for part in parts:
        assert part in err
    assert sorted(copy.rglob("*")) == before


def test_a_packed_model_keeps_the_cell_s_own_options(tmp_path):
    config = TrainConfig(
        "memory", "miru1", num_params=1500, arch_options={"update_coefficient": 0.1}
    )
    trial = Trial(config)
    packed.write(tmp_path / "model", trial.record(), trial.random_weights(), 8, "row", None)
    (layer,) = [e for e in packed.load_model(tmp_path / "model").layers if hasattr(e, "cell")]
    assert layer.cell.update_coefficient == 0.1
    assert rnn_zoo.CELLS["miru1"](1).update_coefficient != 0.1
