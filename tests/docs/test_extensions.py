"""What docs/ext does to docstrings, links and presets."""

import pathlib
import re
import subprocess
import sys

import pytest
from processes import environment

import rnn_zoo

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _extensions(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "ext")


def test_indented_blocks_of_docstrings_stand_as_they_are():
    import docstrings

    lines = ["Sums.", "", "    a   b", "    c", "", "Args:", "    units: N.", "        More."]
    lines += ["", "Example:", "    f(*x)", "", "    g(x)", ""]
    assert docstrings.mark(lines) == [
        *("Sums.", "", ".. code-block:: text", "", "    a   b", "    c", ""),
        *("Args:", r"    units: \N.", "        More.", "", "Example:"),
        *("    .. code-block:: python", "", "        f(*x)", "", "        g(x)", ""),
    ]


def test_links_of_an_included_file_are_made_the_page_s_own():
    import links

    page, readme = ROOT / "docs/guides/train.md", ROOT / "README.md"
    text = "[a](docs/sanity.md) [b](https://x.org/a) [c](gin_configs/paper) [d](no/such) [e](#here)"
    assert links.relink(text, readme, page) == (
        "[a](../sanity.md) [b](https://x.org/a) [c](../reference/gin.md) [d](no/such) [e](#here)"
    )


CONF = """
import dataclasses, sys
sys.path[:0] = [{root!r}, {extensions!r}]
import rnn_zoo

base = rnn_zoo.preset("parens/gru-10k")
PRESETS = {{name: dataclasses.replace(base, name=name) for name in {names!r}}}
rnn_zoo.list_presets, rnn_zoo.preset = lambda: list(PRESETS), PRESETS.__getitem__
extensions = ["myst_parser", "presets"]
myst_heading_anchors = 3
"""


def _gallery(path, names):
    extensions = str(ROOT / "docs" / "ext")
    (path / "conf.py").write_text(CONF.format(root=str(ROOT), extensions=extensions, names=names))
    (path / "index.md").write_text("# Start\n\n```{toctree}\ngallery\nguides/presets\n```\n")
    (path / "guides").mkdir()
    (path / "guides/presets.md").write_text("# Presets\n")
    (path / "gallery.md").write_text("# Gallery\n\n<!-- preset cards -->\n")
    subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", path, path / "out"],
        env=environment(),
        check=True,
        timeout=300,
    )
    return (path / "out/gallery.html").read_text()


def test_presets_are_a_table_and_cards(tmp_path):
    page = _gallery(tmp_path, ["parens/one", "parens/two"])
    table, *cards = re.findall(r"<table.*?</table>", page, re.S)
    assert table.count("<tr") == 3 and len(cards) == 2
    eval_loss = f"{rnn_zoo.preset('parens/gru-10k').scores['eval']:.4g}"
    assert table.count(eval_loss) == 2
    for name, card in zip(("one", "two"), cards, strict=True):
        assert f'href="#preset-parens-{name}"' in table and f'id="preset-parens-{name}"' in page
        assert f"<h3>parens/{name}" in page and f"--preset=parens/{name}" in card


def test_a_card_s_headings_come_below_the_page_s():
    import presets

    card = presets._card("# One\n\nText.\n\n## Use\n\n```bash\n# a comment\n```", 3)
    assert card == "### One\n\nText.\n\n#### Use\n\n```bash\n# a comment\n```"


def test_without_presets_there_is_no_word_of_them(tmp_path):
    assert "<h2>" not in _gallery(tmp_path, [])
