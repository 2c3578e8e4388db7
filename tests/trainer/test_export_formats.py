"""LiteRT and ONNX, run in processes without this project and TensorFlow."""

import importlib.machinery
import importlib.util
import shutil
import sys

import elsewhere
import keras
import numpy as np
import pytest
import reference_cells as reference
from on_backend import tensorflow_only
from processes import ROOT, python
from random_runs import write_run

from rnn_zoo import layers
from rnn_zoo.model import build_model, get_weights, recurrent_cells, set_weights
from rnn_zoo.quantization import quantize
from trainer import TrainConfig, UserError
from trainer import export as package
from trainer.export import FORMATS, export, load_model

pytestmark = tensorflow_only

#: Batch and time: of LiteRT, and other sizes for ONNX. T is that of arithmetic.
FIXED, OTHER = (2, 36), (3, 5)

#: Cells with other weights and states: blocks, matrices, complex numbers, delays, vectors.
STRUCTURED = ("slstm", "mlstm", "lru", "qrnn", "antisymmetric_rnn", "fast_grnn", "tau_gru")
READER = """
import sys

import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter

inputs, answers = np.load("inputs.npz"), {}

def note(name, sequence, initial, step, x):
    states = dict(initial)
    answers[name] = sequence(inputs=x)["outputs"]
    answers.update({f"{name} {key}": value for key, value in states.items()})
    outputs = []
    for t in range(x.shape[1]):
        states = {k.removeprefix("next_"): v for k, v in step(inputs=x[:, t], **states).items()}
        outputs.append(states.pop("outputs"))
    answers[name + " by steps"] = np.stack(outputs, 1)
    assert set(states) == set(initial)

sequence, step = (Interpreter(f"run/litert/{name}.tflite") for name in ("sequence", "step"))
assert set(sequence.get_signature_list()) == {"serving_default"}
assert set(step.get_signature_list()) == {"initial_state", "step"}
note(
    "litert",
    sequence.get_signature_runner("serving_default"),
    step.get_signature_runner("initial_state")(),
    step.get_signature_runner("step"),
    inputs["fixed"],
)

def load(name):
    model = onnxruntime.InferenceSession(f"run/onnx/{name}.onnx")
    names = [output.name for output in model.get_outputs()]
    assert all(i.shape[0] == "batch" for i in model.get_inputs() if i.shape)
    return lambda **x: dict(zip(names, model.run(names, x), strict=True))

for name, x in inputs.items():
    initial = load("initial_state")(batch_size=np.array(len(x), "int32"))
    note("onnx " + name, load("sequence"), initial, load("step"), x)
np.savez("answers.npz", **answers)
"""


@pytest.mark.slow
@pytest.mark.parametrize("arch", [*reference.GATES, *STRUCTURED])
def test_answers_are_those_of_the_keras_model(arch, tmp_path):
    config = TrainConfig("arithmetic", arch, depth=2, num_params=1200, gate_bias=0.5)
    write_run(tmp_path / "run", config, shrink=0.7)
    assert export(tmp_path / "run", "litert", batch_size=FIXED[0]) == tmp_path / "run/litert"
    assert export(tmp_path / "run", "onnx") == tmp_path / "run/onnx"
    model, _ = load_model(tmp_path / "run")
    rng = np.random.default_rng(0)
    asked = {
        name: rng.normal(size=(*size, model.input_shape[-1])).astype("float32")
        for name, size in (("fixed", FIXED), ("other", OTHER))
    }
    np.savez(tmp_path / "inputs.npz", **asked)
    elsewhere.run(READER, cwd=tmp_path, hidden=("tensorflow", "keras", "tf2onnx"))
    answers = dict(np.load(tmp_path / "answers.npz"))

    for name, key in (("litert", "fixed"), ("onnx fixed", "fixed"), ("onnx other", "other")):
        expected = model(asked[key]).numpy()
        assert 0.1 < np.abs(expected).max() < 30
        np.testing.assert_allclose(answers[name], expected, atol=1e-5)
        np.testing.assert_allclose(answers[name + " by steps"], expected, atol=1e-5)
        for index, cell in enumerate(recurrent_cells(model)):
            for state, learned in zip(cell.state_names, cell.initial_state, strict=True):
                start = answers[f"{name} layer_{index}_{state}"]
                np.testing.assert_array_equal(start, np.tile(learned, (len(asked[key]), 1)))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    write_run(directory, TrainConfig("parens", "rnn", num_params=3000))
    return directory


def litert_steps(directory):
    """Return T of a sequence.tflite."""
    from ai_edge_litert.interpreter import Interpreter

    model = Interpreter(str(directory / "sequence.tflite"))
    (details,) = model.get_signature_runner().get_input_details().values()
    return list(details["shape"])


@pytest.mark.slow
def test_litert_is_of_the_task_s_length_or_that_asked_for(run):
    assert litert_steps(export(run, "litert")) == [1, 175, 300]
    assert litert_steps(export(run, "litert", batch_size=3, time_steps=4)) == [3, 4, 300]


@pytest.mark.slow
def test_keras_exports_to_onnx_without_alarms(tmp_path, capfd, caplog):
    from onnxruntime import InferenceSession

    model = keras.Sequential([keras.Input((None, 2)), layers.GRU(3), keras.layers.Dense(4)])
    x = np.random.default_rng(0).normal(size=(2, 5, 2)).astype("float32")
    expected = model(x)
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    shown = caplog.text + capfd.readouterr().err
    assert "Traceback" not in shown and "einsum" not in shown
    session = InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(found, expected, atol=1e-5)


ON_BACKEND = """
import keras
import numpy as np
from rnn_zoo import layers

torch = keras.backend.backend() == "torch"
steps = 5 if torch else None  # PyTorch's tracer fixes them
model = keras.Sequential([keras.Input((steps, 2)), layers.LSTM(3), keras.layers.Dense(4)])
x = np.random.default_rng(0).normal(size=(7, 5, 2)).astype("float32")
for batch in (x, x[:2]):
    expected = keras.ops.convert_to_numpy(model(batch))
    if torch:
        import onnxruntime

        model.export("model.onnx", format="onnx", verbose=False)
        session = onnxruntime.InferenceSession("model.onnx")
        (found,) = session.run(None, {session.get_inputs()[0].name: batch})
    else:
        import tensorflow as tf

        model.export("saved", verbose=False)
        loaded = tf.saved_model.load("saved")
        found = loaded.serve(batch)
    np.testing.assert_allclose(found, expected, atol=1e-5)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_keras_exports_a_free_batch_on_other_backends(backend, tmp_path):
    done = python("-c", ON_BACKEND, cwd=tmp_path, KERAS_BACKEND=backend, PYTHONPATH=str(ROOT))
    assert done.code == 0, done.stderr


OF_KERAS = """
import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from rnn_zoo import layers

model = keras.Sequential([keras.Input((None, 2)), layers.GRU(3), keras.layers.Dense(4)])
shape = keras.layers.InputSpec(shape=(3, 5, 2), dtype="float32")
model.export("m.tflite", format="litert", verbose=False, input_signature=[shape])
x = np.random.default_rng(0).normal(size=shape.shape).astype("float32")
interpreter = Interpreter("m.tflite")
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
interpreter.invoke()
found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
np.testing.assert_allclose(found, model(x), atol=1e-5)
"""


@pytest.mark.slow
def test_keras_exports_to_litert_with_fixed_sizes(tmp_path):
    """As docs/guides/export.md advises."""
    done = python("-c", OF_KERAS, cwd=tmp_path)
    assert done.code == 0, done.stderr


@pytest.mark.parametrize("format", FORMATS)
def test_another_backend_is_refused_with_a_way_out(format, tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    way_out = "needs TensorFlow; load the run, or a saved model, with KERAS_BACKEND=tensorflow"
    with pytest.raises(UserError, match=way_out):
        package.export_model(None, tmp_path / "made", format)


FREE = """
import numpy as np
from ai_edge_litert.interpreter import Interpreter

inputs, answers = np.load("inputs.npz"), {}
sequence, steps = (Interpreter(f"new/free/{name}.tflite") for name in ("sequence", "step"))
sequence, step = sequence.get_signature_runner(), steps.get_signature_runner("step")
for name, x in inputs.items():
    answers[name] = sequence(inputs=x)["outputs"]
    states = steps.get_signature_runner("initial_state")(batch_size=np.int32(len(x)))
    outputs = []
    for t in range(x.shape[1]):
        states = {k.removeprefix("next_"): v for k, v in step(inputs=x[:, t], **states).items()}
        outputs.append(states.pop("outputs"))
    answers[name + " by steps"] = np.stack(outputs, 1)
np.savez("answers.npz", **answers)
"""


@pytest.mark.parametrize(
    "sizes, values", [((20_000, 9_000), "720,000,000"), ((2**24, 1), "402,653,184")]
)
def test_litert_refuses_sizes_too_large_for_a_file(tmp_path, sizes, values):
    model = build_model("lstm", 2, 6, 2, 4)  # four states of 6 numbers
    message = f"make tensors of {values} values; the limit is 268,435,456"
    with pytest.raises(UserError, match=message):
        package.export_model(model, tmp_path / "out", "litert", *sizes)
    assert not list(tmp_path.iterdir())


def test_litert_takes_any_batch_and_length_if_asked(tmp_path):
    """In a process of its own, since LiteRT's interpreter can crash."""
    rng, model = np.random.default_rng(0), build_model("rnn", 1, 3, 2, 4)
    for weight in model.weights:
        weight.assign(rng.normal(scale=0.7, size=weight.shape))
    package.export_model(model, tmp_path / "new/free", "litert", batch_size=0, time_steps=0)
    sizes = {"small": (1, 2), "large": (3, 5), "again": (1, 2)}
    inputs = {name: rng.normal(size=(*size, 2)).astype("float32") for name, size in sizes.items()}
    np.savez(tmp_path / "inputs.npz", **inputs)
    elsewhere.run(FREE, cwd=tmp_path, hidden=("tensorflow", "keras"))
    answers = np.load(tmp_path / "answers.npz")
    for name, x in inputs.items():
        np.testing.assert_allclose(answers[name], model(x), atol=1e-5)
        np.testing.assert_allclose(answers[name + " by steps"], model(x), atol=1e-5)
    with pytest.raises(UserError, match=r"batch_size \(0: any\) must be a whole number.*got None"):
        package.export_model(model, tmp_path / "free", "litert", batch_size=None)


def test_rounded_weights_are_what_is_exported(run):
    from onnxruntime import InferenceSession

    path = export(run, "onnx", bits=3, granularity="tensor")
    assert path == run / "onnx_3bit_tensor"
    model, _ = load_model(run)
    x = np.random.default_rng(2).normal(size=(2, 4, 300)).astype("float32")
    (answer,) = InferenceSession(path / "sequence.onnx").run(None, {"inputs": x})
    assert np.abs(answer - model(x).numpy()).max() > 0.05
    set_weights(model, quantize(get_weights(model), 3, "tensor"))
    np.testing.assert_allclose(answer, model(x).numpy(), atol=1e-5)


def contents(directory):
    return {path.name: path.is_dir() or path.read_bytes() for path in directory.rglob("*")}


def test_a_failure_midway_leaves_the_previous_export_only(run, tmp_path, monkeypatch):
    run = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("litert"))

    def write(directory, signatures, sizes):
        (directory / "sequence.tflite").write_bytes(b"whole")

    def fail(directory, signatures, sizes):
        (directory / "sequence.tflite").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(FORMATS["litert"], "write", write)
    export(run, "litert", time_steps=2)
    before = contents(run)
    assert before["sequence.tflite"] == b"whole"
    monkeypatch.setattr(FORMATS["litert"], "write", fail)
    with pytest.raises(KeyboardInterrupt):
        export(run, "litert", time_steps=2)
    assert contents(run) == before


KILLED = """
import os, signal
from trainer.storage.files import whole_directory
with whole_directory("made") as directory:
    (directory / "file").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_export_leaves_the_directory_before_and_the_next_one_takes_its_place(tmp_path):
    assert python("-c", KILLED, cwd=tmp_path).code == -9
    assert not (tmp_path / "made").exists()
    for text in ("old", "new"):
        with package.whole_directory(tmp_path / "made") as directory:
            assert not list(directory.iterdir())
            (directory / "file").write_text(text)
        assert contents(tmp_path) == {"made": True, "file": text.encode()}
    python("-c", KILLED, cwd=tmp_path)
    assert contents(tmp_path / "made") == {"file": b"new"}


@pytest.mark.parametrize("absent", ["tf2onnx", "onnx"])
def test_without_the_converter_the_extra_is_named(run, monkeypatch, absent):
    before = contents(run)
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(UserError, match=rf"needs {absent}: pip install 'rnn-zoo\[export\]'"):
        export(run, "onnx")
    assert contents(run) == before


@pytest.mark.parametrize("has_init", [False, True])
def test_a_half_installed_converter_is_named_with_the_extra(tmp_path, monkeypatch, has_init):
    """A folder alone, or a package that lacks another one."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tf2onnx"]:
        monkeypatch.delitem(sys.modules, name)
    if has_init:
        (tmp_path / "tf2onnx").mkdir()
        (tmp_path / "tf2onnx/__init__.py").write_text("import a_package_that_it_needs")
        monkeypatch.syspath_prepend(tmp_path)
    else:
        spec = importlib.machinery.ModuleSpec("tf2onnx", None, is_package=True)
        monkeypatch.setitem(sys.modules, "tf2onnx", importlib.util.module_from_spec(spec))
    with pytest.raises(
        UserError, match=r"onnx needs a whole tf2onnx: pip install 'rnn-zoo\[export"
    ):
        package.export_model(None, tmp_path / "made", "onnx")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "options, format, message",
    [
        ({"go_backwards": True}, "onnx", "runs backwards, so it needs the whole sequence"),
        ({"stateful": True}, "saved_model", "stateful, but an export takes and returns its states"),
        ({"dtype": "mixed_bfloat16"}, "litert", "computes in bfloat16, which an export to LiteRT"),
    ],
)
def test_a_model_whose_answers_would_be_others_is_refused(options, format, message, tmp_path):
    layer = layers.GRU(6, return_sequences=True, **options)
    model = keras.Sequential([keras.Input((None, 5), 2), layer, keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=message):
        package.export_model(model, tmp_path / "export", format)
    assert not list(tmp_path.iterdir())


def test_a_model_of_another_making_is_refused(tmp_path):
    with pytest.raises(
        ValueError,
        match="must be a built chain of recurrent layers of rnn_zoo and a Dense layer; its layers "
        "are none",
    ):
        package.export_model(keras.Sequential(), tmp_path / "made")
    last_step = build_model("rnn", 1, 2, 3, 1, output_steps=slice(-1, None))
    with pytest.raises(ValueError, match="the outputs of some time steps; export a model"):
        package.export_model(last_step, tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"format": "tflite"}, "unknown format 'tflite'; choose one of saved_model, litert, onnx"),
        ({"bits": 1}, "bits must be from 2 to 16, got 1"),
        ({"bits": 5, "granularity": "column"}, "unknown granularity 'column'.*tensor, row"),
    ],
)
def test_invalid_exports_are_refused(run, options, message):
    before = contents(run)
    with pytest.raises(UserError, match=message):
        export(run, **options)
    assert contents(run) == before
