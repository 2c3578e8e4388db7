"""Text generation: sampling from a model that predicts the next character.

Legend: I symbols.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np


def generate(
    model: Any, codes: Sequence[int], length: int, temperature: float, seed: int
) -> list[int]:
    """Continue a text from the learned initial states, one code at a time.

    The next code is i with probability softmax(z / temperature)_i, where z are the outputs after
    all codes so far. The drawn code is the next input.

    Args:
        model: from `build_model`; its outputs are the logits of its next input.
        codes: the text to continue, integers below I, at least one.
        length: number of codes to add.
        temperature: values below 1 favour likely codes; at 0 the likeliest is always chosen.
        seed: seed of the draws; equal arguments give equal texts.

    Returns:
        The added codes, fewer than `length` if the outputs stop being finite.
    """
    rng = np.random.default_rng(seed)
    added: list[int] = []
    stepper = model.stepper()
    one_hot = np.eye(stepper.input_dim, dtype=stepper.dtype)
    for position in range(len(codes) + length - 1):
        code = codes[position] if position < len(codes) else added[-1]
        (outputs,) = stepper(one_hot[[code]])
        if position < len(codes) - 1:
            continue
        logits = outputs.astype("float64")
        if not np.isfinite(logits).all():
            break
        added.append(draw(logits, temperature, rng))
    return added


def draw(logits: np.ndarray, temperature: float, rng: np.random.Generator) -> int:
    """Draw i with probability exp(z_i / temperature) / Σ_j exp(z_j / temperature).

    Args:
        logits: z (I,), finite float64.
        temperature: at 0, the first i with the largest z_i is chosen, as in the limit.
        rng: not used at temperature 0.
    """
    if temperature == 0:
        return int(np.argmax(logits))
    with np.errstate(over="ignore"):  # to -inf, whose exponential is 0
        weights = np.exp((logits - logits.max()) / temperature)
    return int(rng.choice(len(weights), p=weights / weights.sum()))


if __name__ == "__main__":
    from trainer.cli.main import fail

    fail("trainer.generate is not a command; python -m trainer.show --run_dir=RUN --prompt=TEXT is")
