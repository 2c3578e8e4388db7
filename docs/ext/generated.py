"""Fills the pages whose content is made when the site is built: a comment marks each place."""

import ast
import pathlib

import atlas
import gap
import parameters
import presets
import zoo

ROOT = pathlib.Path(__file__).resolve().parents[2]


def programs():
    """Markdown: a heading, a label and the text of each program in examples/."""
    parts = []
    for path in sorted((ROOT / "examples").glob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text()))
        title = docstring.split("\n")[0].partition(":")[0].rstrip(".")
        heading = f"(example-{path.stem})=\n\n## {title}\n\n`examples/{path.name}`"
        parts.append(f"{heading}\n\n{_file(path, 'python')}")
    return "\n\n".join(parts)


def gin_files(folder):
    """Markdown: the name and the text of each gin file in a folder of gin_configs/."""
    files = sorted((ROOT / "gin_configs" / folder).glob("*.gin"))
    return "\n\n".join(f"`{path.relative_to(ROOT)}`:\n\n{_file(path, 'text')}" for path in files)


def _file(path, language):
    name = path.relative_to(ROOT)
    return f"```{{literalinclude}} /../{name}\n:language: {language}\n```"


#: Page -> comment -> function that returns the Markdown for it.
PAGES = {
    "atlas": {"results": atlas.section},
    "optimizers": {
        "results": lambda: gap.section("optimizers"),
        "results after tuning": lambda: gap.section("tuned_gap"),
    },
    "cells/index": {"zoo": zoo.table},
    "reference/rnn_zoo": {"cells": zoo.classes},
    "gallery": {"preset cards": presets.section},
    "guides/examples": {"examples": programs},
    "reference/parameters": {
        "TrainConfig": parameters.train_config,
        "StudyConfig": parameters.study_config,
        "SweepConfig": parameters.sweep_config,
        "tasks": parameters.tasks,
    },
    "reference/gin": {
        f"gin files {folder}": lambda folder=folder: gin_files(folder)
        for folder in (".", "tasks", "profiles", "archs", "paper")
    },
}


def _process(app, docname, source):
    for marker, make in PAGES.get(docname, {}).items():
        before, comment, after = source[0].partition(f"<!-- {marker} -->")
        if not comment:
            raise ValueError(f"docs/{docname}.md has no <!-- {marker} -->")
        source[0] = before + make() + after


def setup(app):
    app.connect("source-read", _process)
    # Sphinx compares only the pages' own files.
    app.connect("env-get-outdated", lambda app, env, added, changed, removed: list(PAGES))
    return {"parallel_read_safe": True}
