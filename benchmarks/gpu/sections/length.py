"""Steps per second by sequence length and precision."""

from benchmarks.gpu.sections import steps
from trainer.config import PRECISIONS

#: How a fleet runs this section: one process per item, since a second round would take too long.
RUNNING = {"workers": 18}


def items(toy):
    lengths, archs, budget = (50, 500, 5000), ("gru", "ugrnn"), 100_000
    if toy:
        lengths, archs, budget = (20, 40), ("gru",), 3000
    return [
        {"arch": arch, "budget": budget, "num_steps": length, "precision": precision}
        for length in lengths
        for arch in archs
        for precision in (PRECISIONS[:1] if toy else PRECISIONS)
    ]


def prepare(arch, budget, num_steps, precision):
    return steps.prepare(
        *("text8", arch, budget, "ours_jax", "default"), num_steps=num_steps, precision=precision
    )
