"""The paper's four optimizers as one pure update, each hyperparameter a number or one a lane.

Appendix A: vanilla SGD, SGD with momentum, RMSProp, Adam. The momentum-like parameter comes as a
logit, m = σ(momentum_logit), and is SGD's momentum, RMSProp's decay and Adam's β1. The rest has the
usual defaults: β2 = 0.999, ε = 1e-7. Every weight has two slots, used or not, so that lanes with
different optimizers are one program. Updates are those of `keras.optimizers`.

Legend: g gradient, α learning rate, m momentum, t number of the step from 1, u and v the slots.
"""

import keras
from keras import ops

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


def zero_slots(weights):
    """The slots at the start: two zeros for every weight."""
    zeros = keras.tree.map_structure(lambda weight: 0 * weight, weights)
    return {"u": zeros, "v": keras.tree.map_structure(lambda weight: 0 * weight, weights)}


def update(optimizer, weights, gradients, slots, rate, momentum, step):
    """Applies one update.

    Args:
        optimizer: a name in `OPTIMIZERS`.
        weights, gradients: nested structures of arrays (..., shape).
        slots: of `zero_slots` or of the last update.
        rate, momentum: α and m, (...).
        step: number of the step, from 0, (...).

    Returns:
        (weights, slots) after it.
    """
    rule = OPTIMIZERS[optimizer]
    t = ops.cast(step, rate.dtype) + 1
    flat = [keras.tree.flatten(part) for part in (weights, gradients, slots["u"], slots["v"])]
    new_weights, new_u, new_v = [], [], []
    for w, g, u, v in zip(*flat, strict=True):
        change, u, v = rule(g, u, v, *(expand_as(value, w) for value in (rate, momentum, t)))
        new_weights.append(w + change)
        new_u.append(u)
        new_v.append(v)
    pack = keras.tree.pack_sequence_as
    return pack(weights, new_weights), {"u": pack(weights, new_u), "v": pack(weights, new_v)}


def learning_rate(lr_init, lr_decay_rate, step, train_steps):
    """lr_init · lr_decay_rate^(step / train_steps): the factor is reached at the end."""
    fraction = ops.cast(step, lr_init.dtype) / ops.cast(train_steps, lr_init.dtype)
    return lr_init * lr_decay_rate**fraction


def clip_by_global_norm(gradients, limit):
    """Scales all gradients by min(1, limit / norm), norm = √(Σ g²) over everything of a lane.

    Returns:
        (gradients, norm before clipping (...)); with an infinite norm the result means nothing.
    """
    norm = ops.sqrt(sum_of_squares(gradients, axes_of_lanes(limit)))
    scale = ops.minimum(1.0, limit / norm)
    return keras.tree.map_structure(lambda g: g * expand_as(scale, g), gradients), norm


def sum_of_squares(arrays, num_lane_axes=0):
    """Σ w² over a nested structure, one number a lane."""
    return sum(
        ops.sum(array * array, axis=tuple(range(num_lane_axes, len(array.shape))))
        for array in keras.tree.flatten(arrays)
    )


def axes_of_lanes(value):
    """The number of leading lane axes of a per-lane number."""
    return len(value.shape)


def expand_as(value, array):
    """Gives a per-lane number (...) the trailing axes that it needs to broadcast with an array."""
    return ops.reshape(value, (*value.shape, *[1] * (len(array.shape) - len(value.shape))))
