"""coRNN and UnICORNN, networks of oscillators, with the equations in their docstrings."""

from typing import Any

import keras

from rnn_zoo.algebra import Diagonal, Gate, Uniform, Vector
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class CoRNNCell(AbstractRNNCell):
    """Coupled oscillatory RNN: positions y and velocities z (Rusch & Mishra, 2021).

        z' = z + Δt (s(W x + U y + V z + b) - γ y - ε z)    (1)
        y' = y + Δt z'                                      (2)

    γ is the frequency, ε the damping of each oscillator. The damping is explicit, as in the
    authors' code (arXiv:2010.00951), whose values for sequential MNIST are the defaults. The output
    is y.

    Args:
        units: N.
        dt: Δt, the time step.
        gamma: γ.
        epsilon: ε.
        **kwargs: other arguments of `AbstractRNNCell`.
    """

    gates = {"y": Gate(), "z": Gate(input=False, bias=False)}
    state_names = ("y", "z")
    lane_options = ("dt", "gamma", "epsilon")

    def __init__(
        self,
        units: int,
        dt: float = 0.042,
        gamma: float = 2.7,
        epsilon: float = 4.7,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.dt = dt
        self.gamma = gamma
        self.epsilon = epsilon

    def step(self, ops, x, pre, states):
        y, z = states
        force = self.activation(pre("y", y) + pre("z", z))
        z = z + self.dt * (force - self.gamma * y - self.epsilon * z)  # (1)
        y = y + self.dt * z  # (2)
        return y, [y, z]


@keras.saving.register_keras_serializable("rnn_zoo")
class UnICORNNCell(AbstractRNNCell):
    """Undamped independent controlled oscillatory RNN (Rusch & Mishra, 2021).

        z' = z - Δt σ(c) · (s(W x + u · y + b) + α y)       (1)
        y' = y + Δt σ(c) · z'                               (2)

    Each unit is an oscillator of its own, whose learned c sets its pace. u and c start as in the
    authors' code (arXiv:2103.05487), whose Δt and α for permuted MNIST are the defaults. The output
    is y.

    Args:
        units: N.
        dt: Δt, the largest time step.
        alpha: α, which sets the frequency.
        **kwargs: other arguments of `AbstractRNNCell`.
    """

    gates = {"y": Gate(recurrent=Diagonal(Uniform(0.0, 1.0)))}
    vectors = {"c": Vector(Uniform(-0.1, 0.1))}
    state_names = ("y", "z")
    lane_options = ("dt", "alpha")

    def __init__(self, units: int, dt: float = 0.19, alpha: float = 30.65, **kwargs: Any):
        super().__init__(units, **kwargs)
        self.dt = dt
        self.alpha = alpha

    def step(self, ops, x, pre, states):
        y, z = states
        dt = self.dt * ops.sigmoid(self.c)
        z = z - dt * (self.activation(pre("y", y)) + self.alpha * y)  # (1)
        y = y + dt * z  # (2)
        return y, [y, z]
