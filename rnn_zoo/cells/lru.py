"""The linear recurrent unit, with equations (1) to (3) in its docstring."""

import keras
import numpy as np

from rnn_zoo.algebra import Gate, Vector
from rnn_zoo.cells.linear import LinearRNNCell

#: Moduli of λ at the start, and the largest argument: those of the paper's table of defaults.
_MODULI, _MAX_PHASE = (0.0, 1.0), 2 * np.pi


def _moduli(units):
    """Return N moduli such that λ is uniform over the ring: the middles of N shares of its area."""
    low, high = _MODULI
    return np.sqrt(low**2 + (high**2 - low**2) * (np.arange(units) + 0.5) / units)


def nu_log(generator: np.random.Generator, units: int) -> np.ndarray:
    return np.log(-np.log(_moduli(units)))


def theta_log(generator: np.random.Generator, units: int) -> np.ndarray:
    return np.log(_MAX_PHASE * generator.uniform(size=units))


def gamma_log(generator: np.random.Generator, units: int) -> np.ndarray:
    return 0.5 * np.log(1 - _moduli(units) ** 2)


@keras.saving.register_keras_serializable("rnn_zoo")
class LRUCell(LinearRNNCell):
    """Linear recurrent unit, a diagonal recurrence of complex states (Orvieto et al., 2023).

        λ  = exp(-exp(ν) + i exp(θ))                     (1)
        h' = λ · h + exp(γ) · B x                        (2)
        y  = Re(C h') + D x                              (3)

    States: the real and the imaginary part of h; the output is y. ν, θ and γ are learned vectors.
    B are the input matrices of the gates re and im; C = C_re + i C_im and D are the matrices of the
    gates y (C_re and D) and yi (-C_im). There are no biases and no nonlinearity: in the original
    (arXiv:2303.06349) that follows in the layer around the unit.

    At the start, the moduli of λ share the ring from 0 to 1 evenly, where the original draws them,
    and γ normalises each state as there.
    """

    gates = {
        "re": Gate(recurrent=None, bias=False),
        "im": Gate(recurrent=None, bias=False),
        "y": Gate(bias=False),
        "yi": Gate(input=False, bias=False),
    }
    vectors = {"nu": Vector(nu_log), "theta": Vector(theta_log), "gamma": Vector(gamma_log)}
    state_names = ("re", "im")

    def coefficients(self, ops, x, pre, delayed):
        modulus, phase = ops.exp(-ops.exp(self.nu)), ops.exp(self.theta)
        a = (modulus * ops.cos(phase), modulus * ops.sin(phase))  # (1)
        scale = ops.exp(self.gamma)
        return {("re", "im"): (a, (scale * pre("re"), scale * pre("im")))}  # (2)

    def output(self, ops, x, pre, states, delayed):
        return pre("y", states["re"]) + pre("yi", states["im"])  # (3)
