"""Character prediction on text8 (appendix B)."""

import functools
import math
import os

import numpy as np

from rnn_zoo.inputs import OneHot
from trainer import lazy_ops as ops
from trainer.errors import UserError
from trainer.tasks import corpus
from trainer.tasks.base import Batch, Coded, check_whole, entropy
from trainer.tasks.rendering import scored_sample
from trainer.tasks.splits import windows


class Text8(Coded):
    """Predicts the next character of Wikipedia text of 27 symbols.

    A sample is a window of T + 1 characters at a random position of its split. The first
    `warmup_steps` steps are not scored; the loss is the mean cross-entropy of the others, in nats.
    Inputs are one-hot (B, T, 27), targets the codes of the next characters (B, T).

    Args:
        path: a text8 file, plain, .gz or .zip; None downloads text8.
        source: "pydoc" for a small corpus from Python's own documentation.
        num_steps: T.
        warmup_steps: number of steps that are not scored, 13 in the paper.

    Raises:
        UserError: the corpus is unavailable or invalid, or no step is scored.
    """

    name = "text8"
    summary = "predict the next character of Wikipedia text, 27 symbols"
    splits_share_a_program = True
    vocabulary = tuple(corpus.SYMBOLS)
    input_dim = output_dim = len(corpus.SYMBOLS)
    predicts_next = True
    #: The data's hash tells texts apart.
    pooled_options = ("path", "source")

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        source: str | None = None,
        num_steps: int = 50,
        warmup_steps: int = 13,
    ):
        check_whole(0, warmup_steps=warmup_steps)
        check_whole(warmup_steps + 1, num_steps=num_steps)
        for name, value, kinds in (("path", path, (str, os.PathLike)), ("source", source, str)):
            if value is not None and not isinstance(value, kinds):
                raise UserError(f"{name} of text8 must be a string or None, got {value!r}")
        file = None if path is None else os.fspath(path)
        self.corpus = _load(file, source, num_steps + 1, file and _stamp(file))
        self.num_steps = num_steps
        self.loss_steps = slice(warmup_steps, num_steps)
        start, stop = self.corpus.splits["train"]
        train = self.corpus.codes[start:stop]
        # One pass per symbol, because np.bincount would widen each byte to eight.
        counts = np.array([np.count_nonzero(train == code) for code in range(self.input_dim)])
        self.chance_loss = entropy(counts / counts.sum())
        self.data = {"codes": self.corpus.codes}

    def draw(self, data, split, seed, step, batch_size):
        length = self.num_steps + 1
        window = windows(self.corpus.splits, split, seed, step, batch_size, length)
        codes = ops.cast(ops.take(data["codes"], window, axis=0), "int32")
        return Batch(OneHot(codes[..., :-1, None], self.input_dim), codes[..., 1:])

    def metrics(self, outputs, batch):
        metrics = super().metrics(outputs, batch)
        return {**metrics, "bits_per_character": metrics["loss"] / math.log(2)}

    def example(self, batch, index):
        first = ops.convert_to_numpy(ops.argmax(batch.inputs[index, 0]))
        codes = [int(first), *ops.convert_to_numpy(batch.targets[index])]
        return "".join(self.vocabulary[code] for code in codes)

    def answer(self, batch, index, outputs, units=None):
        logits, codes = scored_sample(self, batch, index, outputs)
        losses = ops.convert_to_numpy(self.step_losses(logits, codes))
        read = self.loss_steps.start + 1
        text = self.example(batch, index)
        likeliest = "".join(self.vocabulary[code] for code in logits.argmax(-1))
        # Aligned, so that each prediction is below the character that it predicts.
        return (
            f'context    "{text[:read]}"\ntrue       "{text[read:]}"\n'
            f'predicted  "{likeliest}"\n{np.mean(losses) / math.log(2):.2f} bits per character, '
            f"{np.mean(logits.argmax(-1) == codes):.0%} predicted right, each from the true text"
        )

    def describe(self):
        return self.corpus.describe()


@functools.lru_cache(maxsize=1)
def _load(path, source, window, stamp):
    """Call `corpus.load`, and keep the last corpus in memory for all trials of a process."""
    return corpus.load(path, source, window)


def _stamp(path):
    """Return the file's modification time, or None if `corpus.load` will fail."""
    try:
        return os.stat(os.path.expanduser(path)).st_mtime_ns
    except OSError:
        return None
