"""The part of a training step from gradients to new weights, on packed vectors.

Hyperparameters may differ between lanes. Every weight has two slots, used or not, so that lanes
with different optimizers share a program.

Legend: "..." lane axes, M total number of weights.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from trainer.optimizers import OPTIMIZERS, Step

Tensor = Any


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
    options: Mapping[str, Mapping[str, Tensor]],
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
        options: optimizer -> own hyperparameter -> value (...).

    Returns:
        The new (weights, slots).
    """
    t = ops.cast(step, rate.dtype) + 1
    rate, momentum, t = (expand_as(value, weights) for value in (rate, momentum, t))
    made = Step(gradients, weights, slots["u"], slots["v"], rate, momentum, t, shapes)
    chosen, *others = [_updated(name, made, options.get(name, {})) for name in names]
    for index, result in enumerate(others, start=1):
        this = expand_as(choice == index, weights)
        chosen = [ops.where(this, a, b) for a, b in zip(result, chosen, strict=True)]
    change, u, v = chosen
    return weights + change, {"u": u, "v": v}


def _updated(name, step, options):
    own = {option: expand_as(value, step.w) for option, value in options.items()}
    return OPTIMIZERS[name].update(step, **own)


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
