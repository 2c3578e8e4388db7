"""Puts the cards of `rnn_zoo`'s presets where a page says `<!-- preset cards -->`."""

import dataclasses
import re

import rnn_zoo

MARKER = "<!-- preset cards -->"
INTRODUCTION = """## Presets

Tuned hyperparameters and trained weights that come with the package: `rnn_zoo.list_presets()` names
them, `rnn_zoo.preset(name)` has what stands below."""
_HEADING = re.compile(r"^(#+)(?= )", re.M)
_FENCED = re.compile(r"(^```.*?^```$)", re.M | re.S)


def section(presets, level=3):
    """Markdown: a heading, a table of the presets, each one's card; nothing if there are none.

    Args:
        presets: dict from name to frozen dataclass, whose `str` is its card in Markdown.
        level: of the cards' highest headings.
    """
    if not presets:
        return ""
    parts = [INTRODUCTION, _table(presets)]
    parts += [
        f"(preset-{name})=\n\n{_card(name, preset, level)}" for name, preset in presets.items()
    ]
    return "\n\n".join(parts)


def _table(presets):
    """A row a preset, of those of its fields that are words or numbers."""
    columns = [
        field.name
        for field in dataclasses.fields(next(iter(presets.values())))
        if field.name != "name"
        and all(
            isinstance(getattr(p, field.name, None), (str, int, float)) for p in presets.values()
        )
        and all("\n" not in str(getattr(p, field.name)) for p in presets.values())
    ]
    rows = [["preset", *columns], ["---"] * (len(columns) + 1)]
    for name, preset in presets.items():
        cells = [_cell(getattr(preset, column)) for column in columns]
        rows.append([f"[`{name}`](#preset-{name})", *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(value):
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|")


def _card(name, preset, level):
    """A card with its headings moved below the page's own; with one if it has none."""
    parts = _FENCED.split(str(preset).strip())
    prose = parts[::2]
    depths = [len(match[1]) for text in prose for match in _HEADING.finditer(text)]
    shift = level - min(depths, default=level)
    parts[::2] = [_HEADING.sub(lambda m: "#" * (len(m[1]) + shift), text) for text in prose]
    card = "".join(parts)
    return card if card.startswith("#") else f"{'#' * level} {name}\n\n{card}"


def _process(app, docname, source):
    if MARKER in source[0]:
        presets = {}
        if hasattr(rnn_zoo, "list_presets"):
            presets = {name: rnn_zoo.preset(name) for name in rnn_zoo.list_presets()}
        source[0] = source[0].replace(MARKER, section(presets))


def setup(app):
    app.connect("source-read", _process)
    # What the cards say is in no file that Sphinx compares.
    app.connect("env-get-outdated", lambda app, env, added, changed, removed: ["gallery"])
    return {"parallel_read_safe": True}
