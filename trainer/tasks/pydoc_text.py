"""Prints the text of Python's own documentation, which depends on the Python version only.

Run it as a program, `python -I pydoc_text.py`, because some libraries rewrite docstrings of the
standard library when they are loaded.
"""

import importlib
import pydoc
import re
import sys
import warnings

# Modules of Python 3.11 to 3.13 that are imported without side effects. These are left out because
# their documentation varies: collections, configparser, logging, shelve, weakref (Keras rewrites
# docstrings and defaults in it), tarfile (the locale's encoding).
_MODULES = """
    argparse ast base64 bdb calendar cmd code codecs concurrent.futures contextlib csv
    dataclasses datetime decimal difflib doctest email.message enum fileinput functools
    http.cookiejar inspect io ipaddress itertools json mailbox math mimetypes operator optparse
    os pathlib pickle queue random re selectors shutil smtplib socketserver statistics
    subprocess tempfile textwrap timeit traceback types typing unittest unittest.mock
    urllib.parse uuid wave xml.etree.ElementTree xmlrpc.client
""".split()
# Sections of a class to remove: inherited members, which repeat, and data attributes, which depend
# on the standard library's caches in the class (__slotnames__, __annotations__).
_SECTIONS = re.compile(
    r"(?:^ *\|  -{70}\n)?^ *\|  (?:[A-Z][a-z ]+ inherited from [\w.]+|Data and other attributes "
    r"defined here):\n(?: *\|(?!  -{70})[^\n]*\n)*",
    re.MULTILINE,
)


class _Docs(pydoc.TextDoc):
    """pydoc's plain text without values, paths and links, which differ between machines."""

    def bold(self, text):
        return text

    def docother(self, object, name=None, *_, **__):
        return name or ""

    def getdocloc(self, object, *_):
        return None

    def section(self, title, contents):
        return "" if title == "FILE" else super().section(title, contents)


def text() -> str:
    """Return the documentation of _MODULES and of Python's topics."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        topics = importlib.import_module("pydoc_data.topics").topics
        texts = [_Docs().docmodule(importlib.import_module(name)) for name in _MODULES]
    joined = "\n".join(texts + [topics[name] for name in sorted(topics)])
    return _SECTIONS.sub("", re.sub(r" at 0x[0-9a-fA-F]+", "", joined))


if __name__ == "__main__":
    sys.stdout.buffer.write(text().encode("ascii", "replace"))
