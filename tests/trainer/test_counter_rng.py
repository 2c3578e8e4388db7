"""Random numbers: published results, a cipher in plain integers, statistics."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from on_backend import every_mode, execute
from scipy import stats
from slow import slow_except

from trainer import counter_rng

MASK = 2**32 - 1
WORDS = st.integers(0, MASK)
#: A p-value below this means that the numbers are not uniform, or that a fixed seed is unlucky.
UNLUCKY = 1e-4

#: Random123's kat_vectors for threefry2x32 with 20 rounds: key, counter, result.
KNOWN = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((MASK, MASK), (MASK, MASK), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]


def rotated(word, distance):
    return (word << distance | word >> 32 - distance) & MASK


def reference(key, counter):
    """Threefry-2x32-20 by section 3.3 of the paper, on Python's integers."""
    distances = (13, 15, 26, 6, 17, 29, 16, 24)
    keys = (key[0], key[1], key[0] ^ key[1] ^ 0x1BD11BDA)
    x, y = (counter[0] + keys[0]) & MASK, (counter[1] + keys[1]) & MASK
    for number in range(20):
        x = (x + y) & MASK
        y = rotated(y, distances[number % 8]) ^ x
        if number % 4 == 3:
            injection = number // 4 + 1
            x = (x + keys[injection % 3]) & MASK
            y = (y + keys[(injection + 1) % 3] + injection) & MASK
    return x, y


def threefry(keys, counters, mode="eager"):
    """The implementation on lists of pairs."""

    def columns(pairs):
        return tuple(np.array(column, "uint32") for column in zip(*pairs, strict=True))

    result = execute(mode, counter_rng.threefry, columns(keys), columns(counters))
    return [tuple(map(int, pair)) for pair in zip(*result, strict=True)]


def drawn(seed, stream, step, shape, mode="eager"):
    return execute(mode, lambda: counter_rng.bits(seed, stream, step, shape))


# The cipher.


@every_mode
def test_threefry_gives_the_published_answers(mode):
    keys, counters, results = zip(*KNOWN, strict=True)
    assert threefry(keys, counters, mode) == list(results)


def test_the_slow_cipher_gives_the_published_answers():
    for key, counter, result in KNOWN:
        assert reference(key, counter) == result


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS), min_size=16, max_size=16))
def test_threefry_equals_the_slow_cipher(words):
    keys, counters = [w[:2] for w in words], [w[2:] for w in words]
    expected = [reference(key, counter) for key, counter in zip(keys, counters, strict=True)]
    assert threefry(keys, counters) == expected


# The streams of words.


@pytest.mark.parametrize("shape", slow_except([(2, 3, 5)], [(8,), (7,), (2, 3, 5), (1,)]))
@every_mode
def test_bits_are_the_cipher_of_index_and_step_under_seed_and_stream(shape, mode):
    seed, step, size = 4_000_000_000, 70_000, int(np.prod(shape))
    for stream, number in counter_rng.STREAMS.items():
        pairs = [reference((seed, number), (i, step)) for i in range((size + 1) // 2)]
        expected = [x for x, _ in pairs] + [y for _, y in pairs]
        words = drawn(seed, stream, step, shape, mode)
        assert words.dtype == np.uint32
        assert words.shape == shape
        assert words.ravel().tolist() == expected[:size]


def test_bits_at_are_the_cipher_of_word_and_position():
    words = execute("eager", lambda: counter_rng.bits_at(9, "data", np.array([5, 0, 77]), 5))
    for row, position in zip(words.tolist(), (5, 0, 77), strict=True):
        pairs = [reference((9, counter_rng.STREAMS["data"]), (i, position)) for i in range(3)]
        assert row == ([x for x, _ in pairs] + [y for _, y in pairs])[:5]


@every_mode
@pytest.mark.parametrize(
    "seeds, steps",
    [([3, 5, 2**31], [7, 7, 9]), ([3, 5, 2**31], 7), (3, [0, 1, 70_000])],
    ids=["both", "seeds", "steps"],
)
def test_each_lane_draws_as_it_does_alone(seeds, steps, mode):
    lanes = drawn(np.array(seeds, "uint32"), "train", np.array(steps, "uint32"), (4, 3), mode)
    assert lanes.shape == (3, 4, 3)
    for lane in range(3):
        seed = seeds[lane] if isinstance(seeds, list) else seeds
        step = steps[lane] if isinstance(steps, list) else steps
        np.testing.assert_array_equal(lanes[lane], drawn(seed, "train", step, (4, 3)))


def test_streams_seeds_and_steps_share_no_numbers():
    draws = [
        set(drawn(seed, stream, step, (500,)).tolist())
        for seed in (0, 1, 2**31 - 1)
        for stream in counter_rng.STREAMS
        for step in (0, 1)
    ]
    assert all(len(draw) == 500 for draw in draws)
    # 24 draws of 500 from 2^32 share a number with probability 2 %; with these seeds none does.
    assert all(not a & b for a, b in itertools.combinations(draws, 2))


# From words to numbers.


@settings(max_examples=20, deadline=None)
@given(st.lists(WORDS, min_size=14, max_size=14))
def test_uniform_is_24_bits_in_the_half_open_unit_interval(words):
    words = [0, MASK, *words]
    values = execute("eager", counter_rng.uniform, np.array(words, "uint32"))
    assert values.dtype == np.float32
    assert values.tolist() == [(word >> 8) / 2**24 for word in words]
    assert 0 <= values.min() <= values.max() < 1


@every_mode
def test_below_equals_big_integers_for_every_bound(mode):
    words = [0, 255, 256, 2**31, MASK - 255, MASK, *drawn(1, "train", 0, (200,)).tolist()]
    bounds = np.arange(1, 257, dtype="uint32")
    values = execute(mode, counter_rng.below, np.array(words, "uint32")[None], bounds[:, None])
    expected = [[(word >> 8) * bound >> 24 for word in words] for bound in range(1, 257)]
    assert values.tolist() == expected
    assert all(set(row) <= set(range(bound)) for bound, row in enumerate(values.tolist(), 1))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(WORDS, WORDS), min_size=14, max_size=14),
    st.lists(st.integers(1, 2**31), min_size=16, max_size=16),
)
def test_below_large_equals_big_integers(words, bounds):
    words = [(0, 0), (MASK, MASK), *words]
    values = execute(
        "eager", counter_rng.below_large, np.array(words, "uint32"), np.array(bounds, "uint32")
    )
    pairs = zip(words, bounds, strict=True)
    assert values.tolist() == [((w[0] << 32) + w[1]) * bound >> 64 for w, bound in pairs]
    assert all(0 <= value < bound for value, bound in zip(values, bounds, strict=True))


@every_mode
def test_below_large_includes_the_carry_of_the_low_word(mode):
    # w · 3 / 2^64 is just below 1 and just at 1: the low word decides.
    words = np.array([[0x55555555, 0x55555555], [0x55555555, 0x55555556]], "uint32")
    assert execute(mode, lambda w: counter_rng.below_large(w, 3), words).tolist() == [0, 1]


# Statistics, with fixed seeds.


def p_of_uniform(values, bins):
    return stats.chisquare(np.bincount(values, minlength=bins)).pvalue


@pytest.mark.parametrize("shift", [0, 8, 16, 24])
def test_every_byte_is_uniform(shift):
    words = drawn(2017, "train", 3, (2**17,)) >> np.uint32(shift) & 255
    assert p_of_uniform(words, 256) > UNLUCKY


def test_first_words_are_uniform_over_seeds_and_over_steps():
    numbers = np.arange(2**15, dtype="uint32")
    for seeds, steps in ((numbers, np.zeros_like(numbers)), (np.full_like(numbers, 7), numbers)):
        words = drawn(seeds, "valid", steps, (2,))
        for column in words.T:
            assert p_of_uniform(column >> np.uint32(24), 256) > UNLUCKY


def test_neighbours_are_independent():
    high = drawn(5, "train", 0, (2**17,)) >> np.uint32(28)
    following = drawn(5, "train", 1, (2**17,)) >> np.uint32(28)
    for a, b in ((high[:-1], high[1:]), (high, following)):
        table = np.bincount(16 * a + b, minlength=256).reshape(16, 16)
        assert stats.chi2_contingency(table).pvalue > UNLUCKY


@pytest.mark.parametrize("bound", [2, 10, 27, 40, 256])
def test_below_is_uniform(bound):
    values = execute("eager", counter_rng.below, drawn(1, "eval", 0, (2**17,)), np.uint32(bound))
    assert p_of_uniform(values, bound) > UNLUCKY


@pytest.mark.parametrize("bound, bins", [(50, 50), (1_000, 250), (2**31, 256)])
def test_below_large_is_uniform(bound, bins):
    values = execute(
        "eager", counter_rng.below_large, drawn(1, "eval", 0, (2**17, 2)), np.uint32(bound)
    )
    assert p_of_uniform(values.astype("int64") * bins // bound, bins) > UNLUCKY


def test_uniform_and_normal_have_their_distributions():
    words = drawn(1, "eval", 5, (2**16,))
    assert stats.kstest(execute("eager", counter_rng.uniform, words), "uniform").pvalue > UNLUCKY
    normal = execute("eager", counter_rng.normal, words)
    assert stats.kstest(normal, "norm").pvalue > UNLUCKY
    assert abs(stats.pearsonr(*np.split(normal, 2)).statistic) < 0.03


@pytest.mark.parametrize("bound", [0, 257, 1000])
def test_a_bound_that_below_cannot_take_is_refused(bound):
    """The product of 24 random bits and a larger bound overflows."""
    words = counter_rng.bits(0, "train", 0, (9,))
    with pytest.raises(ValueError, match=f"from 1 to 256, not {bound}; below_large"):
        counter_rng.below(words, bound)
    assert counter_rng.below(words, 256).shape == (9,)
