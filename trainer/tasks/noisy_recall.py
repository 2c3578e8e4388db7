"""Associative recall among noise."""

from trainer import counter_rng
from trainer import lazy_ops as ops
from trainer.tasks.base import check_whole
from trainer.tasks.recall import Recall
from trainer.tasks.symbols import places

NOISE = 8


class NoisyRecall(Recall):
    """Names the values of keys that were shown among noise (MAD: Poli et al., 2024, arXiv
    2403.17844).

    Like `Recall`, but pairs of noise symbols stand among the P pairs of a key and a value; all
    choices of places are equally likely. Noise symbols are drawn from eight of their own. Chance is
    ln 8.

    Inputs are (B, (3 + 2 noise) P, 48), one-hot symbols: keys, values, noise. Targets are values;
    only the last P steps, which repeat the keys, are scored.

    Args:
        pairs: P, at most 32.
        noise: number of pairs of noise symbols for each pair of a key and a value.

    Raises:
        UserError: an argument is out of range.
    """

    name = "noisy_recall"
    summary = "name the values of keys that were shown in pairs, among noise"
    vocabulary = (*Recall.vocabulary, *"abcdefgh")
    input_dim = len(vocabulary)

    def __init__(self, pairs: int = 4, noise: int = 1):
        check_whole(1, noise=noise)
        self._set_length(pairs, slots=pairs * (1 + noise))

    def _show(self, keys, values, words):
        is_pair, index = places(words[..., : self._slots], self._pairs)
        noise = self.input_dim - NOISE + counter_rng.below(words[..., self._slots :], NOISE)
        return [
            ops.where(is_pair, ops.take_along_axis(pair, index, axis=-1), symbols)
            for pair, symbols in zip((keys, values), ops.split(noise, 2, axis=-1), strict=True)
        ]
