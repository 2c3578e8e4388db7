"""A run's journal as Markdown tables."""

import statistics

from benchmarks.gpu.sections import SHARES

#: Fields that are not shown as columns.
HIDDEN = ("section", "at", "shape", "precisions", "error", "skipped", "compile_seconds")


def markdown(lines):
    """Render each section as a table, with its ratios, errors and omissions.

    Args:
        lines: dicts, as `journal.read` returns them.
    """
    parts = ["# One GPU, measured"]
    for section in SHARES:
        rows = [line for line in lines if line["section"] == section]
        good = [row for row in rows if "error" not in row and "skipped" not in row]
        if rows:
            parts += [f"## {section}", *_section(section, good)]
            parts += [_omission(row) for row in rows if row not in good]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(section, rows):
    if section == "machine":
        facts = next((row for row in rows if row["figure"] == "facts"), {})
        shown = {name: value for name, value in facts.items() if name not in (*HIDDEN, "figure")}
        yield "\n".join(f"- {name}: {value}" for name, value in shown.items())
        rows = [row for row in rows if row["figure"] != "facts"]
    if section == "trials":
        rows = [row | _speedup(row, rows) for row in rows]
    if section == "steps":
        rows = [row | _ratio(row, rows) for row in rows]
        yield from _loops(rows)
        rows = [row for row in rows if row["candidate"] != "profile"]
    if rows:
        yield table(rows)
    if section == "steps":
        yield from _means(rows)


def table(rows):
    """Render rows as a Markdown table of all their columns."""
    columns = list(dict.fromkeys(name for row in rows for name in row if name not in HIDDEN))
    lines = [columns, ["---"] * len(columns)]
    lines += [[_cell(row.get(column)) for column in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if type(value) is int else str(value)


def _speedup(row, rows):
    """Trials per hour divided by those of one lane."""
    alone = [r["trials_per_hour"] for r in rows if r["task"] == row["task"] and r["lanes"] == 1]
    return {"times_one_lane": row["trials_per_hour"] / alone[0]} if alone else {}


def _ratio(row, rows):
    """Our rate with the default choice, divided by the row's."""
    place = (row["task"], row["arch"], row["budget"])
    for other in rows:
        same = (other["task"], other["arch"], other["budget"]) == place
        if same and other is not row and _is_ours(other) and "steps_per_second" in row:
            return {"ours_over_it": other["steps_per_second"] / row["steps_per_second"]}
    return {}


def _is_ours(row):
    return (row["candidate"], row["choice"]) == ("ours_jax", "default")


def _means(rows):
    for peer in ("jax", "torch"):
        ratios = [r["ours_over_it"] for r in rows if r["candidate"] == peer and "ours_over_it" in r]
        if ratios:
            mean = statistics.geometric_mean(ratios)
            yield f"Ours over {peer}: geometric mean {mean:.2f}, least {min(ratios):.2f}."


def _loops(rows):
    for row in rows:
        if row["candidate"] == "profile":
            yield f"Profile of {row['task']}, {row['arch']}, {row['budget']:,} parameters:"
            loops = (
                f"- a loop of {r['trips']} steps, {r['total']} operations" for r in row["loops"]
            )
            yield "\n".join(loops)
            if row["kernels"]:
                yield table(row["kernels"])


def _omission(row):
    what = ", ".join(str(v) for k, v in row.items() if k not in HIDDEN)
    reason = row.get("error") or row.get("skipped")
    return f"- {what}: {'failed' if 'error' in row else 'skipped'}: {reason}"
