"""Builds the report from a directory of runs and writes it."""

import os
import pathlib
from collections import Counter
from collections.abc import Collection, Sequence

import pandas as pd

from rnn_zoo.files import whole
from trainer.display.progress import Display
from trainer.display.words import cell, count, printable
from trainer.errors import UserError
from trainer.storage.files import refuse_link
from tuning import trials
from tuning.report import (
    atlas,
    atlas_page,
    comparisons,
    generic,
    optimizers,
    page,
    published,
    style,
    tuned_gap,
)
from tuning.report import gaps as gap
from tuning.report.captions import caption
from tuning.report.chart import METADATA
from tuning.report.claims import CLAIMS
from tuning.report.figures import FIGURES
from tuning.report.selection import by_optimizer, of_paper
from tuning.report.tables import TABLES

#: Directories within that of a report.
_FOLDERS = ("figures", "tables")


class NoRuns(UserError):
    """A directory holds no finished run."""


def run(
    runs: str | os.PathLike | None,
    out: str | os.PathLike,
    published_trials: str | os.PathLike | None,
    display: Display,
    version: str = "",
    figures: Collection[str] | None = None,
    style_file: str | os.PathLike | None = None,
    atlas_files: Sequence[str] = (),
) -> None:
    """Write the report of a directory of runs.

    OUT/index.html    the page
    OUT/figures/      one PDF, one SVG and one PNG per figure
    OUT/tables/       one CSV and one Markdown file per table, and claims.csv, claims.md
    OUT/atlas.html    the page of the atlas, if it has runs
    OUT/*/optimizers  the comparison of optimizers, if it has runs
    OUT/*/tuned_gap   the gap between RNNs and gated cells after tuning, if it has runs

    Trials of the project's atlas and of the comparison of optimizers enter no other figure, table
    or claim.

    Args:
        runs: the directory, or None to report the authors' trials alone.
        out: directory of the report; files of an earlier report are replaced.
        published_trials: Parquet file of the authors' trials, or None.
        display: prints messages.
        version: version of the page, if `watch` rebuilds it.
        figures: names of the figures to draw; files of others stay as they are. All if None.
        style_file: Matplotlib style file, whose keys replace those of the report's style.
        atlas_files: gin files of sweeps whose tasks are further columns of the atlas.

    Raises:
        NoRuns: there is no finished run.
        UserError: a figure has another name, the style is not a style file, a gin file cannot
            be read, or a link is in place of a directory to write.
    """
    for name in _FOLDERS:
        refuse_link(pathlib.Path(out, name))
    found, excluded, problems = _read(runs, published_trials)
    for problem in problems:
        display.say(problem)
    of = atlas.Atlas((atlas.FILE, *atlas_files))
    of_atlas, of_optimizers = of.select(found), optimizers.select(found)
    for name in atlas_files:
        if name not in set(of_atlas.file):
            display.say(f"{name} adds nothing to the atlas: these runs have no study of it")
    elsewhere = comparisons.find(found)
    others, excluded = found.drop(index=elsewhere.index), pd.concat([excluded, elsewhere])
    chosen = _choose(figures, FIGURES | generic.panels(others))
    own = others[others.source == "rnn-zoo"]
    # Tables already show the paper's numbers, and claims are judged on one set of runs: both use
    # the authors' trials only if there are no others.
    judged = own if len(own) else others
    usual = of_paper(by_optimizer(judged)[""])
    with style.using(style_file, found.arch.unique()):
        drawn = _draw(chosen, others, excluded)
        pages = atlas_page.files(of, of_atlas, _name(runs)) if len(of_atlas) else {}
        compared = optimizers.files(of_optimizers) if len(of_optimizers) else {}
        after_tuning = tuned_gap.files(tuned_gap.select(judged))
    tables = {name: (table, table.make(usual)) for name, table in TABLES.items()}
    claims = _judge(judged)
    missing = gap.find(usual, runs or "runs")
    if figures is not None:
        wanted = {f"figure {name}" for name in chosen} | {f"table {name}" for name in TABLES}
        missing = [each for each in missing if each.what in wanted]
    about = {
        "sources": _sources(found, runs and _name(runs), published_trials),
        "problems": problems,
        "version": version,
        "atlas": bool(pages),
    }
    html = page.render(about, drawn, tables, claims, found, missing)
    out = pathlib.Path(out)
    contents = _contents(drawn, {**tables, "claims": (None, claims)}) | pages | compared
    _write(out, contents | after_tuning | {"index.html": html})
    belongs = len(usual) and any(len(panel.select(usual)) for panel in FIGURES.values())
    _summarise(out, drawn, tables, claims, missing if belongs else [], display)
    if pages:
        display.say(f"{out / 'atlas.html'}: {count(of_atlas.arch.nunique(), 'cell')}")
    if compared:
        display.say(f"{out / 'tables' / 'optimizers.md'}: gaps between RNNs and gated cells")
    if after_tuning:
        display.say(f"{out / 'tables' / 'tuned_gap.md'}: gaps after tuning")
    if len(others) and not belongs:
        display.say(
            "no run belongs to a figure of the paper; make some with python -m tuning.sweep and a "
            "file of gin_configs/paper"
        )


def _sources(table, runs, published_trials):
    """Return (trials, the same in words, name) of each source of trials, measured ones first."""
    sources = [("rnn-zoo", "trial", runs), ("published", "published trial", published_trials)]
    parts = [(table[table.source == source], noun, path) for source, noun, path in sources if path]
    found = []
    for part, noun, path in parts:
        studies = count(part.study.nunique(), "study", "studies")
        found.append((len(part), f"{count(len(part), noun)} of {studies}", path))
    return found


def _name(path):
    """Return a path as the user gave it, but the directory's own name for "." and the like."""
    return str(path) if str(path).strip("./") else pathlib.Path(path).resolve().name


def _choose(names, panels):
    """Return the panels with the given names, in the report's order."""
    if names is None:
        return panels
    if unknown := [name for name in names if name not in panels]:
        raise UserError(f"unknown figure {', '.join(unknown)}; choose from {', '.join(panels)}")
    return {name: panel for name, panel in panels.items() if name in names}


def _draw(panels, trials, excluded):
    """Return name -> (panel, chart or None, caption)."""
    # Figures select many times, which takes longer with long columns that they do not use.
    trials = trials.drop(columns=["hparams", "curve", "validation"])
    of_task, drawn = dict(list(trials.groupby("task", observed=True))), {}
    for name, panel in panels.items():
        part = of_task.get(panel.task, trials.iloc[:0])
        chart = panel.draw(part)
        drawn[name] = panel, chart, caption(panel, chart, part, excluded)
    return drawn


def _read(runs, published_trials):
    """Return the trials of the report, those that it leaves out, and the problems."""
    own, problems = trials.read(runs, everything=True) if runs else (trials.frame([]), [])
    problems = [*problems, *trials.left_out(own)]
    # A name in a file may hold line ends, and each problem is a line.
    problems = [printable(problem).replace("\n", r"\n") for problem in problems]
    frames = [trials.evidence(own)] if runs else []
    if published_trials:
        frames.append(published.read(published_trials))
    found = trials.together(frames)
    if not len(found):
        reason = "; ".join(["no run to show" if len(own) else "no finished run", *problems])
        raise NoRuns(
            f"{runs} holds {reason}; make some, e.g. python -m tuning.sweep "
            f"--gin_file=gin_configs/paper/figure_2c.gin --profile=smoke --out={runs}/figure_2c"
        )
    return found, own[own.excluded != ""], problems


def _contents(figures, tables):
    """Content of the figures' and tables' files by path, None for figures without trials."""
    found = {}
    for name, (_, chart, _) in figures.items():
        for kind in METADATA:
            found[f"figures/{name}.{kind}"] = chart and chart.picture(kind, name)
    for name, (specification, table) in tables.items():
        comma = table.apply(lambda column: column.map(cell)).to_csv(index=False)
        shares = specification.shares if specification else ()
        found |= {f"tables/{name}.csv": comma, f"tables/{name}.md": _markdown(table, shares)}
    return found


def _write(out, contents):
    """Write files that are all made, so that a kill hardly leaves old ones beside new ones."""
    for name in _FOLDERS:
        (out / name).mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if content is None:
            (out / name).unlink(missing_ok=True)
            continue
        with whole(out / name, "w" if isinstance(content, str) else "wb") as file:
            file.write(content)


def _markdown(table, shares):
    """A table as Markdown, with its shares in percent, as on the page."""
    shown = table.astype(dict.fromkeys(shares, object))
    for name in shares:
        shown[name] = shown[name].map("{:.1%}".format, na_action="ignore")
    shown = shown.astype(object).where(shown.notna(), None)
    return shown.to_markdown(index=False, floatfmt=".4g", missingval="") + "\n"


def _judge(trials):
    """Check all claims; return a DataFrame with one row per claim.

    Trials with the paper's optimizers decide. Each other optimizer has columns of its own, if a
    claim uses its trials.
    """
    rows = [{"claim": claim.text, "paper": claim.source} for claim in CLAIMS.values()]
    for optimizer, part in by_optimizer(trials).items():
        suffix = f" with {optimizer}" if optimizer else ""
        findings = [claim.check(part) for claim in CLAIMS.values()]
        if optimizer and not any(finding.runs for finding in findings):
            continue
        for row, finding in zip(rows, findings, strict=True):
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
        f"{out / 'index.html'}: {drawn} of {count(len(figures), 'figure')}, "
        f"{count(len(tables), 'table')}, {count(len(claims), 'claim')} ({_verdicts(claims)})"
    )
    for command, gaps in gap.commands(missing).items():
        display.say(f"missing in {', '.join(each.what for each in gaps)}: {command}")
