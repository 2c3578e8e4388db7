"""Random numbers as a pure function of integers: the same on every backend, compiled or not.

Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): a
block cipher of a counter under a key. Here the key is (seed, stream), the counter (index, step),
so that any number of any step of any seed can be made at once, without the ones before it.

Seed, stream and step may be arrays; their axes lead those of the drawn array, as lanes do.
"""

import math

from trainer import lazy_ops as ops

#: One stream a purpose, so that no two draw the same numbers under one seed.
STREAMS = {"train": 0, "valid": 1, "eval": 2, "data": 3}

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def threefry(key, counter):
    """Encrypts a counter of two 32-bit words under a key of two; all uint32, broadcast together.

    Returns:
        The two words of the result.
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


def bits(seed, stream, step, shape):
    """Draws uniform 32-bit words.

    Args:
        seed: an integer, or an integer array (P,) of lanes.
        stream: a name in `STREAMS`.
        step: an integer or an array like `seed`.
        shape: static shape of each lane's draw.

    Returns:
        uint32, (..., *shape).
    """
    size = math.prod(shape)
    half = -(-size // 2)
    seed, step = word(seed)[..., None], word(step)[..., None]
    index = ops.arange(half, dtype="int32")
    x, y = threefry((seed, word(STREAMS[stream])), (ops.cast(index, "uint32"), step))
    words = ops.concatenate([x, y], axis=-1)[..., :size]
    return ops.reshape(words, (*words.shape[:-1], *shape))


def bits_at(seed, stream, index, num_words):
    """Draws the words of the samples of a fixed data set, each by its position in it.

    Args:
        seed, stream: as for `bits`.
        index: (..., B) positions; lanes of `seed` lead.
        num_words: words a sample.

    Returns:
        uint32, (..., B, num_words).
    """
    half = -(-num_words // 2)
    seed = word(seed)[..., None, None]
    within = ops.cast(ops.arange(half, dtype="int32"), "uint32")
    key = (seed, word(STREAMS[stream]))
    return ops.concatenate(threefry(key, (within, word(index)[..., None])), axis=-1)[
        ..., :num_words
    ]


def uniform(words):
    """Maps words to float32 in [0, 1), at 24 bits of resolution."""
    return ops.cast(ops.right_shift(words, word(8)), "float32") * 2.0**-24


def normal(words):
    """Maps an even number of words (..., 2 K) to as many standard normal numbers (Box-Muller)."""
    first, second = ops.split(uniform(words), 2, axis=-1)
    radius = ops.sqrt(-2 * ops.log(1 - first))
    angle = 2 * math.pi * second
    return ops.concatenate([radius * ops.cos(angle), radius * ops.sin(angle)], axis=-1)


def below(words, bound):
    """Maps words to integers 0 <= i < bound, for a bound up to 256, exact to 2^-24."""
    return ops.cast(
        ops.right_shift(ops.right_shift(words, word(8)) * word(bound), word(24)), "int32"
    )


def below_large(words, bound):
    """Maps pairs of words to integers below a bound up to 2^31: floor(w · bound / 2^64).

    Args:
        words: (..., 2) uint32, w = words[..., 0] · 2^32 + words[..., 1].
        bound: an integer, or an array that broadcasts with words[..., 0].
    """
    bound = word(bound)
    high, low = _multiply(words[..., 0], bound)
    carry_high, _ = _multiply(words[..., 1], bound)
    overflow = ops.cast(low + carry_high < low, "uint32")
    return ops.cast(high + overflow, "int32")


def _multiply(a, b):
    """The 64-bit product of two uint32 as (high word, low word)."""
    half, mask = word(16), word(0xFFFF)
    a_high, a_low = ops.right_shift(a, half), a & mask
    b_high, b_low = ops.right_shift(b, half), b & mask
    middle = a_high * b_low + ops.right_shift(a_low * b_low, half)
    middle_2 = a_low * b_high + (middle & mask)
    high = a_high * b_high + ops.right_shift(middle, half) + ops.right_shift(middle_2, half)
    return high, a * b


def word(value):
    """The value as uint32."""
    return (
        ops.cast(value, "uint32")
        if hasattr(value, "dtype")
        else ops.convert_to_tensor(value, dtype="uint32")
    )
