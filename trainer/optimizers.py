"""The optimizers: pure updates of one packed vector of weights, and the registration of others.

Appendix A: SGD, SGD with momentum, RMSProp, Adam. The momentum m = σ(momentum_logit) is SGD's
momentum, RMSProp's decay, Adam's β1, and both momentum and β1 in Muon; β2 = 0.999 and ε = 1e-7.
Updates equal those of `keras.optimizers`.

TensorFlow 1, which the paper used, had other constants: ε was 1e-8 in Adam and 1e-10 in RMSProp.
RMSProp's mean square v started at 1, not at 0, which made about the first 1 / (1 - m) updates
smaller.

Four optimizers are not in the paper. AdamW is Adam with the decoupled weight decay of I. Loshchilov
and F. Hutter, Decoupled weight decay regularization, 2019, arXiv:1711.05101. As in Keras, it decays
all weights, and the decay is multiplied by the learning rate.

In Muon, each matrix (input and recurrent matrix of each gate, read-in, readout) moves along its
momentum with all singular values brought close to 1; vectors follow Adam with the same α and
β1 = m. Settings are those of `keras.optimizers.Muon` with `momentum` = `adam_beta_1` = m,
`rms_rate` = 0.2, `adam_lr_ratio` = 1, Nesterov momentum, five Newton-Schulz steps and no weight
decay, since the penalty l2_decay Σ w² is part of the loss.

SOAP is Adam in the eigenbases of Shampoo's preconditioner; see `trainer.soap`. Its options have the
defaults of the authors' implementation, but for the weight decay, which it lacks as Muon does. As
there, the first gradient moves no weight.

Path-SGD is SGD whose rate for each weight follows from the paths through it; see
`trainer.path_sgd`. It trains `rnn` and `irnn` with ReLU. If a unit's incoming weights are scaled by
c > 0 and its outgoing ones by 1 / c, the network stays the same function, and path-SGD then trains
it through the same functions. Clipping and l2_decay break this. The scales κ depend on the number
of time steps and on the initial weights by orders of magnitude, and so do good learning rates. A
search therefore tunes a factor of the rate, too.

Names and hyperparameters are known without Keras, which the updates import when they are compiled.

Legend: g gradient, w weights, α learning rate, m momentum, t step from 1, u and v slots, κ scales,
all (..., M) or (..., 1); "..." lane axes, M total number of weights.
"""

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rnn_zoo import names as rules
from rnn_zoo.json_types import LARGEST
from trainer import lazy_ops as ops
from trainer import muon, names, packing, path_sgd
from trainer import soap as bases
from trainer.errors import UserError

Tensor = Any

BETA_2 = 0.999
EPSILON = 1e-7
#: The four optimizers of appendix A, which are a search's default choices.
PAPER_OPTIMIZERS = ("sgd", "momentum", "rmsprop", "adam")


class Step(NamedTuple):
    """The arguments of an optimizer's update; see the module's legend.

    Attributes:
        g, w, u, v: gradients, weights and slots, (..., M). Slots start at 0.
        rate, momentum, t: α, m and the number of the step, from 1, (..., 1).
        shapes: nested structure of arrays that have the shapes of the unpacked weights; see
            `trainer.packing`.
        own: the slots that the optimizer declares beside u and v: name -> (..., shape).
        scales: (..., M) result of the optimizer's function of the model, packed; None without one.
    """

    g: Tensor
    w: Tensor
    u: Tensor
    v: Tensor
    rate: Tensor
    momentum: Tensor
    t: Tensor
    shapes: Any
    own: Mapping[str, Tensor] = {}
    scales: Tensor | None = None


class Model(NamedTuple):
    """The model in training, for optimizers whose updates depend on more than gradients.

    Attributes:
        cells: the cells of its layers; with `weights`, as for `rnn_zoo.functional.forward`.
        num_steps: number of time steps of the task.
        output_steps: slice of the time steps that are scored.
    """

    cells: Sequence[Any]
    num_steps: int
    output_steps: slice


class Optimizer(NamedTuple):
    """An entry of `OPTIMIZERS`.

    Attributes:
        update: `update(step, **options)` returns (change of the weights, new u, new v), and the new
            own slots if it declares some.
        options: names and defaults of its own hyperparameters.
        ranges: option -> range in a search, in the form of `StudyConfig.ranges`.
        has_momentum: whether it uses m.
        slots: function that declares slots beside u and v; see `register_optimizer`.
        scales: function of the model; see `register_optimizer`.
        archs, activations: the architectures and the nonlinearities that it can train; () for all.
    """

    update: Callable[..., tuple]
    options: Mapping[str, float] = {}
    ranges: Mapping[str, Any] = {}
    has_momentum: bool = True
    slots: Callable[[Sequence[tuple[int, ...]]], dict[str, tuple[int, ...]]] | None = None
    scales: Callable[..., Any] | None = None
    archs: tuple[str, ...] = ()
    activations: tuple[str, ...] = ()


#: Optimizer name -> `Optimizer`.
OPTIMIZERS: dict[str, Optimizer] = {}


def register_optimizer(
    name: str,
    update: Callable[..., tuple],
    ranges: Mapping[str, Any] | None = None,
    has_momentum: bool = True,
    slots: Callable[[Sequence[tuple[int, ...]]], dict[str, tuple[int, ...]]] | None = None,
    scales: Callable[..., Any] | None = None,
    archs: Sequence[str] = (),
    activations: Sequence[str] = (),
) -> None:
    """Add an optimizer to `OPTIMIZERS`, in this process.

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
        slots: function of the list of the weights' shapes that returns the shapes of further slots
            by name. `Step.own` has them, with leading axes of lanes; all start at 0. `update` then
            returns their new values as a fourth result.
        scales: `scales(model, weights, **options)` takes a `Model` and its weights, and returns
            an array for each weight in the same structure. `Step.scales` has them, packed.
        archs, activations: architectures and nonlinearities that it can train; () for all.

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
            raise ValueError(f"optimizer {name} has a range for {option!r}, which is not an option")
    limits = (tuple(archs), tuple(activations))
    OPTIMIZERS[name] = Optimizer(
        update, options, ranges or {}, has_momentum, slots, scales, *limits
    )


def canonical_name(optimizer: Any) -> str:
    """Return the name of a registered optimizer.

    Raises:
        UserError: the name is unknown.
    """
    register = "trainer.optimizers.register_optimizer"
    return names.find("optimizer", optimizer, OPTIMIZERS, register)


def check_options(optimizer: str, options: Any) -> None:
    """Check values for an optimizer's own hyperparameters.

    Raises:
        UserError: it has no option of that name, or a value is not a finite number, or is below 0
            where the range of the option is logarithmic.
    """
    known, ranges = OPTIMIZERS[optimizer].options, OPTIMIZERS[optimizer].ranges
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
        if value < 0 and "log" in ranges.get(name, ()):
            raise UserError(f"{name} in optimizer_options must be at least 0, got {value!r}")


def check_model(optimizer: str, arch: str, activation: str) -> None:
    """Check that an optimizer can train an architecture with a nonlinearity.

    Raises:
        UserError: it cannot.
    """
    entry = OPTIMIZERS[optimizer]
    if entry.archs and arch not in entry.archs:
        raise UserError(
            f"optimizer {optimizer} cannot train {arch}, only {', '.join(entry.archs)}; choose "
            "another one"
        )
    if entry.activations and activation not in entry.activations:
        raise UserError(
            f"optimizer {optimizer} cannot train with the activation {activation}; set activation "
            f"to {' or '.join(entry.activations)}, or choose another optimizer"
        )


def own_size(optimizer: str, shapes: Sequence[tuple[int, ...]]) -> int:
    """Return the size of an optimizer's slots beside u and v, for weights of given shapes."""
    declare = OPTIMIZERS[optimizer].slots
    return sum(map(math.prod, declare(shapes).values())) if declare else 0


def owners_of(option: str) -> list[str]:
    """Return the names of the registered optimizers that have an option."""
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
    return _adam(step, BETA_2)


def _adam(step, beta_2):
    u = step.momentum * step.u + (1 - step.momentum) * step.g
    v = beta_2 * step.v + (1 - beta_2) * step.g * step.g
    rate = step.rate * ops.sqrt(1 - beta_2**step.t) / (1 - step.momentum**step.t)
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


def soap(step, beta_2=0.95, shampoo_beta=0.95, precondition_frequency=10):
    """Adam on Q_rowsᵀ G Q_columns; W' = W + Q_rows Δ Q_columnsᵀ for its change Δ of a matrix.

    The slot u is turned anew in each step, and v stays in the bases. Vectors follow Adam. For both,
    t counts from the second step.
    """
    turn = functools.partial(bases.turned, own=step.own, shapes=step.shapes)
    g, t = ops.where(step.t > 1, step.g, 0.0), ops.maximum(step.t - 1, 1.0)
    u = step.momentum * step.u + (1 - step.momentum) * g
    change, _, v = _adam(step._replace(g=turn(g), u=turn(step.u), t=t), beta_2)
    every = ops.maximum(ops.round(precondition_frequency), 1.0)
    v, own = bases.refreshed(step.g, v, step.own, step.shapes, step.t, shampoo_beta, every)
    return turn(change, back=True), u, v, own


def path_sgd_update(step, rate_factor=1.0, second_term=0.0):
    """w' = w - rate_factor α g / κ, with κ = κ⁽¹⁾ + second_term κ⁽²⁾."""
    kappa = ops.maximum(step.scales, path_sgd.FLOOR)
    return -rate_factor * step.rate * step.g / kappa, step.u, step.v


register_optimizer("sgd", sgd, has_momentum=False)
register_optimizer("momentum", momentum)
register_optimizer("rmsprop", rmsprop)
register_optimizer("adam", adam)
register_optimizer("adamw", adamw, ranges={"weight_decay": (1e-5, 1.0, "log")})
register_optimizer("muon", muon_with_adam)
register_optimizer(
    "soap",
    soap,
    ranges={
        "beta_2": (0.9, 0.999),
        "shampoo_beta": (0.9, 0.999),
        "precondition_frequency": (5, 100, "log"),
    },
    slots=bases.slots,
)
register_optimizer(
    "path_sgd",
    path_sgd_update,
    ranges={"rate_factor": (1e-3, 100.0, "log")},
    has_momentum=False,
    scales=path_sgd.scales,
    archs=("rnn", "irnn"),
    activations=("relu",),
)
