"""The recurrent highway network, with equations (1) to (3) in its docstring."""

import keras

from rnn_zoo.algebra import Gate
from rnn_zoo.cells.base import AbstractRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class RHNCell(AbstractRNNCell):
    """Recurrent highway network: several highway layers per time step (Zilly et al., 2017).

        a = s(W^h x + U^{h,l} h + b^{h,l})          (1)
        t = σ(W^t x + U^{t,l} h + b^{t,l} - b^fg)   (2)
        h = t · a + (1 - t) · h                     (3)

    for l = 1, 2, 3 in turn; W x is in the first layer only. The carry gate is 1 - t, as in the
    experiments of the original (arXiv:1607.03474). It keeps the old state, so b^fg is subtracted in
    (2). The original has a negative initial b^t instead; `gate_bias=0` reproduces its equations.

    A subclass with the gates h1, t1, ..., hL, tL and the `forget_gates` t1, ..., tL has L layers.
    """

    gates = {
        "h1": Gate(),
        "t1": Gate(),
        "h2": Gate(input=False),
        "t2": Gate(input=False),
        "h3": Gate(input=False),
        "t3": Gate(input=False),
    }
    forget_gates = ("t1", "t2", "t3")

    def step(self, ops, x, pre, states):
        (h,) = states
        for layer in range(1, len(self.forget_gates) + 1):
            a = self.activation(pre(f"h{layer}", h))  # (1)
            t = pre(f"t{layer}", h) - self.gate_bias[f"t{layer}"]
            t = self.recurrent_activation(t)  # (2)
            h = t * a + (1 - t) * h  # (3)
        return h, [h]
