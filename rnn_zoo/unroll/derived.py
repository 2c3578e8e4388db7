"""Backpropagation through time, derived from the cell's own step.

Forward, the loop stores each gate's pre-activation z = U^T a + W^T x + b, a being the operand.
Backward, a second loop runs the same `step` once more, with `pre` answering from the stored z, and
pulls the gradient back through it: dz of each gate, and for the operand da = U dz. What needs no
loop is done after it: dU = Σ_t a_t dz_t^T is one product a gate, and the gradients of W, b and the
inputs follow from dz by automatic differentiation of the projection.

No derivative of a cell is written anywhere, so a cell that is only its equations trains as fast.
Second derivatives are right on JAX, and refused on TensorFlow.

Within the loops arrays are (..., N, B), the batch last: it fills a processor's vector registers
where the few units of a small network would not. Each gate keeps its own z, not a slice of a
common one, for the same reason: compilers vectorise over whole arrays.

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

    Raises:
        ValueError: the step does not ask for each gate once, or does not treat all units alike.
    """
    if mask is None:
        run = _with_mask_argument(step)
    else:
        run, states = _masked(step), [*states, ops.zeros_like(states[0])]
    loops = _Loops(backend, run, _form(run, len(states), recurrent, x, mask))
    outputs, last = backend.with_gradient(
        loops.forward,
        loops.backward,
        (
            {gate: _turn(z) for gate, z in projections.items()},
            None if x is None else _turn(x),
            recurrent,
            [_turn(state) for state in states],
            None if mask is None else _turn(mask),
        ),
    )
    last = [_turn(state) for state in last]
    return _turn(outputs), last if mask is None else last[:-1]


def _turn(array):
    """(..., B, N) to (..., N, B) and back."""
    return ops.swapaxes(array, -1, -2)


class _Form(NamedTuple):
    """What a step does with its tensors, learned by watching one call of it."""

    output_state: int | None  # which of the new states the output is; None if it is none of them
    own_operands: tuple  # gates whose operand is not the first state itself, as the GRU's r · h


class _Loops:
    """The loop forward and the loop backward of one step."""

    def __init__(self, backend, run, form):
        self.backend, self.run, self.form = backend, run, form

    def forward(self, projections, x, recurrent, states, mask):
        """Returns ((outputs, last states), what `backward` needs of them)."""
        gates, turned = tuple(recurrent), {gate: _turn(u) for gate, u in recurrent.items()}
        is_separate = self.form.output_state is None

        def body(states, inputs):
            projections, x, mask = inputs
            z = {}

            def pre(gate, operand):
                z[gate] = projections[gate] + ops.matmul(turned[gate], operand)
                return z[gate]

            output, states = self.run(x, pre, states, mask)
            separate = [output] if is_separate else []
            return states, [*states, *(z[gate] for gate in gates), *separate]

        num_states = len(states)
        last, ys = self.backend.scan(
            body, states, (projections, x, mask), num_states + len(gates) + is_separate
        )
        sequences, ys = ys[:num_states], ys[num_states:]
        outputs = ys[-1] if is_separate else sequences[self.form.output_state]
        z = dict(zip(gates, ys, strict=False))
        return (outputs, last), (z, x, recurrent, states, sequences, mask)

    def backward(self, residuals, cotangents):
        """Returns the gradients of the arguments of `forward`."""
        z, x, recurrent, initial, sequences, mask = residuals
        d_outputs, d_last = cotangents
        gates, own_operands = tuple(recurrent), self.form.own_operands
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
                    return self.backend.stored(operand, z[gate], recurrent[gate])

                output = self.run(x, pre, states, mask)
                return output, [operands[gate] for gate in own_operands]

            (d_z, d_x, d_states), operands = self.backend.pullback(
                replay, (z, x, states), (d_output, d_states)
            )
            d_inputs = [] if x is None else [d_x]
            return d_states, [*(d_z[gate] for gate in gates), *operands, *d_inputs]

        d_initial, ys = self.backend.scan(
            body,
            d_last,
            (z, x, mask, before, d_outputs),
            len(gates) + len(own_operands) + (x is not None),
            reverse=True,
        )
        d_z = dict(zip(gates, ys, strict=False))
        operands = dict(zip(own_operands, ys[len(gates) :], strict=False))
        d_recurrent = {
            gate: _recurrent_gradient(operands.get(gate, before[0]), d_z[gate]) for gate in gates
        }
        return d_z, (None if x is None else ys[-1]), d_recurrent, d_initial, None


def _recurrent_gradient(operand, d_z):
    """dU = Σ_t a_t dz_t^T, from (T, ..., N, B)."""
    units, batch_size = operand.shape[-2:]
    if batch_size is None or units > batch_size:
        return ops.einsum("t...ib,t...jb->...ij", operand, d_z)
    # Small matrices: to add a product a step is cheaper than to bring T and B side by side.
    return ops.sum(ops.einsum("t...ib,t...jb->t...ij", operand, d_z), axis=0)


def _form(run, num_states, recurrent, x, mask):
    probe = ops.zeros_like(next(iter(recurrent.values()))[..., :1])
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
    for result in (output, *new_states):
        if tuple(result.shape) != tuple(probe.shape):
            raise ValueError(
                "step must treat all units and samples alike: of arrays of shape "
                f"{tuple(probe.shape)} it made one of {tuple(result.shape)}"
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
