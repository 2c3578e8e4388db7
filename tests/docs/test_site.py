"""The site as readers get it: built by the real command, its warnings errors, its examples run."""

import hashlib
import html.parser
import pathlib
import re
import subprocess
import sys
import urllib.parse

import pytest
from processes import environment
from sphinx.util.inventory import InventoryFile

import rnn_zoo
import trainer
from trainer.tasks import TASKS

ROOT = pathlib.Path(__file__).parents[2]


def _build(builder, out, doctrees):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", builder]
    return subprocess.run(
        [*command, "-d", doctrees, ROOT / "docs", out],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


class _Page(html.parser.HTMLParser):
    """The ids of a page, and what it refers to."""

    def __init__(self, path):
        super().__init__()
        self.path, self.ids, self.references = path, set(), []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.add(value)
            elif name in ("href", "src") and value:
                self.references.append(value)


class _Site:
    def __init__(self, path, doctrees):
        self.path, self.doctrees = path, doctrees
        self.pages = {page: _Page(page) for page in path.rglob("*.html")}
        entries = InventoryFile.loads((path / "objects.inv").read_bytes(), uri="").data
        #: Dotted name -> the page that documents it.
        self.documented = {
            name: item.uri.partition("#")[0]
            for kind, items in entries.items()
            if kind.startswith("py:")
            for name, item in items.items()
        }

    def text(self, name):
        return (self.path / name).read_text()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    path = tmp_path_factory.mktemp("site")
    built = _build("html", path / "html", path / "doctrees")
    assert built.returncode == 0, built.stderr
    return _Site(path / "html", path / "doctrees")


def test_every_example_prints_what_stands_below_it(site, tmp_path):
    built = _build("doctest", tmp_path, site.doctrees)
    report = (tmp_path / "output.txt").read_text()
    assert built.returncode == 0, report
    assert int(re.search(r"summary\s=+\s+(\d+) tests", report)[1]) > 100


def test_every_architecture_has_a_page_with_equations_and_examples(site):
    for architecture in rnn_zoo.ARCHITECTURES.values():
        page = site.documented[f"rnn_zoo.{architecture.cell}"]
        layer = f"rnn_zoo.layers.{architecture.cell.removesuffix('Cell')}"
        assert page.startswith("cells/") and site.documented[layer] == page
        assert r"\begin{align}" in site.text(page) and "&gt;&gt;&gt;" in site.text(page)
    pages = {site.documented[f"rnn_zoo.{each.cell}"] for each in rnn_zoo.ARCHITECTURES.values()}
    assert len(pages) == len(rnn_zoo.ARCHITECTURES)


def test_every_task_has_a_page_with_an_example(site):
    for name, task in TASKS.items():
        page = f"tasks/{name}.html"
        assert site.documented[f"{task.__module__}.{task.__name__}"] == page
        assert f"python -m trainer --task={name}" in re.sub("<[^>]*>", "", site.text(page))
        assert "&gt;&gt;&gt;" in site.text(page)


def test_every_public_name_is_documented(site):
    wanted = {
        f"{module.__name__}.{name}" for module in (rnn_zoo, trainer) for name in module.__all__
    }
    wanted.remove("trainer.tasks")  # whose pages are those of the tasks
    assert wanted <= site.documented.keys(), wanted - site.documented.keys()


def test_every_picture_is_in_the_gallery(site):
    def digest(path):
        return hashlib.sha256(path.read_bytes()).hexdigest()

    pictures = [*(ROOT / "docs").rglob("*.png"), *(ROOT / "benchmarks/results").rglob("*.png")]
    gallery = site.pages[site.path / "gallery.html"].references
    shown = {digest(site.path / name) for name in gallery if name.startswith("_images/")}
    assert not [path for path in pictures if digest(path) not in shown]


def test_every_gin_file_is_shown(site):
    page = site.text("reference/gin.html")
    files = sorted((ROOT / "gin_configs").rglob("*.gin"))
    assert not [path for path in files if path.name not in page]


def test_every_example_is_shown(site):
    page = site.text("guides/examples.html")
    files = [path.name for path in (ROOT / "examples").glob("*.py")]
    assert files and not [name for name in files if f"examples/{name}" not in page]


def test_no_link_within_the_site_is_broken(site):
    checked, broken = 0, []
    for page in site.pages.values():
        for reference in page.references:
            url = urllib.parse.urlsplit(reference)
            if url.scheme or url.netloc:
                continue
            checked += 1
            name = urllib.parse.unquote(url.path)
            target = (page.path.parent / name).resolve() if name else page.path
            there = site.pages.get(target)
            found = target.is_file() and (
                not url.fragment or there is None or urllib.parse.unquote(url.fragment) in there.ids
            )
            # The theme's buttons lead to "#".
            if not found and reference != "#":
                broken.append((page.path.name, reference))
    assert checked > 1000 and not broken


def test_a_class_is_linked_where_a_docstring_names_it(site):
    references = site.pages[site.path / "reference/tuning.html"].references
    assert any(link.startswith("trainer.html#") and "TrainConfig" in link for link in references)


def test_links_of_readme_lead_into_the_site(site):
    assert "../serving.html" in site.pages[site.path / "guides/export.html"].references
    sweep = site.pages[site.path / "guides/sweep.html"].references
    assert "../reference/gin.html" in sweep
    assert "../measurements.html#sweeps-whose-processes-are-killed" in sweep
