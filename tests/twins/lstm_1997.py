"""The LSTM of 1997, doi:10.1162/neco.1997.9.8.1735, section 4 and appendix A.1.

With the paper's own squashing functions g and h: its internal state s is twice the cell's c, and
its weights of the candidate are twice those of the cell.
"""

from twins.base import Twin, sigmoid, total


def lstm_1997(w, x, states):
    y, s = states[0], 2 * states[1]
    y_in, y_out = sigmoid(total(w["i"], x, y)), sigmoid(total(w["o"], x, y))
    net = 2 * total(w["c"], x, y)
    g = 4 * sigmoid(net) - 2
    s = s + y_in * g
    h = 2 * sigmoid(s) - 1
    y = y_out * h
    return y, [y, s / 2]


TWINS = {"lstm_1997": Twin(lstm_1997, num_states=2)}
