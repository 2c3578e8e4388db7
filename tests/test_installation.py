"""What is declared as required suffices: a layer needs little, and commands say what they lack."""

import ast
import configparser
import importlib.metadata
import pathlib
import re
import sys

import pytest
from processes import python

ROOT = pathlib.Path(__file__).resolve().parents[1]


def setup_cfg():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def declared():
    """Return the names of the packages that `pip install rnn-zoo` brings."""
    lines = setup_cfg()["options"]["install_requires"].split("\n")
    return [re.match(r"[\w-]+", line)[0] for line in lines if line.strip()]


SCRIPT = """
import sys

REFUSED = set(sys.argv[1].split(","))


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Refuse())

import keras
import numpy as np

import rnn_zoo

x = np.ones((2, 5, 300), "float32")
model = keras.Sequential([keras.Input((None, 300)), rnn_zoo.layers.UGRNN(3)])
model.save("model.keras")
np.testing.assert_array_equal(keras.saving.load_model("model.keras")(x), model(x))
preset = rnn_zoo.load("parens/gru-10k")
stepper = preset.stepper(2)
for t in range(5):
    outputs = stepper(x[:, t])
np.testing.assert_allclose(outputs, preset(x)[:, -1], rtol=1e-4, atol=1e-4)
"""


def requirements(name):
    """Return the names of a distribution's requirements, without those of extras."""
    declared = importlib.metadata.requires(name) or []
    return [re.match(r"[\w.-]+", each)[0] for each in declared if "extra ==" not in each]


def with_requirements(names):
    found, left = set(), list(names)
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name not in found:
            try:
                left += requirements(name)
            except importlib.metadata.PackageNotFoundError:  # for another platform
                continue
            found.add(name)
    return found


def modules_without(names):
    """Return the installed top-level modules of all distributions but these."""
    owners = importlib.metadata.packages_distributions().items()
    normal = {each: {re.sub(r"[-_.]+", "-", name).lower() for name in by} for each, by in owners}
    return [each for each, by in normal.items() if not by & names and each != "rnn_zoo"]


@pytest.mark.slow
def test_layers_and_presets_work_where_nothing_else_can_be_imported(tmp_path):
    refused = modules_without(with_requirements([*declared(), "tensorflow"]))
    assert {"gin", "keras_tuner", "scipy", "sklearn", "tensorflow_datasets"} <= {*refused}
    path = {"PYTHONPATH": str(ROOT), "KERAS_BACKEND": "tensorflow"}
    done = python("-c", SCRIPT, ",".join(refused), cwd=tmp_path, **path)
    assert done.code == 0, done.stderr


#: What single modules of rnn_zoo import besides the declared packages.
MORE = {
    "backend/jax.py": {"jax"},
    "backend/tensorflow.py": {"tensorflow"},
    "backend/torch.py": {"torch"},
    "backend/torch_ops.py": {"torch"},
    "convert/torch.py": {"torch"},
    "numpy_ops.py": {"scipy"},  # in a `try`
    "presets/hub.py": {"huggingface_hub"},
}


def test_the_zoo_imports_only_what_is_declared():
    assert declared() == ["keras", "numpy", "safetensors"]
    for path in (ROOT / "rnn_zoo").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = [each.name for node in nodes if isinstance(node, ast.Import) for each in node.names]
        names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
        found = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"rnn_zoo"}
        more = MORE.get(path.relative_to(ROOT / "rnn_zoo").as_posix(), set())
        assert found - {*declared()} == more, path


COMMANDS = """
import importlib
import sys

sys.modules.update(dict.fromkeys(["gin", "keras_tuner", "pooch", "tqdm"]))
for name in sys.argv[1:]:
    sys.argv = [name]
    try:
        importlib.import_module(name).run()
    except SystemExit as error:
        print(error.code)
"""


def test_commands_name_the_extra_that_they_lack(tmp_path):
    scripts = setup_cfg()["options.entry_points"]["console_scripts"].split("\n")
    modules = [re.search(r"= ([\w.]+):run", line)[1] for line in scripts if line]
    done = python("-c", COMMANDS, *modules, cwd=tmp_path)
    assert done.stdout == "2\n" * len(modules)
    line = "error: this command needs gin, keras_tuner, pooch: pip install 'rnn-zoo[lab]'\n"
    assert done.stderr == line * len(modules)
