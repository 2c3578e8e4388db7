"""The intersection RNN, eqs. (15) to (20)."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from rnn_zoo.cells.arguments import elementwise
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class IntersectionRNNCell(AbstractRNNCell):
    """Intersection cell (+RNN): coupled gates over time (for h) and depth (for y); section 1.4.

    y = g^y · x + (1 - g^y) · y_in, h' = g^h · h + (1 - g^h) · h_in; the output is y, the state h.
    Eq. (19) mixes x with y_in, so x must be N wide. If it is not, a linear read-in with a bias
    first projects it to N. The paper does not use this cell at depth 1.

    Args:
        units: N.
        activation: the nonlinearity s2 of h_in, eq. (16).
        gate_bias: b^fg: one number for both gates, the pair (b^{fg,y}, b^{fg,h}), or a dict with
            the keys "gy" and "gh".
        depth_activation: the nonlinearity s1 of y_in, eq. (15).
        **kwargs: other arguments of `AbstractRNNCell`.
    """

    gates = ("y", "h", "gy", "gh")
    forget_gates = ("gy", "gh")
    mixes_input = True

    def __init__(
        self,
        units: int,
        activation: str | Callable = "tanh",
        gate_bias: float | dict[str, float] | Sequence[float] = 1.0,
        depth_activation: str | Callable = "relu",
        **kwargs: Any,
    ):
        by_gate: Any = gate_bias
        if np.ndim(by_gate):
            if len(by_gate) != 2:
                raise ValueError(
                    f"gate_bias must be a number, a pair (y, h) or a dict of gy and gh, "
                    f"got {gate_bias}"
                )
            by_gate = dict(zip(self.forget_gates, by_gate, strict=True))
        super().__init__(units, activation=activation, gate_bias=by_gate, **kwargs)
        self.depth_activation = elementwise(depth_activation)

    def step(self, ops, x, pre, states):
        (h,) = states
        y_in = self.depth_activation(pre("y", h))  # (15)
        h_in = self.activation(pre("h", h))  # (16)
        gate_y = self.recurrent_activation(pre("gy", h) + self.gate_bias["gy"])  # (17)
        gate_h = self.recurrent_activation(pre("gh", h) + self.gate_bias["gh"])  # (18)
        y = gate_y * x + (1 - gate_y) * y_in  # (19)
        h = gate_h * h + (1 - gate_h) * h_in  # (20)
        return y, [h]

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "depth_activation": keras.activations.serialize(self.depth_activation),
        }
