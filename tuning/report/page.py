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
from collections import Counter
from collections.abc import Collection, Iterable

import pandas as pd

from tuning.report import gaps as gap
from tuning.report import importance, objectives
from tuning.report.chart import METADATA, Chart
from tuning.report.claims.base import CONTRADICTED, SUPPORTED, TOO_FEW
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
#: Suffixes of a figure's files.
KINDS = tuple(METADATA)
#: Significant digits of numbers on the page.
_DIGITS = 6
#: Verdicts in the order of the summary.
_VERDICTS = (SUPPORTED, CONTRADICTED, TOO_FEW)
#: The page's scripts in the order in which they run.
_SCRIPTS = ("base", "table", "figures", "runs", "curve", "studies", "live", "page")


def render(
    about: dict,
    figures: dict[str, tuple[Panel, Chart | None, str]],
    tables: dict[str, tuple[Table, pd.DataFrame]],
    claims: pd.DataFrame,
    trials: pd.DataFrame,
    gaps: list[gap.Gap],
) -> str:
    """Render the page.

    Args:
        about: dict with `sources`, a list of (number of trials, the same in words, name), the
            `problems` of reading them, as sentences, the page's `version`, "" unless it is rebuilt,
            and whether there is a page of the `atlas`.
        figures: name -> (specification, chart or None, caption).
        tables: name -> (specification, table).
        claims: DataFrame with one row per claim.
        trials: DataFrame of `trials.read`.
        gaps: missing runs.

    Returns:
        The HTML.
    """
    rows = pd.Series(range(len(trials)), trials.run)
    drawn = {name: _figure(name, *each, rows) for name, each in figures.items()}
    absent = {name: each["title"] for name, each in drawn.items() if each["svg"] is None}
    return fill(
        "page",
        _SCRIPTS,
        about=about,
        verdicts={name: count for name in _VERDICTS if (count := Counter(claims.verdict)[name])},
        figures=drawn,
        kinds=KINDS,
        tables={name: table for name, (table, _) in tables.items()},
        absent=len(absent),
        missing=_missing(gaps, absent),
        limits={"studies": importance.MOST_STUDIES, "trials": importance.FEWEST_TRIALS},
        data={
            "tables": pack(_tables(tables, claims, trials)),
            "points": pack({name: each["points"] for name, each in drawn.items()}),
            "trials": pack(_trials(trials)),
        },
        runs=_runs(trials),
    )


def fill(name: str, scripts: Iterable[str], **values: object) -> str:
    """Fill in a page of the assets.

    Args:
        name: name of its HTML file, without the suffix.
        scripts: names of its scripts, in the order in which they run.
        values: values of the template's variables, except style and scripts.
    """
    import jinja2

    assets = importlib.resources.files("tuning.report") / "assets"
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string((assets / f"{name}.html").read_text()).render(
        css=(assets / "page.css").read_text(),
        theme=(assets / "theme.js").read_text(),
        script="\n".join((assets / f"{each}.js").read_text() for each in scripts),
        **values,
    )


def _missing(gaps, absent):
    """List commands with the absent figures that each makes, and the settings that lack runs.

    Args:
        gaps: missing runs.
        absent: name -> title of each figure without a run.

    Returns:
        List of dicts `command`, `absent` and `lines`. Figures that no command makes come last.
    """
    found, rest = [], dict(absent)
    for command, some in gap.commands(gaps).items():
        names = [each.what.removeprefix("figure ") for each in some]
        made = {name: rest.pop(name) for name in names if name in rest}
        found.append({"command": command, "absent": made, "lines": list(map(str, some))})
    return found + ([{"command": None, "absent": rest, "lines": []}] if rest else [])


def pack(value: object) -> str:
    """Encode a value as base64 of gzipped JSON."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def _figure(name, panel, chart, caption, rows):
    heading = "The paper's figures" if panel.sweep else "All runs by task"
    figure = {"name": name, "title": panel.title, "caption": caption, "heading": heading}
    figure |= {"svg": None, "points": None}
    if chart is None:
        return figure
    points = chart.points
    figure["svg"] = inline(chart.svg(name), name, chart.inks)
    figure["points"] = chart.frame() | {
        "labels": [chart.axes.get_xlabel(), chart.axes.get_ylabel()],
        "px": _numbers(points.x),
        "py": _numbers(points.y),
        "archs": [LABELS.get(arch, arch) for arch in points.arch],
        "rows": rows[points.run].tolist(),
    }
    return figure


def inline(svg: str, name: str, inks: Collection[str]) -> str:
    """Prepare an SVG for HTML: ink in the page's colour, unique ids, no fixed size."""
    svg = re.sub("|".join(sorted(inks)), "currentColor", svg[svg.index("<svg") :])
    prefix = f"f{re.sub('[^0-9A-Za-z]', '', name)}-"
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{prefix}", svg)
    # Only the first width and height are those of the whole picture.
    return re.sub(r' (width|height)="[^"]*"', "", svg, count=2)


def _tables(tables, claims, trials):
    found = {
        f"table-{name}": _frame(table, **dict.fromkeys(specification.shares, "percent"))
        for name, (specification, table) in tables.items()
    }
    verdicts = {name: "verdict" for name in claims if name.startswith("verdict")}
    found["claims"] = _frame(claims, **verdicts)
    found["objectives"] = _frame(objectives.describe(trials))
    return found | {"importance": _importance(trials)}


def _importance(trials):
    """Importances by study, as lists in falling order."""
    return {
        name: {
            "values": [[hparam, _finite(value)] for hparam, value in each.values.items()],
            "explained": _finite(each.explained),
        }
        for name, each in importance.find(trials).items()
    }


def _frame(table, **kinds):
    """Convert a DataFrame to columns for the page; `kinds` overrides number or text."""
    columns, values = [], []
    for name in table:
        is_number = pd.api.types.is_numeric_dtype(table[name])
        kind = kinds.get(name, "number" if is_number else "text")
        columns.append({"name": name, "label": name, "kind": kind})
        values.append(_numbers(table[name]) if is_number else table[name].tolist())
    return {"columns": columns, "values": values}


def _trials(trials):
    """Make the table of trials; a text column becomes a list of words and an index per row."""
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
    """Pack hyperparameters, learning curves and losses of runs, one piece per study."""
    # Few texts of names differ, and none is changed.
    names = {text: json.loads(text) for text in {*trials.held.unique(), *trials.outside.unique()}}
    numbers = "train_steps steps_done chance_loss valid_loss eval_loss".split()
    columns = [_numbers(trials[name]) for name in numbers]
    lists = [[names[text] for text in trials[name]] for name in ("held", "outside")]
    texts = [
        [_short(text, digits) for text in trials[name]]
        for name, digits in (("hparams", 4), ("curve", 3), ("validation", 3))
    ]
    keys = (
        "trainSteps stepsDone chance valid evaluated held outside hparams curve validation"
    ).split()
    rows = [
        dict(zip(keys, values, strict=True))
        for values in zip(*columns, *lists, *texts, strict=True)
    ]
    places = trials.groupby("study", observed=False, sort=True).indices
    studies = trials.study.cat.categories
    return {
        f"study-{number}": pack({int(row): rows[row] for row in places.get(study, ())})
        for number, study in enumerate(studies)
    }


def _short(text, digits):
    """Parse JSON and round its numbers, since these make up most of the page."""

    def shorter(number):
        return float(f"{float(number):.{digits}g}")

    # JSON has no NaN and no infinity.
    return json.loads(text, parse_float=shorter, parse_constant=lambda _: None)


def _numbers(series):
    """Round floats; whole ones become int, missing ones None."""
    return [_finite(x) for x in series.astype(float).tolist()]


def _finite(value):
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.{_DIGITS}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
