"""The log of finished trials: each line is written in full or not at all."""

import contextlib
import dataclasses
import errno
import gzip
import json
import os
import pathlib
import shutil
import subprocess

import pytest
import records
from processes import python

from trainer import TrainConfig, UserError
from trainer.storage import json_files
from trainer.storage.differences import plain
from tuning.study import consistency
from tuning.study.log import TrialLog, num_lines, read, record_files


def record(run_id, objective=1.0):
    config = plain(dataclasses.asdict(TrainConfig("parens", "gru", num_params=300, train_steps=60)))
    return records.record(run_id, objective, config=config)


@pytest.fixture
def path(tmp_path):
    log = TrialLog(tmp_path / "trials.jsonl")
    for number in range(3):
        log.append(record(str(number), number / 3))
    return log.path


def test_records_are_read_back(path):
    log = TrialLog(path)
    assert log.problem is None
    assert list(log.records) == ["0", "1", "2"]
    assert log.records["1"] == record("1", 1 / 3)


def test_a_record_of_an_older_version_has_no_origin(path):
    old = json.loads(path.read_bytes().splitlines()[0])
    later = ("origin", "transferred_from", "held", "date", "host", "command", "commit", "crc32")
    for name in (*later, "peak_memory"):
        del old[name]
    path.write_text(json.dumps(old) + "\n")
    found, bad = read(path)
    assert not bad
    one = found["0"]
    assert (one.origin, one.transferred_from, one.held) == (None, None, [])


def test_a_log_names_no_machine_and_no_path(path):
    log = TrialLog(path)
    log.append(dataclasses.replace(record("3"), host="mine", command="python /home/me/a.py"))
    line = json.loads(path.read_text().splitlines()[-1])
    assert line["run_id"] == "3" and line["host"] is None and line["command"] is None
    assert log.records["3"].host == "mine"


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_truncated_line_is_dropped_and_kept_aside(path, cut):
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    log = TrialLog(path)
    # A last line without its newline may parse, but nothing may be appended to it.
    assert list(log.records) == (["0", "1", "2"] if cut == 1 else ["0", "1"])
    assert "trials.jsonl.damaged-1" in log.problem
    assert path.with_name("trials.jsonl.damaged-1").read_bytes() == content[:-cut]
    log.append(record("3"))
    assert TrialLog(path).problem is None
    assert set(TrialLog(path).records) == {*log.records, "3"}


def test_a_bad_line_in_the_middle_loses_only_itself(path):
    lines = path.read_bytes().splitlines(keepends=True)
    for bad in (b"{}\n", b"\x00\xff\n", b"[1]\n"):
        path.write_bytes(b"".join([lines[0], bad, lines[2]]))
        assert len(read(path)[1]) == 1 and "line 2" in read(path)[1][0]
        assert list(TrialLog(path).records) == ["0", "2"]
    assert len(list(path.parent.glob("*.damaged-*"))) == 3


def test_a_full_disk_leaves_the_file_unchanged(path, disk):
    home = disk("64k")
    path = pathlib.Path(shutil.copy(path, home))
    log = TrialLog(path)
    with contextlib.suppress(OSError), open(home / "filler", "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    before, long = path.read_bytes(), dataclasses.replace(record("3"), outside=["name"] * 1000)
    with pytest.raises(OSError, match="No space left"):
        log.append(long)
    assert "3" not in log.records and path.read_bytes() == before
    (home / "filler").unlink()
    log.append(long)
    assert list(TrialLog(path).records) == ["0", "1", "2", "3"]


def test_a_partial_write_is_undone(path, monkeypatch):
    """The disk fills up in the middle of a line."""
    before = path.read_bytes()
    log = TrialLog(path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left.*trials\.jsonl"):
        log.append(record("3"))
    assert path.read_bytes() == before


def test_a_failed_repair_keeps_the_log(path, monkeypatch):
    """The disk is full, or the process dies, before the repaired file is complete."""
    path.write_bytes(path.read_bytes()[:-30])
    rename = os.replace

    def die(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(OSError, match="No space left"):
        TrialLog(path)
    monkeypatch.setattr(os, "replace", rename)
    log = TrialLog(path)
    assert list(log.records) == ["0", "1"] and log.problem


def test_a_line_that_exceeds_a_size_limit_is_undone(path):
    """A limit on the file's size is reached in the middle of the line."""
    before = path.read_bytes()
    script = (
        "import resource, signal, sys\n"
        "from tuning.study.log import TrialLog\n"
        "log = TrialLog(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "size = int(sys.argv[2])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\n"
        "record = log.records['2']\n"
        "record.run_id = '3'\n"
        "try:\n"
        "    log.append(record)\n"
        "except OSError as error:\n"
        "    print(error.filename)\n"
    )
    done = python("-c", script, path, len(before) + 40, cwd=path.parent)
    assert done.stdout.strip() == str(path), done.stderr
    assert path.read_bytes() == before


@pytest.fixture
def packed(path):
    subprocess.run(["gzip", path], check=True)
    return path.with_name("trials.jsonl.gz")


def test_a_packed_log_is_read_like_any_other(path, packed):
    assert not path.exists()
    found, problems = read(path)
    assert found == {str(each): record(str(each), each / 3) for each in range(3)} and not problems
    assert num_lines(path.parent) == 3
    assert list(record_files(path.parent)) == [(path.parent, ["trials.jsonl"])]


def test_nothing_is_appended_to_a_packed_log(path, packed):
    before = packed.read_bytes()
    with pytest.raises(UserError, match=r"trials\.jsonl\.gz is packed, and .* gunzip first"):
        TrialLog(path)
    assert os.listdir(path.parent) == ["trials.jsonl.gz"] and packed.read_bytes() == before
    subprocess.run(["gunzip", packed], check=True)
    assert list(TrialLog(path).records) == ["0", "1", "2"]


def test_a_log_that_is_packed_and_not_is_refused(path, packed):
    shutil.copy(packed, path)
    for use in (read, TrialLog):
        with pytest.raises(UserError, match=r"trials\.jsonl and trials\.jsonl\.gz are both there"):
            use(path)
    assert num_lines(path.parent) is None


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda raw: b"", "it is empty"),
        (lambda raw: raw[:-3], "it is not a whole gzip file: "),
        (lambda raw: raw[: len(raw) // 2], "it is not a whole gzip file: "),
        (lambda raw: raw[:99] + b"!" + raw[100:], "it is not a whole gzip file: "),
        (lambda raw: b'{"run_id": "0"}\n', "it is not a whole gzip file: "),
        (lambda raw: raw + b"more", "it is not a whole gzip file: "),
    ],
)
def test_a_damaged_packed_log_is_one_line(path, packed, damage, reason):
    packed.write_bytes(damage(packed.read_bytes()))
    with pytest.raises(UserError, match=r"trials\.jsonl\.gz: ") as error:
        read(path)
    assert reason in str(error.value) and "\n" not in str(error.value)
    assert num_lines(path.parent) is None


def test_a_damaged_line_of_a_packed_log_is_said_with_its_file(path, packed):
    packed.write_bytes(gzip.compress(b"{}\n" + gzip.decompress(packed.read_bytes())))
    (problem,) = consistency.read_log(path).problems
    assert problem.startswith(f"{packed} has 1 damaged line, the first is line 1: ")


@pytest.mark.parametrize("line", [b"{\n", b"\n"])
def test_a_log_has_no_more_lines_than_a_study_has_trials(path, packed, line):
    packed.write_bytes(gzip.compress(200_001 * line))
    with pytest.raises(UserError, match=r"trials\.jsonl\.gz: it has more than 200,000 lines"):
        read(path)
    assert num_lines(path.parent) is None


def test_a_packed_log_may_not_unpack_to_anything(path, packed, monkeypatch):
    monkeypatch.setattr(json_files, "_MOST_BYTES", 50_000)
    packed.write_bytes(gzip.compress(bytes(50_001)))
    with pytest.raises(UserError, match=r"it unpacks to more than 50,000 bytes"):
        read(path)


@pytest.mark.parametrize("values", [{"status": "interrupted"}, {"status": "ok"}])
def test_a_trial_that_is_not_finished_is_damage(path, values):
    lines = [records.record("00000", 1.0), records.record("00001", None, **values)]
    path.write_text("".join(json.dumps(dataclasses.asdict(each)) + "\n" for each in lines))
    found, problems = read(path)
    assert [*found] == ["00000"] and problems == ["trial 00001 is not finished"]


def test_non_finite_numbers_are_refused(path):
    with pytest.raises(ValueError, match="JSON"):
        TrialLog(path).append(record("3", float("nan")))
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_what_cannot_be_read_is_named(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").touch()
    names = ("record.json", "trials.jsonl", "reruns.jsonl", "given.jsonl", "trials.jsonl.gz")
    for name in names:
        (tmp_path / "c" / name).mkdir(parents=True)
    scan = os.scandir

    def without_b(path):
        if os.fspath(path).endswith("/b"):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", without_b)
    problems = []
    assert list(record_files(tmp_path, problems)) == [(tmp_path / "a", ["record.json"])]
    assert sorted(problems) == [
        f"{tmp_path / 'b'}: Permission denied",
        *(f"{tmp_path / 'c' / name} is a directory" for name in sorted(names)),
    ]


def test_a_tree_that_is_too_deep_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(tmp_path)
    try:
        found = list(record_files(tmp_path))
    except UserError as error:  # before Python 3.12
        assert str(error) == f"{tmp_path} holds directories that are nested too deeply"
    else:
        assert not found
    finally:
        subprocess.run(["rm", "-r", tmp_path / "d"], check=True)
