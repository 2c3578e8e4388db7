"""Comparisons of one architecture, as rows of the table."""

from collections.abc import Iterator
from typing import Any

from benchmarks.conformance import cases, converted, deviations, peers
from benchmarks.conformance.cases import Case, Results

#: Largest differences of equal results. The twins' gradients are central differences.
VALUES, GRADIENTS = 1e-9, 1e-6

Row = dict[str, Any]


def rows(arch: str) -> Iterator[Row]:
    """Yield a dict(arch, against, values, gradients, verdict, expected) for each comparison.

    `values` and `gradients` are the largest differences, or None where the source was read and not
    run. `expected` is whether the verdict is the known one.
    """
    case = cases.make(arch)
    ours = cases.of_layer(case)
    yield _row(arch, "its NumPy twin", ours, cases.of_twin(case))
    if arch in converted.KERAS:
        yield _row(arch, *converted.of_keras(case), ours)
    if arch in converted.TORCH:
        yield _row(arch, *converted.of_torch(case), ours)
    if arch in peers.PEERS and peers.version():
        yield _row_of_peer(arch, peers.PEERS[arch])
    for source, verdicts in deviations.READ.items():
        if arch in verdicts:
            read = {"values": None, "gradients": None, "verdict": verdicts[arch]}
            yield {"arch": arch, "against": source} | read | {"expected": True}


def _row(arch, against, found, expected):
    values, gradients = cases.differences(found, expected)
    equal = _are_equal(values, gradients)
    return {
        "arch": arch,
        "against": against,
        "values": values,
        "gradients": gradients,
        "verdict": "equal" if equal else "deviates",
        "expected": equal,
    }


def _row_of_peer(arch, peer):
    case = cases.make(arch, peer.missing, **peers.options_of(arch))
    theirs = peers.of_peer(case, peer)
    options = ", ".join(f"{name}={value!r}" for name, value in peer.options.items())
    name = f"torchrecurrent.{peer.cell}{options and f'({options})'}"
    row = _row(arch, name, cases.of_layer(case), theirs)
    known = deviations.TORCHRECURRENT.get(arch)
    return row | _explained(row["verdict"] == "equal", peer.adds, known, case, theirs)


def _explained(
    equal: bool,
    adds: str,
    known: deviations.Deviation | None,
    case: Case,
    theirs: Results,
) -> Row:
    """Return dict(verdict, expected) of a peer."""
    if equal:
        verdict = f"more general: {adds}" if adds else "equal"
        return {"verdict": verdict, "expected": known is None}
    if known and _are_equal(*cases.differences(cases.of_twin(case, known.step), theirs)):
        return {"verdict": f"deviates: {known.where}", "expected": True}
    return {"verdict": "deviates, and not as known", "expected": False}


def _are_equal(values, gradients):
    return values <= VALUES and gradients <= GRADIENTS
