"""Backpropagation through time, derived from the cell's own step.

The forward loop stores the pre-activations z = W^T x + U^T a + b of each group of gates, where a is
their operand. The backward loop replays the same `step`, with `pre` answering from the stored z,
and pulls the gradient back through it: dz, then da = U dz and dx = W dz, and the step's share of
dU = Σ_t a_t dz_t^T, dW and db, which the loop adds up while its arrays are in the cache.

The input products and the z of each gate are arrays of their own: XLA compiles a loop's update to
scalar code if it reads several gates of one array on a CPU.

No derivative of a cell is written by hand: a new cell needs only its equations to train as fast.
Second derivatives are the backend's own, through the loop.

Where a program is compiled, arrays in the loops are (..., N, B), batch last: the batch fills vector
registers, which the few units of a small network would not. A network of more units than samples
has them batch first, as products of its large matrices need no transposition then.

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
        run: the step, `run(x, pre, states, mask, noise, vectors)`.
        form: the step's data flow.
        returned: the arrays that are returned for all steps: indices of states, and None for an
            output that is not a state.
        batch_last: whether arrays are (..., N, B) instead of (..., B, N).
        packed: whether a step computes only the samples whose mask is true, which come first.
    """

    def __init__(
        self,
        backend: ModuleType,
        run: Callable,
        form: Form,
        returned: Sequence[int | None],
        batch_last: bool,
        packed: bool,
    ):
        self.backend, self.run, self.form, self.returned = backend, run, form, returned
        self.batch_last, self.packed = batch_last, packed
        self.axis = -2 if batch_last else -1
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
        learned: list[dict[str, Tensor]],
        keep: bool = True,
    ) -> tuple[Any, Any]:
        """Run the step over time.

        Args:
            products: for each group of gates dict(recurrent (..., N, M), input (..., I, M), bias
                (..., M)) of the parts that it has and no projection covers.
            projections: for each group W x + b of all time steps, (T, ..., B, M), or None if it has
                no input product; None if they are computed in the loop.
            x: (T, ..., B, I); None if the loop does not need it.
            states: list of (..., B, N).
            mask: (T, B, 1) or None.
            noise: dicts of arrays without a gradient: (..., B, N), the same at every step, and
                (T, ..., B, N). Each step gets one dict of both.
            learned: dicts (..., 1, N) of the diagonals of recurrent products, by gate, and of
                vectors, by name.
            keep: whether to keep what `backward` needs.

        Returns:
            ((`returned` arrays (T, ..., B, N), final states), residuals for `backward`).
        """
        (constant, per_step), (diagonals, vectors) = noise, learned
        turned = [self._turn(product) for product in products]

        def body(states, inputs):
            projections, x, mask, varying = inputs
            drawn, before = constant | varying, states
            if self.packed:
                states, projections, x, drawn = _first(mask, (states, projections, x, drawn))
                mask = None
            sums = {}

            def answer(index, operand):
                given = projections[index] if projections else None
                sums[index] = self._gates(index, turned[index], given, x, operand)
                return sums[index]

            pre = self._pre(answer, diagonals)
            output, states = self.run(x, pre, states, mask, drawn, vectors)
            if self.packed:
                states = [_replace(*each) for each in zip(before, states, strict=True)]
            if not keep:
                return states, self._choose(states, output)
            z = [gate for index in range(num_groups) for gate in sums[index]]
            return states, [*states, *z, *([output] if None in self.returned else [])]

        num_states, num_groups = len(states), len(products)
        shapes = [states[index or 0].shape for index in self.returned]
        if keep:
            of_z = [states[0].shape for group in self.form.groups for _ in group]
            of_output = [states[0].shape] if None in self.returned else []
            shapes = [*(state.shape for state in states), *of_z, *of_output]
            if projections is not None:
                given = zip(projections, self.form.groups, strict=True)
                projections = [
                    None if total is None else self._split(total, len(group))
                    for total, group in given
                ]
        last, ys = self.backend.scan(body, states, (projections, x, mask, per_step), shapes)
        if not keep:
            return (ys, last), None
        sequences, rest = ys[:num_states], iter(ys[num_states:])
        z = [[next(rest) for _ in group] for group in self.form.groups]
        outputs = self._choose(sequences, ys[-1])
        residuals = products, projections, z, x, states, sequences, mask, noise, learned
        return (outputs, last), residuals

    def _choose(self, states, output):
        """Return the arrays that are `returned`."""
        return [output if index is None else states[index] for index in self.returned]

    def backward(self, residuals: Any, cotangents: Any) -> tuple:
        """Return the gradients of the arguments of `forward`."""
        products, projections, z, x, initial, sequences, mask, noise, learned = residuals
        (constant, per_step), (d_outputs, d_last) = noise, cotangents
        before = [
            ops.concatenate([first[None], sequence[:-1]])
            for first, sequence in zip(initial, sequences, strict=True)
        ]
        num_states, num_groups = len(initial), len(products)
        adds_up = self.batch_last and _adds_up(z)
        keeps_z = projections is not None or not adds_up
        added = [products, learned] if adds_up else [learned]

        def body(carry, inputs):
            z, x, mask, states, d_output, varying = inputs
            (d_products, d_learned, d_z, d_x, d_states), operands = self.backend.pullback(
                self._replay(mask, constant | varying),
                (products, learned, z, x, states),
                (d_output, carry[:num_states]),
            )
            slopes = keras.tree.flatten([d_products, d_learned] if adds_up else [d_learned])
            sums = [
                total + ops.cast(slope, total.dtype)
                for total, slope in zip(carry[num_states:], slopes, strict=True)
            ]
            d_x = [] if x is None else [d_x]
            d_z = [self._join(each) for each in d_z] if keeps_z else []
            kept = [*d_z, *([] if adds_up else operands)]
            return [*d_states, *sums], [*kept, *d_x]

        with_operand = [index for index, product in enumerate(products) if "recurrent" in product]
        shapes = []
        if keeps_z:
            shapes = [self._shape(initial[0], len(group)) for group in self.form.groups]
        shapes += [] if adds_up else [initial[0].shape] * len(with_operand)
        shapes += [] if x is None else [x.shape[1:]]
        zeros = [_zeros(each) for each in keras.tree.flatten(added)]
        carry, ys = self.backend.scan(
            body, [*d_last, *zeros], (z, x, mask, before, d_outputs, per_step), shapes, reverse=True
        )
        summed = keras.tree.pack_sequence_as(added, carry[num_states:])
        if adds_up:
            d_products = summed[0]
        else:
            operands = dict(zip(with_operand, ys[num_groups:], strict=False))
            d_products = [
                {
                    part: self._sum(part, ys[index], x if part == "input" else operands.get(index))
                    for part in product
                }
                for index, product in enumerate(products)
            ]
        d_products, d_learned = keras.tree.map_structure(
            lambda d, weight: ops.cast(d, weight.dtype),
            [d_products, summed[-1]],
            [products, learned],
        )
        d_projections = None
        if projections is not None:
            d_projections = [
                None if given is None else d
                for given, d in zip(projections, ys[:num_groups], strict=True)
            ]
        d_x = None if x is None else ys[-1]
        return d_products, d_projections, d_x, carry[:num_states], None, None, d_learned

    def _replay(self, mask, noise):
        """Return the step as a function of products, learned vectors, known z, x and states.

        It returns ((`returned` arrays, states), the operands of groups with a recurrent product).
        """

        def replay(products, learned, z, x, states):
            operands, (diagonals, vectors) = {}, learned

            def answer(index, operand):
                operands[index] = operand
                return self._known(z[index], products[index], operand, x)

            pre = self._pre(answer, diagonals)
            output, states = self.run(x, pre, states, mask, noise, vectors)
            results = self._choose(states, output), states
            return results, [operands[i] for i, p in enumerate(products) if "recurrent" in p]

        return replay

    def _sum(self, part, d_z, operand):
        """Sum the gradient of a part of a product over the time steps of d_z (T, ..., M, B)."""
        if part == "bias":
            return ops.sum(d_z, (0, -1 if self.batch_last else -2))
        if not self.batch_last:
            return ops.einsum("t...bi,t...bj->...ij", operand, d_z)
        # Adding up T products is cheaper than transposing (T, N, B).
        return ops.sum(ops.einsum("t...ib,t...jb->t...ij", operand, d_z), axis=0)

    def _pre(self, answer, diagonals):
        """Return `pre(gate, operand)` from the sums of groups, `answer(index, operand)`."""
        found = {}

        def pre(gate, operand=None):
            terms = []
            if gate in self.places:
                index, place = self.places[gate]
                if index not in found:
                    found[index] = answer(index, operand)
                terms.append(found[index][place])
            if gate in diagonals:
                terms.append(diagonals[gate] * operand)
            return sum(terms[1:], terms[0])

        pre.axis = self.axis  # type: ignore[attr-defined]
        return pre

    def _turn(self, product):
        """Return a product with matrices (..., M, N) if the batch is last.

        In the loop, a product with a transposed matrix takes up to twice as long on a CPU.
        """
        if not self.batch_last:
            return product
        return {
            part: array if part == "bias" else ops.swapaxes(array, -1, -2)
            for part, array in product.items()
        }

    def _factors(self, operand, kernel):
        return (kernel, operand) if self.batch_last else (operand, kernel)

    def _product(self, operand, kernel):
        left, right = self._factors(operand, kernel)
        # Not ops.matmul, whose checks take as long as a small product in PyTorch.
        return left @ right

    def _slopes(self, kernel, operand, dz):
        """Return the gradients of a product's operand and of its kernel."""
        if self.batch_last:
            return ops.matmul(kernel, dz), ops.matmul(operand, ops.swapaxes(dz, -1, -2))
        of_operand = ops.matmul(dz, ops.swapaxes(kernel, -1, -2))
        return of_operand, ops.matmul(ops.swapaxes(operand, -1, -2), dz)

    def _split(self, total, size):
        """Split an array of a group (..., M, B) into those of its gates."""
        return self.backend.ops.split(total, size, self.axis) if size > 1 else [total]

    def _join(self, gates):
        return ops.concatenate(gates, self.axis) if len(gates) > 1 else gates[0]

    def _gates(self, index, product, given, x, operand):
        """Return z of each gate of a group; `given` is W x + b, whole or by gate, or None."""
        size = len(self.form.groups[index])
        if not isinstance(given, list):
            return self._split(self._total(product, given, x, operand), size)
        if "recurrent" not in product:
            return given
        recurrent = self._split(self._product(operand, product["recurrent"]), size)
        return [a + b for a, b in zip(given, recurrent, strict=True)]

    def _total(self, product, given, x, operand):
        """Compute W x + b + U operand, or the parts of it that are there."""
        if "input" in product:
            given = self._product(x, product["input"])
        if "recurrent" not in product:
            return self._plus_bias(given, product)
        if given is None:
            return self._plus_bias(self._product(operand, product["recurrent"]), product)
        factors = self._factors(operand, product["recurrent"])
        return self.backend.plus_product(self._plus_bias(given, product), *factors)

    def _plus_bias(self, total, product):
        if "bias" not in product:
            return total
        bias = product["bias"]
        if self.batch_last:
            return total + ops.expand_dims(bias, -1)
        # Not by "+": TensorFlow has a faster gradient for what Keras knows to be a bias.
        return total + bias[..., None, :] if len(bias.shape) > 1 else ops.add(total, bias)

    def _shape(self, state, num_gates):
        """Return the shape of a group's pre-activations."""
        *lanes, one, other = state.shape
        if self.batch_last:
            return (*lanes, num_gates * one, other)
        return (*lanes, one, num_gates * other)

    def _known(self, z, product, operand, x):
        """Return the known z of a group, by gate (..., N, B), with the gradient of its product."""
        operands = {"recurrent": operand, "input": x}
        operands = {part: each for part, each in operands.items() if part in product}

        def backward(residuals, d_z):
            product, operands = residuals
            dz = self._join(d_z)
            d_product, d_operands = {}, {}
            for part, each in operands.items():
                slope, d_product[part] = self._slopes(product[part], each, dz)
                lanes = tuple(range(len(slope.shape) - len(each.shape)))
                d_operands[part] = ops.sum(slope, lanes) if lanes else slope
            if "bias" in product:
                d_product["bias"] = ops.sum(dz, -1 if self.batch_last else -2)
            return d_z, d_product, d_operands

        return self.backend.with_gradient(
            lambda z, product, operands: (z, (product, operands)), backward, (z, product, operands)
        )


def _first(mask, arrays):
    """Return the samples of arrays (..., B, N) whose mask (B, 1) is true; these come first."""
    count = ops.sum(ops.cast(mask, "int32"))
    return keras.tree.map_structure(
        lambda array: None if array is None else array[..., :count, :], arrays
    )


def _replace(before, first):
    """Return `before` (..., B, N) with its first samples replaced."""
    rest = before[..., ops.shape(first)[-2] :, :]
    return ops.reshape(ops.concatenate([first, rest], axis=-2), ops.shape(before))


def is_large(units: int, batch_size: Any) -> bool:
    """Return whether matrices are larger than the states of a batch.

    Then arrays in the loops are batch first, and gradients are not added up at every step.
    """
    return isinstance(batch_size, int) and units > batch_size


def _adds_up(z):
    """Return whether the backward loop adds up the weights' gradients itself.

    If not, they are computed after the loop, for all steps at once, as is faster for large matrices
    and where dz fits into a core's cache.
    """
    z = keras.tree.flatten(z)
    sizes = [size for each in z for size in each.shape]
    if not all(isinstance(size, int) for size in sizes):  # None, or one of JAX's symbols
        return True
    return sum(math.prod(each.shape) for each in z) > _CACHED


def _zeros(weight):
    """Return zeros to which a gradient is added at every step, in float32 at least."""
    low = keras.backend.standardize_dtype(weight.dtype) in ("float16", "bfloat16")
    return ops.zeros(weight.shape, "float32" if low else weight.dtype)
