"""The site as readers get it: built by the real command, with warnings as errors."""

import dataclasses
import hashlib
import html.parser
import inspect
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse

import pytest
from processes import environment
from sphinx.util.inventory import InventoryFile

import rnn_zoo
import trainer
from trainer import TrainConfig
from trainer.tasks import TASKS

ROOT = pathlib.Path(__file__).parents[2]


class _Page(html.parser.HTMLParser):
    """Ids and references of a page."""

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
    def __init__(self, path):
        self.path = path
        self.pages = {page: _Page(page) for page in path.rglob("*.html")}
        entries = InventoryFile.loads((path / "objects.inv").read_bytes(), uri="").data
        #: Dotted name -> page that documents it.
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
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", path / "doctrees", ROOT / "docs", path / "html"],
        env=environment(KERAS_BACKEND="jax"),  # imported sooner than TensorFlow
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return _Site(path / "html")


@pytest.mark.slow
def test_every_architecture_has_a_page_with_equations_and_examples(site):
    for architecture in rnn_zoo.ARCHITECTURES.values():
        page = site.documented[f"rnn_zoo.{architecture.cell}"]
        layer = f"rnn_zoo.layers.{architecture.cell.removesuffix('Cell')}"
        assert page.startswith("cells/") and site.documented[layer] == page
        assert r"\begin{align}" in site.text(page) and "&gt;&gt;&gt;" in site.text(page)


@pytest.mark.slow
def test_every_task_has_a_page_with_an_example(site):
    for name, task in TASKS.items():
        page = f"tasks/{name}.html"
        assert site.documented[f"{task.__module__}.{task.__name__}"] == page
        assert f"python -m trainer --task={name}" in re.sub("<[^>]*>", "", site.text(page))
        assert "&gt;&gt;&gt;" in site.text(page)


@pytest.mark.slow
def test_every_public_name_is_documented(site):
    wanted = {
        f"{module.__name__}.{name}" for module in (rnn_zoo, trainer) for name in module.__all__
    }
    wanted.remove("trainer.tasks")  # documented by the pages of the tasks
    assert wanted <= site.documented.keys(), wanted - site.documented.keys()


@pytest.mark.slow
def test_every_picture_is_in_the_gallery(site):
    def digest(path):
        return hashlib.sha256(path.read_bytes()).hexdigest()

    pictures = [*(ROOT / "docs").rglob("*.png"), *(ROOT / "benchmarks/results").rglob("*.png")]
    gallery = site.pages[site.path / "gallery.html"].references
    shown = {digest(site.path / name) for name in gallery if name.startswith("_images/")}
    assert not [path for path in pictures if digest(path) not in shown]


@pytest.mark.slow
def test_every_gin_file_is_shown(site):
    page = site.text("reference/gin.html")
    files = sorted((ROOT / "gin_configs").rglob("*.gin"))
    assert not [path for path in files if path.name not in page]


@pytest.mark.slow
def test_every_example_is_shown(site):
    page = site.text("guides/examples.html")
    files = [path.name for path in (ROOT / "examples").glob("*.py")]
    assert files and not [name for name in files if f"examples/{name}" not in page]


@pytest.mark.slow
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
            # The theme's buttons link to "#".
            if not found and reference != "#":
                broken.append((page.path.name, reference))
    assert checked > 1000 and not broken


@pytest.mark.slow
def test_every_preset_has_a_row_and_a_card(site):
    page = site.text("gallery.html")
    for name in rnn_zoo.list_presets():
        label = "preset-" + re.sub("[^a-z0-9]+", "-", name.lower())
        assert f'href="#{label}"' in page and f'id="{label}"' in page
        assert f"<h3>{name}" in page


@pytest.mark.slow
def test_every_parameter_is_in_the_reference(site):
    page = re.sub("<[^>]*>", "", site.text("reference/parameters.html"))
    wanted = [field.name for field in dataclasses.fields(TrainConfig)]
    wanted += [name for task in TASKS.values() for name in inspect.signature(task).parameters]
    assert not [name for name in wanted if name not in page]


@pytest.mark.slow
def test_a_class_is_linked_where_a_docstring_names_it(site):
    references = site.pages[site.path / "reference/tuning.html"].references
    assert any(link.startswith("trainer.html#") and "TrainConfig" in link for link in references)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_equations_are_drawn_without_a_network(site, tmp_path):
    path = site.path / "cells" / "lstm.html"
    assert r"\begin{align}" in path.read_text()
    flags = "--headless=new --no-sandbox --disable-gpu --virtual-time-budget=20000 --dump-dom"
    offline = ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path}"]
    done = subprocess.run(
        ["chromium", *flags.split(), *offline, path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    equations = path.read_text().count('class="math ')
    assert done.stdout.count("<mjx-container") == equations > 5
    assert r"\begin{align}" not in done.stdout


def test_links_of_readme_lead_to_files():
    links = re.findall(r"\]\(([^()\s:#]+)\)", (ROOT / "README.md").read_text())
    assert len(links) > 10
    assert not [link for link in links if not (ROOT / link).exists()]
