"""The characters of the text8 task: read from a file, downloaded, or generated from pydoc."""

import gzip
import hashlib
import io
import os
import re
import shlex
import subprocess
import sys
import zipfile
from dataclasses import dataclass

import numpy as np

from trainer.errors import UserError
from trainer.storage.files import MAX_BYTES, read_bytes

SYMBOLS = " abcdefghijklmnopqrstuvwxyz"
WAYS_OUT = (
    "give a file with --text8_path=FILE (plain, .gz or .zip), or generate a small corpus from "
    "Python's own documentation with --text8_source=pydoc"
)
TIMEOUT = 30  # seconds without a byte after which a download fails
#: Maximum bytes of a download; text8.zip has 31 million.
MAX_DOWNLOAD = 10**8

#: Methods of zip files that unpack piece by piece; others unpack whole blocks, whatever the limit.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_FOREIGN = 255
_CODES = bytes(SYMBOLS.find(chr(byte)) % 256 for byte in range(256))  # -1 becomes _FOREIGN
_DIGITS = "zero one two three four five six seven eight nine".split()
_PRINTERS = {"plain": "cat", "gzip": "gzip -dc", "zip": "unzip -p"}


@dataclass(frozen=True)
class Download:
    """URL of a zip archive, with the SHA-256 (hex) of the archive and of the text in it."""

    url: str
    zip_sha256: str
    sha256: str


# The archive's digest is published in tensorflow/tensorflow (tensorflow/examples/tutorials/
# word2vec/word2vec_basic.py) and d61h6k4/tensorflow-text8-input-data (Setup.hs); the text's in
# utndatasystems/compression-economics (research/papers/neurips_2026/README.md) and fmzbl/kaos
# (sisyphus/CONFIRMATION.md); both in TheCoolestElliot/text-snn (src/snn/data.py).
TEXT8 = Download(
    url="http://mattmahoney.net/dc/text8.zip",
    zip_sha256="a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
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
    def size(self) -> int:
        """The number of characters, n."""
        return len(self.codes)

    @property
    def splits(self) -> dict[str, tuple[int, int]]:
        """(start, stop) of train, valid and eval: the first 90 %, then 5 % and 5 % of the text.

        train = [0, ⌊0.9 n⌋), valid = [⌊0.9 n⌋, ⌊0.95 n⌋), eval = [⌊0.95 n⌋, n). For text8 these are
        the usual 90, 5 and 5 million characters.
        """
        first, second = self.size * 90 // 100, self.size * 95 // 100
        return {"train": (0, first), "valid": (first, second), "eval": (second, self.size)}

    def describe(self) -> dict[str, str | int]:
        """Return the description of the corpus for a run's record."""
        which = "the full text8" if self.sha256 == TEXT8.sha256 else "not the full text8"
        return {
            # First, so that the refusal of another text names it.
            "sha256": self.sha256,
            "name": self.name,
            "source": self.source,
            "size": self.size,
            "splits": f"90/5/5 % of {self.size:,} characters; {which}",
        }


def load(
    path: str | os.PathLike[str] | None = None,
    source: str | None = None,
    window: int = 51,
    cache_dir: str | None = None,
) -> Corpus:
    """Read, download or generate the corpus.

    If a source is not available, no other one is used instead.

    Args:
        path: a file of the 27 symbols, plain, .gz or .zip (one member, or one named text8).
        source: "pydoc"; None for the file at `path` if given, else for the real text8.
        window: minimum number of characters per split.
        cache_dir: directory of `datasets/text8.zip`; by default $KERAS_HOME, else ~/.keras.

    Raises:
        UserError: the source is unknown or given together with a path; the file is missing, empty,
            damaged, too short or has other symbols; text8 cannot be downloaded or has a wrong hash.
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
    sha256 = hashlib.sha256(data).hexdigest()
    if source == "download" and sha256 != TEXT8.sha256:
        raise UserError(f"{label}: the text has SHA-256 {sha256}, expected {TEXT8.sha256}")
    corpus = Corpus(_encode(data, label, printer), name, source, sha256)
    shortest = min(stop - start for start, stop in corpus.splits.values())
    if shortest < window:
        raise UserError(
            f"{label}: {corpus.size:,} characters are too few: the shortest of the 90/5/5 % splits "
            f"has {shortest:,}, a window takes {window:,}; give at least {20 * window:,} characters"
        )
    return corpus


def mahoney_filter(text: str | bytes) -> bytes:
    """Reduce any text to the 27 symbols, by the rules that made text8 from Wikipedia.

    A to Z become a to z, each digit becomes its name between spaces, and every run of other
    characters, including letters beyond ASCII, becomes one space. For example,
    mahoney_filter("Pi: 3.14") is b"pi three one four ".

    Args:
        text: str, or bytes in UTF-8 or any other encoding that extends ASCII.

    Returns:
        bytes without two spaces in a row.

    Source: M. Mahoney, About the test data, 2011, http://mattmahoney.net/dc/textdata.html.
    """
    data = text.encode("ascii", "replace") if isinstance(text, str) else text
    data = data.lower()
    for digit, word in enumerate(_DIGITS):
        data = data.replace(b"%d" % digit, b" %s " % word.encode())
    return re.sub(rb"[^a-z]+", b" ", data)


def _encode(data, label, printer):
    """Map bytes to codes (n,).

    Indexing an array by the bytes would take eight bytes per character.
    """
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
    """Return a file's unpacked bytes, and the shell command that prints them."""
    try:
        raw = read_bytes(path)
    except (OSError, ValueError) as error:  # of a path with a NUL
        reason = getattr(error, "strerror", error)
        raise UserError(f"{label} cannot be read: {reason}; {WAYS_OUT}") from error
    # No text of the 27 symbols starts with these bytes; a damaged archive is known by its suffix.
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
            return _read_all(gzip.GzipFile(fileobj=io.BytesIO(raw)), label)
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            chosen = [member for member in members if member.filename == "text8"] or members
            if any(each.compress_type not in _METHODS for each in chosen):
                raise UserError(f"{label} is not packed by deflate, as zip files are; {WAYS_OUT}")
            if len(chosen) == 1:
                return _read_all(archive.open(chosen[0]), label)
    except UserError:
        raise
    except Exception as error:  # decoders raise almost anything on a damaged archive
        raise UserError(
            f"{label} is not a whole {kind} file ({_line(error)}): download it again, or {WAYS_OUT}"
        ) from error
    raise UserError(
        f"{label} holds {len(members)} files, expected one, or one named text8: unpack it and give "
        "the file itself"
    )


def _read_all(file, label):
    """Read an unpacked file to its end; a few megabytes can unpack to terabytes."""
    with file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UserError(f"{label} unpacks to more than {MAX_BYTES:,} bytes; {WAYS_OUT}")
    return data


def _download(label, cache_dir):
    """Return the text of TEXT8, from the cached archive or else from its URL."""
    import pooch  # imported here because only this source needs it

    base = os.path.expanduser(cache_dir or os.environ.get("KERAS_HOME") or "~/.keras")
    directory = os.path.join(base, "datasets")
    try:
        # pooch checks the hash, then renames a temporary file: no process sees a partial one.
        archive = pooch.retrieve(
            TEXT8.url,
            f"sha256:{TEXT8.zip_sha256}",
            "text8.zip",
            directory,
            processor=_make_readable,
            downloader=pooch.HTTPDownloader(progressbar=_progress(), timeout=TIMEOUT),
        )
        with open(archive, "rb") as file:
            raw = file.read()
    except (OSError, ValueError) as error:
        raise UserError(
            f"{label} cannot be downloaded to {directory}: {_line(error)}; {WAYS_OUT}"
        ) from error
    return _unpack(raw, "zip", label)


def _progress():
    """Return a progress bar that ends a download when it becomes too large."""
    import tqdm  # imported here as pooch is

    class Progress(tqdm.tqdm):
        def __init__(self):
            disable = not sys.stderr.isatty()
            super().__init__(unit="B", unit_scale=True, ncols=79, disable=disable)
            self._received = 0

        def __bool__(self):  # pooch asks before the total is known
            return True

        def update(self, n=1):
            self._received += n
            if self._received > MAX_DOWNLOAD:
                raise ValueError(f"it has more than {MAX_DOWNLOAD:,} bytes")
            return super().update(n)

        def reset(self, total=None):
            self._received = 0
            super().reset(total)

    return Progress()


def _make_readable(path, action, _):
    """Make a new file of a shared cache, created for its owner alone, readable by all users."""
    if action != "fetch":
        os.chmod(path, 0o644)
    return path


def _line(error):
    return " ".join(str(error).split()) or type(error).__name__


def _pydoc_text():
    """Return Python's documentation, filtered, from a process in which nothing else is loaded."""
    script = os.path.join(os.path.dirname(__file__), "pydoc_text.py")
    printed = subprocess.run([sys.executable, "-I", script], check=True, stdout=subprocess.PIPE)
    return mahoney_filter(printed.stdout)
