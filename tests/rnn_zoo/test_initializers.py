"""Appendix A's initial values: closed forms, laws, seeds and scales of each gate."""

import keras
import numpy as np
import pytest
from cell_twins import INPUT, ONE_CASE_EACH, UNITS, case_id
from on_backend import to_numpy
from scipy import stats

import rnn_zoo
from rnn_zoo import initializers
from rnn_zoo.initializers import BIAS_INITS, MATRIX_INITS

LAWS = {**MATRIX_INITS, **{f"{name} bias": law for name, law in BIAS_INITS.items()}}
SCALE = 0.7


def drawn(law, shape, dtype="float64", **arguments):
    return to_numpy(law(**arguments)(shape, dtype=dtype))


# Laws


def test_the_names():
    assert set(MATRIX_INITS) == {"identity", "orthogonal", "normal"}
    assert set(BIAS_INITS) == {"constant", "normal"}


@pytest.mark.parametrize("shape", [(40, 40), (60, 20)])
def test_orthogonal_has_orthogonal_columns(shape):
    q = drawn(initializers.Orthogonal, shape, scale=SCALE, seed=1)
    np.testing.assert_allclose(q.T @ q, SCALE**2 * np.eye(shape[1]), atol=1e-12)


def test_orthogonal_is_uniform():
    """By Haar's law sqrt(n) times an element is nearly normal, and its trace has mean 0."""
    size = 64
    q = np.stack([drawn(initializers.Orthogonal, (size, size), seed=s) for s in range(40)])
    assert stats.kstest(q[:, 0, 0] * np.sqrt(size), "norm").pvalue > 1e-3
    assert stats.kstest(q.ravel()[::97] * np.sqrt(size), "norm").pvalue > 1e-3
    # E[trace] = 0 and E[trace^2] = 1; QR without the signs' correction gives neither.
    traces = np.trace(q, axis1=1, axis2=2)
    assert abs(traces.mean()) < 4 / np.sqrt(len(q))
    assert 0.4 < np.mean(traces**2) < 2.0


def test_identity_takes_no_scale():
    np.testing.assert_array_equal(
        drawn(initializers.Identity, (5, 5), scale=SCALE, seed=1), np.eye(5)
    )


@pytest.mark.parametrize("shape", [(100, 100), (50, 200)])
def test_scaled_normal_divides_by_the_root_of_its_rows(shape):
    sample = drawn(initializers.ScaledNormal, shape, scale=SCALE, seed=1)
    expected = stats.norm(scale=SCALE / np.sqrt(shape[0]))
    assert stats.kstest(sample.ravel(), expected.cdf).pvalue > 1e-3
    np.testing.assert_allclose(sample.std(), expected.std(), rtol=0.03)


def test_biases():
    np.testing.assert_array_equal(drawn(initializers.ConstantBias, (9,), scale=SCALE), [SCALE] * 9)
    sample = drawn(initializers.NormalBias, (10_000,), scale=SCALE, seed=1)
    assert stats.kstest(sample, stats.norm(scale=SCALE).cdf).pvalue > 1e-3


# Seeds, types, configuration


@pytest.mark.parametrize("name", LAWS)
def test_a_seed_is_a_value(name):
    law, shape = LAWS[name], (6,) if "bias" in name else (6, 6)
    first = drawn(law, shape, scale=SCALE, seed=4)
    np.testing.assert_array_equal(first, drawn(law, shape, scale=SCALE, seed=4))
    is_random = name not in ("identity", "constant bias")
    assert np.any(first != drawn(law, shape, scale=SCALE, seed=5)) == is_random


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_other_types_are_rounded_from_one_value(name, dtype):
    law, shape = LAWS[name], (6,) if "bias" in name else (6, 6)
    exact = law(scale=SCALE, seed=4).draw(shape)
    tensor = law(scale=SCALE, seed=4)(shape, dtype=dtype)
    assert keras.backend.standardize_dtype(tensor.dtype) == dtype
    rounded = to_numpy(tensor).astype("float64")
    np.testing.assert_allclose(rounded, exact, rtol=1e-2 if dtype == "bfloat16" else 1e-3)
    assert keras.backend.standardize_dtype(law()(shape).dtype) == keras.config.floatx()


@pytest.mark.parametrize("name", LAWS)
def test_a_configuration_round_trip(name):
    law = LAWS[name](scale=SCALE, seed=4)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(law))
    assert type(again) is type(law)
    assert again.get_config() == {"scale": SCALE, "seed": 4}


# In a cell


def built(arch, features=INPUT, units=UNITS, **options):
    cell = rnn_zoo.CELLS[arch](units, **options)
    cell.build((None, features))
    return cell.gate_weights()


one_case_each = pytest.mark.parametrize("case", ONE_CASE_EACH, ids=case_id)


@one_case_each
def test_seed_makes_a_cell_repeatable(case):
    arch = case[0]
    first, again, other = (built(arch, seed=seed) for seed in (1, 1, 2))
    for gate, parts in first.items():
        for part, array in parts.items():
            np.testing.assert_array_equal(array, again[gate][part])
        assert np.all(parts["input"] != other[gate]["input"])


def test_without_a_seed_each_cell_is_its_own_and_keras_makes_them_repeatable():
    keras.utils.set_random_seed(3)
    first, second = built("gru")["c"]["recurrent"], built("gru")["c"]["recurrent"]
    assert np.any(first != second)
    keras.utils.set_random_seed(3)
    np.testing.assert_array_equal(built("gru")["c"]["recurrent"], first)


@pytest.mark.parametrize("law", ["orthogonal", "normal"])
@one_case_each
def test_no_two_matrices_of_a_cell_are_alike(case, law):
    """One seed for several matrices would make gates copies of each other."""
    weights = built(case[0], features=UNITS, matrix_init=law, bias_init="normal", bias_scale=1.0)
    matrices = [parts[part] for parts in weights.values() for part in ("input", "recurrent")]
    biases = [parts["bias"] for parts in weights.values()]
    for arrays in (matrices, biases):
        for i, one in enumerate(arrays):
            for other in arrays[:i]:
                ratio = one / other
                assert np.ptp(ratio) > 1e-3  # not even scaled copies


def test_each_gate_has_its_scales():
    scales = {"r": 0.5, "u": 2.0, "c": 3.0}
    units = 40
    weights = built(
        "gru", units=units, features=units, input_scale=scales, recurrent_scale=scales,
        bias_scale=scales, seed=1,
    )  # fmt: skip
    for gate, scale in scales.items():
        recurrent = weights[gate]["recurrent"].astype("float64")
        np.testing.assert_allclose(recurrent.T @ recurrent, scale**2 * np.eye(units), atol=1e-5)
        np.testing.assert_allclose(weights[gate]["bias"], scale)
        np.testing.assert_allclose(weights[gate]["input"].std(), scale / units**0.5, rtol=0.1)


@one_case_each
def test_number_is_the_scale_of_every_gate(case):
    arch = case[0]
    law = {"bias_init": "normal", "matrix_init": "normal", "seed": 1}
    ones = built(arch, input_scale=1.0, recurrent_scale=1.0, bias_scale=1.0, **law)
    scaled = built(arch, input_scale=2.0, recurrent_scale=3.0, bias_scale=4.0, **law)
    for gate, parts in ones.items():
        for part, factor in (("input", 2), ("recurrent", 3), ("bias", 4)):
            np.testing.assert_allclose(scaled[gate][part], factor * parts[part], rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_irnn_starts_from_identity_and_zero(scale):
    weights = built("irnn", recurrent_scale=scale)["h"]
    np.testing.assert_array_equal(weights["recurrent"], np.eye(UNITS))
    np.testing.assert_array_equal(weights["bias"], np.zeros(UNITS))


def test_input_matrices_are_normal_whatever_the_recurrent_law():
    units = features = 30
    for law in MATRIX_INITS:
        kernel = built("gru", features, units, matrix_init=law, seed=1)["c"]["input"]
        assert stats.kstest(kernel.ravel() * features**0.5, "norm").pvalue > 1e-3
