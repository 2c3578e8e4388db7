"""Custom cells as in a user's module; only imported in processes of their own."""

import rnn_zoo


class LeakyCell(rnn_zoo.AbstractRNNCell):
    """Leaky unit with a learned rate.

    h' = g · h + (1 - g) · s(W x + U h + b), g = σ(W^g x + U^g h + b^g + b^fg)
    """

    gates = ("c", "g")
    forget_gates = ("g",)

    def mixed(self, ops, h, pre):
        """In a method, which must see a lane's own hyperparameters as `step` does."""
        c = self.activation(pre("c", h))
        g = ops.sigmoid(pre("g", h) + self.gate_bias["g"])
        return g * h + (1 - g) * c

    def step(self, ops, x, pre, states):
        h = self.mixed(ops, states[0], pre)
        return h, [h]


class EchoCell(LeakyCell):
    """Its parent's equations with a second state and the input mixed in."""

    state_names = ("h", "e")
    mixes_input = True

    def step(self, ops, x, pre, states):
        h, _ = super().step(ops, x, pre, states[:1])
        e = 0.5 * states[1] + 0.5 * x
        return h + e, [h, e]


class DecayCell(rnn_zoo.AbstractRNNCell):
    """Leaky unit of a fixed rate: h' = rate · h + (1 - rate) · s(W x + U h + b)."""

    gates = ("c",)
    lane_options = ("rate",)

    def __init__(self, units, rate=0.9, **kwargs):
        super().__init__(units, **kwargs)
        if not 0 <= rate <= 1:
            raise ValueError(f"rate must be between 0 and 1, got {rate}")
        self.rate = rate

    def step(self, ops, x, pre, states):
        (h,) = states
        h = self.rate * h + (1 - self.rate) * self.activation(pre("c", h))
        return h, [h]


Leaky = rnn_zoo.register("own_cells.leaky", LeakyCell)
Echo = rnn_zoo.register("own_cells.echo", EchoCell, summary="a leaky unit and an echo")
Decay = rnn_zoo.register("own_cells.decay", DecayCell, ranges={"rate": (0.5, 0.99)})
