"""Random numbers as a pure function of integers: the same on every backend, compiled or not.

The generator is Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as
1, 2, 3", 2011), a block cipher that encrypts a counter under a key. The key is (seed, stream) and
the counter (index, step), so any number of any step is computed without the ones before it.

Seed and step may be arrays over lanes; their axes come first in the result.
"""

import math
from collections.abc import Sequence
from typing import Any

from trainer import lazy_ops as ops

Tensor = Any

#: One stream per purpose, so that no two purposes share numbers under one seed.
STREAMS = {"train": 0, "valid": 1, "eval": 2, "data": 3}

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def threefry(key: tuple[Tensor, Tensor], counter: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Encrypts a counter of two words under a key of two words, all uint32 and broadcast together.

    Returns:
        The two words of the ciphertext.
    """
    keys = (*key, key[0] ^ key[1] ^ word(_PARITY))
    x, y = counter[0] + keys[0], counter[1] + keys[1]
    for block in range(5):
        for rotation in _ROTATIONS[block % 2]:
            x = x + y
            y = (ops.left_shift(y, word(rotation)) | ops.right_shift(y, word(32 - rotation))) ^ x
        x = x + keys[(block + 1) % 3]
        y = y + keys[(block + 2) % 3] + word(block + 1)
    return x, y


def bits(seed: Any, stream: str | Tensor, step: Any, shape: Sequence[int]) -> Tensor:
    """Draw uniform 32-bit words.

    Args:
        seed: an integer, or an integer array (P,) of lanes.
        stream: a name in `STREAMS`, or its number as a uint32 tensor.
        step: an integer or an array like `seed`.
        shape: static shape of the words of one lane.

    Returns:
        uint32, (..., *shape).
    """
    size = math.prod(shape)
    half = -(-size // 2)
    seed, step = word(seed)[..., None], word(step)[..., None]
    index = ops.arange(half, dtype="int32")
    x, y = threefry((seed, _number(stream)), (ops.cast(index, "uint32"), step))
    words = ops.concatenate([x, y], axis=-1)[..., :size]
    return ops.reshape(words, (*words.shape[:-1], *shape))


def bits_at(seed: Any, stream: str | Tensor, index: Tensor, num_words: int) -> Tensor:
    """Draw the words of samples of a finite data set, as a function of their positions.

    Args:
        seed, stream: as for `bits`.
        index: (B,) positions, or (..., B) with the lane axes of `seed`.
        num_words: number of words per sample.

    Returns:
        uint32, (..., B, num_words).
    """
    half = -(-num_words // 2)
    seed = word(seed)[..., None, None]
    within = ops.cast(ops.arange(half, dtype="int32"), "uint32")
    key = (seed, _number(stream))
    return ops.concatenate(threefry(key, (within, word(index)[..., None])), axis=-1)[
        ..., :num_words
    ]


def _number(stream):
    return word(STREAMS[stream]) if isinstance(stream, str) else stream


def uniform(words: Tensor) -> Tensor:
    """Map words to float32 in [0, 1), with a resolution of 24 bits."""
    return ops.cast(ops.right_shift(words, word(8)), "float32") * 2.0**-24


def normal(words: Tensor) -> Tensor:
    """Map words (..., 2 K) to standard normal numbers (..., 2 K), by the Box-Muller transform."""
    first, second = ops.split(uniform(words), 2, axis=-1)
    radius = ops.sqrt(-2 * ops.log(1 - first))
    angle = 2 * math.pi * second
    return ops.concatenate([radius * ops.cos(angle), radius * ops.sin(angle)], axis=-1)


def below(words: Tensor, bound: Any) -> Tensor:
    """Map words to integers 0 <= i < bound <= 256, with probabilities exact to 2^-24.

    Raises:
        ValueError: a bound that is not an array is larger; `below_large` takes it.
    """
    if isinstance(bound, int) and not 0 < bound <= 256:
        raise ValueError(
            f"counter_rng.below takes a bound from 1 to 256, not {bound}; below_large takes larger "
            "ones, and uniform draws real numbers"
        )
    return ops.cast(
        ops.right_shift(ops.right_shift(words, word(8)) * word(bound), word(24)), "int32"
    )


def below_large(words: Tensor, bound: Any) -> Tensor:
    """Map pairs of words to integers 0 <= i < bound <= 2^31: i = floor(w · bound / 2^64).

    Args:
        words: (..., 2) uint32, w = words[..., 0] · 2^32 + words[..., 1].
        bound: an integer, or an array that broadcasts with words[..., 0].
    """
    bound = word(bound)
    high, low = _multiply(words[..., 0], bound)
    carry_high, _ = _multiply(words[..., 1], bound)
    overflow = ops.cast(low + carry_high < low, "uint32")
    return ops.cast(high + overflow, "int32")


def permutation(words: Tensor) -> Tensor:
    """Map words (..., K) to random permutations of 0 to K - 1, int32."""
    return ops.cast(ops.argsort(uniform(words), axis=-1), "int32")


def _multiply(a, b):
    """Return the 64-bit product of two uint32 as (high word, low word)."""
    half, mask = word(16), word(0xFFFF)
    a_high, a_low = ops.right_shift(a, half), a & mask
    b_high, b_low = ops.right_shift(b, half), b & mask
    middle = a_high * b_low + ops.right_shift(a_low * b_low, half)
    middle_2 = a_low * b_high + (middle & mask)
    high = a_high * b_high + ops.right_shift(middle, half) + ops.right_shift(middle_2, half)
    return high, a * b


def word(value: Any) -> Tensor:
    """Convert a value to uint32."""
    return (
        ops.cast(value, "uint32")
        if hasattr(value, "dtype")
        else ops.convert_to_tensor(value, dtype="uint32")
    )
