"""The Python and the requests in docs/serving.md, run as written."""

import http.server
import json
import re
import threading
import urllib.request

import elsewhere
import keras
import numpy as np
import pytest
from on_backend import tensorflow_only
from processes import ROOT
from random_runs import write_run

from rnn_zoo.model import get_weights
from rnn_zoo.quantization import quantize
from trainer import TrainConfig
from trainer.export import export, load_model
from trainer.quantize import packed

pytestmark = tensorflow_only

TEXT = (ROOT / "docs/serving.md").read_text()


def example(word):
    """Return the page's only Python block that contains a word."""
    (found,) = [block for block in re.findall(r"```python\n(.*?)```", TEXT, re.S) if word in block]
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A directory with runs/parens, a model of one layer with one state."""
    directory = tmp_path_factory.mktemp("home")
    write_run(directory / "runs/parens", TrainConfig("parens", "gru", num_params=6000))
    return directory


@pytest.fixture(scope="module")
def serving(home):
    """Port of a stand-in for TensorFlow Serving's columnar REST API on a SavedModel."""
    import tensorflow as tf

    (mounted,) = re.findall(r'"\$PWD/(.*?):/models/parens/1:ro"', TEXT)
    assert export(home / "runs/parens") == home / mounted
    signatures = tf.saved_model.load(str(home / mounted)).signatures

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            assert self.path == "/v1/models/parens:predict"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            function = signatures[body.get("signature_name", "serving_default")]
            specs = function.structured_input_signature[1]
            assert set(body["inputs"]) == set(specs)
            answers = function(
                **{
                    name: tf.constant(body["inputs"][name], spec.dtype)
                    for name, spec in specs.items()
                }
            )
            answers = {name: value.numpy().tolist() for name, value in answers.items()}
            # A single output has no name.
            answers = answers if len(answers) > 1 else next(iter(answers.values()))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"outputs": answers}).encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


SAVE = "\nnp.savez('answers.npz', x=x, **{n: globals()[n] for n in %r})\n"


def answers(home, script, names, hidden):
    """Run a script of the page; return these variables and its inputs."""
    elsewhere.run(script + SAVE % (names,), cwd=home, hidden=hidden)
    return dict(np.load(home / "answers.npz"))


def test_tensorflow_serving(home, serving):
    script = example("urllib").replace(":8501/", f":{serving}/")
    found = answers(home, script, ("sequence", "outputs"), ("tensorflow", "keras"))
    expected = load_model(home / "runs/parens")[0](found["x"]).numpy()
    assert expected.shape == (2, 12, 100)
    np.testing.assert_allclose(found["sequence"], expected, atol=1e-5)
    np.testing.assert_allclose(found["outputs"], expected[:, -1], atol=1e-5)


def test_the_request_by_curl(home, serving):
    url, body = re.findall(r"curl (http\S+) \\\n\s+-d '(.*?)'", TEXT)[0]
    request = urllib.request.Request(url.replace(":8501/", f":{serving}/"), body.encode())
    with urllib.request.urlopen(request) as answer:
        states = json.load(answer)["outputs"]
    assert np.shape(states) == (2, load_model(home / "runs/parens")[1].units)


@pytest.mark.parametrize(
    "format, word",
    [
        ("litert", "Interpreter"),
        pytest.param("onnx", "onnxruntime", marks=pytest.mark.slow),
    ],
)
def test_runtimes(home, format, word):
    export(home / "runs/parens", format)
    found = answers(home, example(word), ("outputs",), ("tensorflow", "keras"))
    expected = load_model(home / "runs/parens")[0](found["x"]).numpy()
    np.testing.assert_allclose(found["outputs"], expected[:, -1], atol=1e-5)


def test_a_packed_model(home, monkeypatch):
    model, record = load_model(home / "runs/parens")
    path = home / "runs/NAME/quantized/5bit_row.safetensors"
    path.parent.mkdir(parents=True)
    packed.write(path, record, get_weights(model), 5, "row", None)
    monkeypatch.chdir(home)
    names = {}
    exec(example("quantized"), names)
    keras.tree.map_structure(
        np.testing.assert_array_equal,
        get_weights(names["model"]),
        quantize(get_weights(model), 5, "row"),
    )
