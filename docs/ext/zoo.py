"""The table of all cells, from `rnn_zoo.ARCHITECTURES`."""

from collections import defaultdict
from fractions import Fraction

from rnn_zoo.algebra import Antisymmetric, BlockDiagonal, Diagonal, LowRank, Scalar, learned_states
from rnn_zoo.architectures import ARCHITECTURES
from rnn_zoo.cells import CELLS
from rnn_zoo.unroll.scan import can_scan

#: The paper's own architectures, which have no source of their own in the table.
COLLINS = "Collins et al. 2017, arXiv:1611.09913"
_LINKS = {
    "arXiv:": "https://arxiv.org/abs/",
    "10.": "https://doi.org/10.",
    "https://": "https://",
}


def table():
    """Markdown: a row for each architecture."""
    rows = [
        "| name, layer | what it is | parameters of a layer | states | scans | source |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in ARCHITECTURES.items():
        layer = row.cell.removesuffix("Cell")
        link = f"{{py:class}}`{layer} <rnn_zoo.layers.{layer}>`"
        states = ", ".join(row.state_names)
        scans = "yes" if can_scan(CELLS[name]) else ""
        rows.append(
            f"| `{name}` {link} | {row.summary} | {count_of(row)} | {states} | {scans} | "
            f"{_source(row.paper or COLLINS)} |"
        )
    return "\n".join(rows)


def classes():
    """The names of all cells' classes."""
    return ", ".join(row.cell for row in ARCHITECTURES.values())


def count_of(row):
    """The number of parameters as a formula of N and I, such as $2 I N + 2 N^2 + 3 N$."""
    terms: dict[str, Fraction] = defaultdict(Fraction)
    for gate in row.gates.values():
        per_head = gate.per_head
        if gate.input:
            full = "N^2" if row.always_reads_in else "I N"
            terms["I" if per_head else full] += per_head.heads if per_head else 1
        if gate.bias:
            terms["1" if per_head else "N"] += per_head.heads if per_head else 1
    terms["N"] += len(learned_states(row))
    for gate in row.gates_with("recurrent"):
        for term, count in _size(row.gates[gate].recurrent).items():
            terms[term] += count
    for vector in row.vectors.values():
        terms["1" if isinstance(vector, Scalar) else "N"] += 1
    if row.mixes_input:
        terms["I N"] += row.always_reads_in
        terms["N"] += row.always_reads_in
    order = sorted(terms, key=["I N", "N^2", "I", "N", "1"].index)
    formula = " + ".join(_times(terms[term], term) for term in order if terms[term])
    has_read_in = row.mixes_input and not row.always_reads_in
    return f"${formula}$" + (" and a read-in" if has_read_in else "")


def _size(structure):
    if isinstance(structure, Diagonal):
        return {"N": Fraction(1)}
    if isinstance(structure, BlockDiagonal):
        return {"N^2": Fraction(1, structure.blocks)}
    if isinstance(structure, LowRank):  # of rank N / share
        return {"N^2": Fraction(2, structure.share)}
    if isinstance(structure, Antisymmetric):
        return {"N^2": Fraction(1, 2), "N": Fraction(-1, 2)}
    return {"N^2": Fraction(1)}


def _times(count, term):
    number = "" if count == 1 else rf"\tfrac{{{count.numerator}}}{{{count.denominator}}}"
    number = str(count) if count != 1 and count.denominator == 1 else number
    return str(count) if term == "1" else f"{number} {term}".strip()


def _source(paper):
    authors, _, number = paper.rpartition(", ")
    for prefix, link in _LINKS.items():
        if number.startswith(prefix):
            return f"[{authors}]({link}{number.removeprefix(prefix)})"
    return paper
