"""The update gate RNN, eqs. (2) to (4)."""

import keras
from keras import ops

from rnn_zoo.cells import contrib
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class UGRNNCell(AbstractRNNCell):
    """Update gate cell: one gate chooses between the old state and a candidate (section 1.4).

    c = s(W^ch h + W^cx x + b^c), g = σ(W^gh h + W^gx x + b^g + b^fg), h' = g · h + (1 - g) · c.
    """

    gates = ("c", "g")

    def step(self, x, pre, states):
        (h,) = states
        c = self.activation(pre("c", h))  # (2)
        g = ops.sigmoid(pre("g", h) + self.gate_bias)  # (3)
        h = g * h + (1 - g) * c  # (4)
        return h, [h]

    @classmethod
    def from_contrib(cls, kernel, bias, forget_bias=1.0, learned_initial_state=False, **options):
        """A built cell with the weights of a `tf.contrib.rnn.UGRNNCell` of TensorFlow 1.

        Args:
            kernel: (I + N, 2 N), its variable "kernel": columns g, c.
            bias: (2 N,), its variable "bias".
            forget_bias: what it adds to g at run time.
            learned_initial_state: whether the initial state, zero as theirs, may be trained.
            **options: other arguments of the cell; theirs has tanh for `activation` by default too.

        Raises:
            ValueError: shapes that are not those of such a cell, or what the cell refuses.

        Example:
            layer = keras.layers.RNN(UGRNNCell.from_contrib(kernel, bias), return_sequences=True)
        """
        weights = contrib.split(("g", "c"), kernel, bias)
        features, units = weights["g"]["input"].shape
        options["learned_initial_state"] = learned_initial_state
        cell = cls(units, gate_bias=forget_bias, **options)
        cell.build((None, features))
        cell.set_gate_weights(weights)
        return cell
