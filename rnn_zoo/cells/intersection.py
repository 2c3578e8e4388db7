"""The intersection RNN, eqs. (15) to (20)."""

import keras
import numpy as np
from keras import ops

from rnn_zoo.cells import contrib
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

    def step(self, x, pre, states):
        (h,) = states
        bias_y, bias_h = self.gate_bias
        y_in = self.depth_activation(pre("y", h))  # (15)
        h_in = self.activation(pre("h", h))  # (16)
        gate_y = ops.sigmoid(pre("gy", h) + bias_y)  # (17)
        gate_h = ops.sigmoid(pre("gh", h) + bias_h)  # (18)
        y = gate_y * x + (1 - gate_y) * y_in  # (19)
        h = gate_h * h + (1 - gate_h) * h_in  # (20)
        return y, [h]

    @classmethod
    def from_contrib(
        cls,
        kernel,
        bias,
        forget_bias=1.0,
        read_in_kernel=None,
        read_in_bias=None,
        learned_initial_state=False,
        **options,
    ):
        """A built cell with the weights of a `tf.contrib.rnn.IntersectionRNNCell` of TensorFlow 1.

        Args:
            kernel: (2 N, 4 N), its variable "kernel": columns gh, h, gy, y.
            bias: (4 N,), its variable "bias".
            forget_bias: what it adds to both gates, gh and gy, at run time.
            read_in_kernel, read_in_bias: (I, N) and (N,), the variables "in_projection/kernel" and
                "in_projection/bias" that it has where its input is not N wide.
            learned_initial_state: whether the initial state, zero as theirs, may be trained.
            **options: other arguments of the cell; `depth_activation` is their `y_activation`, relu
                by default too, and their h is always tanh.

        Raises:
            ValueError: shapes that are not those of such a cell, or what the cell refuses.

        Example:
            cell = IntersectionRNNCell.from_contrib(kernel, bias)
        """
        weights = contrib.split(("gh", "h", "gy", "y"), kernel, bias)
        features, units = weights["gh"]["input"].shape
        contrib.check_read_in(units, features, read_in_kernel, read_in_bias)
        options["learned_initial_state"] = learned_initial_state
        cell = cls(units, gate_bias=forget_bias, **options)
        cell.build((None, units if read_in_kernel is None else len(read_in_kernel)))
        cell.set_gate_weights(weights)
        if read_in_kernel is not None:
            cell.read_in["kernel"].assign(read_in_kernel)
            cell.read_in["bias"].assign(read_in_bias)
        return cell

    def get_config(self):
        return super().get_config() | {
            "gate_bias": list(self.gate_bias),
            "depth_activation": keras.activations.serialize(self.depth_activation),
        }
