"""What docs/ext does to docstrings, links and presets."""

import pathlib
import subprocess
import sys

import pytest
from processes import environment

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

@dataclasses.dataclass(frozen=True)
class Preset:
    name: str
    arch: str
    loss: float
    config: dict

    def __str__(self):
        return f"# {{self.name}}\\n\\nA card.\\n\\n## Use\\n\\n```bash\\n# a comment\\n```"

PRESETS = {{name: Preset(name, "gru", 1.23456, {{}}) for name in {names!r}}}
rnn_zoo.list_presets, rnn_zoo.preset = lambda: list(PRESETS), PRESETS.__getitem__
extensions = ["myst_parser", "presets"]
myst_heading_anchors = 3
"""


def _gallery(path, names):
    extensions = str(ROOT / "docs" / "ext")
    (path / "conf.py").write_text(CONF.format(root=str(ROOT), extensions=extensions, names=names))
    (path / "index.md").write_text("# Start\n\n```{toctree}\ngallery\n```\n")
    (path / "gallery.md").write_text("# Gallery\n\n<!-- preset cards -->\n")
    subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", path, path / "out"],
        env=environment(),
        check=True,
        timeout=300,
    )
    return (path / "out/gallery.html").read_text()


def test_presets_are_a_table_and_cards(tmp_path):
    page = _gallery(tmp_path, ["parens/gru", "parens/lstm"])
    assert page.count("<p>A card.</p>") == 2
    assert page.count("<th class") == 3 and "1.235" in page
    for name in ("gru", "lstm"):
        assert f'href="#preset-parens-{name}"' in page and f'id="preset-parens-{name}"' in page
        assert f"<h3>parens/{name}" in page
    assert page.count("<h4>Use") == 2 and page.count("# a comment") == 2


def test_without_presets_there_is_no_word_of_them(tmp_path):
    assert "reset" not in _gallery(tmp_path, [])
