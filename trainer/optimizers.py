"""The paper's four optimizers as one pure update; hyperparameters may differ between lanes.

Appendix A: SGD, SGD with momentum, RMSProp, Adam. The momentum m = σ(momentum_logit) is SGD's
momentum, RMSProp's decay and Adam's β1; β2 = 0.999 and ε = 1e-7. Updates equal those of
`keras.optimizers`. Every weight has two slots, used or not, so that lanes with different optimizers
share a program.

Legend: g gradient, α learning rate, m momentum, t step from 1, u and v slots; "..." lane axes.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

Tensor = Any

BETA_2 = 0.999
EPSILON = 1e-7


def _sgd(g, u, v, rate, momentum, t):
    """w' = w - α g."""
    return -rate * g, u, v


def _momentum(g, u, v, rate, momentum, t):
    """u' = m u - α g; w' = w + u'."""
    u = momentum * u - rate * g
    return u, u, v


def _rmsprop(g, u, v, rate, momentum, t):
    """v' = m v + (1 - m) g²; w' = w - α g / √(v' + ε)."""
    v = momentum * v + (1 - momentum) * g * g
    return -rate * g / ops.sqrt(v + EPSILON), u, v


def _adam(g, u, v, rate, momentum, t):
    """u' = m u + (1 - m) g; v' = β2 v + (1 - β2) g²; w' = w - α' u' / (√v' + ε).

    α' = α √(1 - β2^t) / (1 - m^t).
    """
    u = momentum * u + (1 - momentum) * g
    v = BETA_2 * v + (1 - BETA_2) * g * g
    rate = rate * ops.sqrt(1 - BETA_2**t) / (1 - momentum**t)
    return -rate * u / (ops.sqrt(v) + EPSILON), u, v


OPTIMIZERS = {"sgd": _sgd, "momentum": _momentum, "rmsprop": _rmsprop, "adam": _adam}


def zero_slots(weights: Any) -> dict[str, Any]:
    """Returns the initial slots, two arrays of zeros per weight."""
    zeros = keras.tree.map_structure(lambda weight: 0 * weight, weights)
    return {"u": zeros, "v": keras.tree.map_structure(lambda weight: 0 * weight, weights)}


def update(
    names: Sequence[str],
    choice: Tensor,
    weights: Any,
    gradients: Any,
    slots: dict[str, Any],
    rate: Tensor,
    momentum: Tensor,
    step: Tensor,
) -> tuple[Any, dict[str, Any]]:
    """Applies one update.

    Args:
        names: the keys of `OPTIMIZERS` in use.
        choice: (...) index into `names`; ignored if there is only one name.
        weights, gradients: nested structures of arrays (..., shape).
        slots: from `zero_slots` or the last update.
        rate, momentum: (...) α and m.
        step: (...) step from 0.

    Returns:
        The new (weights, slots).
    """
    t = ops.cast(step, rate.dtype) + 1

    def change(g, u, v):
        numbers = [expand_as(value, g) for value in (rate, momentum, t)]
        results = [OPTIMIZERS[name](g, u, v, *numbers) for name in names]
        chosen = results[0]
        for index, result in enumerate(results[1:], start=1):
            this = expand_as(choice == index, g)
            chosen = [ops.where(this, a, b) for a, b in zip(result, chosen, strict=True)]
        return chosen

    flat = [keras.tree.flatten(part) for part in (gradients, slots["u"], slots["v"])]
    changes, u, v = zip(*(change(*leaf) for leaf in zip(*flat, strict=True)), strict=True)
    new = [w + d for w, d in zip(keras.tree.flatten(weights), changes, strict=True)]

    def pack(leaves):
        return keras.tree.pack_sequence_as(weights, list(leaves))

    return pack(new), {"u": pack(u), "v": pack(v)}


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
