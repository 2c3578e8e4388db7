"""The characters that the text8 task trains on: read from a file, fetched, or built from pydoc."""

import contextlib
import gzip
import hashlib
import io
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass

import numpy as np

from trainer.errors import UserError

SYMBOLS = " abcdefghijklmnopqrstuvwxyz"
WAYS_OUT = (
    "give a file with --text8_path=FILE (plain, .gz or .zip), or build a small corpus from "
    "Python's own documentation with --text8_source=pydoc"
)
TIMEOUT = 30  # seconds without a byte, after which a server counts as out of reach

_FOREIGN = 255
_CODES = bytes(SYMBOLS.find(chr(byte)) % 256 for byte in range(256))  # -1 becomes _FOREIGN
_DIGITS = "zero one two three four five six seven eight nine".split()
_PRINTERS = {"plain": "cat", "gzip": "gzip -dc", "zip": "unzip -p"}


@dataclass(frozen=True)
class Home:
    """Where the corpus is fetched from, and the SHA-256 (hex) and size (bytes) it must have."""

    url: str
    zip_size: int
    zip_sha256: str
    size: int
    sha256: str


# The archive's size and digest are published in tensorflow/tensorflow (tensorflow/examples/
# tutorials/word2vec/word2vec_basic.py), its digest in d61h6k4/tensorflow-text8-input-data
# (Setup.hs); the unpacked digest in utndatasystems/compression-economics (research/papers/
# neurips_2026/README.md) and fmzbl/kaos (sisyphus/CONFIRMATION.md); all of them in
# TheCoolestElliot/text-snn (src/snn/data.py).
TEXT8 = Home(
    url="http://mattmahoney.net/dc/text8.zip",
    zip_size=31_344_016,
    zip_sha256="a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
    size=100_000_000,
    sha256="6e890197040d37d85beb962ae1f041ff1d9a9ca8d20c7d99c85027eebf51dca7",
)


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as codes: 0 for a space, 1 to 26 for a to z.

    Attributes:
        codes: (n,) uint8, read-only; `SYMBOLS[code]` is the character.
        name: the file's base name, "text8" or "pydoc".
        source: "path", "download" or "pydoc".
        sha256: of the unpacked bytes, in hex.
    """

    codes: np.ndarray
    name: str
    source: str
    sha256: str

    @property
    def size(self):
        """The number of characters, n."""
        return len(self.codes)

    @property
    def splits(self):
        """Maps train, valid and eval to (start, stop), 90/5/5 % of the text in this order.

        train = [0, ⌊0.9 n⌋), valid = [⌊0.9 n⌋, ⌊0.95 n⌋), eval = [⌊0.95 n⌋, n): of the 10⁸
        characters of text8 the customary 90 M, 5 M and 5 M.
        """
        first, second = self.size * 90 // 100, self.size * 95 // 100
        return {"train": (0, first), "valid": (first, second), "eval": (second, self.size)}

    def describe(self):
        """What a run's record says of its corpus, as a plain dict."""
        which = "the full text8" if self.sha256 == TEXT8.sha256 else "not the full text8"
        return {
            "name": self.name,
            "source": self.source,
            "size": self.size,
            "sha256": self.sha256,
            "splits": f"90/5/5 % of {self.size:,} characters; {which}",
        }


def load(path=None, source=None, window=51, cache_dir=None):
    """Reads, fetches or builds the corpus; none of the three ever stands in for another.

    Args:
        path: a file of the 27 symbols, plain, .gz or .zip (one member, or one named text8).
        source: None, for the real text8 from its home unless `path` is given, or "pydoc".
        window: the number of characters that each split must hold.
        cache_dir: what holds `datasets/text8.zip`; by default $KERAS_HOME, else ~/.keras.

    Returns:
        A Corpus.

    Raises:
        UserError: the source is unknown or given beside a path; the file is missing, empty,
            damaged, too short or holds another byte; text8 cannot be fetched, or is not text8.
    """
    if source not in (None, "pydoc"):
        raise UserError(f"--text8_source={source!r} is unknown: choose pydoc, or leave it out")
    if path is not None and source is not None:
        raise UserError(
            f"--text8_path={os.fspath(path)} and --text8_source={source} exclude each other: "
            "give one of them"
        )
    printer = "cat FILE"
    if path is not None:
        label, name, source = f"--text8_path={os.fspath(path)}", os.path.basename(path), "path"
        data, printer = _read(os.path.expanduser(path), label)
    elif source == "pydoc":
        label, name, data = "--text8_source=pydoc", "pydoc", _pydoc_text()
    else:
        label, name, source = f"text8 from {TEXT8.url}", "text8", "download"
        data = _download(label, cache_dir)
    codes = _encode(data, label, printer)
    corpus = Corpus(codes, name, source, hashlib.sha256(data).hexdigest())
    shortest = min(stop - start for start, stop in corpus.splits.values())
    if shortest < window:
        raise UserError(
            f"{label}: {corpus.size:,} characters are too few: the shortest of the 90/5/5 % splits "
            f"has {shortest:,}, a window takes {window:,}; give at least {20 * window:,} characters"
        )
    return corpus


def mahoney_filter(text):
    """Reduces any text to the 27 symbols, as Mahoney's script made text8 of Wikipedia.

    A to Z become a to z; each digit becomes its name between spaces; every run of other
    characters, letters beyond ASCII among them, becomes one space. For example,
    mahoney_filter("Pi: 3.14") is b"pi three one four ".

    Args:
        text: str, or bytes in UTF-8 or any other encoding that extends ASCII.

    Returns:
        bytes, never two spaces in a row.

    Source: M. Mahoney, About the test data, 2011, http://mattmahoney.net/dc/textdata.html.
    """
    data = text.encode("ascii", "replace") if isinstance(text, str) else text
    data = data.lower()
    for digit, word in enumerate(_DIGITS):
        data = data.replace(b"%d" % digit, b" %s " % word.encode())
    return re.sub(rb"[^a-z]+", b" ", data)


def _encode(data, label, printer):
    """Bytes to codes (n,); bytes.translate, as NumPy would make each index eight bytes wide."""
    if not data:
        raise UserError(f"{label} is empty; {WAYS_OUT}")
    codes = np.frombuffer(data.translate(_CODES), np.uint8)
    if codes.max() == _FOREIGN:
        offset = int(codes.argmax())
        only = " (the only one, a final newline)" * (data[offset:] == b"\n")
        raise UserError(
            f"{label}: byte 0x{data[offset]:02x} at offset {offset:,}{only} is none of the 27 "
            f"symbols, space and a to z; make a filtered copy and give that: {printer} | "
            'python -c "import sys, trainer.tasks.corpus as c; '
            'sys.stdout.buffer.write(c.mahoney_filter(sys.stdin.buffer.read()))" > filtered_text8'
        )
    return codes


def _read(path, label):
    """A user's file: its unpacked bytes, and the shell command that prints them."""
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except OSError as error:
        raise UserError(f"{label} cannot be read: {error.strerror}; {WAYS_OUT}") from error
    # The first bytes tell, which no text of the 27 symbols can have; without them, the name.
    if raw.startswith(b"\x1f\x8b"):
        kind = "gzip"
    elif raw.startswith((b"PK\3\4", b"PK\5\6")):
        kind = "zip"
    else:
        kind = {".gz": "gzip", ".zip": "zip"}.get(os.path.splitext(path)[1].lower(), "plain")
    return _unpack(raw, kind, label), f"{_PRINTERS[kind]} {shlex.quote(path)}"


def _unpack(raw, kind, label):
    if kind == "plain" or not raw:
        return raw
    try:
        if kind == "gzip":
            return gzip.decompress(raw)
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            chosen = [member for member in members if member.filename == "text8"] or members
            if len(chosen) == 1:
                return archive.read(chosen[0])
    except Exception as error:  # a damaged archive makes the decoders raise almost anything
        raise UserError(
            f"{label} is not a whole {kind} file ({_line(error)}): fetch it again, or {WAYS_OUT}"
        ) from error
    raise UserError(
        f"{label} holds {len(members)} files, where one, or one named text8, is expected: "
        "unpack it and give the file itself"
    )


def _download(label, cache_dir):
    """The text of TEXT8 from the cache, or from its home where no whole copy is cached."""
    base = os.path.expanduser(cache_dir or os.environ.get("KERAS_HOME") or "~/.keras")
    target = os.path.join(base, "datasets", "text8.zip")
    with contextlib.suppress(OSError):
        try:
            with open(target, "rb") as file:
                return _verified(file.read(), label)
        except ValueError:
            os.remove(target)
    import keras  # late: it takes seconds, and a cached copy does not need it

    print(f"Downloading {label} ({TEXT8.zip_size:,} bytes) to {target}", file=sys.stderr)
    progress = sys.stdout if sys.stdout.isatty() else io.StringIO()
    patience = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(TIMEOUT)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        # Beside the target and renamed when verified: no process ever sees, or keeps, half of it.
        with tempfile.TemporaryDirectory(".text8", dir=os.path.dirname(target)) as partial:
            with contextlib.redirect_stdout(progress):
                archive = keras.utils.get_file(
                    "text8.zip", TEXT8.url, cache_dir=partial, cache_subdir="."
                )
            with open(archive, "rb") as file:
                data = _verified(file.read(), label)
            os.replace(archive, target)
            return data
    except Exception as error:  # get_file raises a bare Exception where the network fails
        reason = _line(error.__context__ if type(error) is Exception else error)
        raise UserError(f"{label} cannot be fetched to {target}: {reason}; {WAYS_OUT}") from error
    finally:
        socket.setdefaulttimeout(patience)


def _verified(raw, label):
    """Unpacks the archive; ValueError if it or its text is not what TEXT8 says."""
    _expect(raw, "archive", TEXT8.zip_size, TEXT8.zip_sha256)
    data = _unpack(raw, "zip", label)
    _expect(data, "text", TEXT8.size, TEXT8.sha256)
    return data


def _expect(data, what, size, sha256):
    found = hashlib.sha256(data).hexdigest()
    if (len(data), found) != (size, sha256):
        raise ValueError(
            f"checksum mismatch, and nothing was kept: the {what} has {len(data):,} bytes and "
            f"sha256 {found}, not {size:,} bytes and sha256 {sha256}"
        )


def _line(error):
    return " ".join(str(error).split()) or type(error).__name__


def _pydoc_text():
    """Python's documentation, filtered, from a process in which nothing else is loaded."""
    script = os.path.join(os.path.dirname(__file__), "pydoc_text.py")
    printed = subprocess.run([sys.executable, "-I", script], check=True, stdout=subprocess.PIPE)
    return mahoney_filter(printed.stdout)
