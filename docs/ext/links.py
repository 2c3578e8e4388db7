"""Lets pages include parts of README.md: its links lead to pages, or to the files themselves."""

import os
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: What a page shows -> the page. All else is offered as a file.
PAGES = {
    "benchmarks/results/README.md": "docs/measurements.md",
    "benchmarks/results/kills.md": "docs/measurements.md#sweeps-whose-processes-are-killed",
    "benchmarks/results/pipelines.md": "docs/measurements.md#input-pipelines",
    "benchmarks/results/stepper.md": "docs/measurements.md#a-streamed-step",
    "results/README.md": "docs/reproduction.md",
    "examples": "docs/guides/examples.md",
    "gin_configs/paper": "docs/reference/gin.md",
    "gin_configs/presets.gin": "docs/reference/gin.md#the-presets",
}
_LINK = re.compile(r"\]\(([^()\s:#]+)\)")


def relink(text, source, page):
    """A text with its links to files of the repository made relative to another file.

    Args:
        text: Markdown.
        source: the file that it is from.
        page: the file that it is going to.
    """

    def replace(match):
        path = (source.parent / match[1]).resolve()
        if not path.exists():
            return match[0]
        name = path.relative_to(ROOT).as_posix()
        target, _, anchor = PAGES.get(name, name).partition("#")
        relative = pathlib.PurePath(os.path.relpath(ROOT / target, page.parent)).as_posix()
        return f"]({relative}{anchor and '#' + anchor})"

    return _LINK.sub(replace, text)


def _process(app, relative_path, parent_docname, content):
    source = (pathlib.Path(app.srcdir) / relative_path).resolve()
    if source.suffix == ".md":
        # MyST gives the parent's name without its folder.
        page = pathlib.Path(app.env.doc2path(app.env.docname)).resolve()
        content[0] = relink(content[0], source, page)


def setup(app):
    app.connect("include-read", _process)
    return {"parallel_read_safe": True}
