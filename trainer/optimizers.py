"""The optimizers: pure updates of one packed vector of weights, and the registration of others.

Appendix A: SGD, SGD with momentum, RMSProp, Adam. The momentum m = σ(momentum_logit) is SGD's
momentum, RMSProp's decay, Adam's β1, and both momentum and β1 in Muon; β2 = 0.999 and ε = 1e-7.
Updates equal those of `keras.optimizers`.

TensorFlow 1, which the paper used, had other constants: ε was 1e-8 in Adam and 1e-10 in RMSProp.
RMSProp's mean square v started at 1, not at 0, which made about the first 1 / (1 - m) updates
smaller.

Two optimizers are not in the paper. AdamW is Adam with the decoupled weight decay of I. Loshchilov
and F. Hutter, Decoupled weight decay regularization, 2019, arXiv:1711.05101. As in Keras, it decays
all weights, and the decay is multiplied by the learning rate.

In Muon, each matrix (input and recurrent matrix of each gate, read-in, readout) moves along its
momentum with all singular values brought close to 1; vectors follow Adam with the same α and
β1 = m. Settings are those of `keras.optimizers.Muon` with `momentum` = `adam_beta_1` = m,
`rms_rate` = 0.2, `adam_lr_ratio` = 1, Nesterov momentum, five Newton-Schulz steps and no weight
decay, since the penalty l2_decay Σ w² is part of the loss.

Names and hyperparameters are known without Keras, which the updates import when they are compiled.

Legend: g gradient, w weights, α learning rate, m momentum, t step from 1, u and v slots, all
(..., M) or (..., 1); "..." lane axes, M total number of weights.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rnn_zoo import names as rules
from trainer import lazy_ops as ops
from trainer import muon, names, packing
from trainer.errors import UserError

Tensor = Any

BETA_2 = 0.999
EPSILON = 1e-7
#: Largest number that is finite in float32.
LARGEST = (2 - 2**-23) * 2.0**127
#: The four optimizers of appendix A, which are a search's default choices.
PAPER_OPTIMIZERS = ("sgd", "momentum", "rmsprop", "adam")


class Step(NamedTuple):
    """The arguments of an optimizer's update; see the module's legend.

    Attributes:
        g, w, u, v: gradients, weights and slots, (..., M). Slots start at 0.
        rate, momentum, t: α, m and the number of the step, from 1, (..., 1).
        shapes: nested structure of arrays that have the shapes of the unpacked weights; see
            `trainer.packing`.
    """

    g: Tensor
    w: Tensor
    u: Tensor
    v: Tensor
    rate: Tensor
    momentum: Tensor
    t: Tensor
    shapes: Any


class Optimizer(NamedTuple):
    """An entry of `OPTIMIZERS`.

    Attributes:
        update: `update(step, **options)` returns (change of the weights, new u, new v).
        options: names and defaults of its own hyperparameters.
        ranges: option -> range in a search, in the form of `StudyConfig.ranges`.
        has_momentum: whether it uses m.
    """

    update: Callable[..., tuple[Tensor, Tensor, Tensor]]
    options: Mapping[str, float] = {}
    ranges: Mapping[str, Any] = {}
    has_momentum: bool = True


#: Optimizer name -> `Optimizer`.
OPTIMIZERS: dict[str, Optimizer] = {}


def register_optimizer(
    name: str,
    update: Callable[..., tuple[Tensor, Tensor, Tensor]],
    ranges: Mapping[str, Any] | None = None,
    has_momentum: bool = True,
) -> None:
    """Adds an optimizer to `OPTIMIZERS`, in this process.

    `TrainConfig.optimizer` then accepts its name, and so do the ranges of a search. Commands find a
    *dotted* name in gin files and bindings by importing its module: "my_optimizers.lion" imports
    `my_optimizers`, which must be on Python's path and register the name. In Python, import the
    module yourself.

    Args:
        name: letters, digits and underscores, preceded by the name of a module and a dot if
            importing that module registers the optimizer.
        update: `update(step, **options)` takes a `Step` and returns (change of the weights, new u,
            new v), each (..., M). It uses `keras.ops` and nothing that depends on the values of
            arrays, so that it compiles. The keyword arguments are its own hyperparameters, numbers
            with defaults; `TrainConfig.optimizer_options` sets them.
        ranges: option -> range in a search: (low, high) or (low, high, "log"). An option without a
            range keeps its value.
        has_momentum: whether it uses m, so that a search tunes it.

    Raises:
        ValueError: the name is taken or malformed, an option has no number as its default, or a
            range belongs to no option. A function with the module and name of the registered one
            replaces it, which helps in notebooks.

    Example:
        def lion(step, beta_2=0.99):
            '''w' = w - α sign(m u + (1 - m) g); u' = β2 u + (1 - β2) g.'''
            mixed = step.momentum * step.u + (1 - step.momentum) * step.g
            u = beta_2 * step.u + (1 - beta_2) * step.g
            return -step.rate * ops.sign(mixed), u, step.v


        register_optimizer("my_optimizers.lion", lion, ranges={"beta_2": (0.9, 0.999)})
    """
    rules.check("optimizer", name, update, OPTIMIZERS[name].update if name in OPTIMIZERS else None)
    _, *parameters = inspect.signature(update).parameters.values()
    options = {each.name: each.default for each in parameters}
    for option, default in options.items():
        if not _is_number(default):
            raise ValueError(f"optimizer {name}: the option {option} needs a number as its default")
    for option in ranges or ():
        if option not in options:
            raise ValueError(f"optimizer {name} has a range for {option!r}, which is no option")
    OPTIMIZERS[name] = Optimizer(update, options, ranges or {}, has_momentum)


def canonical_name(optimizer: Any) -> str:
    """Returns the name of a registered optimizer.

    Raises:
        UserError: the name is unknown.
    """
    register = "trainer.optimizers.register_optimizer"
    return names.find("optimizer", optimizer, OPTIMIZERS, register)


def check_options(optimizer: str, options: Any) -> None:
    """Checks values for an optimizer's own hyperparameters.

    Raises:
        UserError: it has no option of that name, or a value is not a finite number.
    """
    known = OPTIMIZERS[optimizer].options
    for name, value in options.items():
        if name not in known:
            owners = owners_of(name)
            hint = (
                f"; it is an option of {', '.join(owners)}, and in a search of several optimizers "
                f"StudyConfig.ranges = {{'optimizer_options.{name}': {value!r}}} sets it"
            )
            raise UserError(
                f"optimizer {optimizer} has no option {name!r}; it has {', '.join(known) or 'none'}"
                + (hint if owners else "")
            )
        if not _is_number(value):
            raise UserError(f"{name} in optimizer_options must be a finite number, got {value!r}")


def owners_of(option: str) -> list[str]:
    """Returns the names of the registered optimizers that have an option."""
    return [name for name, entry in OPTIMIZERS.items() if option in entry.options]


def _is_number(value):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) <= LARGEST


def sgd(step):
    """w' = w - α g."""
    return -step.rate * step.g, step.u, step.v


def momentum(step):
    """u' = m u - α g; w' = w + u'."""
    u = step.momentum * step.u - step.rate * step.g
    return u, u, step.v


def rmsprop(step):
    """v' = m v + (1 - m) g²; w' = w - α g / √(v' + ε)."""
    v = step.momentum * step.v + (1 - step.momentum) * step.g * step.g
    return -step.rate * step.g / ops.sqrt(v + EPSILON), step.u, v


def adam(step):
    """u' = m u + (1 - m) g; v' = β2 v + (1 - β2) g²; w' = w - α' u' / (√v' + ε).

    α' = α √(1 - β2^t) / (1 - m^t).
    """
    u = step.momentum * step.u + (1 - step.momentum) * step.g
    v = BETA_2 * step.v + (1 - BETA_2) * step.g * step.g
    rate = step.rate * ops.sqrt(1 - BETA_2**step.t) / (1 - step.momentum**step.t)
    return -rate * u / (ops.sqrt(v) + EPSILON), u, v


def adamw(step, weight_decay=0.004):
    """w' = w - α weight_decay w + the change of Adam."""
    change, u, v = adam(step)
    return change - step.rate * weight_decay * step.w, u, v


def muon_with_adam(step):
    """u' = m u + g; W' = W - 0.2 α √max(rows, columns) NS(g + m u') for matrices; else Adam.

    NS is `trainer.muon.newton_schulz`. The slot v is not used for matrices.
    """
    of_vectors, adam_u, v = adam(step)
    u = step.momentum * step.u + step.g
    of_matrices = -step.rate * muon.orthogonalised(step.g + step.momentum * u, step.shapes)
    is_matrix = packing.where_matrices(step.shapes, len(step.g.shape) - 1) > 0
    return ops.where(is_matrix, of_matrices, of_vectors), ops.where(is_matrix, u, adam_u), v


register_optimizer("sgd", sgd, has_momentum=False)
register_optimizer("momentum", momentum)
register_optimizer("rmsprop", rmsprop)
register_optimizer("adam", adam)
register_optimizer("adamw", adamw, ranges={"weight_decay": (1e-5, 1.0, "log")})
register_optimizer("muon", muon_with_adam)
