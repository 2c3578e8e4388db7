"""The intersection RNN, eqs. (15) to (20)."""

import keras
import numpy as np

from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class IntersectionRNNCell(AbstractRNNCell):
    """Intersection cell (+RNN): coupled gates over time, to h, and over depth, to y (section 1.4).

    y = g^y · x + (1 - g^y) · y_in, h' = g^h · h + (1 - g^h) · h_in; the output is y, the state h.
    Eq. (19) adds x to y_in, so x must be N wide: where it is not, the cell first reads it in by a
    linear map with a bias. The paper does not use this cell at depth 1.

    Args:
        activation: s2, of h_in.
        gate_bias: b^fg of both gates, or the pair (b^{fg,y}, b^{fg,h}).
        depth_activation: s1, of y_in.
        **kwargs: of `AbstractRNNCell`.
    """

    gates = ("y", "h", "gy", "gh")
    mixes_input = True

    def __init__(self, units, activation="tanh", gate_bias=1.0, depth_activation="relu", **kwargs):
        biases = np.ravel(gate_bias).tolist()
        if len(biases) not in (1, 2):
            raise ValueError(f"gate_bias must be a number or a pair (y, h), got {gate_bias}")
        super().__init__(units, activation=activation, gate_bias=(biases[0], biases[-1]), **kwargs)
        self.depth_activation = keras.activations.get(depth_activation)

    def step(self, ops, x, pre, states):
        (h,) = states
        bias_y, bias_h = self.gate_bias
        y_in = self.depth_activation(pre("y", h))  # (15)
        h_in = self.activation(pre("h", h))  # (16)
        gate_y = ops.sigmoid(pre("gy", h) + bias_y)  # (17)
        gate_h = ops.sigmoid(pre("gh", h) + bias_h)  # (18)
        y = gate_y * x + (1 - gate_y) * y_in  # (19)
        h = gate_h * h + (1 - gate_h) * h_in  # (20)
        return y, [h]

    def get_config(self):
        return super().get_config() | {
            "gate_bias": list(self.gate_bias),
            "depth_activation": keras.activations.serialize(self.depth_activation),
        }
