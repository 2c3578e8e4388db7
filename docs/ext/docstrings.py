"""Converts the project's docstrings to reStructuredText, adds links and layers' signatures.

Indented blocks are equations, tables and examples. They are shown literally, since their lines
would otherwise flow into a paragraph. Runs before napoleon, which splits a docstring into sections.
"""

import inspect
import re

_SECTION = re.compile(r"(Args|Attributes|Example|Raises|Returns|Yields):$")
#: An argument whose whole text looks like the first item of a list, such as "N.".
_POINT = re.compile(r"^(\s+[\w*, ]+: )([A-Z]\.)$")


def mark(lines):
    """Add a directive before each indented block of a docstring, given and returned as lines."""
    marked, section, in_block = [], None, False
    for line in lines:
        indented, blank = line.startswith("    "), not line
        if blank:
            marked.append(line)
            continue
        if not indented:
            found = _SECTION.match(line)
            section, in_block = found and found[1], False
        elif not in_block and section == "Example":
            marked += ["    .. code-block:: python", ""]
            in_block = True
        elif not in_block and section is None and marked and not marked[-1]:
            marked += [".. code-block:: text", ""]
            in_block = True
        line = "    " + line if in_block and section else _POINT.sub(r"\1\\\2", line)
        marked.append(line)
    return marked


def _process(app, what, name, subject, options, lines):
    lines[:] = mark(lines)


def _sign(app, what, name, subject, options, signature, returns):
    """Return the signature of a Keras layer, which `__new__` hides as (*args, **kwargs)."""
    if what != "class" or signature != "(*args, **kwargs)":
        return None
    own = inspect.signature(subject.__init__)
    return str(own.replace(parameters=list(own.parameters.values())[1:])), returns


def _resolve(app, env, node, contnode):
    """Link a class that a docstring names without its module, such as `TrainConfig`."""
    target = node["reftarget"]
    if node.get("reftype") != "obj" or not target.rpartition(".")[2][:1].isupper():
        return None
    domain = env.domains.python_domain
    # A class may be listed twice: where it is defined and where it is documented.
    found = {
        (entry.docname, entry.node_id): name
        for name, entry in domain.objects.items()
        if name.endswith(f".{target}")
    }
    if len(found) != 1:
        return None
    (name,) = found.values()
    document = node.get("refdoc", env.docname)
    return domain.resolve_xref(env, document, app.builder, "obj", name, node, contnode)


def setup(app):
    app.connect("missing-reference", _resolve)
    app.connect("autodoc-process-signature", _sign)
    app.connect("autodoc-process-docstring", _process, priority=400)  # napoleon's is 500
    return {"parallel_read_safe": True}
