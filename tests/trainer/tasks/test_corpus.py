"""The text8 corpus: real files, a real server on the loopback, a slow filter in plain Python."""

import argparse
import contextlib
import copy
import gzip
import hashlib
import http.server
import io
import os
import random
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pooch  # noqa: F401 - its logger keeps the sys.stderr of its import
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.errors import UserError
from trainer.tasks import corpus

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "data" / "text8_first_6800000.gz"
TEXT = b" anarchism originated as a term of abuse " * 50  # 2,050 characters


def refused(*arguments, **options):
    """The message of the one-line UserError that `corpus.load` raises."""
    with pytest.raises(UserError) as caught:
        corpus.load(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def written(path, data):
    path.write_bytes(data)
    return path


def zipped(*members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def start(code, **environment):
    """Starts `code` in a process where `corpus` is loaded alone: without its package, or Keras."""
    script = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('corpus', {corpus.__file__!r})\n"
        "corpus = sys.modules['corpus'] = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(corpus)\n" + code
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", script], env=environment, **pipes)


def finish(process):
    """Its standard output and error."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.strip(), err


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
    assert "Is a directory" in refused(tmp_path)


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


# The download.


ARCHIVE = zipped(("text8", TEXT))


@contextlib.contextmanager
def serving(answer):
    """A server on 127.0.0.1; `answer(handler)` writes each response. Yields (URL, requests)."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            answer(self)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/dc/text8.zip", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sends(data, length=None):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(length or len(data)))
        handler.end_headers()
        handler.wfile.write(data)
        handler.wfile.flush()

    return answer


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def download_of(url, text=TEXT):
    return corpus.Download(url, sha256(ARCHIVE), sha256(text))


@pytest.fixture
def home(monkeypatch):
    """Puts text8 at a URL, where ARCHIVE with TEXT is expected unless the test says otherwise."""
    return lambda *args, **kw: monkeypatch.setattr(corpus, "TEXT8", download_of(*args, **kw))


def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def names_the_ways_out(message):
    return "--text8_path=FILE" in message and "--text8_source=pydoc" in message


def cached(cache_dir):
    """The names of all files of the cache."""
    return [path.name for path in (cache_dir / "datasets").iterdir()]


def test_download_then_cache(home, tmp_path):
    with serving(sends(ARCHIVE)) as (url, requests):
        home(url)
        first = corpus.load(cache_dir=tmp_path)
        assert requests == ["/dc/text8.zip"]
    path = tmp_path / "datasets" / "text8.zip"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    second = corpus.load(cache_dir=tmp_path)  # the server is gone
    for read in (first, second):
        np.testing.assert_array_equal(read.codes, [corpus.SYMBOLS.index(chr(c)) for c in TEXT])
        assert read.describe() == {
            "name": "text8",
            "source": "download",
            "size": len(TEXT),
            "sha256": sha256(TEXT),
            "splits": "90/5/5 % of 2,050 characters; the full text8",
        }
    assert cached(tmp_path) == ["text8.zip"]
    assert path.read_bytes() == ARCHIVE


@pytest.mark.parametrize("variable", ["KERAS_HOME", "HOME"])
def test_default_cache(home, tmp_path, monkeypatch, variable):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    with serving(sends(ARCHIVE)) as (url, _):
        home(url)
        corpus.load()
    keras_home = tmp_path if variable == "KERAS_HOME" else tmp_path / ".keras"
    assert (keras_home / "datasets" / "text8.zip").read_bytes() == ARCHIVE


def test_a_damaged_cache_is_never_used(home, tmp_path):
    (tmp_path / "datasets").mkdir()
    path = written(tmp_path / "datasets" / "text8.zip", ARCHIVE[:-1])
    home(f"http://127.0.0.1:{closed_port()}/dc/text8.zip")
    assert names_the_ways_out(refused(cache_dir=tmp_path))
    with serving(sends(ARCHIVE)) as (url, requests):
        home(url)
        assert corpus.load(cache_dir=tmp_path).sha256 == sha256(TEXT)
        assert len(requests) == 1
    assert path.read_bytes() == ARCHIVE


def test_another_hash(home, tmp_path):
    other = zipped(("text8", TEXT[::-1]))
    with serving(sends(other)) as (url, _):
        home(url)
        message = refused(cache_dir=tmp_path)
    assert "does not match the known hash" in message and names_the_ways_out(message)
    assert sha256(other) in message and sha256(ARCHIVE) in message
    assert cached(tmp_path) == []


def test_another_hash_of_the_unpacked_text(home, tmp_path):
    with serving(sends(ARCHIVE)) as (url, _):
        home(url, text=TEXT[::-1])
        message = refused(cache_dir=tmp_path)
    assert f"the text has SHA-256 {sha256(TEXT)}, expected {sha256(TEXT[::-1])}" in message


def test_no_network(home, tmp_path):
    url = f"http://127.0.0.1:{closed_port()}/dc/text8.zip"
    home(url)
    message = refused(cache_dir=tmp_path)
    assert f"text8 from {url} cannot be downloaded to {tmp_path}/datasets: " in message
    assert "Connection refused" in message and names_the_ways_out(message)
    assert cached(tmp_path) == []


def test_page_not_found(home, tmp_path):
    with serving(lambda handler: handler.send_error(404)) as (url, _):
        home(url)
        message = refused(cache_dir=tmp_path)
    assert "404" in message and names_the_ways_out(message)


def test_connection_lost_halfway(home, tmp_path):
    with serving(sends(ARCHIVE[:100], length=len(ARCHIVE))) as (url, _):
        home(url)
        message = refused(cache_dir=tmp_path)
    assert "100 bytes read" in message and names_the_ways_out(message)
    assert cached(tmp_path) == []


def test_silent_server(home, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "TIMEOUT", 0.2)
    done = threading.Event()
    with serving(lambda handler: done.wait(30)) as (url, _):
        home(url)
        begun = time.monotonic()
        message = refused(cache_dir=tmp_path)
        assert time.monotonic() - begun < 20
        done.set()
    assert "timed out" in message and names_the_ways_out(message)


def test_cache_that_cannot_be_written(home, tmp_path):
    home("http://127.0.0.1:9/dc/text8.zip")
    message = refused(cache_dir=written(tmp_path / "file", b"") / "below")
    assert "Not a directory" in message and names_the_ways_out(message)


def starts_download(url, cache_dir):
    code = f"corpus.TEXT8 = corpus.{download_of(url)}\n"
    return start(f"{code}print(corpus.load(cache_dir={str(cache_dir)!r}).sha256)")


def test_processes_that_download_at_once(tmp_path):
    """Each returns the whole text. No request is answered before all have been sent."""
    together = threading.Barrier(3)

    def answer(handler):
        together.wait(60)
        sends(ARCHIVE)(handler)

    with serving(answer) as (url, requests):
        processes = [starts_download(url, tmp_path) for _ in range(3)]
        for out, err in map(finish, processes):
            assert out == sha256(TEXT)
            assert err.count("\n") == 1 and url in err and str(tmp_path) in err
    assert len(requests) == 3
    assert cached(tmp_path) == ["text8.zip"]


def test_a_killed_download_leaves_no_archive(home, tmp_path):
    halfway, done = threading.Event(), threading.Event()

    def answer(handler):
        sends(ARCHIVE[:100], length=len(ARCHIVE))(handler)
        halfway.set()
        done.wait(60)

    with serving(answer) as (url, _):
        process = starts_download(url, tmp_path)
        assert halfway.wait(60)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        done.set()
    assert "text8.zip" not in cached(tmp_path)
    with serving(sends(ARCHIVE)) as (url, _):
        home(url)
        assert corpus.load(cache_dir=tmp_path).sha256 == sha256(TEXT)


def test_the_published_numbers():
    assert (
        corpus.Download(
            "http://mattmahoney.net/dc/text8.zip",
            "a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
            "6e890197040d37d85beb962ae1f041ff1d9a9ca8d20c7d99c85027eebf51dca7",
        )
        == corpus.TEXT8
    )


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
