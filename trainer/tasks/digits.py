"""Handwritten digits of 8 x 8 pixels, as sequences of 64 steps."""

import functools

import numpy as np

from trainer.errors import UserError
from trainer.tasks.pixels import Pixels, pixel_order


class Digits(Pixels):
    """Names a handwritten digit after reading its 64 pixels one by one.

    The 1,797 images come with scikit-learn (Alpaydin and Kaynak, 1998). The first 1,197 are for
    training, then come 300 each for validation and evaluation. Inputs, targets and loss are those
    of `Pixels`.

    Args:
        permuted: whether the pixels have a random order, the same in all images (Le et al., 2015).
        permutation_seed: seed of that order.

    Raises:
        UserError: an argument has the wrong type, or scikit-learn is not installed.
    """

    name = "digits"
    summary = "name a handwritten digit of 8 x 8 pixels, read one pixel per step"
    defaults = {"train_steps": 2000, "num_params": 10_000, "eval_samples": 300}

    def __init__(self, permuted: bool = False, permutation_seed: int = 0):
        splits = {"train": (0, 1197), "valid": (1197, 1497), "eval": (1497, 1797)}
        order = pixel_order(64, permuted, permutation_seed)
        super().__init__(*_load(), 16, splits, order)


@functools.cache
def _load() -> tuple[np.ndarray, np.ndarray]:
    """Return images (1797, 64) from 0 to 16, and labels."""
    try:
        from sklearn.datasets import load_digits  # takes a second, which other tasks need not wait
    except ImportError:
        raise UserError("the task digits needs scikit-learn: pip install 'rnn-zoo[lab]'") from None
    return load_digits(return_X_y=True)
