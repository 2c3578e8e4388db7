"""python -m benchmarks.conformance: compare all cells with their papers and other libraries.

Each cell runs a few steps in float64, with random weights, inputs and states. Its outputs, final
states and gradients, from the derived backward pass, are compared with those of

    - its twin in the tests, the paper's equations in NumPy
    - the `keras.layers` layer and the `torch.nn` module that `rnn_zoo.convert` makes
    - the cell of torchrecurrent, if it is installed

A cell of another library is

    equal           up to rounding
    more general    equal if a parameter that the paper lacks is left out
    deviates        otherwise; known deviations are confirmed by running the deviating equations

RecurrentLayers.jl and authors' code are not run; these verdicts come from reading the source.

Results: conformance.json and conformance.md in --out. The exit status is 1 if a
verdict is not the expected one.
"""

import argparse
import pathlib
import sys

from benchmarks import machine
from rnn_zoo import files
from rnn_zoo.architectures import ARCHITECTURES

FIELDS = ("arch", "against", "values", "gradients", "verdict")
HEAD = "| cell | against | values | gradients | verdict |\n|---|---|---|---|---|"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--archs", nargs="*", default=list(ARCHITECTURES), choices=ARCHITECTURES)
    parser.add_argument("--out", default="benchmarks/results/conformance")
    args = parser.parse_args(arguments)
    from benchmarks.conformance import peers, rows

    print(machine.describe())
    if not peers.version():
        print("torchrecurrent is not installed and is left out: pip install torchrecurrent")
    print(HEAD)
    found = []
    for arch in args.archs:
        for row in rows.rows(arch):
            print(line(row), flush=True)
            found.append(row)
    print(summary(found))
    save(pathlib.Path(args.out), found)
    unexpected = [f"{row['arch']} against {row['against']}" for row in found if not row["expected"]]
    if unexpected:
        print(f"not as expected: {', '.join(unexpected)}")
    return int(bool(unexpected))


def line(row: dict) -> str:
    """Return a row of `HEAD`."""
    cells = [row[name] for name in FIELDS]
    texts = [f"{each:.1e}" if isinstance(each, float) else each or "not run" for each in cells]
    return f"| {' | '.join(texts)} |"


def summary(rows: list[dict]) -> str:
    """Return the number of verdicts of each kind, run and read."""
    parts = []
    for what, is_run in (("run", True), ("read", False)):
        verdicts = [row["verdict"] for row in rows if (row["values"] is not None) == is_run]
        counts = [
            f"{sum(verdict.startswith(kind) for verdict in verdicts)} {kind}"
            for kind in ("equal", "more general", "deviates")
        ]
        parts.append(f"{len(verdicts)} {what}: {', '.join(counts)}")
    return "; ".join(parts)


def save(directory: pathlib.Path, rows: list[dict]) -> None:
    """Write conformance.json and conformance.md."""
    directory.mkdir(parents=True, exist_ok=True)
    files.write_json(directory / "conformance.json", {"machine": machine.facts(), "rows": rows})
    others = [row for row in rows if row["verdict"] != "equal"]
    parts = [
        "# Conformance of cells",
        f"{summary(rows)[0].upper()}{summary(rows)[1:]}.",
        "## Not equal",
        "\n".join([HEAD, *map(line, others)]),
        "## All comparisons",
        "\n".join([HEAD, *map(line, rows)]),
    ]
    with files.whole(directory / "conformance.md", "w") as file:
        file.write("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    sys.exit(main())
