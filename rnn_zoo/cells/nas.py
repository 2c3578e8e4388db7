"""The cell found by neural architecture search, with equations (1) to (7) in its docstring."""

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class NASCell(AbstractRNNCell):
    """The cell that neural architecture search found (Zoph & Le, 2016).

    With a_k = W^k x + U^k h + b^k, but a_4 = (W^4 x) · (U^4 h + b^4):

        p  = tanh(σ(a_1) · relu(a_2))                (1)
        q  = tanh(σ(a_3) + relu(a_4))                (2)
        u  = tanh(tanh(a_5) · σ(a_6))                (3)
        v  = σ(tanh(a_7) + σ(a_8))                   (4)
        c' = tanh(p + c) · q                         (5)
        w  = tanh(u + v)                             (6)
        h' = tanh(c' · w)                            (7)

    The search chose the nonlinearities, so `activation` and `recurrent_activation` cannot be set,
    and no gate keeps the old state. These are the equations of the first author's code for
    arXiv:1611.01578, TensorFlow's `NASCell`, which omits the biases by default. The parts of a_4
    are the gates `x4` and `h4`. States: h, then the memory c.
    """

    gates = {
        "a1": Gate(),
        "a2": Gate(),
        "a3": Gate(),
        "x4": Gate(recurrent=None, bias=False),
        "h4": Gate(input=False),
        "a5": Gate(),
        "a6": Gate(),
        "a7": Gate(),
        "a8": Gate(),
    }
    state_names = ("h", "c")

    def step(self, ops, x, pre, states):
        h, c = states
        a4 = pre("x4") * pre("h4", h)
        p = ops.tanh(ops.sigmoid(pre("a1", h)) * ops.relu(pre("a2", h)))  # (1)
        q = ops.tanh(ops.sigmoid(pre("a3", h)) + ops.relu(a4))  # (2)
        u = ops.tanh(ops.tanh(pre("a5", h)) * ops.sigmoid(pre("a6", h)))  # (3)
        v = ops.sigmoid(ops.tanh(pre("a7", h)) + ops.sigmoid(pre("a8", h)))  # (4)
        c = ops.tanh(p + c) * q  # (5)
        w = ops.tanh(u + v)  # (6)
        h = ops.tanh(c * w)  # (7)
        return h, [h, c]
