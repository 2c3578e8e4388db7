"""The atlas's picture and table, from the report in results/, if it has them."""

import pathlib

REPORT = pathlib.Path(__file__).resolve().parents[2] / "results" / "report"
_NONE = "No results of the atlas are in the repository yet."
_RESULTS = """\
```{{figure}} {up}/figures/atlas.png
:alt: Bits per parameter against the share of random trials that learn, a mark per cell

Bits per parameter, and the share of trials with random hyperparameters that learn.
```

{{download}}`The atlas's page <{up}/atlas.html>` has this table with headings that sort it,
and the run behind each result.

{table}"""


def section(report=REPORT):
    """Markdown: picture and table, or a sentence if there are no results."""
    if not (report / "figures" / "atlas.png").is_file():
        return _NONE
    table = (report / "tables" / "atlas.md").read_text()
    return _RESULTS.format(up="../results/report", table=table)
