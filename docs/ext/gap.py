"""Figures and tables of gaps between RNNs and gated cells, from the report in results/."""

from atlas import REPORT

_NONE = "The repository has no results of these studies yet."
_RESULTS = """\
```{{figure}} {up}/figures/{name}.png
:alt: {shown}

{shown}.
```

{table}"""
_SHOWN = {
    "optimizers": "The gap in the share of trials that learn, a mark per optimizer and task",
    "tuned_gap": "The loss of each search's best trial, a mark per search, and their medians",
}


def section(name, report=REPORT):
    """Markdown: a figure of `_SHOWN` and its table, or a sentence if there are no results."""
    if not (report / "figures" / f"{name}.png").is_file():
        return _NONE
    table = (report / "tables" / f"{name}.md").read_text()
    return _RESULTS.format(up="../results/report", name=name, shown=_SHOWN[name], table=table)
