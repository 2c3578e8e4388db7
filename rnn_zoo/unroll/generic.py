"""The plain loop in `keras.ops`, for any backend and its automatic gradient.

Also the slow side that the tests hold the fast loops against.
"""

from keras import ops


def unroll(step, projections, x, recurrent, states, mask):
    """See `rnn_zoo.unroll.unroll`; projections, x and mask are time-major, T is static."""
    outputs, output = [], ops.zeros_like(states[0])
    for t in range(next(iter(projections.values())).shape[0]):

        def pre(gate, operand, t=t):
            return projections[gate][t] + ops.matmul(operand, recurrent[gate])

        new_output, new_states = step(None if x is None else x[t], pre, states)
        if mask is None:
            output, states = new_output, new_states
        else:
            output = ops.where(mask[t], new_output, output)
            states = [
                ops.where(mask[t], new, old) for new, old in zip(new_states, states, strict=True)
            ]
        outputs.append(output)
    return ops.stack(outputs), states


def lookups_pay():
    return False
