"""Texts for tests of the text8 corpus, as files, archives and in processes of their own."""

import hashlib
import io
import os
import subprocess
import sys
import zipfile

import pytest
from processes import ROOT

from trainer.errors import UserError
from trainer.tasks import corpus

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
    """Start `code` in a process where `corpus` is loaded alone: without its package, or Keras."""
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
