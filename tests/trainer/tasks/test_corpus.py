"""The text8 corpus: real files, and a slow filter in plain Python."""

import argparse
import copy
import gzip
import os
import random
import shlex
import shutil
import subprocess
import sys
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from corpora import TEXT, finish, refused, sha256, start, written, zipped
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import ROOT

from trainer.errors import UserError
from trainer.storage import files
from trainer.tasks import corpus

SHARED = ROOT.parent / "shared" / "data" / "text8_first_6800000.gz"


# The filter.


def slow_filter(text):
    """Mahoney's rules, one character at a time."""
    digits = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    spelled = ""
    for character in text:
        if character in "0123456789":
            spelled += " " + digits[int(character)] + " "
        elif character in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
            spelled += chr(ord(character) + 32)
        elif character in "abcdefghijklmnopqrstuvwxyz":
            spelled += character
        else:
            spelled += " "
    result = ""
    for character in spelled:
        if character != " " or not result.endswith(" "):
            result += character
    return result.encode()


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Pi: 3.14", b"pi three one four "),
        ("", b""),
        ("007", b" zero zero seven "),
        ("naïve \u212aelvin \u0130 \u0663 ½\n", b"na ve elvin "),
    ],
)
def test_filter_by_hand(text, expected):
    assert corpus.mahoney_filter(text) == expected == slow_filter(text)


def test_filter_equals_the_slow_one_on_random_unicode():
    ranges = [(0, 128), (32, 127), (48, 58), (65, 91), (97, 123), (0, 0x250), (0, 0x110000)]
    for seed in range(20):
        draw = random.Random(seed)
        text = "".join(chr(draw.randrange(*draw.choice(ranges))) for _ in range(1000))
        expected = slow_filter(text)
        assert corpus.mahoney_filter(text) == expected
        assert corpus.mahoney_filter(text.encode("utf-8", "surrogatepass")) == expected
        assert corpus.mahoney_filter(expected) == expected
        assert set(expected.decode()) <= set(corpus.SYMBOLS)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_filter_of_any_text_is_the_slow_one(text):
    assert corpus.mahoney_filter(text) == slow_filter(text)


# Files.


def test_plain_file(tmp_path):
    text = "the quick brown fox jumps over the lazy dog " * 30
    read = corpus.load(written(tmp_path / "fox.txt", text.encode()))
    assert read.codes.dtype == np.uint8
    assert read.codes.tolist() == [corpus.SYMBOLS.index(character) for character in text]
    assert corpus.SYMBOLS[0] == " " and corpus.SYMBOLS[26] == "z"
    assert read.size == len(text)
    assert read.describe() == {
        "name": "fox.txt",
        "source": "path",
        "size": 1320,
        "sha256": sha256(text.encode()),
        "splits": "90/5/5 % of 1,320 characters; not the full text8",
    }


@pytest.mark.parametrize(
    "name, data",
    [
        ("TEXT8.GZ", gzip.compress(TEXT[:999], mtime=0) + gzip.compress(TEXT[999:])),
        ("text8.zip", zipped(("folder/", b""), ("folder/text", TEXT))),
        ("text8.zip", zipped(("readme", b"no"), ("text8", TEXT), ("text9", b"no"))),
        ("zip called.gz", zipped(("text8", TEXT))),
        ("gzip without a suffix", gzip.compress(TEXT, mtime=0)),
    ],
)
def test_packed_files_equal_the_plain_one(tmp_path, name, data):
    plain = corpus.load(written(tmp_path / "text8", TEXT))
    packed = corpus.load(str(written(tmp_path / name, data)))
    np.testing.assert_array_equal(packed.codes, plain.codes)
    assert packed.sha256 == plain.sha256 == sha256(TEXT)
    assert packed.name == name


def test_home_directory_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path / "mine", TEXT)
    assert corpus.load("~/mine").name == "mine"


def test_splits():
    for size in [*range(1020, 1060), 6_800_000]:
        splits = corpus.Corpus(np.zeros(size, np.uint8), "", "path", "").splits
        assert list(splits) == ["train", "valid", "eval"]
        assert splits["train"][0] == 0 and splits["eval"][1] == size
        assert splits["train"][1] == splits["valid"][0] and splits["valid"][1] == splits["eval"][0]
        for name, percent in [("train", 90), ("valid", 5), ("eval", 5)]:
            assert abs(splits[name][1] - splits[name][0] - size * percent / 100) < 1


def test_a_hundred_million_characters(tmp_path):
    """The usual splits, and memory for the text and its codes only."""
    path = written(tmp_path / "long", TEXT[:1000] * 100_000)
    tracemalloc.start()
    try:
        read = corpus.load(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    path.unlink()
    assert peak < 250e6
    assert read.splits == {
        "train": (0, 90_000_000),
        "valid": (90_000_000, 95_000_000),
        "eval": (95_000_000, 100_000_000),
    }
    assert read.describe()["splits"] == "90/5/5 % of 100,000,000 characters; not the full text8"


def test_first_characters_of_the_real_text8():
    if not SHARED.exists():
        pytest.skip(f"{SHARED} is absent; the tests on small texts cover the same code")
    read = corpus.load(SHARED)
    assert read.size == 6_800_000
    assert read.sha256 == "88fe6c55543eb636352d9f6482efa3c35433743fceb51f460f0337da4310d940"
    assert "".join(corpus.SYMBOLS[code] for code in read.codes[:21]) == " anarchism originated"


def test_neither_keras_nor_tensorflow_is_imported(tmp_path):
    path = written(tmp_path / "text8", TEXT)
    heavy = "{'keras', 'tensorflow', 'jax', 'torch', 'pooch'}"
    code = f"corpus.load({str(path)!r}); print(sorted({heavy} & set(sys.modules)))"
    assert finish(start(code))[0] == "[]"


# Files that are refused.


def test_a_file_that_cannot_be_read(tmp_path):
    message = refused(tmp_path / "absent")
    assert f"--text8_path={tmp_path}/absent" in message and "No such file" in message
    assert "--text8_source=pydoc" in message
    assert "No such file" in refused("")
    assert "it is not a regular file" in refused(tmp_path)
    assert "null byte" in refused("a\0b")


def test_an_empty_file(tmp_path):
    for name in ("text8", "text8.gz", "text8.zip"):
        assert f"--text8_path={tmp_path}/{name} is empty" in refused(written(tmp_path / name, b""))
    assert "is empty" in refused(written(tmp_path / "text8.gz", gzip.compress(b"", mtime=0)))
    assert "is empty" in refused(written(tmp_path / "text8.zip", zipped(("text8", b""))))


PACKED = {"gzip": gzip.compress(TEXT, mtime=0), "zip": zipped(("text8", TEXT))}


@pytest.mark.parametrize("kind, suffix", [("gzip", ".gz"), ("zip", ".zip")])
def test_truncated_archives(tmp_path, kind, suffix):
    for size in range(1, len(PACKED[kind])):
        path = written(tmp_path / f"text8{suffix}", PACKED[kind][:size])
        assert f"is not a whole {kind} file" in refused(path), size


@pytest.mark.parametrize("kind, suffix", [("gzip", ".gz"), ("zip", ".zip")])
def test_a_damaged_byte_is_noticed_or_harmless(tmp_path, kind, suffix):
    noticed = 0
    for offset in range(len(PACKED[kind])):
        for flip in (1, 0x80, 0xFF):
            damaged = bytearray(PACKED[kind])
            damaged[offset] ^= flip
            try:
                read = corpus.load(written(tmp_path / f"text8{suffix}", damaged))
                assert read.sha256 == sha256(TEXT)
            except UserError:
                noticed += 1
    assert noticed > len(PACKED[kind])


def test_an_archive_that_is_something_else(tmp_path):
    for name in ("text8.gz", "text8.zip", "text8.GZ"):
        path = written(tmp_path / name, b"<html>404 not found</html>")
        assert "is not a whole" in refused(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_of_a_method_without_limits_is_refused(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "text8.zip", "w", method) as archive:
        archive.writestr("text8", "abc " * 1000)
    assert "is not packed by deflate" in refused(tmp_path / "text8.zip")


def test_a_small_archive_of_a_huge_text(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "MAX_BYTES", 10_000)
    monkeypatch.setattr(files, "MAX_BYTES", 10_000)
    huge = b"a" * 10_001
    for name, data in (("a.gz", gzip.compress(huge)), ("a.zip", zipped(("text8", huge)))):
        assert len(data) < 1000
        assert "unpacks to more than 10,000 bytes" in refused(written(tmp_path / name, data))
    assert "File too large" in refused(written(tmp_path / "a", huge))
    assert corpus.load(written(tmp_path / "b.gz", gzip.compress(huge[1:]))).size == 10_000


def test_a_pipe_is_refused_rather_than_awaited(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "it is not a regular file" in refused(tmp_path / "pipe")


def test_zip_without_the_one_member(tmp_path):
    for number, members in [(0, []), (2, [("a", TEXT), ("b", TEXT)]), (0, [("folder/", b"")])]:
        message = refused(written(tmp_path / "text8.zip", zipped(*members)))
        assert f"holds {number} files, expected one, or one named text8" in message


@pytest.mark.parametrize("window", [1, 51, 201])
def test_too_few_characters(tmp_path, window):
    def shortest(size):
        first, second = size * 90 // 100, size * 95 // 100
        return min(second - first, size - second)

    path = tmp_path / "short"
    for size in range(max(1, 20 * window - 39), 20 * window + 1):
        if shortest(size) < window:
            message = refused(written(path, b"a" * size), window=window)
            assert f"{size:,} characters are too few" in message
            assert f"give at least {20 * window:,} characters" in message
    read = corpus.load(written(path, b"a" * (20 * window)), window=window)
    assert all(stop - start >= window for start, stop in read.splits.values())


def test_every_other_byte_is_foreign(tmp_path):
    for byte in [*range(32), *range(33, 97), *range(123, 256)]:
        path = written(tmp_path / "foreign", TEXT[:1777] + bytes([byte]) + TEXT + b"\x00")
        assert f"byte 0x{byte:02x} at offset 1,777 is none of the 27 symbols" in refused(path)
    assert "byte 0x41 at offset 0 is" in refused(written(tmp_path / "a", b"A" + TEXT))
    assert "byte 0x2e at offset 2,050 is" in refused(written(tmp_path / "b", TEXT + b"."))


def test_final_newline_is_named(tmp_path):
    message = refused(written(tmp_path / "text8", TEXT + b"\n"))
    assert "byte 0x0a at offset 2,050 (the only one, a final newline)" in message
    assert "final newline" not in refused(written(tmp_path / "text8", TEXT + b"\n\n"))


@pytest.mark.parametrize("name", ["it's text.txt", "text8.gz", "text8.zip"])
def test_the_filter_command_of_the_message_works(tmp_path, name):
    text = b"Anarchism, originated in 1840!\n" * 100
    packed = {".gz": gzip.compress(text, mtime=0), ".zip": zipped(("text8", text))}
    data = packed.get(os.path.splitext(name)[1], text)
    _, command = refused(written(tmp_path / name, data)).split("give that: ")
    if shutil.which(command.split()[0]) is None:
        pytest.skip(f"{command.split()[0]} is not installed")
    command = command.replace("python -c", f"{shlex.quote(sys.executable)} -c")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, shell=True, cwd=tmp_path, env=environment, check=True)
    filtered = corpus.load(tmp_path / "filtered_text8")
    assert filtered.sha256 == sha256(slow_filter(text.decode()))


def test_sources_that_are_refused(tmp_path):
    assert "--text8_source='wikipedia' is unknown: choose pydoc" in refused(source="wikipedia")
    assert "is unknown" in refused(source="")
    message = refused(written(tmp_path / "text8", TEXT), source="pydoc")
    assert f"--text8_path={tmp_path}/text8 and --text8_source=pydoc exclude each other" in message


# Python's documentation.


@pytest.mark.slow
def test_pydoc_is_the_same_in_every_process(tmp_path):
    """Even in a process with Keras, which rewrites some docstrings."""
    import keras

    assert keras.__version__
    copy.copy(argparse.Namespace())  # the first copy leaves a __slotnames__ in the class
    code = "read = corpus.load(source='pydoc'); print(read.sha256, *set(sys.modules) & {'keras'})"
    first = start(code, PYTHONHASHSEED="1", HOME=str(tmp_path))
    second = start(code, PYTHONHASHSEED="2", COLUMNS="40", LC_ALL="C", TZ="Asia/Tokyo")
    begun = time.process_time()
    here = corpus.load(source="pydoc")
    assert time.process_time() - begun < 10
    assert finish(first)[0] == finish(second)[0] == here.sha256
    assert here.size >= 1_000_000
    assert here.describe() == {
        "name": "pydoc",
        "source": "pydoc",
        "size": here.size,
        "sha256": here.sha256,
        "splits": f"90/5/5 % of {here.size:,} characters; not the full text8",
    }
    text = "".join(corpus.SYMBOLS[code] for code in here.codes)
    assert slow_filter(text[:100_000]).decode() == text[:100_000]
    assert text.encode() == corpus.mahoney_filter(text)
    assert "this module is an optparse inspired command line parsing library that" in text
    assert "the with statement is used to wrap the execution of a block" in text
    assert " inherited from " not in text
    assert slow_filter(os.path.dirname(os.__file__)).decode() not in text
