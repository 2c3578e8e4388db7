"""The report as one HTML file that needs no network and no server.

Tables and runs are gzipped JSON within the file, small enough for a hundred thousand trials. The
browser unpacks them on demand.
"""

import base64
import gzip
import importlib.resources
import json
import math
import re

import pandas as pd

from tuning.report import gaps as gap
from tuning.report.chart import INK, Chart
from tuning.report.figures import Panel
from tuning.report.paper import LABELS
from tuning.report.tables import Table

#: Columns of the page's table of trials: name, heading, kind.
TRIAL_COLUMNS = (
    ("run", "run", "run"),
    ("task", "task", "text"),
    ("arch", "architecture", "text"),
    ("depth", "depth", "number"),
    ("max_params", "budget", "number"),
    ("num_params", "parameters", "number"),
    ("units", "units", "number"),
    ("algorithm", "algorithm", "text"),
    ("profile", "profile", "text"),
    ("status", "status", "text"),
    ("steps_done", "steps", "number"),
    ("objective", "objective", "number"),
    ("eval_loss", "eval loss", "number"),
    ("bits_per_parameter", "bits per parameter", "number"),
    ("bits_per_character", "bits per character", "number"),
    ("optimizer", "optimizer", "text"),
    ("origin", "origin", "text"),
)
#: Significant digits of numbers on the page.
_DIGITS = 6


def render(
    about: dict,
    figures: dict[str, tuple[Panel, Chart | None, str]],
    tables: dict[str, tuple[Table, pd.DataFrame]],
    claims: pd.DataFrame,
    trials: pd.DataFrame,
    gaps: list[gap.Gap],
) -> str:
    """Renders the page.

    Args:
        about: dict with the number of `trials`, the number of `studies`, the directory of `runs`,
            and `claims`, the number of claims per verdict as text.
        figures: name -> (specification, chart or None, caption).
        tables: name -> (specification, table).
        claims: DataFrame with one row per claim.
        trials: DataFrame of `trials.read`.
        gaps: missing runs.

    Returns:
        The HTML.
    """
    import jinja2

    assets = importlib.resources.files("tuning.report") / "assets"
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string((assets / "page.html").read_text())
    rows = pd.Series(range(len(trials)), trials.run)
    drawn = {name: _figure(name, *each, rows) for name, each in figures.items()}
    return template.render(
        about=about,
        css=(assets / "page.css").read_text(),
        script=(assets / "page.js").read_text(),
        figures=drawn,
        tables={name: table for name, (table, _) in tables.items()},
        missing=gap.commands(gaps),
        data={
            "tables": pack(_tables(tables, claims)),
            "points": pack({name: each["points"] for name, each in drawn.items()}),
            "trials": pack(_trials(trials)),
        },
        runs=_runs(trials),
    )


def pack(value: object) -> str:
    """Encodes a value as base64 of gzipped JSON."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def _figure(name, panel, chart, caption, rows):
    figure = {"name": name, "title": panel.title, "caption": caption, "svg": None, "points": None}
    if chart is None:
        return figure
    points = chart.points
    figure["svg"] = _inline(chart.svg(name), name)
    figure["points"] = chart.frame() | {
        "labels": [chart.axes.get_xlabel(), chart.axes.get_ylabel()],
        "px": _numbers(points.x),
        "py": _numbers(points.y),
        "archs": [LABELS[arch] for arch in points.arch],
        "rows": rows[points.run].tolist(),
    }
    return figure


def _inline(svg, name):
    """Prepares an SVG for HTML: ink in the page's colour, unique ids, no fixed size."""
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    prefix = f"f{re.sub('[^0-9A-Za-z]', '', name)}-"
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{prefix}", svg)
    # Only the first width and height are those of the whole picture.
    return re.sub(r' (width|height)="[^"]*"', "", svg, count=2)


def _tables(tables, claims):
    found = {f"table-{name}": _frame(table) for name, (_, table) in tables.items()}
    verdicts = {name: "verdict" for name in claims if name.startswith("verdict")}
    return found | {"claims": _frame(claims, **verdicts)}


def _frame(table, **kinds):
    """Converts a DataFrame to columns for the page; `kinds` overrides number or text."""
    columns, values = [], []
    for name in table:
        is_number = pd.api.types.is_numeric_dtype(table[name])
        kind = kinds.get(name, "number" if is_number else "text")
        columns.append({"name": name, "label": name, "kind": kind})
        values.append(_numbers(table[name]) if is_number else table[name].tolist())
    return {"columns": columns, "values": values}


def _trials(trials):
    """Makes the table of trials; a text column becomes a list of words and an index per row."""
    columns, values = [], []
    for name, label, kind in TRIAL_COLUMNS:
        columns.append({"name": name, "label": label, "kind": kind})
        if kind == "number":
            values.append(_numbers(trials[name]))
        elif kind == "run":
            studies = trials.study.cat
            ids = trials.run_id.tolist()
            values.append(
                {"studies": list(studies.categories), "codes": studies.codes.tolist(), "ids": ids}
            )
        else:
            words = trials[name].cat
            shown = [LABELS.get(word, word) for word in words.categories]
            values.append({"words": shown, "codes": words.codes.tolist()})
    return {"columns": columns, "values": values}


def _runs(trials):
    """Packs the hyperparameters and learning curves of runs, one piece per study."""
    found = {}
    for number, (_, study) in enumerate(trials.groupby("study", observed=False, sort=True)):
        rows = study.index.tolist()
        pairs = zip(rows, study.hparams, study.curve, strict=True)
        found[f"study-{number}"] = pack(
            {row: [_short(hparams, 4), _short(curve, 3)] for row, hparams, curve in pairs}
        )
    return found


def _short(text, digits):
    """Parses JSON and rounds its numbers, since these make up most of the page."""

    def shorter(number):
        return float(f"{float(number):.{digits}g}")

    # JSON has no NaN and no infinity.
    return json.loads(text, parse_float=shorter, parse_constant=lambda _: None)


def _numbers(series):
    """Rounds floats; whole ones become int, missing ones None."""
    return [_number(x) if math.isfinite(x) else None for x in series.astype(float).tolist()]


def _number(value):
    rounded = float(f"{value:.{_DIGITS}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
