"""Path-SGD against sums over all paths, its invariance under rescaling of units, and its limits."""

import keras
import numpy as np
import pytest
from on_backend import QUICKEST, execute, to_numpy, to_tensors

from rnn_zoo.functional import draw_weights, forward, make_cells
from trainer import TrainConfig, UserError, backend, path_sgd
from trainer.optimizers import Model, Step, path_sgd_update
from trainer.program import Program
from trainer.trial import Trial

INPUTS, N, OUTPUTS = 2, 2, 2


def model(depth, num_steps, output_steps, units=N, **options):
    cells = make_cells("rnn", depth, units, seed=1, activation="relu", **options)
    return Model(cells, num_steps, output_steps)


def random_weights(model, *lanes, seed=3):
    weights = draw_weights(model.cells, INPUTS, OUTPUTS, seed=1)
    rng = np.random.default_rng(seed)
    return keras.tree.map_structure(
        lambda w: rng.normal(size=(*lanes, *w.shape)).astype("float32"), weights
    )


def scales(model, weights, second_term=0.0):
    factor = np.float32(second_term)
    return execute(QUICKEST, lambda w, f: path_sgd.scales(model, w, f), weights, factor)


# All paths of the unrolled network, one by one. An edge is (part, layer, index of the weight).


def paths(model):
    scored = range(model.num_steps)[model.output_steps]
    for t in range(model.num_steps):
        for k in range(N):
            yield from (
                [("input", 0, (i, k)), *rest]
                for i in range(INPUTS)
                for rest in onward(model, 0, t, k)
            )
            for layer in range(len(model.cells)):
                yield from ([("bias", layer, (k,)), *rest] for rest in onward(model, layer, t, k))
    for layer in range(len(model.cells)):
        for j, k in np.ndindex(N, N):
            first = [("initial_state", layer, (j,)), ("recurrent", layer, (j, k))]
            yield from ([*first, *rest] for rest in onward(model, layer, 0, k))
    yield from ([("readout_bias", None, (o,))] for _ in scored for o in range(OUTPUTS))


def onward(model, layer, t, j):
    """The paths from unit j of a layer at step t to the outputs."""
    for k in range(N):
        if t + 1 < model.num_steps:
            for rest in onward(model, layer, t + 1, k):
                yield [("recurrent", layer, (j, k)), *rest]
        if layer + 1 < len(model.cells):
            for rest in onward(model, layer + 1, t, k):
                yield [("input", layer + 1, (j, k)), *rest]
    if layer + 1 == len(model.cells) and t in range(model.num_steps)[model.output_steps]:
        yield from ([("readout", None, (j, o))] for o in range(OUTPUTS))


def entry(structure, part, layer):
    if layer is None:
        return structure["readout"]["bias" if part == "readout_bias" else "kernel"]
    of_layer = structure["layers"][layer][part]
    return of_layer[0] if part == "initial_state" else of_layer["h"]


def sums_over_paths(model, weights):
    """κ⁽¹⁾ and κ⁽²⁾: a path with k edges of w² = s is c s^k, and ½ ∂²/∂w² of it is known."""
    first, second = (
        keras.tree.map_structure(lambda w: np.zeros(w.shape), weights) for _ in range(2)
    )
    for path in paths(model):
        product = np.prod([float(entry(weights, *edge[:2])[edge[2]]) ** 2 for edge in path])
        for part, layer, index in set(path):
            k = path.count((part, layer, index))
            square = float(entry(weights, part, layer)[index]) ** 2
            entry(first, part, layer)[index] += k * product / square
            entry(second, part, layer)[index] += 2 * k * (k - 1) * product / square
    return first, second


@pytest.mark.parametrize("depth, num_steps", [(1, 4), (2, 3)])
@pytest.mark.parametrize("output_steps", [slice(None), slice(-1, None)], ids=["all", "last"])
def test_scales_are_sums_over_all_paths(depth, num_steps, output_steps):
    small = model(depth, num_steps, output_steps)
    weights = random_weights(small)
    first, second = sums_over_paths(small, weights)
    both = keras.tree.map_structure(lambda a, b: a + b, first, second)
    for factor, expected in ((0.0, first), (1.0, both)):
        found = scales(small, weights, factor)
        keras.tree.map_structure(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, expected
        )
    assert entry(second, "recurrent", 0).min() > 0
    assert not entry(second, "input", 0).any()


def test_the_first_term_is_the_gradient_of_the_linear_network():
    large = model(2, 6, slice(2, None), units=5)
    weights = random_weights(large, 3)
    linear = make_cells("rnn", 2, 5, seed=1, activation="linear")

    def gradient(weights):
        def total(squares):
            return keras.ops.sum(forward(linear, squares, ones, large.output_steps)), 0

        ones = keras.ops.ones((3, 1, 6, INPUTS))
        squares = keras.tree.map_structure(lambda w: w * w, weights)
        return backend.current().value_and_grad(total, squares)[1]

    expected = execute(QUICKEST, gradient, weights)
    keras.tree.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4),
        scales(large, weights, [0.0, 0.0, 0.0]),
        expected,
    )


def test_lanes_have_their_own_second_terms():
    small = model(1, 4, slice(None))
    weights = random_weights(small, 2)
    together = scales(small, weights, [0.0, 0.5])
    for lane, factor in enumerate((0.0, 0.5)):
        alone = scales(small, keras.tree.map_structure(lambda w, i=lane: w[i], weights), factor)
        keras.tree.map_structure(
            lambda a, b, i=lane: np.testing.assert_allclose(a[i], b, rtol=1e-5), together, alone
        )


# Training.

BASE = {
    "task": "rcf",
    "arch": "rnn",
    "num_params": 700,
    "activation": "relu",
    "batch_size": 8,
    "train_steps": 20,
    "gradient_clip_val": 1e9,
    "recurrent_scale": 0.7,
    "bias_scale": 0.3,
    "bias_init": "normal",
}
RATES = {"sgd": 0.3, "path_sgd": 0.3}


def rescaled(weights, generator):
    """The weights with each unit's incoming ones multiplied by a c, and outgoing ones by 1 / c."""
    below, layers = np.float32(1), []
    for layer in weights["layers"]:
        c = np.exp(generator.uniform(-1.5, 1.5, size=layer["bias"]["h"].shape)).astype("float32")
        layers.append(
            layer
            | {
                "input": {"h": layer["input"]["h"] * c / np.reshape(below, (-1, 1))},
                "recurrent": {"h": layer["recurrent"]["h"] * c / c[:, None]},
                "bias": {"h": layer["bias"]["h"] * c},
                "initial_state": [layer["initial_state"][0] * c],
            }
        )
        below = c
    kernel = weights["readout"]["kernel"] / below[:, None]
    return {"layers": layers, "readout": weights["readout"] | {"kernel": kernel}}


@pytest.fixture(scope="module")
def program():
    """A program with SGD and path-SGD."""
    trial = Trial(TrainConfig(**BASE))
    return Program(trial.task, trial.cells, 8, tuple(RATES), ("relu",))


@pytest.mark.parametrize("optimizer, is_invariant", [("path_sgd", True), ("sgd", False)])
def test_only_path_sgd_is_invariant_under_rescaling_of_units(program, optimizer, is_invariant):
    trial = Trial(TrainConfig(**BASE, optimizer=optimizer, lr_init=RATES[optimizer]))
    weights, hparams, losses = trial.draw_weights(), trial.hparams(program), []
    first = weights["layers"][0]
    first["initial_state"] = [np.full_like(first["initial_state"][0], 0.2)]
    for start in (weights, rescaled(weights, np.random.default_rng(2))):
        state = program.run(program.start(start), hparams, trial.task.device_data, 12)
        assert bool(state["feasible"])
        losses.append(to_numpy(state["loss_sums"]))
    sums = losses[0].reshape(20, -1).sum(1)[:12]
    assert abs(sums[0] - sums[-1]) > 0.02 * sums[0]  # it moves
    # The first loss is of the untrained networks, which are the same function.
    np.testing.assert_allclose(losses[0][0], losses[1][0], rtol=1e-5)
    distance = np.abs(losses[0] - losses[1]).max() / losses[0].max()
    assert distance < 1e-5 if is_invariant else distance > 0.05


def test_weights_in_no_path_stay():
    step = to_tensors({"g": np.float32([0.0, 2.0]), "scales": np.float32([0.0, 4.0])})
    rest = dict.fromkeys(("w", "u", "v", "momentum", "t", "shapes"))
    change, _, _ = path_sgd_update(Step(**rest, **step, rate=np.float32([0.5])), 3.0)
    np.testing.assert_array_equal(to_numpy(change), [0.0, -0.75])


def test_other_cells_and_nonlinearities_are_refused():
    with pytest.raises(UserError, match="path_sgd cannot train gru, only rnn, irnn; choose ano"):
        TrainConfig("parens", "gru", optimizer="path_sgd")
    for changes in ({"arch": "rnn"}, {"arch": "irnn", "activation": "tanh"}):
        with pytest.raises(UserError, match="with the activation tanh; set activation to relu, or"):
            TrainConfig("parens", optimizer="path_sgd", **changes)
    assert TrainConfig("parens", "irnn", optimizer="path_sgd").activation is None
