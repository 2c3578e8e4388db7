"""Backpropagation through time, derived from the cell's own step.

The forward loop stores the pre-activations z = W^T x + U^T a + b of each group of gates, where a is
their operand. The backward loop replays the same `step`, with `pre` answering from the stored z,
and pulls the gradient back through it: dz, then da = U dz and dx = W dz, and the step's share of
dU = Σ_t a_t dz_t^T, dW and db, which the loop adds up while its arrays are in the cache.

No derivative of a cell is written by hand: a new cell needs only its equations to train as fast.
Second derivatives are the backend's own, through the loop.

Where a program is compiled, arrays in the loops are (..., N, B), batch last: the batch fills vector
registers, which the few units of a small network would not.

The loops need three primitives of `rnn_zoo.backend`: `scan`, `pullback` and `with_gradient`.
"""

import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import keras
from keras import ops

from rnn_zoo.unroll.form import Form

Tensor = Any

#: Number of floats that a core's cache holds.
_CACHED = 250_000


class Loops:
    """The forward and the backward loop of one step.

    Args:
        backend: module of primitives.
        run: the step, `run(x, pre, states, mask, noise)`.
        form: the step's data flow.
        returned: the arrays that are returned for all steps: indices of states, and None for an
            output that is no state.

    Attributes:
        batch_last: whether arrays are (..., N, B) instead of (..., B, N).
    """

    batch_last = False

    def __init__(
        self, backend: ModuleType, run: Callable, form: Form, returned: Sequence[int | None]
    ):
        self.backend, self.run, self.form, self.returned = backend, run, form, returned
        self.places = {
            gate: (index, place)
            for index, group in enumerate(form.groups)
            for place, gate in enumerate(group)
        }

    def forward(
        self,
        products: list[dict[str, Tensor]],
        projections: list[Tensor] | None,
        x: Tensor | None,
        states: list[Tensor],
        mask: Tensor | None,
        noise: list[dict[str, Tensor]],
        keep: bool = True,
    ) -> tuple[Any, Any]:
        """Run the step over time.

        Args:
            products: for each group of gates dict(recurrent (..., N, M)), and dict(input
                (..., I, M), bias (..., M)) if there are no projections.
            projections: for each group W x + b of all time steps, (T, ..., B, M); None if they are
                computed in the loop.
            x: (T, ..., B, I); None if the loop does not need it.
            states: list of (..., B, N).
            mask: (T, B, 1) or None.
            noise: dicts of arrays without a gradient: (..., B, N), the same at every step, and
                (T, ..., B, N). Each step gets one dict of both.
            keep: whether to keep what `backward` needs.

        Returns:
            ((`returned` arrays (T, ..., B, N), final states), residuals for `backward`).
        """
        constant, per_step = noise

        def body(states, inputs):
            projections, x, mask, varying = inputs
            sums = {}

            def answer(index, operand):
                given = self._input_sum(products[index], x) if x_is_used else projections[index]
                sums[index] = given + self._product(operand, products[index]["recurrent"])
                return sums[index]

            output, states = self.run(x, self._pre(answer), states, mask, constant | varying)
            if not keep:
                return states, self._choose(states, output)
            sums = [sums[index] for index in range(num_groups)]
            return states, [*states, *sums, *([output] if None in self.returned else [])]

        x_is_used, num_states, num_groups = projections is None, len(states), len(products)
        shapes = [states[0].shape] * len(self.returned)
        if keep:
            of_z = [self._shape(states[0], product) for product in products]
            of_output = [states[0].shape] if None in self.returned else []
            shapes = [*(state.shape for state in states), *of_z, *of_output]
        last, ys = self.backend.scan(body, states, (projections, x, mask, per_step), shapes)
        if not keep:
            return (ys, last), None
        sequences, z = ys[:num_states], ys[num_states : num_states + num_groups]
        outputs = self._choose(sequences, ys[-1])
        return (outputs, last), (products, projections, z, x, states, sequences, mask, noise)

    def _choose(self, states, output):
        """Return the arrays that are `returned`."""
        return [output if index is None else states[index] for index in self.returned]

    def backward(self, residuals: Any, cotangents: Any) -> tuple:
        """Return the gradients of the arguments of `forward`."""
        products, projections, z, x, initial, sequences, mask, (constant, per_step) = residuals
        d_outputs, d_last = cotangents
        before = [
            ops.concatenate([first[None], sequence[:-1]])
            for first, sequence in zip(initial, sequences, strict=True)
        ]
        num_states, num_groups = len(initial), len(products)
        adds_up = _adds_up(z, initial)
        keeps_z = projections is not None or not adds_up

        def body(carry, inputs):
            z, x, mask, states, d_output, varying = inputs
            (d_products, d_z, d_x, d_states), operands = self.backend.pullback(
                self._replay(mask, constant | varying),
                (products, z, x, states),
                (d_output, carry[:num_states]),
            )
            steps = zip(carry[num_states:], keras.tree.flatten(d_products), strict=adds_up)
            sums = [total + ops.cast(step, total.dtype) for total, step in steps]
            d_x = [] if x is None else [d_x]
            kept = [*(d_z if keeps_z else []), *([] if adds_up else operands)]
            return [*d_states, *sums], [*kept, *d_x]

        shapes = [each.shape[1:] for each in z] if keeps_z else []
        shapes += [] if adds_up else [initial[0].shape] * num_groups
        shapes += [] if x is None else [x.shape[1:]]
        zeros = [_zeros(each) for each in keras.tree.flatten(products)] if adds_up else []
        carry, ys = self.backend.scan(
            body, [*d_last, *zeros], (z, x, mask, before, d_outputs, per_step), shapes, reverse=True
        )
        if adds_up:
            d_products = keras.tree.pack_sequence_as(products, carry[num_states:])
        else:
            d_products = [
                {part: self._sum(part, d, x if part == "input" else operand) for part in product}
                for product, d, operand in zip(products, ys, ys[num_groups:], strict=False)
            ]
        d_products = keras.tree.map_structure(
            lambda d, weight: ops.cast(d, weight.dtype), d_products, products
        )
        d_projections = None if projections is None else ys[:num_groups]
        d_x = None if x is None else ys[-1]
        return d_products, d_projections, d_x, carry[:num_states], None, None

    def _replay(self, mask, noise):
        """Return the step as a function of products, known z, x and states.

        It returns ((`returned` arrays, states), the operand of each group).
        """

        def replay(products, z, x, states):
            operands = {}

            def answer(index, operand):
                operands[index] = operand
                return self._known(z[index], products[index], operand, x)

            output, states = self.run(x, self._pre(answer), states, mask, noise)
            results = self._choose(states, output), states
            return results, [operands[index] for index in range(len(products))]

        return replay

    def _sum(self, part, d_z, operand):
        """Sum the gradient of a part of a product over the time steps of d_z (T, ..., M, B)."""
        if part == "bias":
            return ops.sum(d_z, (0, -1))
        if is_large(*operand.shape[-2:]):
            return ops.einsum("t...ib,t...jb->...ij", operand, d_z)
        # For small matrices, adding up T products is cheaper than transposing (T, N, B).
        return ops.sum(ops.einsum("t...ib,t...jb->t...ij", operand, d_z), axis=0)

    def _pre(self, answer):
        """Return `pre(gate, operand)` from the sums of groups, `answer(index, operand)`."""
        found = {}
        axis = -2 if self.batch_last else -1

        def pre(gate, operand):
            index, place = self.places[gate]
            if index not in found:
                total, size = answer(index, operand), len(self.form.groups[index])
                found[index] = ops.split(total, size, axis) if size > 1 else [total]
            return found[index][place]

        return pre

    def _product(self, operand, kernel):
        # Not ops.matmul, whose checks take as long as a small product in PyTorch.
        return ops.swapaxes(kernel, -1, -2) @ operand if self.batch_last else operand @ kernel

    def _input_sum(self, product, x):
        """Compute W x + b."""
        total, bias = self._product(x, product["input"]), product["bias"]
        if self.batch_last:
            return total + bias[..., None]
        # Not by "+": TensorFlow has a faster gradient for what Keras knows to be a bias.
        return total + bias[..., None, :] if len(bias.shape) > 1 else ops.add(total, bias)

    def _shape(self, state, product):
        """Return the shape of a group's pre-activations."""
        *lanes, one, other = state.shape
        width = product["recurrent"].shape[-1]
        return (*lanes, width, other) if self.batch_last else (*lanes, one, width)

    def _known(self, z, product, operand, x):
        """Return a known pre-activation z (..., M, B) with the gradient of its product."""
        operands = {"recurrent": operand} | ({"input": x} if "input" in product else {})

        def backward(residuals, dz):
            product, operands = residuals
            d_product, d_operands = {}, {}
            for part, each in operands.items():
                slope = ops.matmul(product[part], dz)
                lanes = tuple(range(len(slope.shape) - len(each.shape)))
                d_operands[part] = ops.sum(slope, lanes) if lanes else slope
                d_product[part] = ops.matmul(each, ops.swapaxes(dz, -1, -2))
            if "bias" in product:
                d_product["bias"] = ops.sum(dz, -1)
            return dz, d_product, d_operands

        return self.backend.with_gradient(
            lambda z, product, operands: (z, (product, operands)), backward, (z, product, operands)
        )


def is_large(units: int, batch_size: Any) -> bool:
    """Return whether matrices are larger than the states of a batch.

    Then each gate has a product of its own, and gradients are not added up at every step.
    """
    return isinstance(batch_size, int) and units > batch_size


def _adds_up(z, states):
    """Return whether the backward loop adds up the weights' gradients itself.

    If not, they are computed after the loop, for all steps at once, as is faster for large matrices
    and where dz fits into a core's cache.
    """
    sizes = [size for each in z for size in each.shape]
    if not all(isinstance(size, int) for size in sizes):  # None, or one of JAX's symbols
        return True
    is_cached = sum(math.prod(each.shape) for each in z) <= _CACHED
    return not (is_cached or is_large(*states[0].shape[-2:]))


def _zeros(weight):
    """Return zeros to which a gradient is added at every step, in float32 at least."""
    low = keras.backend.standardize_dtype(weight.dtype) in ("float16", "bfloat16")
    return ops.zeros(weight.shape, "float32" if low else weight.dtype)
