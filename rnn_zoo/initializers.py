"""The paper's initializers (appendix A), drawn with NumPy.

A seed gives the same values on every backend. Kernels multiply row vectors from the right, so their
shape is (inputs, outputs).
"""

from typing import Any

import keras
import numpy as np

Tensor = Any


class SeededInitializer(keras.initializers.Initializer):
    """Base class: a scale and a seed."""

    def __init__(self, scale: float = 1.0, seed: int = 0):
        self.scale = scale
        self.seed = seed

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        value = self.draw(shape)
        return keras.ops.convert_to_tensor(value.astype(keras.backend.standardize_dtype(dtype)))

    def draw(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the value as a float64 NumPy array."""
        return self.draw_from(np.random.default_rng(self.seed), shape)

    def draw_from(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Return a value drawn from a generator, whatever the seed."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {"scale": self.scale, "seed": self.seed}


@keras.saving.register_keras_serializable("rnn_zoo")
class ScaledNormal(SeededInitializer):
    """scale · N(0, 1/n), where n is the number of rows (inputs)."""

    def draw_from(self, rng, shape):
        return self.scale * rng.standard_normal(shape) / np.sqrt(shape[0])


@keras.saving.register_keras_serializable("rnn_zoo")
class Orthogonal(SeededInitializer):
    """scale · Q, with Q uniform over the orthogonal matrices (QR of a Gaussian matrix)."""

    def draw_from(self, rng, shape):
        rows, columns = shape
        q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
        q = q * np.sign(np.diag(r))
        return self.scale * (q if rows >= columns else q.T)


@keras.saving.register_keras_serializable("rnn_zoo")
class Identity(SeededInitializer):
    """Identity matrix; the only matrix initializer that appendix A does not scale."""

    def draw_from(self, rng, shape):
        return np.eye(*shape)


@keras.saving.register_keras_serializable("rnn_zoo")
class ConstantBias(SeededInitializer):
    """Constant: every bias equals scale."""

    def draw_from(self, rng, shape):
        return np.full(shape, float(self.scale))


@keras.saving.register_keras_serializable("rnn_zoo")
class NormalBias(SeededInitializer):
    """scale · N(0, 1)."""

    def draw_from(self, rng, shape):
        return self.scale * rng.standard_normal(shape)


#: Initializers of recurrent matrices and of biases, by their names in configurations.
MATRIX_INITS = {"identity": Identity, "orthogonal": Orthogonal, "normal": ScaledNormal}
BIAS_INITS = {"constant": ConstantBias, "normal": NormalBias}
