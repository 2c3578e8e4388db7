"""Structured inputs whose first projection is cheap.

A layer accepts these in place of an array (..., B, T, I) and computes the same values. In a small
network the input product W x over all time steps is most of the work; these forms avoid most of it.

Legend: B batch, T time, I input; "..." leading axes of a population of models.
"""

from typing import Any, NamedTuple

Tensor = Any


class Held(NamedTuple):
    """One vector per sample, shown at some time steps: x_t = shown_t · value.

    Its projection takes one product for all time steps.

    Attributes:
        value: (..., B, I).
        shown: (T,) or (..., T), 1 at time steps that show the vector, 0 where the input is zero.
    """

    value: Tensor
    shown: Tensor

    def dense(self, dtype: str = "float32") -> Tensor:
        """Return the equivalent array (..., B, T, I)."""
        from keras import ops

        return ops.cast(self.value[..., None, :] * self.shown[..., None, :, None], dtype)


class OneHot(NamedTuple):
    """K one-hot vectors side by side per time step: I = K · depth.

    Their product with a matrix is the sum of K of its rows.

    Attributes:
        codes: (..., B, T, K) integers from 0 to depth - 1.
        depth: length of each one-hot vector.
    """

    codes: Tensor
    depth: int

    def dense(self, dtype: str = "float32") -> Tensor:
        """Return the equivalent array (..., B, T, I)."""
        from keras import ops

        vectors = ops.one_hot(self.codes, self.depth, dtype=dtype)
        return ops.reshape(vectors, (*vectors.shape[:-2], vectors.shape[-2] * self.depth))


def dense(inputs: Any) -> Tensor:
    """Return inputs of any form as an array (..., B, T, I)."""
    return inputs.dense() if isinstance(inputs, (Held, OneHot)) else inputs
