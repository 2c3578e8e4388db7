"""JSON files: alterations are found, and other shapes are named by field and value."""

import dataclasses
import json
import math
import os
import random
import typing
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import pytest
import records

from rnn_zoo.json_types import Count, FileName, Size, reader
from trainer import UserError
from trainer.storage import json_files
from trainer.storage.json_files import Damaged
from trainer.storage.records import Measurement, RunDirectory, RunRecord


class Point(NamedTuple):
    name: FileName
    size: Size = 1


class Open(TypedDict):
    points: list[Point]
    narrow: Annotated[str, Literal["a", "b"]]
    more: NotRequired[dict[str, float]]


WRONG = [
    (int, True, "it must be an int, got True"),
    (int, 2**63, "it must be an int, got 9223372036854775808"),
    (float, "1", "it must be a finite number, got '1'"),
    (float, float("inf"), "it must be a finite number, got inf"),
    pytest.param(float, 10**400, "it must be a finite number, got 1000", id="huge"),
    (bool, 0, "it must be true or false, got 0"),
    (Count, -1, "it must be an int of at least 0, got -1"),
    (Size, 0, "it must be an int of at least 1, got 0"),
    (int | None, "x", "it must be an int or null, got 'x'"),
    (FileName | None, "", "it must be a file name without separators or null, got ''"),
    (Annotated[str, Size | None], "", "it must be an int of at least 1 or null, got ''"),
    (float | dict[str, float], [], r"it must be a finite number or a dict, got \[\]"),
    (list[list[int]], [[1], [2, None]], "1.1 must be an int, got None"),
    (dict[str, int], {"a": {}}, r"a must be an int, got \{\}"),
    (tuple[str, ...], "ab", "it must be a list, got 'ab'"),
    (Open, {"points": [], "narrow": "c"}, "narrow must be one of a, b, got 'c'"),
    (Open, {"points": [{"name": "../x"}], "narrow": "a"}, r"points.0.name must be a file name"),
    (Open, {"narrow": "a"}, "it has no points"),
    (Open, [], r"it must be a dict, got \[\]"),
    (Point, {"name": "x", "colour": 1}, "it has an unknown field 'colour'"),
    (RunRecord, {}, "it has no arch, backend, chance_loss"),
]


@pytest.mark.parametrize("kind, value, message", WRONG)
def test_another_shape_is_named_with_its_value(kind, value, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        reader(kind)(value)


def test_a_value_is_converted_to_its_type():
    value = {"points": [{"name": "x"}], "narrow": "b", "more": {"m": 1}, "other": [None]}
    assert reader(Open)(value) == value | {"points": [Point("x", 1)]}
    assert reader(tuple[str, ...])(["a", "b"]) == ("a", "b")
    assert reader(dict[str, Any])({"a": {"b": 1}}) == {"a": {"b": 1}}


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc", "a\0b"])
def test_a_name_leads_to_no_other_directory(name):
    with pytest.raises(ValueError, match="must be a file name"):
        reader(FileName)(name)
    assert reader(FileName)("..x") == "..x"


@pytest.mark.parametrize("indent", [None, 2])
def test_every_flipped_bit_and_every_cut_is_found_or_harmless(indent):
    values = {"run_id": "00001", "loss": 0.1234567, "names": ["a", "ü"], "nested": {"n": [1, -2]}}
    text = json_files.dumps(values, indent).encode()
    assert json.loads(text).keys() == {*values, "crc32"}
    kind = dict[str, Any]
    assert json_files.parse(text, kind, "here") == values
    damaged = 0
    for offset in range(8 * len(text)):
        flipped = bytearray(text)
        flipped[offset // 8] ^= 1 << offset % 8
        try:
            found = json_files.parse(bytes(flipped), kind, "here")
        except Damaged as error:
            damaged += 1
            assert str(error).startswith("here: ") and "\n" not in str(error)
        else:
            # A flip in the name of the checksum only switches it off.
            assert values.items() <= found.items()
    assert damaged > 0.85 * 8 * len(text)
    for length in range(len(text)):
        with pytest.raises(Damaged):
            json_files.parse(text[:length], kind, "here")


def test_the_checksum_is_of_the_text_and_may_be_missing():
    assert json_files.dumps({"a": 1}) == '{"a":1,"crc32":"a702fc6e"}'
    text = '{"a": 1, "crc32": "%s"}'  # as in files of older versions
    assert json_files.parse((text % "7aa88204").encode(), dict, "x") == {"a": 1}
    with pytest.raises(Damaged, match="to accept it, remove its crc32"):
        json_files.parse((text % "00000000").encode(), dict, "x")
    assert json_files.parse(b'{"a": 1}', dict, "x") == {"a": 1}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 10**6, b"1" * 5000, b"nul"])
def test_invalid_json_is_one_line(tmp_path, content):
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(Damaged, match=r"record\.json: it is not JSON") as error:
        RunDirectory(tmp_path).read_record()
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_lines_are_read_up_to_the_damaged_ones(tmp_path):
    rows = [{"step": 1, "train_loss": 2.0}, {"step": 2, "train_loss": 1.0, "valid_loss": 3}]
    path = tmp_path / "metrics.jsonl"
    json_files.write_lines(path, rows)
    assert json_files.read_lines(path, Measurement) == (rows, [])
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step": -1, "train_loss": 2}\n\n{"step": 3, "train_loss": 0}')
    found, problems = json_files.read_lines(path, Measurement)
    assert found == [*rows, {"step": 3, "train_loss": 0}]
    assert problems == [
        "line 3: step must be an int of at least 0, got -1",
        "line 5: it does not end in a newline",
    ]
    with pytest.raises(UserError, match=r"metrics\.jsonl is damaged: line 3: step must be"):
        RunDirectory(tmp_path).read_metrics("")


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"run_id": "../../x"},
            r"run_id must be a file name without separators, got '\.\./\.\./x'",
        ),
        ({"units": "many"}, "units must be an int, got 'many'"),
        ({"config": {"optimizer": "\x1b[31mred"}}, "config.optimizer must be a name of letters"),
        (
            {"hparams": {"task_options": {}, "activation": None, "optimizer": "a|b<script>"}},
            "hparams.optimizer must be a name of letters",
        ),
        ({"hparams": {"activation": None}}, "it has no task_options"),
        ({"metrics": {"eval": {"loss": None}}}, "metrics.eval.loss must be a finite number"),
        ({"curve": [1, [2]]}, r"curve.1 must be a finite number, got \[2\]"),
        ({"status": "done"}, "status must be one of ok, infeasible, interrupted, got 'done'"),
        ({"status": "infeasible"}, "its status is infeasible, and it has no infeasible_at"),
        ({"objective": 1.0, "eval_loss": None}, "it has an objective, and no eval_loss"),
        ({"metrics": {"eval": {"own": [1, [math.nan]]}}}, "metrics.eval must be of finite numbers"),
        ({"metrics": {"eval": {"accuracy": -1e308}}}, "metrics.eval must be of finite numbers"),
        ({"train_loss": 1e39}, r"train_loss must be a finite number or null, got 1e\+39"),
        (
            {"hparams": {"task_options": {}, "activation": None, "l2_decay": math.inf}},
            "hparams must",
        ),
        ({"config": {"own": [math.inf]}}, "config must be of finite numbers, got"),
        ({"objective": 1.0, "valid_loss": None}, "it has an objective, and no valid_loss"),
        ({"train_steps": 10**20}, "train_steps must be an int, got 1000000"),
    ],
)
def test_an_odd_record_is_one_line(tmp_path, change, message):
    values = dataclasses.asdict(records.record(objective=2.0)) | change
    (tmp_path / "record.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=rf"/record\.json: {message}") as error:
        RunDirectory(tmp_path).read_record()
    assert "\n" not in str(error.value)


def test_random_shapes_are_never_a_traceback(tmp_path):
    """Every value of a record is replaced by values of other types, at every depth."""
    draw = random.Random(5)
    whole = dataclasses.asdict(records.record(objective=2.0, metrics={"eval": {"loss": 2.0}}))
    others = (None, True, -1, 10**30, 1.5, "", "x" * 99, [], [[]], {}, {"": None})
    refused = 0
    for _ in range(300):
        values = json.loads(json.dumps(whole))
        place, name = values, draw.choice(list(values))
        while isinstance(place[name], dict) and place[name] and draw.random() < 0.5:
            place = place[name]
            name = draw.choice(list(place))
        place[name] = draw.choice(others)
        (tmp_path / "record.json").write_text(json.dumps(values))
        try:
            RunDirectory(tmp_path).read_record()
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 150


def test_a_pipe_or_a_directory_in_place_of_a_file_does_not_block(tmp_path):
    for name, make in (("pipe", os.mkfifo), ("directory", os.mkdir)):
        make(tmp_path / name)
        with pytest.raises(OSError, match="it is not a regular file"):
            json_files.read(tmp_path / name, dict)


def test_all_declared_types_can_be_read():
    for kind in typing.get_type_hints(RunRecord, include_extras=True).values():
        assert callable(reader(kind))


@pytest.mark.parametrize(
    "text, message",
    [
        ("1" * 400, "it is not JSON: it has a whole number of 400 digits"),
        ("[" * 700 + "]" * 700, "it is nested more than 100 levels deep"),
        ('{"a":' * 200 + "1" + "}" * 200, "it is nested more than 100 levels deep"),
        (r'["\ud800"]', "it has half a character"),
        (r'["\uDFFF x"]', "it has half a character"),
        ('{"a": {"rate": 1, "b": 2, "rate": 3}}', "it is not JSON: it has 'rate' twice"),
        ('{"a": 1, "a": 2, "crc32": null}', "it is not JSON: it has 'a' twice"),
        ('{"a": 1, "a": 2, "b": "crc32"}', "it is not JSON: it has 'a' twice"),
    ],
)
def test_values_that_cannot_be_computed_with_or_written_are_refused(text, message):
    with pytest.raises(Damaged, match=f"^here: {message}"):
        json_files.parse(text.encode(), Any, "here")


def test_a_short_text_does_not_become_a_large_value(monkeypatch):
    monkeypatch.setattr(json_files, "_MOST_LISTS", 100)
    with pytest.raises(Damaged, match=r"^here: it has more than 100 lists and dicts"):
        json_files.parse(b"[" + b"[]," * 100 + b"0]", Any, "here")


def test_a_large_text_is_not_parsed(tmp_path, monkeypatch):
    with open(tmp_path / "record.json", "wb") as file:
        file.truncate(2**30)
    with pytest.raises(OSError, match="File too large"):
        RunDirectory(tmp_path).read_record()
    (tmp_path / "lines").write_text(f"[]\n{'[1]':200}\n[]\n")
    monkeypatch.setattr(json_files, "_MOST_BYTES", 100)
    found = json_files.read_lines(tmp_path / "lines", Any)
    assert found == ([[], []], ["line 2: it has more than 100 bytes"])


def test_wide_values_and_rare_characters_are_read():
    values = [[["["]] * 500, "\N{SNAKE}", 10**18]
    assert json_files.parse(json.dumps(values).encode(), Any, "here") == values


@pytest.mark.parametrize("config", [{"precision": [1]}, {"task": []}, {"arch": {}}, {"preset": 7}])
def test_a_field_that_is_read_by_name_has_its_type(config):
    with pytest.raises(ValueError, match=f"^config.{min(config)} must be"):
        reader(RunRecord)(dataclasses.asdict(records.record()) | {"config": config})


def test_a_file_without_any_field_and_a_nul_are_refused():
    class Open(TypedDict, total=False):
        name: str

    for content in (b"{}", b'{"crc32": null}'):
        with pytest.raises(json_files.Damaged, match="here: it is empty"):
            json_files.parse(content, Open, "here")
    assert json_files.parse(b"{}", dict[str, str], "here") == {}
    for text, is_refused in {r"\u0000": True, r"\\u0000": False, r"\\\u0000": True}.items():
        content = b'{"name": "a%s"}' % text.encode()
        if is_refused:
            with pytest.raises(json_files.Damaged, match="here: it has a NUL character"):
                json_files.parse(content, Open, "here")
        else:
            assert json_files.parse(content, Open, "here") == {"name": r"a\u0000"}
