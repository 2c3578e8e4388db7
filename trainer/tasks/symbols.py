"""Base class of tasks that read one symbol per time step and name one of a few answers."""

from typing import ClassVar

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
