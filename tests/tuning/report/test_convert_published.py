"""Conversion of the authors' pickles, written by either Python and never run."""

import io
import json
import math
import os
import pickle
import random
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from trainer.errors import UserError
from tuning.report import authors, convert_published, pickled, published
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

    dispatch: ClassVar[dict] = pickle._Pickler.dispatch | {str: save_str}


def by_python_2(value):
    file = io.BytesIO()
    Python2(file, protocol=2).dump(value)
    # NumPy had no private package then.
    return file.getvalue().replace(b"numpy._core.", b"numpy.core.")


@pytest.fixture
def directory(request, tmp_path):
    """A directory of the authors' form; the test's parameter may choose the pickle protocol."""
    protocol = getattr(request, "param", 2)
    if protocol == "python 2":
        data = by_python_2(records())
        assert b"\x04lstm" in data and b"cnumpy.core.multiarray\n_reconstruct" in data
    else:
        data = pickle.dumps(records(), protocol=protocol)
    (tmp_path / "fig5_parens.p").write_bytes(data)
    return tmp_path


@pytest.mark.parametrize(
    "directory", ["python 2", *range(pickle.HIGHEST_PROTOCOL + 1)], indirect=True
)
def test_records_come_back_whatever_wrote_them(directory):
    found = authors.read(directory)
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
    found = authors.read(directory)
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


def write(folder, data):
    folder.mkdir(exist_ok=True)
    (folder / "a.p").write_bytes(data)
    return folder


def test_a_pipe_is_refused(tmp_path):
    """Reading it waits until somebody writes."""
    os.mkfifo(tmp_path / "x.p")
    with pytest.raises(UserError, match=r"cannot read .*x\.p: it is not a regular file"):
        authors.read(tmp_path)


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
            b"P1\n.",
        ]
    ):
        with pytest.raises(UserError, match=r"a\.p .*; nothing in it was run"):
            authors.read(write(tmp_path / str(number), data))
    # It would have run: this is no test of a pickle that does nothing.
    pickle.loads(pickle.dumps(array))
    assert marker.exists()


def test_few_names_are_answered_and_only_by_stand_ins():
    assert {name for _, name in pickled._STAND_INS} == {
        "encode", "bytes", "_reconstruct", "scalar", "ndarray", "dtype", "recarray", "record"
    }  # fmt: skip
    assert all(issubclass(each, pickled._StandIn) for each in pickled._STAND_INS.values())


class Forged:
    """Something whose pickle calls `function(*arguments)` and then sets `state`."""

    def __init__(self, function, arguments, state=None):
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.reduced


RECONSTRUCT = np.empty(0).__reduce__()[0]
EMPTY = (np.ndarray, (0,), b"b")
OBJECTS = np.dtype([(f"f{i}", "O") for i in range(10)])
POINTERS = b"A" * 80


def as_value(value):
    """Records of which one has this as its loss."""
    array = np.array([tuple(records()[0])], [*TYPES[:-1], ("eval_loss", object)])
    array["eval_loss"][0] = value
    return array


@pytest.mark.parametrize("place", [lambda value: value, as_value], ids=["file", "value"])
@pytest.mark.parametrize(
    "forged",
    [
        # Bytes as object pointers: NumPy's own reconstructors follow them.
        Forged(np.ndarray, ((1,), OBJECTS, POINTERS)),
        Forged(RECONSTRUCT, EMPTY, (1, (1,), OBJECTS, False, POINTERS)),
        Forged(RECONSTRUCT, EMPTY, (1, (10,), np.dtype("O"), False, POINTERS)),
        Forged(
            RECONSTRUCT,
            EMPTY,
            (1, (1,), Forged(np.dtype, ("V80", False, True), (
                3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 80, 1, 0
            )), False, POINTERS),
        ),
        Forged(np.float64(1).__reduce__()[0], (np.dtype("O"), POINTERS)),
        Forged(np.float64(1).__reduce__()[0], (np.dtype("V8"), b"A" * 8)),
        Forged(RECONSTRUCT, EMPTY),
        Forged(RECONSTRUCT, EMPTY, {"a": 1}),
        Forged(np.dtype, ("f8",)),
    ],
)  # fmt: skip
def test_forged_arrays_are_refused(tmp_path, forged, place):
    data = pickle.dumps(place(forged), protocol=2)
    with pytest.raises(UserError, match=r"nothing in it was run|cannot be unpickled"):
        authors.read(write(tmp_path, data))


@pytest.mark.parametrize(
    "data",
    [
        b"c_codecs\nencode\n(N(dVx\nI1\nstb.",
        b"cnumpy\ndtype\n(dVx\nI1\nsb.",
        b"cnumpy\ndtype\nVx\na.",
    ],
)
def test_a_pickle_cannot_change_a_stand_in(tmp_path, data):
    before = [dict(vars(each)) for each in set(pickled._STAND_INS.values())]
    with pytest.raises(UserError, match="cannot be unpickled"):
        authors.read(write(tmp_path, data))
    assert before == [dict(vars(each)) for each in set(pickled._STAND_INS.values())]


def test_a_file_with_too_much_in_it_is_refused(tmp_path, monkeypatch):
    # 40 lists, each with the one before it twice: 2^40 values in some 200 bytes.
    value = [0]
    for _ in range(40):
        value = [value, value]
    bomb = write(tmp_path, pickle.dumps(as_value(value)))
    monkeypatch.setattr(pickled, "MAX_VALUES", 10_000)
    with pytest.raises(UserError, match="it holds more than 10,000 values; nothing"):
        authors.read(bomb)
    monkeypatch.setattr(pickled, "MAX_BYTES", 100)
    with pytest.raises(UserError, match="it is larger than"):
        authors.read(bomb)


def nested(width):
    """40 tuples, each with the one before it `width` times: hashing the last one does not end."""
    key = ()
    for _ in range(40):
        key = (key,) * width
    return key


# A dictionary with such keys cannot be made, so its entries are written by hand.
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize(
    "key",
    [nested(2), nested(100), tuple(range(9990)), 2**64, "x" * 1001],
    ids=["deep", "wide", "hashed again and again", "long", "compared again and again"],
)
def test_a_key_that_may_take_forever_is_refused(tmp_path, protocol, key):
    data = pickle.dumps(key, protocol)[:-1]
    for whole in (b"}" + data + b"Ns.", b"}(" + data + b"Nu.", b"(" + data + b"Nd."):
        with pytest.raises(UserError, match="it has a key that may take forever"):
            authors.read(write(tmp_path, whole))


def test_many_keys_of_equal_hashes_are_refused(tmp_path):
    keys = {number * (2**31 - 1): None for number in range(1001)}
    with pytest.raises(UserError, match="or many that are not texts"):
        authors.read(write(tmp_path, pickle.dumps(keys)))


def test_an_opcode_that_hides_a_costly_key_is_refused(tmp_path):
    """pickletools lists the arguments of OBJ in another order than they have on the stack."""
    costly = b"X\x01\0\0\0a)" + b"2\x86" * 60
    data = b"\x80\x02" + costly + b"(cnumpy\ndtype\no0q\0}h\0K\x01s."
    with pytest.raises(UserError, match="an opcode that arrays do not use"):
        authors.read(write(tmp_path, data))


def test_values_that_multiply_in_json_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pickled, "MAX_VALUES", 10_000)
    array = records()
    array["hparams"][0] = {"zz": ["x" * 10_000] * 200}
    with pytest.raises(UserError, match="more than 10,000 values"):
        authors.read(write(tmp_path, pickle.dumps(array)))
    nested = {}
    for _ in range(6):
        nested = {"x" * 1000: nested}
    array["hparams"][0] = nested
    with pytest.raises(UserError, match="nests more than 5 dictionaries"):
        authors.read(write(tmp_path, pickle.dumps(array)))


def test_the_name_of_a_file_may_be_any_bytes(tmp_path):
    (tmp_path / os.fsdecode(b"fig\xff.p")).write_bytes(pickle.dumps(records()))
    with open(tmp_path / "a.parquet", "wb") as file:
        published.write(authors.read(tmp_path), file)
    assert published.read(tmp_path / "a.parquet").study[0].startswith(r"published/fig\udcff/")


def test_a_set_is_refused(tmp_path):
    for protocol in (4, pickle.HIGHEST_PROTOCOL):
        for value in ({1}, frozenset({1})):
            with pytest.raises(UserError, match="it holds a set"):
                authors.read(write(tmp_path, pickle.dumps(as_value(value), protocol)))


def test_a_memo_index_that_would_fill_the_memory_is_refused(tmp_path):
    data = b"]r\xff\xff\xff\x7f."
    with pytest.raises(UserError, match=r"it has the memo index 2,147,483,647 too early"):
        authors.read(write(tmp_path, data))


def test_a_list_within_itself_and_one_that_is_too_deep_are_refused(tmp_path):
    endless = []
    endless.append(endless)
    with pytest.raises(UserError, match="cannot be unpickled"):
        authors.read(write(tmp_path, pickle.dumps(as_value(endless))))
    deep = b"(" * 200_000 + b"l" * 200_000 + b"."
    with pytest.raises(UserError, match="it holds no array"):
        authors.read(write(tmp_path, deep))


def test_numbers_of_all_plain_kinds_come_back(tmp_path):
    values = [np.float32(0.5), np.int64(-3), np.bool_(True), np.str_("abc"), np.bytes_(b"d"), b""]
    values += [np.arange(3, dtype=">i4"), np.array(2.5), [({"x": np.int64(3)},)]]
    expected = [0.5, -3, True, "abc", "d", "", [0, 1, 2], [2.5], [[{"x": 3}]]]
    for protocol in range(pickle.HIGHEST_PROTOCOL):
        array = np.empty(len(values), [("value", object)])
        array["value"][:] = values
        folder = write(tmp_path, pickle.dumps(array, protocol=protocol))
        assert list(pickled.records(folder / "a.p", ["value"])) == [[each] for each in expected]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("hparams", {"lr_init": float("nan"), "l2": math.inf, 3: 4}),
        ("eval_loss", np.inf),
        ("num_params", 0),
        ("max_params", 1),
    ],
)
def test_odd_values_are_data(tmp_path, column, value):
    array = records()
    array[column][:] = value
    (tmp_path / "fig.p").write_bytes(pickle.dumps(array))
    found = authors.read(tmp_path)
    assert len(found) == len(array)
    if column == "hparams":
        assert json.loads(found.hparams[0]) == {"lr_init": "nan", "l2": "inf", "3": 4}


@pytest.mark.parametrize("column", ["n_layers", "hyper_iter", "max_params", "num_params"])
@pytest.mark.parametrize("value", [10**400, -1, 2**53], ids=["huge", "negative", "large"])
def test_counts_that_no_table_holds_are_refused(tmp_path, column, value):
    array = records().astype([(name, object) for name, _ in TYPES])
    array[column][2] = value
    (tmp_path / "fig.p").write_bytes(pickle.dumps(array))
    with pytest.raises(UserError, match=f"record 2: .*{column}.* are not all from 0 to 2"):
        authors.read(tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("hparams", {"train_steps": 10**400}, "train_steps is not from 0 to 2"),
        ("hparams", {"nonlinearity": "\ud800"}, "half a character"),
        ("eval_loss", 1e308, r"a loss of 1e\+308, which float32 cannot hold"),
    ],
    ids=["steps", "surrogate", "loss"],
)
def test_values_that_no_report_can_show_are_refused(tmp_path, column, value, message):
    array = records().astype([(name, object) for name, _ in TYPES])
    array[column][2] = value
    (tmp_path / "fig.p").write_bytes(pickle.dumps(array))
    with pytest.raises(UserError, match=f"record 2: .*{message}"):
        authors.read(tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cannot be unpickled"),
        (pickle.dumps(records())[:200], "cannot be unpickled"),
        (pickle.dumps({"a": 1}), "it holds no array"),
        (pickle.dumps(records()[["hparams", "n_layers"]]), "it has no column architecture"),
    ],
    ids=["empty", "cut", "dict", "columns"],
)
def test_a_damaged_or_other_file_is_one_line(tmp_path, data, message):
    (tmp_path / "fig.p").write_bytes(data)
    with pytest.raises(UserError, match=message):
        authors.read(tmp_path)


@pytest.mark.parametrize(("column", "value"), [("architecture", "qrnn"), ("task_type", "copy")])
def test_an_unknown_name_is_refused_with_the_choices(tmp_path, column, value):
    array = records()
    array[column][2] = value
    (tmp_path / "fig.p").write_bytes(pickle.dumps(array))
    with pytest.raises(UserError, match=f"record 2: unknown {column} '{value}'; choose from"):
        authors.read(tmp_path)


def test_no_files_say_where_to_get_them(tmp_path):
    with pytest.raises(UserError, match="none of the authors' files"):
        authors.read(tmp_path)


@pytest.fixture
def convert():
    """The command in this process; takes its flags."""
    flags = convert_published.FLAGS

    def run(*arguments):
        flags(["convert_published", *arguments])
        convert_published.main()

    yield run
    flags.unparse_flags()
    for name in ("published", "out"):
        flags[name].unparse()


def test_the_report_reads_what_the_command_writes(convert, directory, tmp_path, capsys):
    out = tmp_path / "published.parquet"
    convert(f"--published={directory}", f"--out={out}")
    assert f"{out}: 5 trials; python -m tuning.report --published={out}" in capsys.readouterr().out
    pd.testing.assert_frame_equal(published.read(out), authors.read(directory))


def test_a_changed_value_is_refused(directory, tmp_path):
    """Also in a column's few different values, whose pages Parquet does not check."""
    found = authors.read(directory)
    with open(tmp_path / "a.parquet", "wb") as file:
        published.write(found, file)
    content = (tmp_path / "a.parquet").read_bytes()
    read = []
    for seed in range(60):
        rng, changed = random.Random(seed), bytearray(content)
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        (tmp_path / "b.parquet").write_bytes(changed)
        try:
            read.append(published.read(tmp_path / "b.parquet"))
        except UserError:
            continue
    assert 0 < len(read) < 60
    for each in read:
        pd.testing.assert_frame_equal(each, found)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("hparams", "{", "Expecting property name"),
        ("hparams", "[]", "hparams is"),
        ("held", "{}", "held is"),
        ("curve", "x", "Expecting value"),
        ("curve", "[1e400]", "a finite number"),
        ("hparams", '{"lr_init": 1e400}', "Out of range float"),
        ("held", "[[1]]", "held is .*a str"),
        ("lengths", "[{}]", "lengths is"),
        ("setting", "[" * 10**5, "recursion"),
        ("run", None, "run has a value that is not text"),
        ("eval_loss", 1e308, "eval_loss has a value that float32 cannot hold"),
        ("task", "../memory", "not a name of a task"),
    ],
)
def test_values_that_cannot_be_are_refused(column, value, reason, directory, tmp_path):
    found = authors.read(directory).astype({column: object})
    found[column] = value
    with open(tmp_path / "a.parquet", "wb") as file:
        published.write(found, file)
    with pytest.raises(UserError, match=f"does not hold the authors' trials.*{reason}"):
        published.read(tmp_path / "a.parquet")


def test_a_table_of_many_rows_is_refused_before_it_is_read(tmp_path):
    """Nulls take no space in a file."""
    rows = pd.DataFrame({name: [None] * 500_001 for name in ("run", "task")})
    rows.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match="it has more than 500,000 rows"):
        published.read(tmp_path / "a.parquet")


def test_another_file_is_refused_with_the_command(tmp_path):
    (tmp_path / "a.parquet").write_bytes(pickle.dumps(records()))
    with pytest.raises(UserError, match=r"as Parquet: .*convert the authors' files with python -m"):
        published.read(tmp_path / "a.parquet")
    pd.DataFrame({"run": ["a"]}).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(UserError, match=r"has no column study, .*convert_published"):
        published.read(tmp_path / "b.parquet")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out=x"], "--published is missing: the directory of the authors'"),
        (["--published=."], "--out is missing: the Parquet file to write"),
        (["--published=nowhere", "--out=x"], "--published is not a directory: nowhere"),
    ],
)
def test_a_wrong_flag_is_refused(convert, flags, message):
    with pytest.raises(UserError, match=message):
        convert(*flags)
