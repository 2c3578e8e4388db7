"""Memory that training needs, and errors of not having it."""

import os

from rnn_zoo.architectures import ARCHITECTURES
from trainer.errors import UserError

#: Arrays of the size of the weights: themselves, their gradient, and the slots u and v.
_COPIES = 4
ADVICE = "use a smaller --batch_size or --num_params, or fewer time steps"


def check(
    arch: str,
    layers: tuple[int, int],
    num_params: int,
    num_slots: int,
    batch: tuple[int, int],
    subject: str = "this training",
    way_out: str = ADVICE,
) -> None:
    """Check that training fits into this machine's memory.

    Args:
        arch: the architecture.
        layers: number of layers, and units of each.
        num_params: number of parameters.
        num_slots: size of the optimizer's slots beside u and v.
        batch: samples per update, and time steps of each.
        subject, way_out: start and end of the message.

    Raises:
        UserError: it needs more than there is.
    """
    (depth, units), (batch_size, num_steps) = layers, batch
    facts = ARCHITECTURES[arch]
    # Numbers per sample, time step and unit, as in `trainer.lanes`.
    numbers = depth * units * (2 * len(facts.state_names) + 3 * len(facts.gates))
    needed = 4 * (_COPIES * num_params + num_slots + batch_size * num_steps * numbers)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        raise UserError(
            f"{subject} needs {needed // 2**30:,} GiB, and this machine has "
            f"{memory // 2**30:,}; {way_out}"
        )


def is_out(error: BaseException) -> bool:
    """Return whether an exception reports too little memory, also one of a backend's."""
    return isinstance(error, MemoryError) or any(
        words in str(error)
        for words in ("RESOURCE_EXHAUSTED: Out of memory", "OOM when allocating")
    )
