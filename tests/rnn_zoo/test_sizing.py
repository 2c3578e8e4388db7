"""Parameter counts against arrays that are built, and budgets against trying every size."""

import itertools
import math
import subprocess
import sys

import pytest
import reference_cells as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from slow import slow_except

import rnn_zoo
from rnn_zoo import count_params, units_for_budget

ARCHS = tuple(reference.GATES)
every_arch = pytest.mark.parametrize("arch", ARCHS)


@every_arch
@pytest.mark.parametrize("depth", slow_except([2], [1, 2, 4, 8]))
@pytest.mark.parametrize(("units", "input_dim", "output_dim"), [(3, 4, 2), (4, 4, 5), (1, 7, 1)])
def test_count_equals_the_twin_and_the_model(arch, depth, units, input_dim, output_dim):
    count = count_params(arch, depth, units, input_dim, output_dim)
    assert count == reference.count_params(arch, depth, units, input_dim, output_dim)
    model = rnn_zoo.build_model(arch, depth, units, input_dim, output_dim)
    assert count == model.count_params()
    assert count == sum(weight.value.shape.num_elements() for weight in model.trainable_weights)


def test_counts_by_hand():
    # Two UGRNN layers of 3 units over 4 inputs, readout to 2.
    assert count_params("ugrnn", 2, 3, 4, 2) == (
        2 * (4 * 3 + 3 * 3 + 3) + 3 + 2 * (3 * 3 + 3 * 3 + 3) + 3 + 3 * 2 + 2
    )
    # +RNN: a read-in of 4 * 3 + 3 where sizes differ, none where they are equal.
    assert count_params("+rnn", 1, 3, 4, 2) == 4 * 3 + 3 + 4 * (3 * 3 + 3 * 3 + 3) + 3 + 8
    assert count_params("+rnn", 1, 4, 4, 2) == 4 * (4 * 4 + 4 * 4 + 4) + 4 + 10
    # MinimalRNN: every layer reads in, whatever the sizes.
    assert count_params("minimal_rnn", 2, 3, 4, 2) == (
        (4 * 3 + 3) + (3 * 3 + 3) + 2 * (3 * 3 + 3 * 3 + 3 + 3) + 3 * 2 + 2
    )
    # The LSTM learns both of its initial states.
    assert count_params("lstm", 1, 3, 4, 2) == 4 * (4 * 3 + 3 * 3 + 3) + 2 * 3 + 8


def test_an_alias_and_a_class_count_as_the_name_does():
    assert count_params("plus_rnn", 2, 3, 4, 2) == count_params("+rnn", 2, 3, 4, 2)
    for arch, cell_class in rnn_zoo.CELLS.items():
        assert count_params(cell_class, 2, 4, 3, 2) == count_params(arch, 2, 4, 3, 2)


def largest_by_trying(arch, depth, max_params, input_dim, output_dim):
    """The largest size that fits, or None; no stack of n units has fewer than n^2 weights."""
    sizes = range(1, math.isqrt(max_params) + 1)
    counts = {n: count_params(arch, depth, n, input_dim, output_dim) for n in sizes}
    return max((n for n, count in counts.items() if count <= max_params), default=None)


@settings(max_examples=300, deadline=None)
@given(
    arch=st.sampled_from(ARCHS),
    depth=st.sampled_from([1, 2, 4, 8]),
    max_params=st.integers(1, 1500) | st.integers(1, 60_000),
    input_dim=st.integers(1, 80),
    output_dim=st.integers(1, 30),
)
def test_units_are_the_most_that_fit(arch, depth, max_params, input_dim, output_dim):
    expected = largest_by_trying(arch, depth, max_params, input_dim, output_dim)
    if expected is not None:
        assert units_for_budget(arch, depth, max_params, input_dim, output_dim) == expected
        return
    smallest = min(
        count_params(arch, depth, units, input_dim, output_dim) for units in range(1, 100)
    )
    with pytest.raises(ValueError, match=f"the smallest such model has {smallest:,}$"):
        units_for_budget(arch, depth, max_params, input_dim, output_dim)


@pytest.mark.parametrize(
    ("depth", "input_dim", "dips"), [(1, 12, False), (1, 27, True), (2, 27, False), (2, 64, True)]
)
def test_plus_rnn_fits_where_it_needs_no_read_in(depth, input_dim, dips):
    """At N = I the count may dip below that of N - 1: every budget around it, by trying."""
    sizes = range(input_dim - 2, input_dim + 2)
    counts = {n: reference.count_params("+rnn", depth, n, input_dim, 2) for n in sizes}
    assert (counts[input_dim] < counts[input_dim - 1]) == dips
    for budget in sorted({count + by for count in counts.values() for by in range(-3, 4)}):
        expected = largest_by_trying("+rnn", depth, budget, input_dim, 2)
        assert units_for_budget("+rnn", depth, budget, input_dim, 2) == expected


@every_arch
def test_a_budget_met_exactly_and_missed_by_one(arch):
    exact = count_params(arch, 2, 30, 27, 27)
    assert units_for_budget(arch, 2, exact, 27, 27) == 30
    assert units_for_budget(arch, 2, exact - 1, 27, 27) == 29


@every_arch
def test_bad_sizes_are_refused(arch):
    good = dict(depth=1, units=3, input_dim=4, output_dim=2)
    for name, value in itertools.product(good, (0, -1)):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got {value}"):
            count_params(arch, **good | {name: value})


@pytest.mark.parametrize("arch", ["slstm", "mlstm"])
def test_units_that_heads_do_not_divide_are_refused(arch):
    assert count_params(arch, 1, 8, 4, 2) > 0
    with pytest.raises(ValueError, match=f"^units of {arch} must be a multiple of 4, got 9$"):
        count_params(arch, 1, 9, 4, 2)


def test_unknown_architectures_are_refused_with_the_choices():
    for function in (count_params, units_for_budget):
        with pytest.raises(ValueError, match=r"'gnu'.*rnn, irnn, ugrnn, gru, lstm, \+rnn"):
            function("gnu", 1, 100, 4, 2)


def test_counting_starts_no_backend():
    script = """
import sys
import rnn_zoo
rnn_zoo.count_params("+rnn", 2, 3, 4, 5), rnn_zoo.units_for_budget("gru", 1, 1000, 4, 5)
rnn_zoo.ARCHITECTURES, dir(rnn_zoo), rnn_zoo.__version__
print(*{name.split(".")[0] for name in sys.modules})
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not {"keras", "tensorflow", "jax", "numpy"} & set(done.stdout.split())
