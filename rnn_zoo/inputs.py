"""Inputs that say more than their numbers: forms from which a layer's first product is cheap.

A layer that gets one of these in place of an array (..., B, T, I) computes the same values. The
first product W x, over all steps at once, is most of a small network's work, and needs it not be.

Legend: B batch, T time, I input; "..." leading axes of a population of models.
"""

from typing import Any, NamedTuple


class Held(NamedTuple):
    """One vector a sample, shown at some steps: x_t = shown_t · value. One product for all steps.

    Attributes:
        value: (..., B, I).
        shown: (T,) or (..., T), 1 where the vector is shown and 0 where the input is zero.
    """

    value: Any
    shown: Any

    def dense(self, dtype="float32"):
        """The array (..., B, T, I) that this stands for."""
        from keras import ops

        return ops.cast(self.value[..., None, :] * self.shown[..., None, :, None], dtype)


class OneHot(NamedTuple):
    """K one-hot vectors side by side at each step, I = K · depth. A product is K rows' sum.

    Attributes:
        codes: (..., B, T, K) integers from 0 to depth - 1.
        depth: length of each one-hot.
    """

    codes: Any
    depth: int

    def dense(self, dtype="float32"):
        """The array (..., B, T, I) that this stands for."""
        from keras import ops

        vectors = ops.one_hot(self.codes, self.depth, dtype=dtype)
        return ops.reshape(vectors, (*vectors.shape[:-2], vectors.shape[-2] * self.depth))


def dense(inputs):
    """The inputs as an array (..., B, T, I), whatever their form."""
    return inputs.dense() if isinstance(inputs, (Held, OneHot)) else inputs
