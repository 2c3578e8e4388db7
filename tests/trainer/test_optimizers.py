"""The optimizers that Keras has against its own, and lanes against single runs."""

import math
from functools import reduce

import keras
import numpy as np
import pytest
from on_backend import COMPILED, execute, needs_float64, tensorflow_only, to_tensors
from registrations import restored
from slow import slow_except

from rnn_zoo.functional import draw_weights, make_cells
from trainer import TrainConfig, UserError, muon, packing, updates
from trainer.optimizers import OPTIMIZERS, PAPER_OPTIMIZERS, register_optimizer

STEPS, TRAIN_STEPS = 5, 8
LR, DECAY, LOGIT = 0.02, 0.1, 1.3
MOMENTUM = 1 / (1 + math.exp(-LOGIT))
SHAPES = {"wide": (3, 4), "vector": (5,), "tall": (6, 2), "square": (4, 4), "turned": (2, 6)}
#: Those of Keras; others have files of their own.
NAMES = ("sgd", "momentum", "rmsprop", "adam", "adamw", "muon")
DECAYS = {"adamw": {"weight_decay": 0.3}}
#: The tests of the training program compile all of them.
eager_or_slow = pytest.mark.parametrize("mode", slow_except(["eager"], ["eager", COMPILED]))


def keras_twin(name, rate, momentum=MOMENTUM, **options):
    return {
        "sgd": lambda: keras.optimizers.SGD(rate, **options),
        "momentum": lambda: keras.optimizers.SGD(rate, momentum=momentum, **options),
        "rmsprop": lambda: keras.optimizers.RMSprop(rate, rho=momentum, **options),
        "adam": lambda: keras.optimizers.Adam(rate, beta_1=momentum, **options),
        "adamw": lambda: keras.optimizers.AdamW(
            rate, beta_1=momentum, **DECAYS["adamw"], **options
        ),
        "muon": lambda: keras.optimizers.Muon(
            rate,
            adam_beta_1=momentum,
            momentum=momentum,
            weight_decay=None,
            adam_weight_decay=None,
            **options,
        ),
    }[name]()


def numbers(seed, *lanes, scale=1.0):
    rng = np.random.default_rng(seed)
    return {
        name: (scale * rng.normal(size=(*lanes, *shape))).astype("float32")
        for name, shape in SHAPES.items()
    }


def trained(
    names, weights, gradients, hparams, mode="eager", choice=0, options=DECAYS, dtype="float32"
):
    """Weights after each of the steps: clip, then update, as the training program does.

    Args:
        names, choice: which optimizers there are, and whose turn it is.
        hparams: initial learning rate, its decay, the momentum's logit, the gradient's limit.
        options: the optimizers' own hyperparameters.
        dtype: precision of all numbers.
    """

    def run(weights, gradients, choice, options, lr_init, decay, logit, limit):
        shapes, lanes, history = weights, len(lr_init.shape), []
        weights = packing.pack(weights, lanes)
        slots = updates.zero_slots(weights)
        for step, gradient in enumerate(gradients):
            clipped, _ = updates.clip_by_global_norm(gradient, limit)
            rate = updates.learning_rate(
                lr_init, decay, keras.ops.convert_to_tensor(step), TRAIN_STEPS
            )
            clipped = packing.pack(clipped, lanes)
            numbers = (rate, keras.ops.sigmoid(logit), step)
            weights, slots = updates.update(
                names, choice, weights, clipped, slots, *numbers, shapes, options
            )
            history.append(packing.unpack(weights, shapes))
        return history

    hparams = [np.asarray(value, dtype) for value in hparams]
    weights, gradients, options = keras.tree.map_structure(
        lambda value: np.asarray(value, dtype), (weights, gradients, options)
    )
    lanes = hparams[0].shape
    options = keras.tree.map_structure(lambda value: np.broadcast_to(value, lanes), options)
    return execute(mode, run, weights, gradients, np.asarray(choice, "int32"), options, *hparams)


def test_the_optimizers_are_the_papers_and_four_others():
    assert (*PAPER_OPTIMIZERS, "adamw", "muon") == NAMES
    assert tuple(OPTIMIZERS) == (*NAMES, "soap", "path_sgd")


@eager_or_slow
@pytest.mark.parametrize("limit", [0.5, 1e3], ids=["clipped", "free"])
@pytest.mark.parametrize("name", NAMES)
def test_updates_are_those_of_keras(name, limit, mode):
    weights, gradients = numbers(0), [numbers(1 + step) for step in range(STEPS)]
    gradients[2] = {key: 1e-3 * g for key, g in gradients[2].items()}  # below either limit
    history = trained([name], weights, gradients, (LR, DECAY, LOGIT, limit), mode)

    schedule = keras.optimizers.schedules.ExponentialDecay(LR, TRAIN_STEPS, DECAY)
    twin = keras_twin(name, schedule, global_clipnorm=limit)
    variables = {key: keras.Variable(value) for key, value in weights.items()}
    for gradient, ours in zip(gradients, history, strict=True):
        twin.apply(to_tensors([*gradient.values()]), [*variables.values()])
        for key, variable in variables.items():
            # Matrix products of Newton-Schulz steps round differently when compiled.
            tolerance = 1e-5 if name == "muon" else 2e-6
            np.testing.assert_allclose(
                ours[key], variable.numpy(), rtol=tolerance, atol=tolerance / 10
            )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adam", "muon"])
def test_a_hundred_steps_do_not_drift_from_keras(name):
    weights, gradients = numbers(0), [numbers(1 + step) for step in range(100)]
    ours = trained([name], weights, gradients, (LR, 1.0, LOGIT, 1e3))[-1]
    twin = keras_twin(name, LR)
    variables = {key: keras.Variable(value) for key, value in weights.items()}
    for gradient in gradients:
        twin.apply(to_tensors([*gradient.values()]), [*variables.values()])
    for key, variable in variables.items():
        np.testing.assert_allclose(ours[key], variable.numpy(), rtol=1e-4, atol=1e-5)


def test_the_learning_rate_is_that_of_keras_and_ends_at_the_factor():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.03, 70, 0.2)
    for step in (0, 1, 35, 69, 70):
        rate = execute(
            "eager",
            lambda lr, decay, step: updates.learning_rate(lr, decay, step, 70),
            *(np.float32(0.03), np.float32(0.2), np.int32(step)),
        )
        assert rate == pytest.approx(float(schedule(step)), rel=1e-6)
        assert rate == pytest.approx(0.03 * 0.2 ** (step / 70), rel=1e-6)


# Muon.


def singular_values_of_newton_schulz(values):
    """The quintic polynomial, five times, on singular values over the Frobenius norm."""
    values = values / np.linalg.norm(values)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return values


@pytest.mark.parametrize("shape", [(5, 9), (6, 6), (9, 4), (1, 7)], ids="{0[0]}x{0[1]}".format)
def test_newton_schulz_keeps_singular_vectors_and_evens_out_the_values(shape):
    rng = np.random.default_rng(4)
    matrices = rng.normal(size=(2, 3, *shape)).astype("float32")
    left, values, right = np.linalg.svd(matrices.astype("float64"), full_matrices=False)
    assert (values > 0.002 * np.linalg.norm(values, axis=-1, keepdims=True)).all()
    expected = np.apply_along_axis(singular_values_of_newton_schulz, -1, values)
    assert expected.min() > 0.68
    assert expected.max() < 1.21
    found = execute("eager", muon.newton_schulz, matrices)
    np.testing.assert_allclose(found, (left * expected[..., None, :]) @ right, rtol=0, atol=2e-5)


def test_the_band_of_newton_schulz_is_that_of_its_docstring():
    shares = np.geomspace(0.002, 1, 5000)
    others = np.sqrt(1 - shares**2)  # a second singular value, so that the norm is 1
    found = np.array(
        [singular_values_of_newton_schulz(np.array(v))[0] for v in zip(shares, others, strict=True)]
    )
    assert found.min() > 0.68
    assert found.max() < 1.21


def test_muon_does_not_move_weights_without_a_gradient():
    weights = numbers(0)
    gradients = [{key: 0 * value for key, value in weights.items()}]
    (moved,) = trained(["muon"], weights, gradients, (LR, DECAY, LOGIT, 1.0))
    for key, value in weights.items():
        np.testing.assert_array_equal(moved[key], value)


@pytest.mark.parametrize("lanes", [(), (3,)], ids=["alone", "lanes"])
def test_gates_of_a_model_move_each_on_its_own(lanes):
    """The packed gates of a two-layer GRU, whose names are not in alphabetical order."""
    rng = np.random.default_rng(6)
    weights = draw_weights(make_cells("gru", 2, 4, seed=1), 3, 2, seed=1)

    def random(scale):
        return keras.tree.map_structure(
            lambda w: (scale * rng.normal(size=(*lanes, *w.shape))).astype("float32"), weights
        )

    weights, gradient = random(1.0), random(0.1)
    hparams = [np.full(lanes, value) for value in (LR, DECAY, LOGIT, 1e3)]
    (together,) = trained(["muon"], weights, [gradient], hparams, choice=np.zeros(lanes))
    for path, weight in keras.tree.flatten_with_path(weights):
        moved, push = (reduce(lambda a, key: a[key], path, tree) for tree in (together, gradient))
        (expected,) = trained(
            ["muon"], {"w": weight}, [{"w": push}], hparams, choice=np.zeros(lanes)
        )
        np.testing.assert_allclose(moved, expected["w"], rtol=1e-5, atol=1e-6, err_msg=str(path))


# Registration.


def lion(step, beta_2=0.99):
    """Lion, in NumPy's and Keras's names alike."""
    mixed = step.momentum * step.u + (1 - step.momentum) * step.g
    u = beta_2 * step.u + (1 - beta_2) * step.g
    return -step.rate * keras.ops.sign(mixed), u, step.v


@pytest.fixture
def lions():
    with restored():
        register_optimizer("lion", lion, ranges={"beta_2": (0.9, 0.999)})
        yield


def test_a_registered_optimizer_updates_with_its_own_hyperparameters(lions):
    weights, gradients = numbers(0), [numbers(1 + step) for step in range(STEPS)]
    options = {"lion": {"beta_2": 0.6}}
    found = trained(["lion"], weights, gradients, (LR, 1.0, LOGIT, 1e9), options=options)[-1]
    for key, w in weights.items():
        u = 0
        for gradient in gradients:
            w = w - LR * np.sign(MOMENTUM * u + (1 - MOMENTUM) * gradient[key])
            u = 0.6 * u + 0.4 * gradient[key]
        np.testing.assert_allclose(found[key], w, rtol=1e-5, atol=1e-6)


def test_its_options_are_those_of_a_configuration(lions):
    config = TrainConfig("parens", "gru", optimizer="lion", optimizer_options={"beta_2": 0.95})
    assert config.hparams["optimizer_options"] == {"beta_2": 0.95}
    for options, message in (
        ({"beta": 0.95}, "optimizer lion has no option 'beta'; it has beta_2"),
        ({"beta_2": "much"}, "beta_2 in optimizer_options must be a finite number, got 'much'"),
        ({"beta_2": 10**400}, "beta_2 in optimizer_options must be a finite number, got 1000"),
        ({"beta_2": math.nan}, "must be a finite number, got nan"),
    ):
        with pytest.raises(UserError, match=message):
            TrainConfig("parens", "gru", optimizer="lion", optimizer_options=options)
    decay = {"optimizer": "adamw", "optimizer_options": {"weight_decay": -1.0}}
    with pytest.raises(UserError, match=r"weight_decay in .* must be at least 0, got -1\.0"):
        TrainConfig("parens", "gru", **decay)
    with pytest.raises(UserError, match="optimizer adam has no option 'beta_2'; it has none"):
        TrainConfig("parens", "gru", optimizer_options={"beta_2": 0.95})


@pytest.mark.parametrize(
    "name, update, ranges, message",
    [
        ("adam", lion, {}, "'adam' is taken by trainer.optimizers.adam"),
        ("a b", lion, {}, "letters, digits and underscores"),
        ("new", lion, {"beta_1": (0, 1)}, "has a range for 'beta_1', which is not an option"),
        ("new", lambda step, decay: None, {}, "the option decay needs a number as its default"),
    ],
)
def test_an_optimizer_that_cannot_be_registered_is_refused(name, update, ranges, message):
    with pytest.raises(ValueError, match=message):
        register_optimizer(name, update, ranges)


def test_an_unknown_optimizer_is_refused_with_the_choices():
    names = "sgd, momentum, rmsprop, adam, adamw, muon, soap, path_sgd"
    with pytest.raises(UserError, match=f"unknown optimizer 'lion'; choose one of {names}; to add"):
        TrainConfig("parens", "gru", optimizer="lion")


# Clipping.


def clipped(gradients, limit):
    return execute("eager", updates.clip_by_global_norm, gradients, np.asarray(limit, "float32"))


def test_a_large_gradient_is_scaled_to_the_limit():
    gradients = {"a": np.float32([[3, 0], [0, 0]]), "b": np.float32([4])}
    scaled, norm = clipped(gradients, 1.0)
    assert norm == 5
    np.testing.assert_allclose(scaled["a"], [[0.6, 0], [0, 0]], rtol=1e-6)
    np.testing.assert_allclose(scaled["b"], [0.8], rtol=1e-6)


@pytest.mark.parametrize("limit", [5.0, 5.1, 1e30])
def test_a_small_gradient_is_left_alone_to_the_bit(limit):
    gradients = {"a": np.float32([[3, 0], [0, 0]]), "b": np.float32([4])}
    scaled, norm = clipped(gradients, limit)
    assert norm == 5
    np.testing.assert_array_equal(scaled["a"], gradients["a"])
    np.testing.assert_array_equal(scaled["b"], gradients["b"])


def test_a_zero_gradient_stays_zero():
    scaled, norm = clipped({"a": np.zeros((2, 2), "float32")}, 1.0)
    assert norm == 0
    assert (scaled["a"] == 0).all()


@tensorflow_only
@pytest.mark.parametrize("limit", [0.1, 100.0], ids=["clipped", "free"])
def test_clipping_is_that_of_tensorflow(limit):
    import tensorflow as tf

    gradients = numbers(3)
    scaled, norm = clipped(gradients, limit)
    expected, expected_norm = tf.clip_by_global_norm([*gradients.values()], limit)
    assert norm == pytest.approx(float(expected_norm), rel=1e-6)
    for ours, theirs in zip(scaled.values(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6)


# Lanes.


LANES = (
    (0.01, 0.1, 1.0, 0.02, 0.03),
    (0.1, 1.0, 0.5, 0.3, 0.2),
    (-2, 0.5, 4, 2.2, 3),
    (0.3, 1, 1e3, 9, 2),
)


@needs_float64
@eager_or_slow
@pytest.mark.parametrize(
    "names", slow_except([NAMES], [*([name] for name in NAMES), NAMES]), ids="+".join
)
def test_a_lane_of_hyperparameters_is_each_alone(names, mode):
    choice = [2, 5, 3, 1, 4] if len(names) > 1 else [0] * 5
    decays = np.float32([0.0, 0.1, 0.2, 0.3, 0.4])
    weights, gradients = numbers(0, 5), [numbers(1 + step, 5) for step in range(STEPS)]
    options = {"adamw": {"weight_decay": decays}}
    # In float64, as a sum over other axes may round in another order, near 0 by more than 1e-6.
    lanes = trained(names, weights, gradients, LANES, mode, choice, options, "float64")
    for lane in range(5):
        alone = trained(
            [names[choice[lane]]],
            {key: value[lane] for key, value in weights.items()},
            [{key: value[lane] for key, value in gradient.items()} for gradient in gradients],
            [values[lane] for values in LANES],
            options={"adamw": {"weight_decay": decays[lane]}},
            dtype="float64",
        )
        for step in range(STEPS):
            for key in SHAPES:
                np.testing.assert_allclose(
                    lanes[step][key][lane], alone[step][key], rtol=1e-5, atol=1e-6
                )


def test_lanes_may_be_at_different_steps():
    """Adam's bias correction depends on the step, which may differ between lanes."""
    weights, gradient = numbers(0, 2), numbers(1, 2)

    def update(weights, gradient, steps, rate, momentum):
        vector = packing.pack(weights, 1)
        arguments = (packing.pack(gradient, 1), updates.zero_slots(vector), rate, momentum)
        moved, _ = updates.update(["adam"], None, vector, *arguments, steps, weights, {})
        return packing.unpack(moved, weights)

    rate, momentum = np.float32([0.1, 0.1]), np.float32([0.9, 0.9])
    both = execute("eager", update, weights, gradient, np.int32([0, 7]), rate, momentum)
    for lane, step in enumerate((0, 7)):
        same = execute("eager", update, weights, gradient, np.int32([step] * 2), rate, momentum)
        for key in SHAPES:
            np.testing.assert_array_equal(both[key][lane], same[key][lane])
    assert not np.array_equal(both["vector"][0], same["vector"][0])


def test_the_sum_of_squares_is_one_number_a_lane():
    arrays = numbers(0, 2)
    total = execute("eager", lambda a: updates.sum_of_squares(a, 1), arrays)
    expected = [sum(float((a[lane] ** 2).sum()) for a in arrays.values()) for lane in range(2)]
    np.testing.assert_allclose(total, expected, rtol=1e-6)
    whole = updates.sum_of_squares(to_tensors(arrays))
    assert float(whole) == pytest.approx(sum(expected), rel=1e-6)


def test_muon_takes_each_matrix_of_an_array_by_itself():
    rng, shapes = np.random.default_rng(0), {"matrix": (4, 6), "blocks": (3, 5, 5), "bias": (7,)}
    # In float64, as singular values near 0 magnify rounding, which differs in a batch of products.
    weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}

    def update(arrays):
        vector = muon.orthogonalised(packing.pack(arrays, 0), arrays)
        return {name: np.asarray(each) for name, each in packing.unpack(vector, arrays).items()}

    found = update(weights)
    for block, result in zip(weights["blocks"], found["blocks"], strict=True):
        np.testing.assert_allclose(result, update({"x": block})["x"], rtol=1e-5, atol=1e-7)
        singular = np.linalg.svd(result / (0.2 * 5**0.5), compute_uv=False)
        assert singular.min() > 0.5 and singular.max() < 1.3
    np.testing.assert_array_equal(found["bias"], weights["bias"])
