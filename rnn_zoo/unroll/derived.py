"""Backpropagation through time, derived from the cell's own step.

The forward loop stores each gate's pre-activation z = U^T a + W^T x + b, where a is the operand.
The backward loop replays the same `step`, with `pre` answering from the stored z, and pulls the
gradient back through it: dz of each gate, and da = U dz of the operand. The rest needs no loop:
dU = Σ_t a_t dz_t^T is one product per gate, and the gradients of W, b and the inputs follow from dz
by automatic differentiation of the projection.

No derivative of a cell is written by hand: a new cell needs only its equations to train as fast.
Second derivatives are the backend's own, through the loop.

Arrays in the loops are (..., N, B), batch last: the batch fills vector registers, which the few
units of a small network would not. For the same reason each gate has its own z, not a slice of a
fused array: compilers vectorise over whole arrays.

The loops need four primitives of `rnn_zoo.backend`: `scan`, `stored`, `pullback` and
`with_gradient`.
"""

import contextvars
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from keras import ops

from rnn_zoo.backend import generic

Tensor = Any

#: Whether loops have the backend's own derivatives.
AUTOMATIC: contextvars.ContextVar[bool] = contextvars.ContextVar("automatic", default=False)


def unroll(
    backend: ModuleType,
    step: Callable,
    projections: dict[str, Tensor],
    x: Tensor | None,
    recurrent: dict[str, Tensor],
    states: list[Tensor],
    mask: Tensor | None,
    noise: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {}),
) -> tuple[Tensor, list[Tensor]]:
    """Run a step over time, as `rnn_zoo.unroll.unroll`, from time-major projections, x and mask.

    Args:
        backend: module of primitives.
        step: `step(x, pre, states, noise)`, the cell's step.
        projections: dict gate -> (T, ..., B, N).
        x: (T, ..., B, N) or None.
        recurrent: dict gate -> (..., N, N).
        states: list of (..., B, N).
        mask: (T, B, 1) or None.
        noise: dicts of arrays without a gradient: (..., B, N), the same at every step, and
            (T, ..., B, N). Each step gets one dict of both.

    Raises:
        ValueError: the step does not call `pre` once per gate, or changes the shape of its arrays.
    """
    if mask is None:
        run = _with_mask_argument(step)
    else:
        run, states = _masked(step), [*states, ops.zeros_like(states[0])]
    form = _form(run, len(states), recurrent, x, mask, noise[0] | noise[1])
    loops = _Loops(backend, run, form)
    with_gradient = generic.with_gradient if AUTOMATIC.get() else backend.with_gradient
    outputs, last = with_gradient(
        loops.forward,
        loops.backward,
        (
            {gate: _turn(z) for gate, z in projections.items()},
            None if x is None else _turn(x),
            recurrent,
            [_turn(state) for state in states],
            None if mask is None else _turn(mask),
            [{name: _turn(array) for name, array in part.items()} for part in noise],
        ),
    )
    last = [_turn(state) for state in last]
    return _turn(outputs), last if mask is None else last[:-1]


def _turn(array):
    """Swap (..., B, N) and (..., N, B)."""
    return ops.swapaxes(array, -1, -2)


class _Form(NamedTuple):
    """Data flow of a step, found by a trial call."""

    output_state: int | None  # index of the new state that is the output; None if none is
    own_operands: tuple  # groups of gates that share another operand than the first state, such
    # as the GRU's r · h


class _Loops:
    """The forward and the backward loop of one step."""

    def __init__(self, backend, run, form):
        self.backend, self.run, self.form = backend, run, form

    def _joined(self, gates):
        """Return the gates whose products with the first state are fused into one."""
        own = {gate for group in self.form.own_operands for gate in group}
        shared = [gate for gate in gates if gate not in own]
        return shared if len(shared) > 1 and self.backend.joins_products() else []

    def forward(self, projections, x, recurrent, states, mask, noise):
        """Return ((outputs, last states), residuals for `backward`)."""
        gates, turned = tuple(recurrent), {gate: _turn(u) for gate, u in recurrent.items()}
        is_separate, joined = self.form.output_state is None, self._joined(gates)
        kernel = joined and ops.concatenate([turned[gate] for gate in joined], axis=-2)

        constant, per_step = noise

        def body(states, inputs):
            projections, x, mask, varying = inputs
            z, products = {}, joined and ops.split(ops.matmul(kernel, states[0]), len(joined), -2)
            products = dict(zip(joined, products, strict=True))

            def pre(gate, operand):
                is_joined = gate in products
                product = products[gate] if is_joined else ops.matmul(turned[gate], operand)
                z[gate] = projections[gate] + product
                return z[gate]

            output, states = self.run(x, pre, states, mask, constant | varying)
            separate = [output] if is_separate else []
            return states, [*states, *(z[gate] for gate in gates), *separate]

        num_states = len(states)
        last, ys = self.backend.scan(
            body, states, (projections, x, mask, per_step), num_states + len(gates) + is_separate
        )
        sequences, ys = ys[:num_states], ys[num_states:]
        outputs = ys[-1] if is_separate else sequences[self.form.output_state]
        z = dict(zip(gates, ys, strict=False))
        return (outputs, last), (z, x, recurrent, states, sequences, mask, noise)

    def backward(self, residuals, cotangents):
        """Return the gradients of the arguments of `forward`."""
        z, x, recurrent, initial, sequences, mask, (constant, per_step) = residuals
        d_outputs, d_last = cotangents
        gates, own_operands = tuple(recurrent), self.form.own_operands
        joined = self._joined(gates)
        kernel = joined and ops.concatenate([recurrent[gate] for gate in joined], axis=-1)
        before = [
            ops.concatenate([first[None], sequence[:-1]])
            for first, sequence in zip(initial, sequences, strict=True)
        ]

        def body(d_states, inputs):
            z, x, mask, states, d_output, varying = inputs

            def replay(z, x, states):
                operands = {}

                def pre(gate, operand):
                    operands[gate] = operand
                    if gate in joined:
                        return z[gate]
                    return self.backend.stored(operand, z[gate], recurrent[gate])

                output = self.run(x, pre, states, mask, constant | varying)
                return output, [operands[group[0]] for group in own_operands]

            (d_z, d_x, d_states), operands = self.backend.pullback(
                replay, (z, x, states), (d_output, d_states)
            )
            if joined:
                d_joined = ops.concatenate([d_z[gate] for gate in joined], axis=-2)
                d_states = [d_states[0] + ops.matmul(kernel, d_joined), *d_states[1:]]
            d_inputs = [] if x is None else [d_x]
            return d_states, [*(d_z[gate] for gate in gates), *operands, *d_inputs]

        d_initial, ys = self.backend.scan(
            body,
            d_last,
            (z, x, mask, before, d_outputs, per_step),
            len(gates) + len(own_operands) + (x is not None),
            reverse=True,
        )
        d_z = dict(zip(gates, ys, strict=False))
        own = zip(own_operands, ys[len(gates) :], strict=False)
        operands = {gate: operand for group, operand in own for gate in group}
        d_recurrent = {
            gate: _recurrent_gradient(operands.get(gate, before[0]), d_z[gate]) for gate in gates
        }
        return d_z, (None if x is None else ys[-1]), d_recurrent, d_initial, None, None


def _recurrent_gradient(operand, d_z):
    """Compute dU = Σ_t a_t dz_t^T from arrays (T, ..., N, B)."""
    units, batch_size = operand.shape[-2:]
    if not isinstance(batch_size, int) or units > batch_size:  # None, or one of JAX's symbols
        return ops.einsum("t...ib,t...jb->...ij", operand, d_z)
    # For small matrices, adding up T products is cheaper than transposing (T, N, B).
    return ops.sum(ops.einsum("t...ib,t...jb->t...ij", operand, d_z), axis=0)


def _form(run, num_states, recurrent, x, mask, noise):
    """Call the step once on zeros and record its data flow."""
    probe = ops.zeros_like(next(iter(recurrent.values()))[..., :1])
    states, own_operands, asked = [ops.copy(probe) for _ in range(num_states)], [], []

    def pre(gate, operand):
        asked.append(gate)
        if operand is not states[0]:
            for known, group in own_operands:
                if known is operand:
                    group.append(gate)
                    break
            else:
                own_operands.append((operand, [gate]))
        return ops.copy(probe)

    noise = {name: ops.cast(probe, array.dtype) for name, array in noise.items()}
    output, new_states = run(
        None if x is None else ops.copy(probe), pre, states, mask if mask is None else True, noise
    )
    if sorted(asked) != sorted(recurrent):
        raise ValueError(
            f"step must ask pre() once for each gate, {', '.join(recurrent)}; it asked for "
            f"{', '.join(asked) or 'none'}"
        )
    for result in (output, *new_states):
        if tuple(result.shape) != tuple(probe.shape):
            raise ValueError(
                "step must treat all units and samples alike: it turned arrays of shape "
                f"{tuple(probe.shape)} into one of {tuple(result.shape)}"
            )
    same = [index for index, state in enumerate(new_states) if state is output]
    groups = tuple(tuple(group) for _, group in own_operands)
    return _Form(same[0] if same else None, groups)


def _with_mask_argument(step):
    return lambda x, pre, states, mask, noise: step(x, pre, states, noise)


def _masked(step):
    """Return a step that keeps its states and repeats its output where the mask is false.

    The last output becomes one more state, so that the loops need not know about masks.
    """

    def run(x, pre, states, mask, noise):
        *states, last_output = states
        output, new_states = step(x, pre, states, noise)
        output = ops.where(mask, output, last_output)
        kept = [ops.where(mask, new, old) for new, old in zip(new_states, states, strict=True)]
        return output, [*kept, output]

    return run
