"""Text from a model that predicts the next character, drawn one by one and read on.

Legend: I symbols, N units; the batch is one text.
"""

import numpy as np


def generate(model, codes, length, temperature, seed):
    """Continues a text: from the learned initial state, code by code with the state carried along.

    The next code is i with probability softmax(z / temperature)_i, z being the outputs after all
    codes so far, and is read in its turn.

    Args:
        model: a model of `build_model` whose outputs are logits of its next input.
        codes: the text to continue, integers below I, at least one.
        length: how many codes to add.
        temperature: below 1 likely codes become likelier; at 0 the likeliest is taken always.
        seed: of the draws; the same arguments give the same text.

    Returns:
        The added codes as a list, fewer than `length` if the outputs stop being finite numbers.
    """
    rng, added = np.random.default_rng(seed), []
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


def draw(logits, temperature, rng):
    """Draws i with probability exp(z_i / temperature) / Σ_j exp(z_j / temperature).

    Args:
        logits: z (I,), finite float64.
        temperature: at 0, the limit: the i of the largest z_i, the first of several.
        rng: a `numpy.random.Generator`; at temperature 0 nothing is drawn from it.
    """
    if temperature == 0:
        return int(np.argmax(logits))
    with np.errstate(over="ignore"):  # to -inf, of which the exponential is 0
        weights = np.exp((logits - logits.max()) / temperature)
    return int(rng.choice(len(weights), p=weights / weights.sum()))
