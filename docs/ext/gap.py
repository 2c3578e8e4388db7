"""The figure and table of the sweep of optimizers, from the report in results/, if it has them."""

from atlas import REPORT

_NONE = "No results of this sweep are in the repository yet."
_RESULTS = """\
```{{figure}} {up}/figures/optimizers.png
:alt: Gap between the best RNN and the best gated cell, a mark per optimizer and task

The gap with each optimizer, in units of the chance loss.
```

{table}"""


def section(report=REPORT):
    """Markdown: figure and table, or a sentence if there are no results."""
    if not (report / "figures" / "optimizers.png").is_file():
        return _NONE
    table = (report / "tables" / "optimizers.md").read_text()
    return _RESULTS.format(up="../results/report", table=table)
