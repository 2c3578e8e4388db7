"""Sphinx's settings: `sphinx-build -W --keep-going -b html docs build/docs`."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "ext")]
# The build needs values and docstrings, and no word from TensorFlow.
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
    "examples",
    "links",
    "presets",
]
exclude_patterns = ["ext", "_static"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# Dashes alone: h' is a state after a step, "gru" a string.
smartquotes_action = "D"

# Docstrings: what single backticks name is linked where it is documented, and code where not.
default_role = "py:obj"
add_module_names = False
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
# Optional packages, whose absence must not change the site.
autodoc_mock_imports = ["optuna"]
# An argument's line may name several, which a field a name would tear apart.
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
nitpicky = True
# Base classes and exceptions of Keras, keras-tuner and Python, which other sites document.
nitpick_ignore_regex = [("py:obj", ".*"), ("py:class", ".*"), ("py:exc", ".*")]

# Examples print arrays; a test of each page starts from nothing.
doctest_test_doctest_blocks = ""

html_theme = "furo"
html_title = f"rnn-zoo {release}"
html_static_path = ["_static"]
html_css_files = ["equations.css"]
html_copy_source = False
html_show_sourcelink = False
