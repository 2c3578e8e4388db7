"""Base class of tasks that classify an image, read one pixel per time step."""

import math

import numpy as np

from trainer import counter_rng
from trainer import lazy_ops as ops
from trainer.errors import UserError
from trainer.tasks.base import Batch, Coded, check_whole
from trainer.tasks.rendering import scored_sample, verdict
from trainer.tasks.splits import Ranges, bounds

#: Characters of a drawing, from dark to light.
SHADES = " .:-=+*#%@"


class Pixels(Coded):
    """Base of the tasks that name the digit in an image, after its last pixel.

    Training draws images at random. The other splits are read in order, each image at most once, so
    with at least their size as `eval_samples`, they are measured whole.

    Inputs are (B, T, 1), pixels between 0 and 1, row by row or permuted; targets the digit at every
    step, (B, T). Only the last step is scored. Chance is ln 10, the loss of equal probabilities.

    Args:
        images: (n, T), whole numbers from 0 to `largest`.
        labels: (n,).
        largest: value of a white pixel.
        splits: split -> (start, stop) among the images.
        order: (T,), from `pixel_order`.
    """

    input_dim, output_dim = 1, 10
    chance_loss = math.log(10)
    splits_share_a_program = True

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        largest: int,
        splits: Ranges,
        order: np.ndarray,
    ):
        self.splits, self.order, self._largest = splits, order, largest
        self.num_steps = len(order)
        self.loss_steps = slice(self.num_steps - 1, self.num_steps)
        self.data = {
            "images": images[:, order].astype("uint8"),
            "labels": labels.astype("uint8"),
        }

    def draw(self, data, split, seed, step, batch_size):
        start, stop = bounds(self.splits, split)
        size, step = stop - start, ops.convert_to_tensor(step, "int32")
        words = counter_rng.bits(seed, split, step, (batch_size, 2))
        in_order = step[..., None] * batch_size + ops.arange(batch_size, dtype="int32")
        is_train = split == "train" if isinstance(split, str) else split == 0
        index = start + ops.where(is_train, counter_rng.below_large(words, size), in_order % size)
        pixels = ops.cast(ops.take(data["images"], index, axis=0), "float32") / self._largest
        labels = ops.cast(ops.take(data["labels"], index, axis=0), "int32")
        return Batch(pixels[..., None], ops.repeat(labels[..., None], self.num_steps, axis=-1))

    def most_samples(self, split):
        start, stop = bounds(self.splits, split)
        return None if split == "train" else stop - start

    def example(self, batch, index):
        image = np.empty(self.num_steps)
        image[self.order] = ops.convert_to_numpy(batch.inputs[index])[:, 0]
        side = math.isqrt(self.num_steps)
        shades = np.round(image * (len(SHADES) - 1)).astype(int).reshape(side, side)
        rows = ["".join(SHADES[shade] for shade in row).rstrip() for row in shades]
        return "\n".join([*rows, f"digit {int(batch.targets[index, -1])}"])

    def answer(self, batch, index, outputs, units=None):
        (logits,), (label,) = scored_sample(self, batch, index, outputs)
        right = verdict(logits.argmax() == label)
        return f"{self.example(batch, index)}   predicted {logits.argmax()}  {right}"


def pixel_order(num_steps: int, permuted: bool, permutation_seed: int) -> np.ndarray:
    """Return the order in which pixels are read: row by row, or at random.

    Args:
        num_steps: number of pixels.
        permuted: whether the order is random.
        permutation_seed: seed of the random order.

    Raises:
        UserError: an argument has the wrong type.
    """
    if not isinstance(permuted, bool):
        raise UserError(f"permuted must be True or False, got {permuted!r}")
    check_whole(0, 2**32 - 1, permutation_seed=permutation_seed)
    # The numbers of this generator are the same in all versions of NumPy.
    generator = np.random.RandomState(permutation_seed)
    return generator.permutation(num_steps) if permuted else np.arange(num_steps)
