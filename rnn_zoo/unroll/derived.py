"""Backpropagation through time, derived from the cell's own step.

Forward, the loop stores each gate's pre-activation z = W x + U a + b, a being the gate's operand.
Backward, a second loop runs the same `step` once more, with `pre` answering from the stored z, and
pulls the gradient back through it: dz of each gate, and for the operand da = dz U^T. What needs no
loop is done after it: dU = Σ_t a_t^T dz_t is one product a gate, and the gradients of W, b and the
inputs follow from dz by automatic differentiation of the projection.

No derivative of a cell is written anywhere, so a cell that is only its equations trains as fast.

A backend's module gives four primitives: `scan`, `stored`, `pullback` and `with_gradient`.
"""

from typing import NamedTuple

from keras import ops


def unroll(backend, step, projections, x, recurrent, states, mask):
    """See `rnn_zoo.unroll.unroll`; projections, x and mask are time-major.

    Args:
        backend: the module with the primitives.
        step: the cell's step.
        projections: dict gate -> (T, ..., B, N).
        x: (T, ..., B, N) or None.
        recurrent: dict gate -> (..., N, N).
        states: list of (..., B, N).
        mask: (T, B, 1) or None.
    """
    if mask is None:
        run = _with_mask_argument(step)
    else:
        run, states = _masked(step), [*states, ops.zeros_like(states[0])]
    gates, form = tuple(recurrent), _form(run, len(states), recurrent, x, mask)

    def forward(projections, x, recurrent, states, mask):
        def body(states, inputs):
            projections, x, mask = inputs
            z = {}

            def pre(gate, operand):
                z[gate] = projections[gate] + ops.matmul(operand, recurrent[gate])
                return z[gate]

            output, states = run(x, pre, states, mask)
            separate = [output] if form.output_state is None else []
            return states, [*states, *(z[gate] for gate in gates), *separate]

        num_separate = form.output_state is None
        last, ys = backend.scan(
            body, states, (projections, x, mask), len(states) + len(gates) + num_separate
        )
        sequences, ys = ys[: len(states)], ys[len(states) :]
        outputs = ys[-1] if num_separate else sequences[form.output_state]
        z = dict(zip(gates, ys[: len(gates)], strict=True))
        return (outputs, last), (z, x, recurrent, states, sequences, mask)

    def backward(residuals, cotangents):
        z, x, recurrent, initial, sequences, mask = residuals
        d_outputs, d_last = cotangents
        before = [
            ops.concatenate([first[None], sequence[:-1]])
            for first, sequence in zip(initial, sequences, strict=True)
        ]

        def body(d_states, inputs):
            z, x, mask, states, d_output = inputs

            def replay(z, x, states):
                operands = {}

                def pre(gate, operand):
                    operands[gate] = operand
                    return backend.stored(operand, z[gate], recurrent[gate])

                return run(x, pre, states, mask), [operands[gate] for gate in form.own_operands]

            (d_z, d_x, d_states), operands = backend.pullback(
                replay, (z, x, states), (d_output, d_states)
            )
            d_inputs = [] if x is None else [d_x]
            return d_states, [*(d_z[gate] for gate in gates), *operands, *d_inputs]

        d_initial, ys = backend.scan(
            body,
            d_last,
            (z, x, mask, before, d_outputs),
            len(gates) + len(form.own_operands) + (x is not None),
            reverse=True,
        )
        d_z = dict(zip(gates, ys, strict=False))
        operands = dict(zip(form.own_operands, ys[len(gates) :], strict=False))
        d_recurrent = {
            gate: ops.einsum("t...bi,t...bj->...ij", operands.get(gate, before[0]), d_z[gate])
            for gate in gates
        }
        return d_z, (None if x is None else ys[-1]), d_recurrent, d_initial, None

    outputs, last = backend.with_gradient(
        forward, backward, (projections, x, recurrent, states, mask)
    )
    return outputs, last if mask is None else last[:-1]


class _Form(NamedTuple):
    """What a step does with its tensors, learned by watching one call of it."""

    output_state: int | None  # which of the new states the output is; None if it is none of them
    own_operands: tuple  # gates whose operand is not the first state itself, as the GRU's r · h


def _form(run, num_states, recurrent, x, mask):
    probe = ops.zeros_like(next(iter(recurrent.values()))[..., :1, :])
    states, own_operands, asked = [ops.copy(probe) for _ in range(num_states)], [], []

    def pre(gate, operand):
        asked.append(gate)
        if operand is not states[0]:
            own_operands.append(gate)
        return ops.copy(probe)

    output, new_states = run(
        None if x is None else ops.copy(probe), pre, states, mask if mask is None else True
    )
    if sorted(asked) != sorted(recurrent):
        raise ValueError(
            f"step must ask pre() once for each gate, {', '.join(recurrent)}; it asked for "
            f"{', '.join(asked) or 'none'}"
        )
    same = [index for index, state in enumerate(new_states) if state is output]
    return _Form(same[0] if same else None, tuple(own_operands))


def _with_mask_argument(step):
    return lambda x, pre, states, mask: step(x, pre, states)


def _masked(step):
    """A step that, where the mask is false, keeps its states and repeats its last output.

    The last output becomes one more state, so the engine needs to know nothing of masks.
    """

    def run(x, pre, states, mask):
        *states, last_output = states
        output, new_states = step(x, pre, states)
        output = ops.where(mask, output, last_output)
        kept = [ops.where(mask, new, old) for new, old in zip(new_states, states, strict=True)]
        return output, [*kept, output]

    return run
