"""The eigenbases of SOAP for the matrices of a packed vector of weights.

Source: N. Vyas et al., SOAP: Improving and stabilizing Shampoo using Adam, 2024, arXiv:2409.11321,
algorithm 3. For each matrix of weights with gradient G, there are moving averages of G Gᵀ and GᵀG,
and an orthogonal basis for each of the two, close to its eigenvectors. Where the authors'
implementation, https://github.com/nikhilvyas/SOAP, is more precise than the paper, this follows it:
the first gradient only starts the averages and their bases, and a later basis has its columns in
the order of the estimated eigenvalues.

The slots "average 30" and "basis 30" are stacks (..., count, 30, 30) for all sides of 30 rows or
columns, because each further decomposition takes XLA a second to compile.

After the first gradients, an average often lacks full rank, and rounding decides on a part of its
eigenvectors. A trial in a lane may then differ from the same trial alone by more than rounding.

Legend: G gradient, P average of G Gᵀ or GᵀG, Q basis, V second moments in the bases.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from trainer import lazy_ops as ops
from trainer import packing

Tensor = Any

#: A side with more rows or columns keeps the identity as its basis, which is an option of the paper
#: too. XLA's eigenvectors of 300 x 300 numbers take a second on a CPU.
MAX_SIDE = 512


def slots(shapes: Iterable[tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the averages and the bases, by name.

    Args:
        shapes: shapes of the weights.
    """
    counts = packing.count_matrices(shapes)
    return {
        f"{kind} {size}": (sum(counts[key] for key, _ in members), size, size)
        for size, members in _sides(counts).items()
        for kind in ("average", "basis")
    }


def turned(vector: Tensor, own: Mapping[str, Tensor], shapes: Any, back: bool = False) -> Tensor:
    """Return Q_rowsᵀ W Q_columns for each matrix W of a packed vector.

    Entries of vectors are left as they are.

    Args:
        vector: (..., M), packed by `packing.pack`.
        own: the slots.
        shapes: nested structure of arrays that have the shapes of the unpacked weights.
        back: whether to return Q_rows W Q_columnsᵀ, the inverse, instead.
    """
    found = packing.matrices(vector, shapes)
    bases = _by_side({size: own[f"basis {size}"] for size in _sides(found)}, found)
    for (key, side), basis in bases.items():
        if side == "rows":
            found[key] = ops.matmul(basis if back else _transposed(basis), found[key])
        else:
            found[key] = ops.matmul(found[key], _transposed(basis) if back else basis)
    return packing.with_matrices(vector, shapes, found)


def refreshed(
    gradient: Tensor,
    v: Tensor,
    own: Mapping[str, Tensor],
    shapes: Any,
    step: Tensor,
    beta: Tensor,
    every: Tensor,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Add a gradient to the averages, and update the bases where they are due.

    P' = β P + (1 - β) G Gᵀ, or GᵀG. The first bases are the eigenvectors of P'. After every `every`
    further steps, a basis becomes that of the QR decomposition of P' Q, which is one step of power
    iteration. Lanes may differ in all numbers.

    Args:
        gradient, v: packed gradients and second moments in the bases, (..., M).
        own, shapes: as for `turned`.
        step: (..., 1) number of the step, from 1.
        beta, every: (..., 1) β, and the number of steps between updates of the bases.

    Returns:
        (v in the order of the new bases' columns, the new slots).
    """
    step, beta, every = (each[..., None, None] for each in (step, beta, every))
    averages, bases = {}, {}
    found = packing.matrices(gradient, shapes)
    for size, members in _sides(found).items():
        factors = [
            found[key] if side == "rows" else _transposed(found[key]) for key, side in members
        ]
        new = [ops.matmul(factor, _transposed(factor)) for factor in factors]
        new = ops.concatenate(new, axis=-3)
        averages[size] = beta * own[f"average {size}"] + (1 - beta) * new
        bases[size] = own[f"basis {size}"]
    moments = packing.matrices(v, shapes)
    bases = _where(step <= 1, lambda: _eigenvectors(averages), bases)
    is_due = (step > 1) & (ops.mod(step - 1, every) == 0)
    state = (bases, moments)
    bases, moments = _where(is_due, lambda: _power_iteration(averages, *state), state)
    new_own = {f"average {size}": each for size, each in averages.items()}
    new_own |= {f"basis {size}": each for size, each in bases.items()}
    return packing.with_matrices(v, shapes, moments), new_own


def _sides(keys):
    """Return size -> list of (key of `packing.matrices`, side) with bases of this size."""
    found: dict[int, list[tuple]] = {}
    for key in keys:
        for side, size in zip(("rows", "columns"), key, strict=True):
            if 1 < size <= MAX_SIDE:  # a basis of one number is no change
                found.setdefault(size, []).append((key, side))
    return found


def _by_side(stacks, matrices):
    """Cut stacks by size, (..., total, rows, columns), into (key, side) -> (..., count, ...)."""
    found = {}
    for size, members in _sides(matrices).items():
        start = 0
        for key, side in members:
            stop = start + matrices[key].shape[-3]
            found[key, side], start = stacks[size][..., start:stop, :, :], stop
    return found


def _where(flag: Tensor, make: Callable[[], Any], old: Any) -> Any:
    """Return `make()` in lanes with the flag, else `old`; compute it only if a lane has it."""
    import keras

    def chosen():
        return keras.tree.map_structure(lambda a, b: ops.where(flag, a, b), make(), old)

    return ops.cond(ops.any(flag), chosen, lambda: old)


def _eigenvectors(averages):
    """Return the eigenvectors, from the largest eigenvalue to the smallest."""
    return {size: ops.flip(ops.eigh(each)[1], axis=-1) for size, each in averages.items()}


def _power_iteration(averages, bases, moments):
    """Return the next bases, and the moments in the order of their columns."""
    found, orders = {}, {}
    for size, basis in bases.items():
        product = ops.matmul(averages[size], basis)
        eigenvalues = ops.sum(basis * product, axis=-2, keepdims=True)
        orders[size] = ops.argsort(-eigenvalues, axis=-1)
        found[size], _ = ops.qr(ops.take_along_axis(product, orders[size], axis=-1))
    moments = dict(moments)
    for (key, side), order in _by_side(orders, moments).items():
        indices, axis = (_transposed(order), -2) if side == "rows" else (order, -1)
        moments[key] = ops.take_along_axis(moments[key], indices, axis=axis)
    return found, moments


def _transposed(matrices):
    return ops.swapaxes(matrices, -2, -1)
