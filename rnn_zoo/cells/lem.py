"""Long expressive memory, with equations (1) to (4) in its docstring."""

from typing import Any

import keras

from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class LEMCell(AbstractRNNCell):
    """Long expressive memory: two states with learned time steps (Rusch et al., 2022).

        τ^z = Δt σ(W^1 x + U^1 y + b^1 - b^fg)              (1)
        τ^y = Δt σ(W^2 x + U^2 y + b^2 - b^fg)              (2)
        z'  = (1 - τ^z) · z + τ^z · s(W^z x + U^z y + b^z)  (3)
        y'  = (1 - τ^y) · y + τ^y · s(W^y x + U^y z' + b^y) (4)

    Equation (4) takes the new z', as in the paper (arXiv:2110.04744) and its authors' code. The
    output is y. 1 - τ keeps the old state, so b^fg is subtracted in (1) and (2), the gates dt_z and
    dt_y. The original has no b^fg and s = tanh; `gate_bias=0` reproduces it.

    Args:
        units: N.
        dt: Δt, the largest time step; 1 is the default of the authors' code.
        **kwargs: other arguments of `AbstractRNNCell`.
    """

    gates = ("dt_z", "dt_y", "z", "y")
    forget_gates = ("dt_z", "dt_y")
    state_names = ("y", "z")
    lane_options = ("dt",)

    def __init__(self, units: int, dt: float = 1.0, **kwargs: Any):
        super().__init__(units, **kwargs)
        self.dt = dt

    def step(self, ops, x, pre, states):
        y, z = states
        dt_z = self.dt * self.recurrent_activation(pre("dt_z", y) - self.gate_bias["dt_z"])  # (1)
        dt_y = self.dt * self.recurrent_activation(pre("dt_y", y) - self.gate_bias["dt_y"])  # (2)
        z = (1 - dt_z) * z + dt_z * self.activation(pre("z", y))  # (3)
        y = (1 - dt_y) * y + dt_y * self.activation(pre("y", z))  # (4)
        return y, [y, z]
