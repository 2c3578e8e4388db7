"""Selective copying: repeat the symbols that stand among blanks, in their order."""

from trainer import lazy_ops as ops
from trainer.tasks.copy_memory import BLANK, LENGTH, Copy
from trainer.tasks.symbols import places


class SelectiveCopy(Copy):
    """Repeats ten symbols that stand among blanks (MAD: Poli et al., 2024, arXiv 2403.17844).

    Like `Copy`, but the ten symbols stand among the T - 1 blanks; all choices of places are equally
    likely. They are repeated in their order, without the blanks. Chance is the same,
    10 ln 8 / (T + 20).

    Args:
        delay: T.

    Raises:
        UserError: `delay` is not a positive integer.
    """

    name = "selective_copy"
    summary = "repeat ten symbols that stand among blanks"

    def __init__(self, delay: int = 10):
        super().__init__(delay)
        self._num_words = LENGTH + delay - 1 + LENGTH

    def _show(self, symbols, blanks, words):
        has_symbol, index = places(words, LENGTH)
        return ops.where(has_symbol, ops.take_along_axis(symbols, index, axis=-1), BLANK)
