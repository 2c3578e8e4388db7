"""Sphinx's settings: `sphinx-build -W --keep-going -b html docs build/docs`."""

import importlib.util
import os
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "ext")]
# Silences TensorFlow's log; the build needs only values and docstrings.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import rnn_zoo  # noqa: E402 - found by the path above

project = "rnn-zoo"
author = "The authors of rnn-zoo"
copyright = author
release = rnn_zoo.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "docstrings",
    "generated",
]
exclude_patterns = ["ext", "_static"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# Dashes only: quotes stay straight, as h' is the next state and "gru" a string.
smartquotes_action = "D"

# A name in single backticks links to its documentation, or is shown as code if it has none.
default_role = "py:obj"
add_module_names = False
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
# Optional packages: the site must not depend on what is installed.
autodoc_mock_imports = ["optuna"]
# One line of a docstring may describe several arguments, which one field per name would split.
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
nitpicky = True
# Other sites document the base classes and exceptions of Keras, keras-tuner and Python.
nitpick_ignore_regex = [("py:obj", ".*"), ("py:class", ".*"), ("py:exc", ".*")]

# Part of the site (see `copy_mathjax`), so that equations are shown without a network.
mathjax_path = "mathjax/tex-chtml.js"

html_theme = "furo"
html_title = f"rnn-zoo {release}"
html_static_path = ["_static"]
html_css_files = ["equations.css"]
html_copy_source = False
html_show_sourcelink = False


def setup(app):
    app.connect("build-finished", copy_report)
    app.connect("build-finished", copy_mathjax)


def copy_report(app, exception):
    """Copy the report beside each of its pages, which link to its other files."""
    for name in ("index.html", "atlas.html"):
        for page in pathlib.Path(app.outdir, "_downloads").glob(f"*/{name}"):
            shutil.copytree(ROOT / "results" / "report", page.parent, dirs_exist_ok=True)


def copy_mathjax(app, exception):
    """Copy MathJax's program and fonts, of which sphinx-mathjax-offline has all variants."""
    package = pathlib.Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent
    source, target = package / "static" / "mathjax", pathlib.Path(app.outdir, "_static", "mathjax")
    fonts = "output/chtml/fonts/woff-v2"
    shutil.copytree(source / fonts, target / fonts, dirs_exist_ok=True)
    shutil.copy(source / "tex-chtml.js", target)
    # MathJax has the license of this project, Apache 2.0.
    shutil.copy(ROOT / "LICENSE", target)
