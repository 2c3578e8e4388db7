"""Configuration of one training run, immutable and checked on construction."""

import dataclasses
import math
import reprlib
from collections.abc import Collection, Mapping
from typing import Any

from rnn_zoo.architectures import ALIASES, ARCHITECTURES, INITIAL_ARGUMENTS
from rnn_zoo.json_types import LARGEST, reader
from rnn_zoo.sizing import stack_shapes, units_for_budget
from trainer import lengths, memory, names, optimizers, tasks
from trainer.errors import UserError
from trainer.storage import json_files
from trainer.tasks.base import MAX_SAMPLES, Task

ACTIVATIONS = ("tanh", "relu")
MATRIX_INITS = ("identity", "orthogonal", "normal")
BIAS_INITS = ("constant", "normal")
#: A step times the learning curve's 100 windows must fit into 32 bits.
MAX_TRAIN_STEPS = 2**31 // 100
#: Fields that hold the own hyperparameters of the task, the cell and the optimizer.
OPTIONS = ("task_options", "arch_options", "optimizer_options")
PRECISIONS = ("float32", "tf32", "mixed_bfloat16")
#: Said of "tf32" where it makes no difference.
NO_TF32 = "precision tf32 is float32 here, as there is no GPU"
#: Fields of a `TrainConfig` that are not hyperparameters.
EXPERIMENT = frozenset(
    "task arch depth num_params seed data_seed eval_samples eval_lengths preset init_from "
    "precision weights_sha256".split()
)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Everything that determines a training run; hyperparameters as in the paper's appendix A.

    Attributes:
        task, arch: names of the task and the architecture.
        task_options: arguments of the task's constructor. Here and in the other options, lists
            become tuples, which files of JSON do not tell apart.
        depth: number of layers; None for the least depth: 1, or 2 for the +RNN.
        num_params: parameter budget, which determines the number of units.
        train_steps: number of optimizer updates.
        batch_size: samples per update.
        seed: seed of initial weights, and of the data unless `data_seed` is given.
        data_seed: seed of batches and random data sets.
        eval_samples: number of samples used to measure the loss of a split, at most 10^8. Drawn
            samples are rounded up to whole batches. The random data sets of capacity and rcf are
            measured whole at the end, and no image of digits or MNIST is measured twice on the
            splits valid and eval.
        eval_lengths: multiples of the task's length, such as (1, 2, 4), at which the trained model
            is measured on the split eval, with `eval_samples` divided by the multiple. Tasks with
            a `length_option` have them.
        activation: nonlinearity s(); None for the architecture's default.
        gate_bias: b^fg, a number for all gates that have it, or a dict from gate to number (keys
            "gy" and "gh" for the +RNN).
        matrix_init, bias_init: initializers; a `matrix_init` of None is the architecture's default.
        arch_options: arguments of the cell's constructor that other cells lack, such as the +RNN's
            depth_activation.
        input_scale, recurrent_scale, bias_scale: scales of initial values, a number or a dict from
            gate to number.
        optimizer: a key of `trainer.optimizers.OPTIMIZERS`.
        optimizer_options: the optimizer's own hyperparameters, such as AdamW's weight_decay.
        lr_init: initial learning rate.
        lr_decay_rate: factor d by which the learning rate decays over the T steps: step t, from 1,
            has the rate lr_init d^((t - 1) / T).
        momentum_logit: logit of the momentum m = σ(momentum_logit).
        gradient_clip_val: maximum global norm of the gradients.
        l2_decay: λ of the penalty λ Σ w² over all matrices.
        preset: name of the preset whose weights to start from, as for `rnn_zoo.preset`; None for
            random initial weights.
        init_from: directory of the run whose weights to start from, instead of a preset's.
        precision: "float32"; "tf32", in which a GPU may round the factors of matrix products to 10
            mantissa bits, and which is float32 on a CPU; or "mixed_bfloat16", in which layers
            compute in bfloat16 with float32 weights.
        weights_sha256: digest of the weights to start from, with `preset` or `init_from`; others
            are refused. If None, it is filled in when training starts, so that a replay does not
            start from other weights of the same name.

    Raises:
        UserError: an invalid value; the message names it and the choices.

    Example:
        TrainConfig(task="parens", arch="gru", num_params=10_000, lr_init=0.003)
    """

    task: str
    arch: str
    task_options: dict = dataclasses.field(default_factory=dict)
    depth: int = None  # type: ignore[assignment]  # None becomes the least depth
    num_params: int = 30_000
    train_steps: int = 3000
    batch_size: int = 64
    seed: int = 0
    data_seed: int | None = None
    eval_samples: int = 4096
    eval_lengths: tuple[int, ...] = ()
    activation: str | None = None
    gate_bias: float | dict = 1.0
    matrix_init: str | None = None
    bias_init: str = "constant"
    input_scale: float | dict = 1.0
    recurrent_scale: float | dict = 1.0
    bias_scale: float | dict = 0.0
    arch_options: dict = dataclasses.field(default_factory=dict)
    optimizer: str = "adam"
    optimizer_options: dict = dataclasses.field(default_factory=dict)
    lr_init: float = 0.01
    lr_decay_rate: float = 0.1
    momentum_logit: float = 2.2
    gradient_clip_val: float = 1.0
    l2_decay: float = 0.0
    preset: str | None = None
    init_from: str | None = None
    precision: str = "float32"
    weights_sha256: str | None = None

    def __post_init__(self) -> None:
        names.check_imported([vars(self)])
        tasks.canonical_name(self.task)
        arch = ALIASES.get(self.arch, self.arch) if isinstance(self.arch, str) else self.arch
        names.find("architecture", arch, ARCHITECTURES, "rnn_zoo.register")
        object.__setattr__(self, "arch", arch)
        if self.depth is None:
            object.__setattr__(self, "depth", ARCHITECTURES[arch].min_depth)
        self._check_sizes()
        check_choice("activation", self.activation, (None, *ACTIVATIONS))
        check_choice("matrix_init", self.matrix_init, (None, *MATRIX_INITS))
        check_choice("bias_init", self.bias_init, BIAS_INITS)
        optimizers.canonical_name(self.optimizer)
        activation = self.activation or ARCHITECTURES[arch].activation
        optimizers.check_model(self.optimizer, arch, activation)
        self._check_precision()
        self._check_source()
        for name in ("lr_init", "lr_decay_rate", "gradient_clip_val"):
            check_range(name, getattr(self, name), 0, math.inf, open_below=True)
        check_range("l2_decay", self.l2_decay, 0, math.inf)
        for part in ("input", "recurrent", "bias"):
            self._check_by_gate(f"{part}_scale", ARCHITECTURES[arch].gates_with(part))
        self._check_by_gate("gate_bias", ARCHITECTURES[arch].forget_gates)
        check_range("momentum_logit", self.momentum_logit, -math.inf, math.inf)
        self._check_options()
        multiples = lengths.checked(tasks.TASKS[self.task], self.eval_lengths)
        object.__setattr__(self, "eval_lengths", multiples)
        for name, value in vars(self).items():
            if not json_files.is_text(value):
                raise UserError(f"{name} must be UTF-8 text, so that files can hold it: {value!r}")

    def __reduce__(self):
        # Another process constructs it anew, and so checks that it knows the names.
        return type(self), tuple(getattr(self, f.name) for f in dataclasses.fields(self))

    def _check_sizes(self):
        for name in ("depth", "num_params", "batch_size"):
            check_range(name, getattr(self, name), 1, math.inf, whole=True)
        check_range("eval_samples", self.eval_samples, 1, MAX_SAMPLES, whole=True)
        check_range("train_steps", self.train_steps, 1, MAX_TRAIN_STEPS, whole=True)
        for name in ("seed", "data_seed"):
            if name == "seed" or self.data_seed is not None:
                check_range(name, getattr(self, name), 0, 2**31 - 1, whole=True)
        if self.depth < (min_depth := ARCHITECTURES[self.arch].min_depth):
            raise UserError(
                f"depth {self.depth} is too small for {self.arch}: its depth gate needs inputs and "
                f"outputs of one size (section 1.4); use depth {min_depth} or more"
            )

    def _check_options(self):
        for name in OPTIONS:
            if not isinstance(getattr(self, name), dict):
                raise UserError(
                    f"{name} must be a dict from option to value, got {getattr(self, name)!r}"
                )
            object.__setattr__(self, name, _with_tuples(getattr(self, name)))
        own = ARCHITECTURES[self.arch].options
        for name in self.arch_options:
            if name not in own:
                raise UserError(
                    f"architecture {self.arch} has no option {name!r}; it has "
                    f"{', '.join(own) or 'none'}"
                )
        optimizers.check_options(self.optimizer, self.optimizer_options)
        tasks.TASKS[self.task].check_options(self.task_options)

    def _check_precision(self):
        check_choice("precision", self.precision, PRECISIONS)
        numbers = ARCHITECTURES[self.arch].lane_options
        if self.precision == "mixed_bfloat16" and numbers:
            raise UserError(
                f"precision mixed_bfloat16 would round {', '.join(numbers)} of {self.arch} to "
                "three digits; use float32 or tf32"
            )

    def _check_source(self):
        for name in ("preset", "init_from", "weights_sha256"):
            value = getattr(self, name)
            if not isinstance(value, str | None):
                raise UserError(f"{name} must be a string or None, got {value!r}")
            if value and "\0" in value:
                raise UserError(
                    f"{name} contains a NUL character, which no file name can; remove it"
                )
        if self.preset is not None and self.init_from is not None:
            raise UserError(
                "training starts from a preset or from a run (init_from), not from both"
            )
        if self.weights_sha256 is not None and self.weights_from is None:
            raise UserError("weights_sha256 has no effect without preset or init_from")

    def _check_by_gate(self, name, gates):
        value = getattr(self, name)
        if isinstance(value, dict) and set(value) != set(gates):
            raise UserError(
                f"{name} must have an entry for each of the gates of {self.arch} that take it, "
                f"{', '.join(gates) or 'none'}; "
                f"got {', '.join(map(str, value)) or 'none'}"
            )
        for number in value.values() if isinstance(value, dict) else (value,):
            check_range(name, number, -math.inf, math.inf)

    @property
    def hparams(self) -> dict[str, Any]:
        """The fields that are hyperparameters; the others identify the experiment."""
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if name not in EXPERIMENT}

    def as_gin(self) -> str:
        """Return the configuration as the text of a gin file."""
        fields = dataclasses.asdict(self)
        return "".join(f"TrainConfig.{name} = {value!r}\n" for name, value in fields.items())

    def make_task(self, multiple: int = 1) -> Task:
        """Build the `Task`, which reads its data, if any, at a multiple of its length."""
        task = tasks.TASKS[self.task]
        return task(**lengths.options_at(task, self.task_options, multiple))

    def units(self, input_dim: int, output_dim: int) -> int:
        """Return the largest number of units within the budget.

        Raises:
            UserError: the budget is too small for one unit.
        """
        try:
            return units_for_budget(self.arch, self.depth, self.num_params, input_dim, output_dim)
        except ValueError as error:
            raise UserError(f"{error}; raise --num_params") from None

    def check_memory(
        self, task: Task, subject: str = "this training", way_out: str = memory.ADVICE
    ) -> int:
        """Check budget, memory and lengths; return the number of units.

        Args:
            task: the task, from `make_task`.
            subject, way_out: start and end of the message about memory.

        Raises:
            UserError: as for `units` and `memory.check`, or the task refuses a longer length.
        """
        for multiple in self.eval_lengths:
            try:
                self.make_task(multiple)
            except UserError as error:
                raise UserError(
                    f"eval_lengths is {self.eval_lengths}, but at {multiple} times the length, "
                    f"{error}; choose smaller multiples, or () for none"
                ) from None
        input_dim, output_dim = task.input_dim, task.output_dim
        units = self.units(input_dim, output_dim)
        shapes = stack_shapes(self.arch, self.depth, units, input_dim, output_dim)
        count, own = sum(map(math.prod, shapes)), optimizers.own_size(self.optimizer, shapes)
        batch = (self.batch_size, task.num_steps)
        memory.check(self.arch, (self.depth, units), count, own, batch, subject, way_out)
        return units

    @property
    def weights_from(self) -> str | None:
        """Description of the preset or run whose weights training starts from, or None."""
        if self.preset is not None:
            return f"the preset {self.preset}"
        return None if self.init_from is None else f"the run {self.init_from}"

    def cell_options(self) -> dict[str, Any]:
        """Return the arguments of the cells, except those left at the architecture's defaults."""
        names = (
            *("activation", "gate_bias", "matrix_init", "bias_init"),
            *("input_scale", "recurrent_scale", "bias_scale"),
        )
        options = {name: getattr(self, name) for name in names}
        given = {name: value for name, value in options.items() if value is not None}
        return given | self.arch_options


def read_config(fields: Any, source: object) -> TrainConfig:
    """Return a configuration that a file holds, whose names must be registered already.

    Args:
        fields: dict of the configuration's fields.
        source: the file, for messages.

    Raises:
        UserError: a field is unknown, or its value is invalid or the name of something that is not
            registered.
    """
    try:
        return reader(TrainConfig)(fields)
    except ValueError as error:
        raise UserError(f"{source}: {error}") from None


def without_effect(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the hyperparameters that have no effect beside the others of a configuration.

    Args:
        fields: fields of a `TrainConfig`, as in a record; the names need not be registered.

    Returns:
        Field -> reason.
    """
    arch, optimizer = fields["arch"], fields.get("optimizer", TrainConfig.optimizer)
    facts, update = ARCHITECTURES.get(arch), optimizers.OPTIMIZERS.get(optimizer)
    found: dict[str, str] = {}
    if facts:
        found |= _without_effect_on(arch, facts)
    # Diagonals have a scale, whatever the matrices start from.
    has_diagonals = facts and facts.gates_with("matrix") != facts.gates_with("recurrent")
    is_identity = facts and (fields.get("matrix_init") or facts.matrix_init) == "identity"
    if is_identity and not has_diagonals:
        found["recurrent_scale"] = "an identity matrix has no scale"
    if facts and fields.get("bias_init") == "normal" and not _any(fields.get("bias_scale", 0.0)):
        found["bias_init"] = "bias_scale is 0"
    if update and not update.has_momentum:
        found["momentum_logit"] = f"{optimizer} has no momentum"
    if fields.get("preset") or fields.get("init_from"):
        start = "a preset" if fields.get("preset") else "a run"
        found |= dict.fromkeys(INITIAL_ARGUMENTS, f"training starts from the weights of {start}")
    return found


def _any(by_gate):
    return any(by_gate.values()) if isinstance(by_gate, dict) else by_gate


def _without_effect_on(arch, facts):
    found = {}
    if not facts.forget_gates:
        found["gate_bias"] = f"{arch} has no gate with b^fg"
    if not facts.uses_activation:
        found["activation"] = f"the equations of {arch} have fixed nonlinearities"
    if not facts.gates_with("matrix"):
        found["matrix_init"] = f"{arch} has no recurrent matrix"
    for part, what in (("recurrent", "recurrent product"), ("bias", "bias")):
        if not facts.gates_with(part):
            found[f"{part}_scale"] = f"{arch} has no {what}"
    return found


def _with_tuples(value):
    """Return options with tuples for lists, since files of JSON have no tuples."""
    if isinstance(value, dict):
        return {name: _with_tuples(each) for name, each in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, (list, tuple)) else value


def is_registered(fields: Mapping[str, Any]) -> bool:
    """Return whether task, architecture and optimizer of a configuration are registered."""
    return (
        fields.get("task") in tasks.TASKS
        and fields.get("arch") in ARCHITECTURES
        and fields.get("optimizer", TrainConfig.optimizer) in optimizers.OPTIMIZERS
    )


def check_choice(name: str, value: Any, choices: Collection) -> None:
    """Raise a `UserError` unless the value is one of the choices."""
    if value not in [*choices]:  # the value may have no hash
        names = ", ".join("None" if choice is None else choice for choice in choices)
        raise UserError(f"unknown {name} {value!r}; choose one of {names}")


def check_range(
    name: str,
    value: Any,
    low: float,
    high: float,
    whole: bool = False,
    open_below: bool = False,
) -> None:
    """Raise a `UserError` unless the value is a number from `low` to `high`, finite in float32.

    Args:
        whole: whether it must be an int.
        open_below: whether it must be greater than `low`.
    """
    kinds = (int,) if whole else (int, float)
    right_kind = isinstance(value, kinds) and not isinstance(value, bool)
    above = right_kind and (value > low if open_below else value >= low)
    if above and value <= high and abs(value) <= LARGEST:
        return
    if above and high == math.inf:
        low, high = max(low, -LARGEST), LARGEST
    kind = "a whole number" if whole else "a number"
    bound = "greater than" if open_below else "at least"
    limits = f"{kind} {bound} {low:g}" if low > -math.inf else kind
    limits += f" and at most {high}" if high < math.inf else ""
    raise UserError(f"{name} must be {limits}, got {reprlib.repr(value)}")
