"""The authors' files: written by either Python, and never run."""

import io
import json
import os
import pickle

import numpy as np
import pytest

from trainer.errors import UserError
from tuning.report import pickled, published
from tuning.report.figures import FIGURES

TYPES = [
    ("architecture", object),
    ("task_type", object),
    ("hparams", object),
    ("n_layers", int),
    ("hyper_iter", int),
    ("max_params", int),
    ("num_params", int),
    ("train_loss", float),
    ("valid_loss", float),
    ("eval_loss", float),
]
HPARAMS = {
    "lr_init": 0.004,
    "optimizer": "RMSProp",
    "train_steps": np.int64(1176212),
    "recurrent_matrix_init_type": "orthogonal",
}


def records():
    rows = [
        ("lstm", "text8", dict(HPARAMS), 4, 7, 100_000, 99_000, 1.5, 1.6, 1.549270),
        ("gru", "parens_counting", dict(HPARAMS), 1, 0, 200_000, 199_000, 0.1, 0.2, 0.3),
        ("gru", "parens_counting", dict(HPARAMS), 1, 1, 200_000, 199_000, np.nan, np.inf, np.nan),
        ("+rnn", "per_cap", {"nonlinearity": "ReLU"}, 2, 3, 1000, 990, -4000, -4000, -4000.0),
        ("rnn", "mem_thru", {}, 1, 3, 20_000, 19_900, 0.1, 0.1, 0.125),
    ]
    return np.array(rows, dtype=TYPES)


class Python2(pickle._Pickler):
    """Writes strings as Python 2 does: bytes without an encoding."""

    def save_str(self, text):
        raw = text.encode("latin-1")
        self.write(pickle.SHORT_BINSTRING + bytes([len(raw)]) + raw)
        self.memoize(text)

    dispatch = pickle._Pickler.dispatch | {str: save_str}


def by_python_2(value):
    file = io.BytesIO()
    Python2(file, protocol=2).dump(value)
    # NumPy had no private package then.
    return file.getvalue().replace(b"numpy._core.", b"numpy.core.")


@pytest.fixture(params=["python 2", *range(pickle.HIGHEST_PROTOCOL + 1)])
def directory(request, tmp_path):
    if request.param == "python 2":
        data = by_python_2(records())
        assert b"\x04lstm" in data and b"cnumpy.core.multiarray\n_reconstruct" in data
    else:
        data = pickle.dumps(records(), protocol=request.param)
    (tmp_path / "fig5_parens.p").write_bytes(data)
    return tmp_path


def test_records_come_back_whatever_wrote_them(directory):
    found = published.read(directory)
    assert found.task.tolist() == ["text8", "parens", "parens", "capacity", "memory"]
    assert found.arch.tolist() == ["lstm", "gru", "gru", "+rnn", "rnn"]
    assert found.status.tolist() == ["ok", "ok", "infeasible", "ok", "ok"]
    assert found.depth.tolist() == [4, 1, 1, 2, 1]
    assert found.iteration.tolist() == [7, 0, 1, 3, 3]
    assert set(found.source) == {"published"} and set(found.algorithm) == {"random"}
    assert found.bits_per_character[0] == 1.549270
    assert (found.bits[3], found.bits_per_parameter[3]) == (4000, 4000 / 990)
    assert found.activation.tolist()[:1] + found.activation.tolist()[3:4] == ["tanh", "relu"]
    assert found.objective.isna().tolist() == [False, False, True, False, False]
    hparams = json.loads(found.hparams[0])
    assert hparams["train_steps"] == 1176212 and hparams["optimizer"] == "RMSProp"
    assert found.run.is_unique


def test_figures_are_drawn_from_them_alone(directory):
    found = published.read(directory)
    assert FIGURES["5a"].draw(found).points.y.tolist() == [0.3]
    assert FIGURES["3c"].draw(found).points.y.tolist() == [1.549270]
    # 20,000 parameters of an RNN with 64 inputs and outputs are 90 units.
    (units,) = FIGURES["2c"].draw(found).points.x.tolist()
    assert units * units + 130 * units + 64 <= 20_000 < (units + 1) ** 2 + 130 * (units + 1) + 64


class Shell:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def looked_up(module, name, *arguments):
    """A pickle that calls what it looks up, made by hand."""
    text = b"".join(b"V%s\n" % str(each).encode() for each in arguments)
    return b"c%s\n%s\n(%stR." % (module.encode(), name.encode(), text)


def test_a_malicious_pickle_is_refused_and_does_not_run(tmp_path):
    marker = tmp_path / "ran"
    array = records()
    array["hparams"][1] = {"lr_init": Shell(f"touch {marker}")}
    for number, data in enumerate(
        [
            pickle.dumps(Shell(f"touch {marker}")),
            pickle.dumps(array),
            looked_up("builtins", "eval", f"open({str(marker)!r}, 'w')"),
            looked_up("__builtin__", "eval", f"open({str(marker)!r}, 'w')"),
            looked_up("builtins", "getattr", "a", "b"),
            looked_up("numpy", "load", marker),
            looked_up("numpy", "fromfile", marker),
            looked_up("numpy.core.multiarray", "fromfile", marker),
            looked_up("numpy.testing._private.utils", "runstring", "1", "2"),
            looked_up("_codecs", "decode", "a", "rot13"),
            looked_up("_codecs", "encode", "a", "rot13"),
            b"P1\n.",
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "a.p").write_bytes(data)
        with pytest.raises(UserError, match=r"a\.p .*; nothing of it ran"):
            published.read(folder)
    # It would have run: this is no test of a pickle that does nothing.
    pickle.loads(pickle.dumps(array))
    assert marker.exists()


def test_what_the_reader_knows_is_short():
    assert {name for _, name in pickled._Unpickler._KNOWN} == {
        "encode", "bytes", "_reconstruct", "scalar", "_frombuffer", "ndarray", "dtype", "recarray",
        "record"
    }  # fmt: skip


class Forged:
    """Something whose pickle calls `function(*arguments)` and then sets `state`."""

    def __init__(self, function, arguments, state=None):
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.reduced


RECONSTRUCT = np.empty(0).__reduce__()[0]
POINTERS = b"A" * 80


@pytest.mark.parametrize(
    "forged",
    [
        # Object pointers of the file's choice: NumPy itself follows them.
        Forged(np.ndarray, ((1,), np.dtype([(f"f{i}", "O") for i in range(10)]), POINTERS)),
        Forged(
            RECONSTRUCT,
            (np.ndarray, (0,), b"b"),
            (1, (1,), np.dtype([(f"f{i}", "O") for i in range(10)]), False, POINTERS),
        ),
        Forged(
            RECONSTRUCT,
            (np.ndarray, (0,), b"b"),
            (1, (1,), Forged(np.dtype, ("V80", False, True), (
                3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 80, 1, 0
            )), False, POINTERS),
        ),
        # More than there is.
        Forged(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (10**12,), np.dtype("f8"), False, b"")),
        Forged(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (10**12,), np.dtype("O"), False, [])),
        Forged(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (-1,), np.dtype("f8"), False, b"")),
        # State of what is only a name.
        Forged(RECONSTRUCT, (np.ndarray, (0,), b"b")),
    ],
)  # fmt: skip
def test_forged_arrays_are_refused(tmp_path, forged):
    data = pickle.dumps(forged, protocol=2)
    (tmp_path / "a.p").write_bytes(data)
    with pytest.raises(UserError, match="nothing of it ran"):
        published.read(tmp_path)


def test_a_pickle_cannot_change_what_it_looks_up(tmp_path):
    # BUILD with (None, {"x": 1}) sets attributes on whatever is on the stack.
    data = b"c_codecs\nencode\n(N(dVx\nI1\nstb."
    (tmp_path / "a.p").write_bytes(data)
    with pytest.raises(UserError, match=r"it changes _codecs\.encode; nothing"):
        published.read(tmp_path)


def test_arrays_of_all_plain_kinds_come_back():
    values = {
        "floats": np.arange(6.0).reshape(2, 3).T,
        "big": np.arange(3, dtype=">i4"),
        "flags": np.array([True, False]),
        "text": np.array(["a", "bcd"]),
        "bytes": np.array([b"a", b"bcd"]),
        "number": np.float32(0.1),
        "nested": [({"x": np.int64(3)},)],
        "empty": np.empty((0, 2)),
    }
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        found = pickled.load(io.BytesIO(pickle.dumps(values, protocol=protocol)))
        for name, value in values.items():
            if name == "nested":
                assert found[name] == value
            else:
                np.testing.assert_array_equal(found[name], value)
                assert found[name].dtype == value.dtype


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("hparams", {"lr_init": float("nan"), 3: 4}),
        ("eval_loss", np.inf),
        ("num_params", 0),
        ("max_params", 1),
    ],
)
def test_odd_values_are_data(tmp_path, column, value):
    array = records()
    array[column][:] = value
    (tmp_path / "fig.p").write_bytes(pickle.dumps(array))
    assert len(published.read(tmp_path)) == len(array)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cannot be unpickled"),
        (pickle.dumps(records())[:200], "cannot be unpickled"),
        (pickle.dumps({"a": 1}), "has no column architecture"),
        (pickle.dumps(records()[["hparams", "n_layers"]]), "has no column architecture"),
    ],
    ids=["empty", "cut", "dict", "columns"],
)
def test_a_damaged_or_other_file_is_one_line(tmp_path, data, message):
    (tmp_path / "fig.p").write_bytes(data)
    with pytest.raises(UserError, match=message):
        published.read(tmp_path)


@pytest.mark.parametrize(("column", "value"), [("architecture", "qrnn"), ("task_type", "copy")])
def test_an_unknown_name_is_refused_with_the_choices(tmp_path, column, value):
    array = records()
    array[column][2] = value
    (tmp_path / "fig.p").write_bytes(pickle.dumps(array))
    with pytest.raises(UserError, match=f"record 2: unknown {column} '{value}'; known are"):
        published.read(tmp_path)


def test_no_files_say_where_to_get_them(tmp_path):
    with pytest.raises(UserError, match="none of the authors' files"):
        published.read(tmp_path)
