"""Shows the programs of examples/ where a page says `<!-- examples -->`."""

import ast
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
MARKER = "<!-- examples -->"


def sections():
    """Markdown: a heading, a label and the text of each program, the heading from its docstring."""
    parts = []
    for path in sorted((ROOT / "examples").glob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text()))
        title = docstring.split("\n")[0].partition(":")[0].rstrip(".")
        include = f"```{{literalinclude}} /../examples/{path.name}\n:language: python\n```"
        parts.append(f"(example-{path.stem})=\n\n## {title}\n\n`examples/{path.name}`\n\n{include}")
    return "\n\n".join(parts)


def _process(app, docname, source):
    source[0] = source[0].replace(MARKER, sections())


def setup(app):
    app.connect("source-read", _process)
    # Which programs there are is in no file that Sphinx compares.
    app.connect("env-get-outdated", lambda app, env, added, changed, removed: ["guides/examples"])
    return {"parallel_read_safe": True}
