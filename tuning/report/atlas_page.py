"""The files of the atlas: its page, its picture, and its table as CSV and Markdown."""

import math

import pandas as pd

from tuning.report import atlas, atlas_figure, page

#: The page's scripts in the order in which they run.
_SCRIPTS = ("base", "table", "atlas")
#: Significant digits of numbers on the page.
_DIGITS = 6


def files(of: atlas.Atlas, trials: pd.DataFrame, runs: str) -> dict[str, str | bytes]:
    """Return the content of each file by its path in the report.

    Args:
        of: the atlas.
        trials: trials of `of.select`.
        runs: directory of the runs, as the page names it.
    """
    found = atlas.complete(trials)
    cells = of.table(found)
    chart = atlas_figure.draw(cells, of.first)
    cells, missing = _measured(cells, [*of.columns])
    pictures = {kind: chart.picture(kind, "atlas") for kind in page.KINDS} if chart else {}
    html = page.fill(
        "atlas",
        _SCRIPTS,
        cells=len(cells),
        trials=len(found),
        studies=found.study.nunique(),
        wanted=f"{len(of.studies):,}",
        files=list(dict.fromkeys(of.studies.file)),
        runs=runs,
        svg=page.inline(chart.svg("atlas"), "atlas", chart.inks) if chart else None,
        caption=atlas_figure.CAPTION,
        kinds=page.KINDS,
        notes=[*of.notes(found), *missing],
        data=page.pack(_packed(cells)),
    )
    texts = {
        "atlas.html": html,
        "tables/atlas.csv": atlas.flat(cells).to_csv(index=False),
        "tables/atlas.md": atlas.in_words(cells).to_markdown(index=False) + "\n",
    }
    return texts | {f"figures/atlas.{kind}": picture for kind, picture in pictures.items()}


def _measured(cells, columns):
    """The rows and columns of a table with results, and a sentence on the other columns."""
    is_empty = cells.isna().all()
    empty = [name for name in columns if is_empty[name]]
    missing = [f"No cell has run yet: {'; '.join(empty)}."] if empty else []
    return cells.loc[cells[columns].notna().any(axis=1), ~is_empty], missing


def _packed(cells):
    """Convert the table to columns for the page."""
    kinds = {name: "text" if name in atlas.FACTS else "measured" for name in cells}
    columns = [{"name": name, "label": name, "kind": kind} for name, kind in kinds.items()]
    return {"columns": columns, "values": [list(map(_value, cells[name])) for name in cells]}


def _value(value):
    """A text, or a number with its interval and its run; None if it was not measured."""
    if not isinstance(value, atlas.Measured):
        return value
    numbers = (None if math.isnan(x) else float(f"{x:.{_DIGITS}g}") for x in value[:3])
    return [*numbers, value.run]
