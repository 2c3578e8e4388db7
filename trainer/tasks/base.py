"""Base class of the tasks: batches as a pure function of (split, seed, step), a loss and metrics.

A task is independent of models and optimizers. Its functions use only `keras.ops`, so that they
compile into the training program. They accept seeds, outputs and targets with leading lane axes.

Legend: B batch, T time steps, T' scored time steps, I input, O output; "..." lane axes.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np

from rnn_zoo.inputs import dense
from trainer import lazy_ops as ops
from trainer.errors import UserError
from trainer.tasks import rendering

Tensor = Any
#: Metric name -> average: a tensor for a batch, a float or a list of floats for a split.
Metrics = dict[str, Any]

SPLITS = ("train", "valid", "eval")
#: Largest number of samples that a split is measured on: one pass over them takes hours.
MAX_SAMPLES = 10**8


class Batch(NamedTuple):
    """Samples of a task.

    Attributes:
        inputs: (..., B, T, I) float32, or one of the structured inputs of `rnn_zoo.inputs`.
        targets: (..., B, T, ...), the right answer at every time step.
    """

    inputs: Any
    targets: Tensor

    @property
    def weights(self) -> None:
        """None: all samples have equal weight."""
        return None

    def dense(self) -> "Batch":
        """Return the same samples with their inputs as an array."""
        return self._replace(inputs=dense(self.inputs))


class WeightedBatch(NamedTuple):
    """A `Batch` whose samples have weights (..., B).

    Weights average 1 over the data set, so that the expected loss is the weighted mean.
    """

    inputs: Any
    targets: Tensor
    weights: Tensor

    def dense(self) -> "WeightedBatch":
        """Return the same samples with their inputs as an array."""
        return self._replace(inputs=dense(self.inputs))


class Task:
    """Base class of the tasks in `trainer.tasks.TASKS`.

    A task defines `draw`, `step_losses`, the attributes up to `chance_loss` and, for a finite data
    set, `sweep`; everything else has a default. Its constructor's arguments are its
    hyperparameters, and each has a default.

    Attributes:
        name, summary: its name, and one line for help texts; set by `trainer.tasks.register`.
        input_dim, output_dim, num_steps: I, O, T.
        chance_loss: loss of the best constant predictor, or of another trivial one that the task's
            page names, in the unit of the loss; greater than 0.
        untrained_loss: loss before training, if it can exceed the chance loss by far. Training has
            diverged above 100 times the larger of the two.
        loss_steps: slice of the scored time steps; all by default.
        target_time_axis: time axis of `targets`, counted from the end.
        vocabulary: the symbol of each one-hot position, or None.
        data: arrays that `draw` reads, by name; they become arguments of the compiled program.
        defaults: `TrainConfig` field -> value that commands use unless the user sets another one. A
            task in `gin_configs/tasks` has a gin file instead, with steps for each profile.
        ranges: name of a constructor's argument -> its range in a search, in the form of
            `StudyConfig.ranges`, or a function from the parameter budget to one.
        lane_options: names of the constructor's arguments that may differ between the trials of
            one program. `data` has a scalar of the same name for each, which `draw` reads.
        pooled_options: names of the constructor's arguments in which runs may differ and still be
            compared, besides those that a search tunes. Reports import no custom tasks, so it
            concerns tasks of this package and `tuning.load` after a registration.
        length_option: name of the constructor's argument in whose multiples
            `TrainConfig.eval_lengths` measures a trained model; None if the length is fixed.
        num_samples: size of a finite data set, which `sweep` measures whole; None otherwise.
        predicts_next: whether the target is the next input, so that a model can generate text, in
            the symbols of the class's `vocabulary`.
        splits_share_a_program: whether `draw` and `sweep` also take a split as a uint32 tensor, its
            number in `counter_rng.STREAMS`. One compiled program then measures all splits.
        step_hits: None, or a class method that takes the arguments of `step_losses` and returns the
            number of right answers and the number of answers per time step, both (..., B, S).
    """

    name: str
    summary: str
    input_dim: int
    output_dim: int
    num_steps: int
    chance_loss: float
    untrained_loss: float = 0.0
    loss_steps: slice = slice(None)
    target_time_axis: int = -2
    vocabulary: tuple[str, ...] | None = None
    data: Mapping[str, Any] = MappingProxyType({})
    defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    ranges: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    lane_options: tuple[str, ...] = ()
    pooled_options: tuple[str, ...] = ()
    length_option: str | None = None
    num_samples: int | None = None
    predicts_next: bool = False
    splits_share_a_program: bool = False
    step_hits: ClassVar[Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None] = None

    @classmethod
    def default_options(cls) -> dict[str, Any]:
        """Return the constructor's arguments with their defaults."""
        return {name: each.default for name, each in inspect.signature(cls).parameters.items()}

    @classmethod
    def check_options(cls, options: Iterable[str]) -> None:
        """Check the names of constructor arguments without building the task.

        Raises:
            UserError: the task has no option of that name.
        """
        known = cls.default_options()
        for name in options:
            if name not in known:
                raise UserError(
                    f"task {cls.name} has no option {name!r}; it has {', '.join(known) or 'none'}"
                )

    def draw(
        self, data: Mapping[str, Tensor], split: str, seed: Any, step: Any, batch_size: int
    ) -> Batch | WeightedBatch:
        """Make one batch.

        Pure and compilable. The lane axes of `seed` and `step` come first in the batch.

        Args:
            data: `device_data`, passed in as an argument of the compiled program.
            split: "train", "valid" or "eval".
            seed: integer below 2^32, or an array of them.
            step: index of the batch under that seed, an integer or an array.
            batch_size: B.
        """
        raise NotImplementedError

    def most_samples(self, split: str) -> int | None:
        """Return after how many samples a split begins again; None if it does not."""
        return None

    def sweep(
        self, data: Mapping[str, Tensor], split: str, seed: Any, step: Any, batch_size: int
    ) -> WeightedBatch:
        """Make batch number `step` of one pass over a finite data set; arguments as for `draw`.

        Returns:
            A `WeightedBatch` whose weights are 0 past the end of the data set.
        """
        raise NotImplementedError

    def sample(
        self, split: str, seed: int, batch_size: int, step: int = 0
    ) -> Batch | WeightedBatch:
        """Return the batch of (split, seed, step), always the same, with inputs (B, T, I).

        Raises:
            ValueError: unknown split.
        """
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}")
        return self.draw(self.device_data, split, seed, step, batch_size).dense()

    @functools.cached_property
    def device_data(self) -> dict[str, Tensor]:
        """`data` as tensors of the backend, copied to the device once."""
        from trainer import backend

        # The first call may come from a function that is being compiled.
        with backend.current().eager():
            return {name: ops.convert_to_tensor(array) for name, array in self.data.items()}

    @classmethod
    def step_losses(cls, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each time step, summed over its outputs.

        A class method, so that a saved model's loss needs only the class, not the task's options.

        Args:
            outputs: (..., B, S, O), for any number S of time steps.
            targets: (..., B, S, ...).

        Returns:
            (..., B, S).
        """
        raise NotImplementedError

    def loss(self, outputs: Tensor, batch: Batch | WeightedBatch) -> Tensor:
        """Return the training loss: the mean of `step_losses` over batch and scored steps.

        Args:
            outputs: (..., B, T, O), or (..., B, T', O) of the scored steps alone.
            batch: the batch from which the outputs were computed.

        Returns:
            (...), one number per lane.
        """
        return self.mean(ops.mean(self.step_losses(*self.scored(outputs, batch)), axis=-1), batch)

    def metrics(self, outputs: Tensor, batch: Batch | WeightedBatch) -> Metrics:
        """Return the metrics to report: "loss" and the task's own, means over the batch.

        Arguments are those of `loss`. Values are (...), or (..., K) for a metric of K numbers.
        """
        return {"loss": self.loss(outputs, batch)}

    def summarise(self, metrics: Metrics, units: int, num_params: int) -> Metrics:
        """Add metrics that depend on the whole split or on the model.

        Args:
            metrics: averages of `metrics` over the split, floats or lists of floats.
            units: N of the model's layers.
            num_params: the model's number of parameters.
        """
        return metrics

    def objective(self, metrics: Metrics) -> float:
        """Return the number that the tuner minimises, given a split's averaged metrics."""
        return metrics["loss"]

    def describe(self) -> dict[str, str | int | float]:
        """Return facts about the data for the run's record."""
        return {}

    def scored(self, outputs: Tensor, batch: Batch | WeightedBatch) -> tuple[Tensor, Tensor]:
        """Return outputs and targets at the scored steps; arguments are those of `loss`."""
        if outputs.shape[-2] == self.num_steps:
            outputs = _cut(outputs, self.loss_steps, -2)
        shape = tuple(batch.targets.shape)
        if len(shape) < -self.target_time_axis or shape[self.target_time_axis] != self.num_steps:
            raise UserError(
                f"{type(self).__name__} has {self.num_steps} steps, and targets of shape {shape}; "
                f"its target_time_axis is {self.target_time_axis} and must be the axis of the steps"
            )
        if self.target_time_axis == -2 and outputs.shape[-1] == 1 < shape[-1]:  # would broadcast
            raise UserError(
                f"{type(self).__name__} has output_dim 1, and targets of shape {shape}; it must be "
                f"{shape[-1]}, or the targets have one number per step"
            )
        return outputs, _cut(batch.targets, self.loss_steps, self.target_time_axis)

    def mean(self, values: Tensor, batch: Batch | WeightedBatch) -> Tensor:
        """Return the mean of values (..., B) over the batch, weighted if the batch is."""
        return ops.mean(values if batch.weights is None else values * batch.weights, axis=-1)

    def example(self, batch: Batch | WeightedBatch, index: int) -> str:
        """Return one sample as text for a person: characters or numbers."""
        return rendering.example(batch, index)

    def answer(
        self, batch: Batch | WeightedBatch, index: int, outputs: Tensor, units: int | None = None
    ) -> str:
        """Return one sample as text, with the model's answer beside the right one.

        Args:
            batch: from `sample`.
            index: position of the sample in the batch.
            outputs: (B, T, O), or (B, T', O) of the scored steps alone.
            units: N of the model's layers, for tasks on which N bounds the accuracy.
        """
        return rendering.answer(self, batch, index, outputs)

    def dataset(self, split: str, batch_size: int, seed: int = 0) -> Any:
        """Return an endless `tf.data.Dataset` of the batches of `sample` for steps 0, 1, ...

        It yields (inputs, targets, weights (B, T)) for `keras.Model.fit`. A time step that is not
        scored has weight 0; weights average 1.

        Raises:
            ImportError: Keras does not run on TensorFlow.
        """
        from trainer.tasks import pipeline

        return pipeline.dataset(self, split, batch_size, seed)

    def keras_loss(self) -> Any:
        """Return the loss for `keras.Model.compile`, on outputs (B, T, O) of all time steps.

        The weights that `dataset` yields mask the steps that are not scored.
        """
        from trainer.tasks import pipeline

        return pipeline.TaskLoss(self)

    def keras_metrics(self) -> list[Any]:
        """Return a list for `weighted_metrics` of `keras.Model.compile`: the accuracy.

        The list is empty for tasks without right and wrong answers, such as regressions.
        """
        from trainer.tasks import pipeline

        return [] if self.step_hits is None else [pipeline.TaskAccuracy(self)]


class Coded(Task):
    """Base of tasks whose answer at each step is one of O codes.

    Targets are codes (B, T), and outputs their logits. The loss is the cross-entropy in nats.
    """

    target_time_axis = -1

    @classmethod
    def step_losses(cls, outputs, targets):
        return cross_entropy(outputs, targets)

    @classmethod
    def step_hits(cls, outputs, targets):
        right = hits(outputs, targets)
        return right, ops.ones_like(right)

    def metrics(self, outputs, batch):
        right, _ = self.step_hits(*self.scored(outputs, batch))
        return {**super().metrics(outputs, batch), "accuracy": ops.mean(right, axis=(-2, -1))}


def check_whole(low: int, high: int = 2**31 - 1, **options: Any) -> None:
    """Check that options are integers from `low` to `high`.

    Raises:
        UserError: naming the option and its value.
    """
    for name, value in options.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < low:
            raise UserError(f"{name} must be a whole number at least {low}, got {value!r}")
        if value > high:
            raise UserError(f"{name} must be at most {high:,}, got {value:,}")


def hits(logits: Tensor, codes: Tensor) -> Tensor:
    """Return 1 where the code (...) has the largest of the logits (..., K), else 0."""
    return ops.cast(ops.argmax(logits, axis=-1) == codes, "float32")


def cross_entropy(logits: Tensor, codes: Tensor) -> Tensor:
    """Return -log softmax(logits)[code] in nats, for logits (..., K) and integer codes (...)."""
    return ops.sparse_categorical_crossentropy(codes, logits, from_logits=True)


def entropy(probabilities: Any) -> float:
    """Return the entropy of a distribution, -Σ p ln p, in nats."""
    p = np.asarray(probabilities)
    p = p[p > 0]
    return float(-np.sum(p * np.log(p)))


def _cut(array, steps, axis):
    index = [slice(None)] * len(array.shape)
    index[axis] = steps
    return array[tuple(index)]
