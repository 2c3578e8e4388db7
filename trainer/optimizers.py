"""The paper's four optimizers and Muon, as pure updates of one packed vector of weights.

Appendix A: SGD, SGD with momentum, RMSProp, Adam. The momentum m = σ(momentum_logit) is SGD's
momentum, RMSProp's decay, Adam's β1, and both momentum and β1 in Muon; β2 = 0.999 and ε = 1e-7.
Updates equal those of `keras.optimizers`. Hyperparameters may differ between lanes. Every weight
has two slots, used or not, so that lanes with different optimizers share a program.

TensorFlow 1, which the paper used, had other constants: ε was 1e-8 in Adam and 1e-10 in RMSProp.
RMSProp's mean square v started at 1, not at 0, which made about the first 1 / (1 - m) updates
smaller.

Muon is not in the paper. Each matrix (input and recurrent matrix of each gate, read-in, readout)
moves along its momentum with all singular values brought close to 1; vectors follow Adam with the
same α and β1 = m. Settings are those of `keras.optimizers.Muon` with `momentum` = `adam_beta_1` =
m, `rms_rate` = 0.2, `adam_lr_ratio` = 1, Nesterov momentum, five Newton-Schulz steps and no weight
decay, since the penalty l2_decay Σ w² is part of the loss. Source: K. Jordan et al., Muon: an
optimizer for hidden layers in neural networks, 2024, https://kellerjordan.github.io/posts/muon.
The factor 0.2 √max(rows, columns), which gives updates about the size of Adam's, is from J. Liu et
al., Muon is scalable for LLM training, 2025, arXiv:2502.16982.

Legend: g gradient, α learning rate, m momentum, t step from 1, u and v slots, all (..., M) or
(..., 1); "..." lane axes, M total number of weights.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from trainer import packing

Tensor = Any

BETA_2 = 0.999
EPSILON = 1e-7
#: Newton-Schulz coefficients and number of steps; root mean square of a matrix's update at α = 1.
NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS, RMS_RATE = (3.4445, -4.7750, 2.0315), 5, 0.2


def _sgd(g, u, v, rate, momentum, t, shapes):
    """w' = w - α g."""
    return -rate * g, u, v


def _momentum(g, u, v, rate, momentum, t, shapes):
    """u' = m u - α g; w' = w + u'."""
    u = momentum * u - rate * g
    return u, u, v


def _rmsprop(g, u, v, rate, momentum, t, shapes):
    """v' = m v + (1 - m) g²; w' = w - α g / √(v' + ε)."""
    v = momentum * v + (1 - momentum) * g * g
    return -rate * g / ops.sqrt(v + EPSILON), u, v


def _adam(g, u, v, rate, momentum, t, shapes):
    """u' = m u + (1 - m) g; v' = β2 v + (1 - β2) g²; w' = w - α' u' / (√v' + ε).

    α' = α √(1 - β2^t) / (1 - m^t).
    """
    u = momentum * u + (1 - momentum) * g
    v = BETA_2 * v + (1 - BETA_2) * g * g
    rate = rate * ops.sqrt(1 - BETA_2**t) / (1 - momentum**t)
    return -rate * u / (ops.sqrt(v) + EPSILON), u, v


def _muon(g, u, v, rate, momentum, t, shapes):
    """u' = m u + g; W' = W - 0.2 α √max(rows, columns) NS(g + m u') for matrices; else Adam.

    NS is `newton_schulz`. The slot v is not used for matrices.
    """
    adam, adam_u, v = _adam(g, u, v, rate, momentum, t, shapes)
    u = momentum * u + g
    muon = -rate * _orthogonalised(g + momentum * u, shapes)
    is_matrix = where_matrices(shapes, len(g.shape) - 1) > 0
    return ops.where(is_matrix, muon, adam), ops.where(is_matrix, u, adam_u), v


def _orthogonalised(vector, shapes):
    """Returns 0.2 √max(rows, columns) NS(W) for each matrix W of a packed vector."""
    lanes = len(vector.shape) - 1
    leaves = keras.tree.flatten(packing.unpack(vector, shapes))
    groups: dict[tuple, list[int]] = {}
    for index, leaf in enumerate(leaves):
        if len(leaf.shape) == lanes + 2:
            groups.setdefault(tuple(sorted(leaf.shape[lanes:])), []).append(index)
    for (rows, columns), members in groups.items():
        # Matrices of the same shape, up to transposition, share one batched product for speed.
        is_tall = [leaves[index].shape[lanes] > rows for index in members]
        wide = [
            _transposed(leaves[index], tall) for index, tall in zip(members, is_tall, strict=True)
        ]
        results = RMS_RATE * math.sqrt(columns) * newton_schulz(ops.stack(wide, axis=lanes))
        for result, index, tall in zip(
            ops.unstack(results, axis=lanes), members, is_tall, strict=True
        ):
            leaves[index] = _transposed(result, tall)
    return packing.pack(keras.tree.pack_sequence_as(shapes, leaves), lanes)


def _transposed(matrix, whether):
    return ops.swapaxes(matrix, -2, -1) if whether else matrix


def newton_schulz(matrices: Tensor) -> Tensor:
    """Brings the singular values of matrices close to 1, without changing the singular vectors.

    X₀ = W / ‖W‖; A = X Xᵀ; X' = a X + (b A + c A²) X, five times. A step maps a singular value σ
    to a σ + b σ³ + c σ⁵. Five steps map singular values of W above 0.002 ‖W‖ to 0.68 to 1.21.

    Args:
        matrices: (..., rows, columns), with rows ≤ columns for speed.
    """
    a, b, c = NEWTON_SCHULZ
    norm = ops.sqrt(ops.sum(matrices * matrices, axis=(-2, -1), keepdims=True))
    x = matrices / (norm + EPSILON)
    for _ in range(NEWTON_SCHULZ_STEPS):
        product = ops.matmul(x, ops.swapaxes(x, -2, -1))
        x = a * x + ops.matmul(b * product + c * ops.matmul(product, product), x)
    return x


def where_matrices(shapes: Any, num_lane_axes: int) -> Tensor:
    """Returns a packed vector (..., M), 1 for entries of matrices and 0 for all other weights."""
    return packing.pack(
        keras.tree.map_structure(
            lambda w: ops.ones_like(w) if len(w.shape) == num_lane_axes + 2 else ops.zeros_like(w),
            shapes,
        ),
        num_lane_axes,
    )


OPTIMIZERS: dict[str, Callable[..., Sequence[Tensor]]] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "muon": _muon,
}


def zero_slots(weights: Any) -> dict[str, Any]:
    """Returns the initial slots, two arrays of zeros per weight."""
    zeros = keras.tree.map_structure(lambda weight: 0 * weight, weights)
    return {"u": zeros, "v": keras.tree.map_structure(lambda weight: 0 * weight, weights)}


def update(
    names: Sequence[str],
    choice: Tensor,
    weights: Tensor,
    gradients: Tensor,
    slots: dict[str, Tensor],
    rate: Tensor,
    momentum: Tensor,
    step: Tensor,
    shapes: Any,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Applies one update.

    Args:
        names: the keys of `OPTIMIZERS` in use.
        choice: (...) index into `names`; ignored if there is only one name.
        weights, gradients: (..., M), packed by `packing.pack`.
        slots: two vectors (..., M), packed from `zero_slots` or returned by the last update.
        rate, momentum: (...) α and m.
        step: (...) step from 0.
        shapes: nested structure of arrays that have the shapes of the unpacked weights.

    Returns:
        The new (weights, slots).
    """
    t = ops.cast(step, rate.dtype) + 1
    numbers = [expand_as(value, weights) for value in (rate, momentum, t)]
    vectors = (gradients, slots["u"], slots["v"])
    chosen, *others = [OPTIMIZERS[name](*vectors, *numbers, shapes) for name in names]
    for index, result in enumerate(others, start=1):
        this = expand_as(choice == index, weights)
        chosen = [ops.where(this, a, b) for a, b in zip(result, chosen, strict=True)]
    change, u, v = chosen
    return weights + change, {"u": u, "v": v}


def learning_rate(
    lr_init: Tensor, lr_decay_rate: Tensor, step: Tensor, train_steps: Tensor
) -> Tensor:
    """Returns the exponentially decayed rate, lr_init · lr_decay_rate^(step / train_steps)."""
    fraction = ops.cast(step, lr_init.dtype) / ops.cast(train_steps, lr_init.dtype)
    return lr_init * lr_decay_rate**fraction


def clip_by_global_norm(gradients: Any, limit: Tensor) -> tuple[Any, Tensor]:
    """Scales all gradients by min(1, limit / norm), with norm = √(Σ g²) over each lane.

    Returns:
        (gradients, norm before clipping (...)). Gradients are invalid if the norm is infinite.
    """
    norm = ops.sqrt(sum_of_squares(gradients, len(limit.shape)))
    scale = ops.minimum(1.0, limit / norm)
    return keras.tree.map_structure(lambda g: g * expand_as(scale, g), gradients), norm


def sum_of_squares(arrays: Any, num_lane_axes: int = 0) -> Tensor:
    """Returns Σ w² over a nested structure, (...)."""
    return sum(
        ops.sum(array * array, axis=tuple(range(num_lane_axes, len(array.shape))))
        for array in keras.tree.flatten(arrays)
    )


def expand_as(value: Tensor, array: Tensor) -> Tensor:
    """Appends axes to a number per lane (...), so that it broadcasts with an array."""
    return ops.reshape(value, (*value.shape, *[1] * (len(array.shape) - len(value.shape))))
