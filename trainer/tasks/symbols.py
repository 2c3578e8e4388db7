"""Base class of tasks that read one symbol per time step and name one of a few answers."""

from collections.abc import Callable
from typing import Any, ClassVar

from trainer import counter_rng
from trainer import lazy_ops as ops
from trainer.tasks.base import Coded
from trainer.tasks.rendering import scored_sample


class Symbols(Coded):
    """Base of the tasks whose inputs are symbols and whose targets are codes.

    Inputs are (B, T, I), one-hot vectors of `vocabulary`.

    Attributes:
        answers: the symbol of each code; numbers if empty.
    """

    answers: ClassVar[tuple[str, ...]] = ()
    splits_share_a_program = True

    def example(self, batch, index):
        symbols = ops.convert_to_numpy(batch.inputs[index]).argmax(-1)
        targets = ops.convert_to_numpy(batch.targets[index])
        read = self._text(self.vocabulary[symbol] for symbol in symbols)
        return f"inputs   {read}\ntargets  {self._answers(targets)}"

    def answer(self, batch, index, outputs, units=None):
        logits, _ = scored_sample(self, batch, index, outputs)
        return f"{self.example(batch, index)}\nanswers  {self._answers(logits.argmax(-1))}"

    @classmethod
    def _answers(cls, codes):
        return cls._text(cls.answers[code] if cls.answers else str(code) for code in codes)

    @staticmethod
    def _text(symbols):
        symbols = tuple(symbols)
        return ("" if all(len(symbol) == 1 for symbol in symbols) else " ").join(symbols)


def places(words: Any, count: int) -> tuple[Any, Any]:
    """Choose places for items that keep their order.

    Args:
        words: (..., M) random words, one per place.
        count: number of items; all choices of places are equally likely.

    Returns:
        Whether each place has an item, and the index of that item; both (..., M).
    """
    chosen = counter_rng.permutation(words)[..., :count, None]
    has_item = ops.any(chosen == ops.arange(words.shape[-1], dtype="int32"), axis=-2)
    return has_item, ops.maximum(ops.cumsum(ops.cast(has_item, "int32"), axis=-1) - 1, 0)


def over_time(step: Callable, states: Any, *inputs: Any) -> tuple[Any, ...]:
    """Follow an automaton over time, the last axis of its inputs.

    Args:
        step: maps states and inputs, all (...), to a tuple of the next states.
        states: tuple of the first states, (...).
        inputs: (..., T).

    Returns:
        The states after each input, (..., T).
    """

    def scanned(states, read):
        states = step(*states, *read)
        return states, states

    _, states = ops.scan(scanned, states, tuple(ops.moveaxis(each, -1, 0) for each in inputs))
    return tuple(ops.moveaxis(each, 0, -1) for each in states)
