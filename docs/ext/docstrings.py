"""Makes the project's docstrings reStructuredText, and links and signs what they are about.

Indented blocks, which are equations, tables and examples, are shown as they stand; their lines
would flow into a paragraph otherwise. Runs before napoleon, which takes a docstring apart.
"""

import inspect
import re

_SECTION = re.compile(r"(Args|Attributes|Example|Raises|Returns|Yields):$")
#: An argument's whole text that would be taken for the first point of a list, as "N.".
_POINT = re.compile(r"^(\s+[\w*, ]+: )([A-Z]\.)$")


def mark(lines):
    """The lines of a docstring with a directive before each block that is to stay as it is."""
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
    """The signature of a Keras layer, which its `__new__` hides behind (*args, **kwargs)."""
    if what != "class" or signature != "(*args, **kwargs)":
        return None
    own = inspect.signature(subject.__init__)
    return str(own.replace(parameters=list(own.parameters.values())[1:])), returns


def _resolve(app, env, node, contnode):
    """Links a class by its name alone, as `TrainConfig`, from wherever a docstring names it."""
    target = node["reftarget"]
    if node.get("reftype") != "obj" or not target.rpartition(".")[2][:1].isupper():
        return None
    domain = env.domains.python_domain
    # A class has a name where it is defined beside the one by which it is documented.
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
