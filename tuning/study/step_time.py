"""Model of the time of a training step:

    seconds = a L + b W,   L = T depth (gates + 1),   W = 6 B T parameters,

where a is the cost of launching the operations of a time step, and b is the cost of a
multiplication or addition in the matrix products (2 per weight and time step in the forward pass, 4
in the backward pass).

Legend: B batch, T time.
"""

from rnn_zoo.architectures import ARCHITECTURES
from trainer.config import TrainConfig

#: a and b of a typical core, in seconds.
LAUNCH, PRODUCT = 1e-6, 1e-11


def features(config: TrainConfig, num_steps: int) -> tuple[int, int]:
    """Return (L, W) of a training step.

    Args:
        config: the configuration.
        num_steps: T of its task.
    """
    assert config.depth is not None
    launches = num_steps * config.depth * (len(ARCHITECTURES[config.arch].gates) + 1)
    return launches, 6 * config.batch_size * num_steps * config.num_params


def guess(config: TrainConfig, num_steps: int) -> float:
    """Guesses the seconds of a training step on a typical core; see `features`."""
    launches, products = features(config, num_steps)
    return LAUNCH * launches + PRODUCT * products
