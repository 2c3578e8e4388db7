"""Perceptron capacity (section 2.1): the number of random labels that a network can store."""

import math
from typing import ClassVar

import numpy as np

from rnn_zoo.inputs import Held
from trainer import counter_rng
from trainer import lazy_ops as ops
from trainer.errors import UserError
from trainer.tasks.base import MAX_SAMPLES, Batch, Task, WeightedBatch, check_whole
from trainer.tasks.rendering import scored_sample, verdict

PRESENTATIONS, CODINGS = ("first", "every"), ("binary", "signed")


class Capacity(Task):
    """Memorises b random binary labels of b random binary inputs.

    The training loss is the cross-entropy. The metric that is tuned and reported is the mutual
    information between labels and answers over the whole data set, I = b + b (p log2 p + (1 - p)
    log2(1 - p)) bits, eq. (22), where p is the fraction of right answers; I = 0 for p below 1/2.
    All splits are the same data set, a function of the seed.

    Inputs are (B, T, num_inputs) of 0 and 1, or -1 and 1, targets the labels (B, T, 1). Only the
    last step is scored.

    Args:
        num_inputs: n_in.
        num_samples: b; appendix A tunes it between 0.1 and 10 times the parameter count.
        presentation: "first" shows the input at the first step only, "every" at every step.
        num_steps: T, 5 in figure 1.
        coding: "binary" for 0 and 1 as in the paper, "signed" for -1 and 1. If inputs are shown at
            every step, networks can compute the same functions with both codings, as
            W (2 x - 1) + b = 2 W x + (b - W 1). Training differs: signed inputs have mean 0, so
            they do not offset the pre-activations.

    Raises:
        UserError: an argument is out of range.
    """

    name = "capacity"
    summary = "memorise random labels of random binary inputs; reports the bits stored"
    output_dim = 1
    splits_share_a_program = True
    chance_loss = math.log(2)
    ranges: ClassVar = {
        "num_samples": lambda budget: (
            max(1, round(0.1 * budget)),
            min(10 * budget, MAX_SAMPLES),
            "log",
        ),
        "presentation": list(PRESENTATIONS),
    }
    lane_options = ("num_samples", "presentation", "coding")
    pooled_options = ("num_samples", "num_inputs", "presentation", "num_steps")

    def __init__(
        self,
        num_inputs: int = 32,
        num_samples: int = 20_000,
        presentation: str = "every",
        num_steps: int = 5,
        coding: str = "binary",
    ):
        for name, value, choices in (
            ("presentation", presentation, PRESENTATIONS),
            ("coding", coding, CODINGS),
        ):
            if value not in choices:
                raise UserError(f"unknown {name} {value!r}; choose one of {', '.join(choices)}")
        check_whole(1, num_inputs=num_inputs, num_steps=num_steps)
        check_whole(1, MAX_SAMPLES, num_samples=num_samples)
        self.input_dim, self.num_samples, self.num_steps = num_inputs, num_samples, num_steps
        self.loss_steps = slice(num_steps - 1, num_steps)
        # Arguments of the compiled program, so that trials may differ in them.
        self.data = {
            "num_samples": np.uint32(num_samples),
            "presentation": np.float32(presentation == "every"),
            "coding": np.float32(coding == "signed"),
        }

    def draw(self, data, split, seed, step, batch_size):
        words = counter_rng.bits(seed, split, step, (batch_size, 2))
        return self._samples(
            data, seed, counter_rng.below_large(words, data["num_samples"][..., None])
        )

    def sweep(self, data, split, seed, step, batch_size):
        index = step * batch_size + ops.arange(batch_size, dtype="int32")
        inside = index < ops.cast(data["num_samples"], "int32")[..., None]
        batch = self._samples(data, seed, index)
        return WeightedBatch(*batch, ops.cast(inside, "float32"))

    def _samples(self, data, seed, index):
        """Return the samples at positions `index` (..., B) of the data set."""
        words = counter_rng.bits_at(seed, "data", index, self.input_dim // 32 + 1)
        shifts = counter_rng.word(ops.arange(32, dtype="int32"))
        bits = ops.right_shift(words[..., None], shifts) & counter_rng.word(1)
        bits = ops.reshape(bits, (*bits.shape[:-2], -1))[..., : self.input_dim + 1]
        label, x = ops.cast(bits[..., None, :1], "int32"), ops.cast(bits[..., 1:], "float32")
        x = x - data["coding"][..., None, None] * (1 - x)
        first = ops.cast(ops.arange(self.num_steps) == 0, "float32")
        shown = ops.maximum(first, data["presentation"][..., None])
        return Batch(Held(x, shown), ops.repeat(label, self.num_steps, axis=-2))

    @classmethod
    def step_losses(cls, outputs, targets):
        labels = ops.cast(targets, outputs.dtype)
        # -log σ(z) for label 1, -log(1 - σ(z)) for 0, without overflow.
        return ops.sum(ops.softplus(outputs) - labels * outputs, axis=-1)

    @classmethod
    def step_hits(cls, outputs, targets):
        right = ops.cast((outputs > 0) == (targets > 0), "float32")[..., 0]
        return right, ops.ones_like(right)

    def metrics(self, outputs, batch):
        right, _ = self.step_hits(*self.scored(outputs, batch))
        accuracy = self.mean(right[..., 0], batch)
        return {
            **super().metrics(outputs, batch),
            "accuracy": accuracy,
            "mutual_information": self.num_samples * _information(ops, accuracy),
        }

    def summarise(self, metrics, units, num_params):
        bits = float(self.num_samples * _information(np, metrics["accuracy"]))
        return {**metrics, "mutual_information": bits, "bits_per_parameter": bits / num_params}

    def objective(self, metrics):
        return -metrics["mutual_information"]

    def example(self, batch, index):
        x = "".join(str(int(bit > 0)) for bit in batch.inputs[index, 0])
        return f"{x} -> {int(batch.targets[index, -1, 0])}"

    def answer(self, batch, index, outputs, units=None):
        (logit,), (label,) = (part[-1] for part in scored_sample(self, batch, index, outputs))
        # σ(|z|), written so that no exponential overflows.
        probability = 1 / (1 + math.exp(-abs(logit)))
        return (
            f"{self.example(batch, index)}   predicted {int(logit > 0)} "
            f"with probability {probability:.3f}   {verdict((logit > 0) == (label > 0))}"
        )

    def describe(self):
        return {"num_samples": self.num_samples}


def least_inputs(num_samples: int) -> int:
    """Return the least n_in for studies of up to b samples: max(20, ⌈log2(1000 b)⌉).

    Random inputs of n_in bits may coincide. On average, (b - 1) / 2^n_in other samples have the
    input of a given sample, and half of them have the opposite label; no network can store both.
    The rule keeps b / 2^n_in at 0.001 or less. With 16 inputs and b = 100,000, it would be 1.5.
    """
    return max(20, (1000 * num_samples - 1).bit_length())


def _information(library, p):
    """Return 1 + p log2 p + (1 - p) log2(1 - p), eq. (22) per sample; 0 for p below 1/2."""
    p = library.clip(p, 0.5, 1.0)
    q = 1 - p
    # x log x -> 0 for x -> 0: at p = 1 the second term is 0 log 1.
    return 1 + (p * library.log(p) + q * library.log(library.where(q > 0, q, 1.0))) / math.log(2)
