"""The part of a training step from gradients to new weights, on packed vectors.

Hyperparameters may differ between lanes. Every weight has the slots u and v, used or not, so that
lanes with different optimizers share a program. An optimizer may declare further slots, which all
lanes of a program with it have.

Legend: "..." lane axes, M total number of weights.
"""

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
from keras import ops

from trainer.optimizers import OPTIMIZERS, Step

Tensor = Any


def zero_slots(
    weights: Any, names: Sequence[str] = (), lanes: tuple[int, ...] = ()
) -> dict[str, Any]:
    """Return the initial slots: u and v of each weight, and own ones of optimizers, all zeros.

    Args:
        weights: nested structure of arrays (..., shape).
        names: optimizers whose own slots are added.
        lanes: the axes "...".

    Returns:
        dict(u, v: structures of `weights`; own: optimizer -> name -> (..., shape)).
    """
    shapes = [tuple(weight.shape[len(lanes) :]) for weight in keras.tree.flatten(weights)]
    own = {
        name: {slot: ops.zeros((*lanes, *shape)) for slot, shape in declare(shapes).items()}
        for name in names
        if (declare := OPTIMIZERS[name].slots)
    }
    u, v = (keras.tree.map_structure(lambda weight: 0 * weight, weights) for _ in "uv")
    return {"u": u, "v": v, "own": own}


def update(
    names: Sequence[str],
    choice: Tensor,
    weights: Tensor,
    gradients: Tensor,
    slots: dict[str, Any],
    rate: Tensor,
    momentum: Tensor,
    step: Tensor,
    shapes: Any,
    options: Mapping[str, Mapping[str, Tensor]],
    scales: Mapping[str, Tensor] = MappingProxyType({}),
) -> tuple[Tensor, dict[str, Any]]:
    """Apply one update.

    Args:
        names: the keys of `OPTIMIZERS` in use.
        choice: (...) index into `names`; ignored if there is only one name.
        weights, gradients: (..., M), packed by `packing.pack`.
        slots: from `zero_slots`, with u and v packed, or from the last update.
        rate, momentum: (...) α and m.
        step: (...) step from 0.
        shapes: nested structure of arrays that have the shapes of the unpacked weights.
        options: optimizer -> own hyperparameter -> value (...).
        scales: optimizer -> packed result of its function of the model.

    Returns:
        The new (weights, slots).
    """
    t = ops.cast(step, rate.dtype) + 1
    rate, momentum, t = (expand_as(value, weights) for value in (rate, momentum, t))
    made = Step(gradients, weights, slots["u"], slots["v"], rate, momentum, t, shapes)
    moved: tuple = ()
    own: dict[str, dict[str, Tensor]] = {}
    for index, name in enumerate(names):
        held = slots["own"].get(name, {})
        step_of_name = made._replace(own=held, scales=scales.get(name))
        result = _updated(name, step_of_name, options.get(name, {}))
        # Other optimizers' lanes keep this one's own slots at zero.
        chosen = functools.partial(_where, choice == index) if len(names) > 1 else _first
        moved = tuple(map(chosen, result[:3], moved)) if index else result[:3]
        if held:
            own[name] = {slot: chosen(result[3][slot], old) for slot, old in held.items()}
    change, u, v = moved
    return weights + change, {"u": u, "v": v, "own": own}


def _where(flag, new, old):
    return ops.where(expand_as(flag, new), new, old)


def _first(new, old):
    return new


def _updated(name, step, options):
    own = {option: expand_as(value, step.w) for option, value in options.items()}
    return OPTIMIZERS[name].update(step, **own)


def learning_rate(
    lr_init: Tensor, lr_decay_rate: Tensor, step: Tensor, train_steps: Tensor
) -> Tensor:
    """Return the exponentially decayed rate, lr_init · lr_decay_rate^(step / train_steps)."""
    fraction = ops.cast(step, lr_init.dtype) / ops.cast(train_steps, lr_init.dtype)
    return lr_init * lr_decay_rate**fraction


def clip_by_global_norm(gradients: Any, limit: Tensor) -> tuple[Any, Tensor]:
    """Scale all gradients by min(1, limit / norm), with norm = √(Σ g²) over each lane.

    Returns:
        (gradients, norm before clipping (...)). Gradients are invalid if the norm is infinite.
    """
    norm = ops.sqrt(sum_of_squares(gradients, len(limit.shape)))
    scale = ops.minimum(1.0, limit / norm)
    return keras.tree.map_structure(lambda g: g * expand_as(scale, g), gradients), norm


def sum_of_squares(arrays: Any, num_lane_axes: int = 0) -> Tensor:
    """Return Σ w² over a nested structure, (...)."""
    return sum(
        ops.sum(array * array, axis=tuple(range(num_lane_axes, len(array.shape))))
        for array in keras.tree.flatten(arrays)
    )


def expand_as(value: Tensor, array: Tensor) -> Tensor:
    """Append axes to a number per lane (...), so that it broadcasts with an array."""
    return ops.reshape(value, (*value.shape, *[1] * (len(array.shape) - len(value.shape))))
