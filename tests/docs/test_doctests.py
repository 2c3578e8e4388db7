"""The examples of README and of each page of docs/ run, and print the text below them."""

import contextlib
import doctest
import io
import re

import pytest
from on_backend import tensorflow_only
from processes import ROOT
from registrations import restored

DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```\{(doctest|testcode|testoutput)\}\n(.*?)^```$", re.M | re.S)
PAGES = {
    path.relative_to(DOCS).as_posix(): blocks
    for path in sorted(DOCS.rglob("*.md"))
    if (blocks := BLOCK.findall(path.read_text()))
}

README = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)


def test_there_are_many_examples():
    assert sum(text.count(">>> ") for blocks in PAGES.values() for _, text in blocks) > 150
    assert len(PAGES) > 20


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Examples write into a directory of their own, which has the results."""
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)


@tensorflow_only
@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("page", PAGES)
def test_examples_print_the_text_below_them(page):
    names, printed, report = {}, "", io.StringIO()
    runner = doctest.DocTestRunner(verbose=False)
    with restored():
        for kind, text in PAGES[page]:
            if kind == "doctest":
                test = doctest.DocTestParser().get_doctest(text, names, page, page, 0)
                runner.run(test, out=report.write, clear_globs=False)
                names = test.globs
            elif kind == "testcode":
                with contextlib.redirect_stdout(io.StringIO()) as stream:
                    exec(text, names)
                printed = stream.getvalue()
            else:
                assert printed == text
    assert not runner.failures, report.getvalue()


@tensorflow_only
@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    "block",
    # Tests of the presets measure their scores too.
    [pytest.param(text, marks=pytest.mark.slow if "evaluate" in text else ()) for text in README],
    ids=lambda text: re.search("[A-Z]+[A-Za-z]+|load", text)[0],
)
def test_readme_s_python_runs(block):
    exec(block, {"__name__": "__main__"})
