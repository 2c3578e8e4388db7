"""Puts the cards of `rnn_zoo`'s presets where a page says `<!-- preset cards -->`."""

import re

import rnn_zoo

MARKER = "<!-- preset cards -->"
INTRODUCTION = """## Presets

Tuned hyperparameters and trained weights that come with the package ([how to use
them](guides/presets.md)), as `rnn_zoo.list_presets()` and `rnn_zoo.preset(name)` have them."""
_HEADING = re.compile(r"^(#+)(?= )", re.M)
_FENCED = re.compile(r"(^```.*?^```$)", re.M | re.S)


def section(presets, level=3):
    """Markdown: a heading, a table of the presets, each one's card; nothing if there are none.

    Args:
        presets: dict from name to `rnn_zoo.presets.Preset`.
        level: of the cards' highest headings.
    """
    if not presets:
        return ""
    parts = [INTRODUCTION, _table(presets)]
    parts += [f"(preset-{name})=\n\n{_card(preset, level)}" for name, preset in presets.items()]
    return "\n\n".join(parts)


def _table(presets):
    """A row a preset."""
    header = "preset, task, architecture, depth, units, parameters, eval loss, chance, weights"
    rows = [header.split(", "), ["---"] * 9]
    for name, each in presets.items():
        rows.append(
            [
                f"[`{name}`](#preset-{name})",
                *map(str, (each.task, each.arch, each.depth, each.units, f"{each.num_params:,}")),
                *(f"{each.scores[split]:.4g}" for split in ("eval", "chance")),
                "yes" if each.weights else "no",
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _card(preset, level):
    """A card with its headings moved below the page's own."""
    parts = _FENCED.split(str(preset).strip())
    prose = parts[::2]
    depths = [len(match[1]) for text in prose for match in _HEADING.finditer(text)]
    shift = level - min(depths, default=level)
    parts[::2] = [_HEADING.sub(lambda m: "#" * (len(m[1]) + shift), text) for text in prose]
    return "".join(parts)


def _process(app, docname, source):
    if MARKER in source[0]:
        presets = {name: rnn_zoo.preset(name) for name in rnn_zoo.list_presets()}
        source[0] = source[0].replace(MARKER, section(presets))


def setup(app):
    app.connect("source-read", _process)
    # What the cards say is in no file that Sphinx compares.
    app.connect("env-get-outdated", lambda app, env, added, changed, removed: ["gallery"])
    return {"parallel_read_safe": True}
