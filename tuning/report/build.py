"""Builds the report from a directory of runs and writes it."""

import os
import pathlib
from collections import Counter
from collections.abc import Callable

import pandas as pd

from trainer.display.progress import Display
from trainer.errors import UserError
from trainer.storage.files import whole
from tuning import trials
from tuning.report import gaps as gap
from tuning.report import page
from tuning.report.claims import CLAIMS
from tuning.report.figures import FIGURES
from tuning.report.selection import by_optimizer
from tuning.report.tables import TABLES


class NoRuns(UserError):
    """A directory holds no finished run."""


def run(
    runs: str | os.PathLike | None,
    out: str | os.PathLike,
    published_trials: str | os.PathLike | None,
    display: Display,
    version: str = "",
) -> None:
    """Writes the report of a directory of runs.

    OUT/index.html    the page
    OUT/figures/      one PNG and one SVG per figure
    OUT/tables/       one CSV and one Markdown file per table, and claims.csv, claims.md

    Args:
        runs: the directory, or None to report the authors' trials alone.
        out: directory of the report; files of an earlier report are replaced.
        published_trials: Parquet file of the authors' trials, or None.
        display: prints messages.
        version: of the page, if `watch` makes newer ones.

    Raises:
        NoRuns: there is no finished run.
    """
    found = _read(runs, published_trials, display)
    own = found[found.source == "rnn-zoo"]
    # Tables already show the paper's numbers, and claims are judged on one set of runs: both use
    # the authors' trials only if there are no others.
    judged = own if len(own) else found
    usual = by_optimizer(judged)[""]
    figures = {n: (p, p.draw(found), caption(p.select, found)) for n, p in FIGURES.items()}
    tables = {name: (table, table.make(usual)) for name, table in TABLES.items()}
    claims = _judge(judged)
    missing = gap.find(usual, runs or "runs")
    about = {
        "trials": len(found),
        "studies": found.study.nunique(),
        "runs": str(runs or published_trials),
        "version": version,
    }
    html = page.render(about, figures, tables, claims, found, missing)
    out = pathlib.Path(out)
    _write(out, figures, {name: table for name, (_, table) in tables.items()} | {"claims": claims})
    with whole(out / "index.html", "w") as file:
        file.write(html)
    _summarise(out, figures, tables, claims, missing, display)


def caption(select: Callable[[pd.DataFrame], pd.DataFrame], trials: pd.DataFrame) -> str:
    """Number, profiles and budgets of the trials that `select` keeps; one sentence per source."""
    parts = []
    for source, name in (("rnn-zoo", ""), ("published", "published: ")):
        selected = select(trials[trials.source == source])
        if len(selected):
            parts.append(name + _describe(selected))
    return " ".join(parts) or "No runs yet."


def _describe(selected):
    sizes = selected.groupby("study", observed=True).size()
    low, high = sizes.min(), sizes.max()
    each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    text = f"{len(selected):,} trials, {each} per study"
    diverged = int((selected.status == "infeasible").sum())
    text += f", {diverged:,} of them diverged" if diverged else ""
    proposed = int((selected.origin == "search").sum())
    text += f", {proposed:,} proposed by the search" if selected.origin.notna().any() else ""
    profiles = [str(name) for name in selected.profile.dropna().unique()]
    text += f"; profile {', '.join(profiles)}" if profiles else ""
    budgets = sorted({int(budget) for budget in selected.max_params})
    many = f"{budgets[0]:,} to {budgets[-1]:,}" if len(budgets) > 1 else f"{budgets[0]:,}"
    return f"{text}; budget {many}."


def _read(runs, published_trials, display):
    frames = []
    if runs:
        own, problems = trials.read(runs)
        for problem in problems:
            display.say(problem)
        frames.append(own)
    if published_trials:
        frames.append(trials.read_published(published_trials))
    found = trials.together(frames)
    if not len(found):
        raise NoRuns(
            f"{runs} holds no finished run; make some, e.g. python -m tuning.sweep "
            f"--gin_file=gin_configs/paper/figure_2c.gin --profile=smoke --out={runs}/figure_2c"
        )
    return found


def _write(out, figures, tables):
    for name in ("figures", "tables"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for name, (_, chart, _) in figures.items():
        for kind in ("png", "svg"):
            path = out / "figures" / f"{name}.{kind}"
            if chart is None:
                path.unlink(missing_ok=True)
                continue
            content = chart.png() if kind == "png" else chart.svg(name).encode()
            with whole(path) as file:
                file.write(content)
    for name, table in tables.items():
        for kind, text in (
            ("csv", table.to_csv(index=False)),
            ("md", table.to_markdown(index=False, floatfmt=".4g") + "\n"),
        ):
            with whole(out / "tables" / f"{name}.{kind}", "w") as file:
                file.write(text)


def _judge(trials):
    """Checks all claims; returns a DataFrame with one row per claim.

    Trials with the paper's optimizers decide. Each other optimizer has columns of its own.
    """
    rows = [{"claim": claim.text, "paper": claim.source} for claim in CLAIMS.values()]
    for optimizer, part in by_optimizer(trials).items():
        suffix = f" with {optimizer.capitalize()}" if optimizer else ""
        for row, claim in zip(rows, CLAIMS.values(), strict=True):
            finding = claim.check(part)
            row |= {f"{name}{suffix}": value for name, value in finding._asdict().items()}
    table = pd.DataFrame(rows)
    table.insert(5, "rule", [claim.rule for claim in CLAIMS.values()])
    return table


def _verdicts(claims):
    """Number of claims per verdict, as text."""
    return ", ".join(f"{n} {verdict}" for verdict, n in Counter(claims.verdict).most_common())


def _summarise(out, figures, tables, claims, missing, display):
    drawn = sum(chart is not None for _, chart, _ in figures.values())
    display.say(
        f"{out / 'index.html'}: {drawn} of {len(figures)} figures, {len(tables)} tables, "
        f"{len(claims)} claims ({_verdicts(claims)})"
    )
    for command, gaps in gap.commands(missing).items():
        display.say(f"missing in {', '.join(each.what for each in gaps)}: {command}")
