"""What a task is: batches as a pure function of (split, seed, step), a loss, metrics, an objective.

A task knows no model and no optimizer. Its functions are `keras.ops` all through, so that they
compile into the training program, and take leading axes (lanes) of seeds, outputs and targets.

Legend: B batch, T time steps, T' the steps whose loss counts, I input, O output; "..." lanes.
"""

import inspect
from typing import Any, NamedTuple

from trainer import ops
from trainer.errors import UserError

SPLITS = ("train", "valid", "eval")


class Batch(NamedTuple):
    """Samples of a task.

    Attributes:
        inputs: (..., B, T, I) float32.
        targets: (..., B, T, ...), the right answer at every time step.
    """

    inputs: Any
    targets: Any


class Task:
    """Base class of the tasks; `trainer.tasks.TASKS` has them by name.

    Attributes:
        name, summary: for people.
        input_dim, output_dim, num_steps: I, O, T.
        loss_steps: slice of the time steps whose loss counts.
        chance_loss: loss of the best constant predictor, in the loss's own unit.
        vocabulary: the symbol of each one-hot position, or None.
        data: arrays that `draw` reads, made once and kept on the device; empty if it reads none.
    """

    name = summary = None
    input_dim = output_dim = num_steps = None
    loss_steps = slice(None)
    chance_loss = None
    vocabulary = None
    data = {}  # noqa: RUF012 - never written to; a task with data sets its own

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
            data: `self.data`, passed in so that a compiled program takes it as an argument.
            split: "train", "valid" or "eval".
            seed: integer below 2^32, or an array of them.
            step: the batch's number under that seed, integer or array.
            batch_size: B.
        """
        raise NotImplementedError

    def sample(self, split, seed, batch_size, step=0):
        """Returns the `Batch` of (split, seed, step); the same call always gives the same batch.

        Raises:
            ValueError: unknown split.
        """
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}")
        return self.draw(self.data, split, seed, step, batch_size)

    def loss(self, outputs, batch):
        """The training loss, summed over a step's outputs, averaged over batch and scored steps.

        Args:
            outputs: (..., B, T, O), or (..., B, T', O) of the scored steps alone.
            batch: the `Batch` they answer.

        Returns:
            (...), one number a lane.
        """
        raise NotImplementedError

    def metrics(self, outputs, batch):
        """What is reported beside the loss: a dict from name to (...) or (..., K), batch means."""
        raise NotImplementedError

    def objective(self, metrics):
        """The number that tuning minimises, from a split's averaged metrics."""
        return metrics["loss"]

    def example(self, batch, index):
        """One sample of a batch in characters or numbers, as text for a person."""
        raise NotImplementedError

    def describe(self):
        """Facts about the task's data for the run's record; strings and numbers."""
        return {}

    def dataset(self, split, batch_size, seed=0):
        """An endless `tf.data.Dataset` of (inputs, targets), the batches `sample` gives in turn.

        Raises:
            ImportError: TensorFlow is not installed, or is not Keras's backend.
        """
        from trainer.tasks.pipeline import dataset

        return dataset(self, split, batch_size, seed)

    def scored(self, steps, axis):
        """Cuts an array of all time steps down to the scored ones; leaves one of these alone."""
        if steps.shape[axis] != self.num_steps:
            return steps
        index = [slice(None)] * len(steps.shape)
        index[axis] = self.loss_steps
        return steps[tuple(index)]


def cross_entropy(logits, codes):
    """-log softmax(logits)[code], in nats: logits (..., K), codes (...) integers below K."""
    return ops.sparse_categorical_crossentropy(codes, logits, from_logits=True)
