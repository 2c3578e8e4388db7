"""The download of the text8 corpus, from a real server on the loopback."""

import contextlib
import http.server
import signal
import socket
import stat
import threading
import time

import numpy as np
import pooch  # noqa: F401 - its logger keeps the sys.stderr of its import
import pytest
from corpora import TEXT, finish, refused, sha256, start, written, zipped
from loopback import listening

from trainer.tasks import corpus

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

    with listening(Handler) as url:
        yield f"{url}/dc/text8.zip", requests


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
    """Put text8 at a URL, where ARCHIVE with TEXT is expected unless the test says otherwise."""
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


def test_a_download_without_end_is_ended(home, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "MAX_DOWNLOAD", 5000)
    with serving(sends(b"a" * 50_000)) as (url, _):
        home(url)
        message = refused(cache_dir=tmp_path)
    assert "it has more than 5,000 bytes" in message and cached(tmp_path) == []


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
