"""What a task is: batches as a pure function of (split, seed, step), a loss, metrics, an objective.

A task knows no model and no optimizer. Its functions are `keras.ops` all through, so that they
compile into the training program, and take leading axes (lanes) of seeds, outputs and targets.

Legend: B batch, T time steps, T' the steps whose loss counts, I input, O output; "..." lanes.
"""

import functools
import inspect
from typing import Any, NamedTuple

from rnn_zoo.inputs import dense
from trainer import lazy_ops as ops
from trainer.errors import UserError

SPLITS = ("train", "valid", "eval")


class Batch(NamedTuple):
    """Samples of a task.

    Attributes:
        inputs: (..., B, T, I) float32, or a form of `rnn_zoo.inputs` that stands for them.
        targets: (..., B, T, ...), the right answer at every time step.
    """

    inputs: Any
    targets: Any

    def dense(self):
        """The same samples with their inputs as an array."""
        return self._replace(inputs=dense(self.inputs))


class WeightedBatch(NamedTuple):
    """A batch whose samples count differently: `weights` (..., B) beside a `Batch`'s fields.

    Weights are 1 on average over the data set, so that a loss's expectation is the weighted mean.
    """

    inputs: Any
    targets: Any
    weights: Any

    dense = Batch.dense


class Task:
    """Base class of the tasks; `trainer.tasks.TASKS` has them by name.

    Attributes:
        name, summary: for people.
        input_dim, output_dim, num_steps: I, O, T.
        loss_steps: slice of the time steps whose loss counts.
        chance_loss: loss of the best constant predictor, in the loss's own unit.
        vocabulary: the symbol of each one-hot position, or None.
        data: dict of NumPy arrays that `draw` reads; empty if it reads none.
    """

    name = summary = None
    input_dim = output_dim = num_steps = None
    loss_steps = slice(None)
    chance_loss = None
    vocabulary = None
    data = {}  # noqa: RUF012 - never written to; a task with data sets its own
    #: Number of samples of a fixed data set, which is then measured whole; None for endless data.
    num_samples = None
    #: Options that trials of one program may differ in: they are scalars of `data`.
    lane_options = ()
    #: The axis of time in `targets`, from the end.
    target_time_axis = -2
    #: Whether a target is the next input, so that a model's own answers can be read on as text.
    predicts_next = False
    #: A class method of the arguments of `step_losses`: how many answers of each time step are
    #: right, and how many there are, both (..., B, S). None where answers are no choices.
    step_hits = None

    @classmethod
    def check_options(cls, options):
        """Checks the names of constructor arguments without building the task.

        Raises:
            UserError: an option that the task does not have.
        """
        known = [name for name in inspect.signature(cls).parameters]
        for name in options:
            if name not in known:
                raise UserError(
                    f"task {cls.name} has no option {name!r}; it has {', '.join(known)}"
                )

    def draw(self, data, split, seed, step, batch_size):
        """Makes the batch of one step; pure, compilable, with lanes where seed and step have them.

        Args:
            data: `device_data`, passed in so that a compiled program takes it as an argument.
            split: "train", "valid" or "eval".
            seed: integer below 2^32, or an array of them.
            step: the batch's number under that seed, integer or array.
            batch_size: B.
        """
        raise NotImplementedError

    def sample(self, split, seed, batch_size, step=0):
        """Returns the `Batch` of (split, seed, step); the same call always gives the same batch.

        Its inputs are an array (B, T, I).

        Raises:
            ValueError: unknown split.
        """
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}")
        return self.draw(self.device_data, split, seed, step, batch_size).dense()

    @functools.cached_property
    def device_data(self):
        """`data` as the backend's tensors, copied to the device once."""
        from trainer import backends

        # The first call may come from within a function that is being compiled.
        with backends.current().eager():
            return {name: ops.convert_to_tensor(array) for name, array in self.data.items()}

    def sweep(self, data, split, seed, step, batch_size):
        """The batch number `step` of a walk through a fixed data set; arguments as for `draw`.

        Returns:
            A `WeightedBatch` whose weights are 0 past the end of the data set.
        """
        raise NotImplementedError

    @classmethod
    def step_losses(cls, outputs, targets):
        """The loss of each time step, summed over its outputs.

        Of the class and not of its options, so that a saved model's loss is known by the task's
        name.

        Args:
            outputs: (..., B, S, O), for any S time steps.
            targets: their targets.

        Returns:
            (..., B, S).
        """
        raise NotImplementedError

    def loss(self, outputs, batch):
        """The training loss: mean over batch and scored steps of `step_losses`.

        Args:
            outputs: (..., B, T, O), or (..., B, T', O) of the scored steps alone.
            batch: the `Batch` they answer.

        Returns:
            (...), one number a lane.
        """
        return self.mean(ops.mean(self.step_losses(*self.scored(outputs, batch)), axis=-1), batch)

    def metrics(self, outputs, batch):
        """What is reported: a dict from name to (...) or (..., K), means over the batch.

        It has "loss"; tasks add their own.
        """
        return {"loss": self.loss(outputs, batch)}

    def summarise(self, metrics, units, num_params):
        """Completes a split's averaged metrics with what only the whole split or the model tells.

        Args:
            metrics: dict from name to float or list, averages of `metrics` over the split.
            units: N of the model's layers.
            num_params: the model's number of parameters.

        Returns:
            The completed dict.
        """
        return metrics

    def objective(self, metrics):
        """The number that tuning minimises, from a split's averaged metrics."""
        return metrics["loss"]

    def example(self, batch, index):
        """One sample of a batch in characters or numbers, as text for a person."""
        raise NotImplementedError

    def answer(self, batch, index, outputs, units=None):
        """One sample of a batch with a model's answer beside the right one, for a person.

        Args:
            batch: of `sample`.
            index: of the sample.
            outputs: (B, T, O), or (B, T', O) of the scored steps alone.
            units: N of the model's layers, for a task on which it bounds what is possible.

        Returns:
            Lines of text.
        """
        raise NotImplementedError

    def describe(self):
        """Facts about the task's data for the run's record; strings and numbers."""
        return {}

    def dataset(self, split, batch_size, seed=0):
        """An endless `tf.data.Dataset` of the batches that `sample` gives for step 0, 1, ...

        Yields (inputs, targets, weights (B, T)) as `keras.Model.fit` takes them: a step's weight is
        0 where its loss does not count, and 1 on average.

        Raises:
            ImportError: Keras does not run on TensorFlow.
        """
        from trainer.tasks.pipeline import dataset

        return dataset(self, split, batch_size, seed)

    def keras_loss(self):
        """The task's loss for `keras.Model.compile`, on outputs (B, T, O) of all time steps.

        The weights that `dataset` yields leave out the steps that do not count.
        """
        from trainer.tasks.pipeline import TaskLoss

        return TaskLoss(self)

    def keras_metrics(self):
        """The task's accuracy for `weighted_metrics` of `keras.Model.compile`, in a list.

        It counts as `metrics` does. Empty where answers are no choices.
        """
        from trainer.tasks.pipeline import TaskAccuracy

        return [] if self.step_hits is None else [TaskAccuracy(self)]

    def scored(self, outputs, batch):
        """Outputs and targets at the steps whose loss counts; outputs may have these alone."""
        if outputs.shape[-2] == self.num_steps:
            outputs = _cut(outputs, self.loss_steps, -2)
        return outputs, _cut(batch.targets, self.loss_steps, self.target_time_axis)

    def scored_sample(self, batch, index, outputs):
        """Outputs (T', O) and targets (T', ...) of one sample at the scored steps, in NumPy."""
        scored = self.scored(outputs, batch)
        return tuple(ops.convert_to_numpy(array[index]) for array in scored)

    def mean(self, values, batch):
        """Mean over the batch of values (..., B), times the samples' weights if there are any."""
        weighted = isinstance(batch, WeightedBatch)
        return ops.mean(values * batch.weights if weighted else values, axis=-1)


def check_whole(low, **options):
    """Refuses a task's options that are no whole numbers, or below `low`.

    Raises:
        UserError: naming the option and its value.
    """
    for name, value in options.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < low:
            raise UserError(f"{name} must be a whole number at least {low}, got {value!r}")
        if value >= 2**31:
            raise UserError(f"{name} must be below 2^31, got {value}")


def verdict(is_right):
    """The word for an answer."""
    return "right" if is_right else "wrong"


def _cut(array, steps, axis):
    index = [slice(None)] * len(array.shape)
    index[axis] = steps
    return array[tuple(index)]


def hits(logits, codes):
    """1 where the likeliest of (..., K) is the code (...), else 0."""
    return ops.cast(ops.argmax(logits, axis=-1) == codes, "float32")


def cross_entropy(logits, codes):
    """-log softmax(logits)[code], in nats: logits (..., K), codes (...) integers below K."""
    return ops.sparse_categorical_crossentropy(codes, logits, from_logits=True)
