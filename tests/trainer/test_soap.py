"""SOAP against algorithm 3 in NumPy, its symmetry, its lanes and its checkpoints."""

import functools

import keras
import numpy as np
import pytest
from on_backend import COMPILED, MODES, compiled, to_numpy, to_tensors
from slow import slow_except

from trainer import TrainConfig, packing, soap, updates
from trainer.optimizers import EPSILON, own_size
from trainer.storage import checkpoints
from trainer.trial import Trial

RATE, MOMENTUM, STEPS = 0.02, 0.8, 25
#: XLA takes seconds to compile each decomposition.
GRAPH = MODES[1]
OPTIONS = {"beta_2": 0.9, "shampoo_beta": 0.85, "precondition_frequency": 3.0}
SHAPES = {"square": (4, 4), "tall": (5, 4), "vector": (3,), "wide": (4, 5), "blocks": (2, 4, 4)}


def numbers(seed, *lanes):
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=(*lanes, *shape)).astype("float32") for name, shape in SHAPES.items()
    }


@functools.cache
def update_of(names, num_lanes, mode):
    """A function that applies one update to weights in their own shapes."""

    def update(weights, slots, gradient, step, choice, options):
        vectors = [packing.pack(each, num_lanes) for each in (weights, gradient)]
        u, v = (packing.pack(slots[name], num_lanes) for name in ("u", "v"))
        rate, momentum = (keras.ops.full(step.shape, value) for value in (RATE, MOMENTUM))
        arguments = (*vectors, slots | {"u": u, "v": v}, rate, momentum, step, weights)
        moved, slots = updates.update(names, choice, *arguments, {"soap": options})
        u, v = (packing.unpack(slots[name], weights) for name in ("u", "v"))
        return packing.unpack(moved, weights), slots | {"u": u, "v": v}

    return compiled(mode, update)


def trained(weights, gradients, options=OPTIONS, names=("soap",), choice=0, mode=GRAPH):
    """The weights after all gradients; options and choice may be arrays over lanes."""
    lanes = np.shape(options["beta_2"])
    options = {name: np.float32(value) for name, value in options.items()}
    slots, update = updates.zero_slots(weights, names, lanes), update_of(names, len(lanes), mode)
    for step, gradient in enumerate(gradients):
        steps = np.full(lanes, step, "int32")
        arguments = (weights, slots, gradient, steps, np.int32(choice), options)
        weights, slots = update(*to_tensors(arguments))
    return to_numpy(weights)


class Slow:
    """Algorithm 3 for one matrix, with the first step and the order of the authors' version."""

    def __init__(self, shape):
        self.m, self.v, self.t = np.zeros(shape), np.zeros(shape), 0
        self.left, self.right = np.zeros(2 * shape[:1]), np.zeros(2 * shape[1:])

    def change(self, g):
        is_first = self.t == 0 and not self.left.any()
        change = 0 if is_first else self.adam(g)
        beta = OPTIONS["shampoo_beta"]
        self.left = beta * self.left + (1 - beta) * g @ g.T
        self.right = beta * self.right + (1 - beta) * g.T @ g
        if is_first:
            self.q_left, self.q_right = (
                np.linalg.eigh(each)[1][:, ::-1] for each in (self.left, self.right)
            )
        elif self.t % OPTIONS["precondition_frequency"] == 0:
            self.q_left, order = self.next_basis(self.left, self.q_left)
            self.v = self.v[order]
            self.q_right, order = self.next_basis(self.right, self.q_right)
            self.v = self.v[:, order]
        return change

    def adam(self, g):
        self.t += 1
        beta_2 = OPTIONS["beta_2"]
        self.m = MOMENTUM * self.m + (1 - MOMENTUM) * g
        turned = self.q_left.T @ g @ self.q_right
        self.v = beta_2 * self.v + (1 - beta_2) * turned**2
        rate = RATE * np.sqrt(1 - beta_2**self.t) / (1 - MOMENTUM**self.t)
        direction = (self.q_left.T @ self.m @ self.q_right) / (np.sqrt(self.v) + EPSILON)
        return -rate * self.q_left @ direction @ self.q_right.T

    @staticmethod
    def next_basis(average, basis):
        order = np.argsort(-np.diag(basis.T @ average @ basis))
        return np.linalg.qr(average @ basis[:, order])[0], order


graph_or_slow = pytest.mark.parametrize(
    "mode", slow_except([GRAPH], dict.fromkeys((GRAPH, COMPILED)))
)


@graph_or_slow
def test_matrices_follow_algorithm_3(mode):
    weights, gradients = numbers(0), [numbers(1 + step) for step in range(STEPS)]
    found = trained(weights, gradients, mode=mode)
    places = ["square", "tall", "wide", ("blocks", 0), ("blocks", 1)]
    for place in places:
        name, block = place if isinstance(place, tuple) else (place, ...)
        slow = Slow(SHAPES[name][-2:])
        change = sum(slow.change(each[name][block].astype("float64")) for each in gradients)
        assert np.abs(change).max() > 5 * RATE
        np.testing.assert_allclose(
            found[name][block] - weights[name][block], change, rtol=1e-4, atol=5e-6, err_msg=name
        )


def test_vectors_follow_adam_from_the_second_gradient():
    weights, gradients = numbers(0), [numbers(1 + step) for step in range(6)]
    found = trained(weights, gradients)["vector"]
    w, m, v = weights["vector"], 0, 0
    for t, each in enumerate(gradients[1:], start=1):
        m = MOMENTUM * m + (1 - MOMENTUM) * each["vector"]
        v = OPTIONS["beta_2"] * v + (1 - OPTIONS["beta_2"]) * each["vector"] ** 2
        m_hat, v_hat = m / (1 - MOMENTUM**t), v / (1 - OPTIONS["beta_2"] ** t)
        w = w - RATE * m_hat / np.sqrt(v_hat)
    np.testing.assert_allclose(found, w, rtol=1e-5, atol=1e-6)


def test_the_first_gradient_moves_nothing():
    weights = numbers(0)
    for name, moved in trained(weights, [numbers(1)]).items():
        np.testing.assert_array_equal(moved, weights[name])


def test_turned_gradients_turn_the_updates():
    """If the gradients are A G B, with A and B orthogonal, the changes are A Δ B."""
    weights, gradients = numbers(0), [numbers(1 + step) for step in range(STEPS)]
    rng = np.random.default_rng(9)
    a, b = (np.linalg.qr(rng.normal(size=(4, 4)))[0].astype("float32") for _ in "ab")
    plain = trained(weights, gradients)
    turned = trained(weights, [each | {"square": a @ each["square"] @ b} for each in gradients])
    change, of_turned = (each["square"] - weights["square"] for each in (plain, turned))
    np.testing.assert_allclose(of_turned, a @ change @ b, rtol=1e-4, atol=5e-6)
    assert np.abs(of_turned - change).max() > 0.1 * np.abs(change).max()


def test_a_large_side_keeps_the_identity(monkeypatch):
    """With both sides too large, SOAP is Adam from the second gradient."""
    monkeypatch.setattr(soap, "MAX_SIDE", 4)
    assert soap.slots([(4, 5), (3,)]) == {
        "average 4": (1, 4, 4),
        "basis 4": (1, 4, 4),
    }
    monkeypatch.setattr(soap, "MAX_SIDE", 3)
    weights, gradients = numbers(0), [numbers(1 + step) for step in range(4)]
    as_vectors = [{"vector": each["square"].reshape(-1)} for each in (weights, *gradients)]
    expected = trained(as_vectors[0], as_vectors[1:])["vector"]
    found = trained(weights, gradients)["square"]
    np.testing.assert_allclose(found.reshape(-1), expected, rtol=1e-6)


@graph_or_slow
def test_lanes_are_each_alone_whatever_their_frequency_and_beside_adam(mode):
    lanes = {"beta_2": [0.9, 0.8, 0.95], "shampoo_beta": [0.85, 0.9, 0.7]}
    lanes["precondition_frequency"] = [3.0, 2.0, 5.4]
    weights, gradients = numbers(0, 3), [numbers(1 + step, 3) for step in range(8)]
    both = ("adam", "soap")
    together = trained(weights, gradients, lanes, both, choice=[1, 1, 0], mode=mode)
    for lane, names in enumerate((("soap",), ("soap",), ("adam",))):
        alone = trained(
            {name: each[lane] for name, each in weights.items()},
            [{name: each[lane] for name, each in gradient.items()} for gradient in gradients],
            {name: values[lane] for name, values in lanes.items()},
            names=names,
        )
        for name in SHAPES:
            np.testing.assert_allclose(together[name][lane], alone[name], rtol=1e-4, atol=5e-6)


CONFIG = TrainConfig(
    task="capacity",
    arch="rnn",
    num_params=100,  # as many units as inputs, which compiles faster
    train_steps=40,
    batch_size=8,
    optimizer="soap",
    task_options={"num_inputs": 6, "num_samples": 90, "presentation": "every"},
)


def test_a_resumed_training_is_that_without_a_break(tmp_path):
    trial = Trial(CONFIG)
    program = trial.program()
    hparams, data = trial.hparams(program), trial.task.device_data
    start = program.start(trial.draw_weights())
    whole = program.run(start, hparams, data, 25)
    half = program.run(start, hparams, data, 14)
    checkpoints.write(tmp_path / "checkpoints", half)
    (path,) = checkpoints.paths(tmp_path / "checkpoints")
    resumed = program.run(checkpoints.read(path, like=start), hparams, data, 25)
    for one, other in zip(
        *(keras.tree.flatten(to_numpy(s)) for s in (whole, resumed)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    basis = to_numpy(whole["slots"]["own"]["soap"]["basis 6"])
    product = basis @ np.swapaxes(basis, -2, -1)
    # Both sides of the input and the recurrent matrix, and one of the readout.
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(6), (5, 6, 6)), atol=1e-5)


def test_the_size_of_the_slots_is_that_of_the_estimate():
    trial = Trial(CONFIG)
    weights = trial.draw_weights()
    own = updates.zero_slots(weights, ["soap"])["own"]["soap"]
    shapes = [weight.shape for weight in keras.tree.flatten(weights)]
    assert own_size("soap", shapes) == sum(np.size(each) for each in own.values()) > 0
    assert own_size("adam", shapes) == 0
