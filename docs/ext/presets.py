"""The table and the cards of `rnn_zoo`'s presets, as Markdown."""

import re

import rnn_zoo

_HEADING = re.compile(r"^(#+)(?= )", re.M)
_FENCED = re.compile(r"(^```.*?^```$)", re.M | re.S)


def section():
    """A table of all presets, then the card of each."""
    presets = {name: rnn_zoo.preset(name) for name in rnn_zoo.list_presets()}
    cards = [f"(preset-{name})=\n\n{card(str(preset))}" for name, preset in presets.items()]
    return "\n\n".join([table(presets), *cards])


def table(presets):
    """One row per preset.

    Args:
        presets: dict from name to `rnn_zoo.presets.Preset`.
    """
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


def card(text, level=3):
    """A card with its headings moved below the page's own.

    Args:
        text: of the card.
        level: of its highest heading.
    """
    parts = _FENCED.split(text.strip())
    prose = parts[::2]
    depths = [len(match[1]) for part in prose for match in _HEADING.finditer(part)]
    shift = level - min(depths, default=level)
    parts[::2] = [_HEADING.sub(lambda m: "#" * (len(m[1]) + shift), part) for part in prose]
    return "".join(parts)
