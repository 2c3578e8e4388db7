"""The compiled training program against a slow loop; splits of a run, divergence, lanes."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from on_backend import tensorflow_only, to_numpy
from processes import environment
from slow import slow_except

from rnn_zoo.model import build_model, get_weights, recurrent_cells, set_weights
from trainer import UserError, backend
from trainer.config import TrainConfig
from trainer.evaluation import Evaluator
from trainer.optimizers import PAPER_OPTIMIZERS
from trainer.program import DIVERGED, Program, stack
from trainer.trial import Trial

T, B = 12, 8
#: Those of Keras.
OPTIMIZERS = (*PAPER_OPTIMIZERS, "adamw", "muon")


class Small:
    """Program of a small parens task for one architecture, compiled once."""

    def __init__(self, arch, depth=1, activations=("tanh",)):
        self.config = {"arch": arch, "depth": depth, "num_params": 2500}
        config = self.make_config()
        self.task = config.make_task()
        self.units = config.units(self.task.input_dim, self.task.output_dim)
        self.model = self.make_model(0)
        cells = recurrent_cells(self.model)
        self.cell = cells[0]
        self.program = Program(self.task, cells, B, OPTIMIZERS, activations)

    def make_config(self, **changes):
        defaults = {
            "task": "parens",
            "task_options": {"num_steps": T},
            "batch_size": B,
            "train_steps": 20,
            "gradient_clip_val": 1.0,
            "seed": 3,
        }
        return TrainConfig(**defaults | self.config | changes)

    def make_model(self, seed):
        return build_model(
            self.config["arch"], self.config["depth"], self.units, 300, 100, seed=seed
        )

    def hparams(self, activation="tanh", **changes):
        return self.program.hparams(self.make_config(**changes), self.cell, activation)

    def start(self, seed=0):
        return self.program.start(get_weights(self.make_model(seed)))

    def run(self, state, stop, **changes):
        return self.program.run(state, self.hparams(**changes), self.task.device_data, stop)

    def outputs(self, weights, split, step):
        """Return the outputs of a Keras model with these weights for a batch."""
        model = self.make_model(0)
        set_weights(model, weights)
        return model(self.task.sample(split, 3, B, step).inputs)


@pytest.fixture(scope="module")
def small():
    return Small("rnn")


def assert_equal(a, b):
    for left, right in zip(keras.tree.flatten(a), keras.tree.flatten(b), strict=True):
        np.testing.assert_array_equal(left, right)


def assert_close(a, b, **tolerance):
    for left, right in zip(keras.tree.flatten(a), keras.tree.flatten(b), strict=True):
        np.testing.assert_allclose(left, right, **tolerance)


# Slow twin: Keras's layer, loss, optimizer and schedule, one eager step at a time.


def slow_training(small, steps, config):
    """Train a vanilla RNN; return its weights, losses and gradient norms."""
    import tensorflow as tf

    weights = get_weights(small.make_model(0))
    (layer,) = weights["layers"]
    rnn = keras.layers.SimpleRNN(small.units)
    rnn.build((None, T, 300))
    rnn.set_weights([layer["input"]["h"], layer["recurrent"]["h"], layer["bias"]["h"]])
    initial_state = tf.Variable(layer["initial_state"][0])
    readout = keras.layers.Dense(100)
    readout.build((None, small.units))
    readout.set_weights([weights["readout"]["kernel"], weights["readout"]["bias"]])

    momentum = float(1 / (1 + np.exp(-config.momentum_logit)))
    schedule = keras.optimizers.schedules.ExponentialDecay(
        config.lr_init, config.train_steps, config.lr_decay_rate
    )
    limit = {"global_clipnorm": config.gradient_clip_val}
    optimizer = {
        "sgd": lambda: keras.optimizers.SGD(schedule, **limit),
        "momentum": lambda: keras.optimizers.SGD(schedule, momentum=momentum, **limit),
        "rmsprop": lambda: keras.optimizers.RMSprop(schedule, rho=momentum, **limit),
        "adam": lambda: keras.optimizers.Adam(schedule, beta_1=momentum, **limit),
        "adamw": lambda: keras.optimizers.AdamW(
            schedule, weight_decay=0.004, beta_1=momentum, **limit
        ),
        "muon": lambda: keras.optimizers.Muon(
            schedule,
            adam_beta_1=momentum,
            momentum=momentum,
            weight_decay=None,
            adam_weight_decay=None,
            **limit,
        ),
    }[config.optimizer]()
    state = keras.Variable(initial_state)
    variables = [*rnn.trainable_variables, *readout.trainable_variables, state]
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")

    losses, norms = [], []
    for step in range(steps):
        inputs, targets = small.task.sample("train", config.seed, B, step)
        with tf.GradientTape() as tape:
            first = tf.tile(state.value[None], (B, 1))
            logits = readout(rnn(inputs, initial_state=[first]))
            loss = sum(
                tf.reduce_mean(crossentropy(targets[:, -1, k], logits[:, 10 * k : 10 * k + 10]))
                for k in range(10)
            )
            kernel, recurrent, _ = rnn.trainable_variables
            matrices = [kernel, recurrent, readout.kernel]
            total = loss + config.l2_decay * sum(tf.reduce_sum(m.value**2) for m in matrices)
        gradients = tape.gradient(total, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
        losses.append(float(loss))
        norms.append(float(tf.linalg.global_norm(gradients)))
    kernel, recurrent, bias, *others = (variable.numpy() for variable in variables)
    return {
        "input": kernel,
        "recurrent": recurrent,
        "bias": bias,
        "readout": others[0],
        "readout_bias": others[1],
        "initial_state": others[2],
    }, (losses, norms)


def named(weights):
    (layer,) = weights["layers"]
    return {
        "input": layer["input"]["h"],
        "recurrent": layer["recurrent"]["h"],
        "bias": layer["bias"]["h"],
        "readout": weights["readout"]["kernel"],
        "readout_bias": weights["readout"]["bias"],
        "initial_state": layer["initial_state"][0],
    }


@tensorflow_only
@pytest.mark.parametrize("optimizer", slow_except(["adam"], OPTIMIZERS))
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"gradient_clip_val": 0.7}, id="clipped"),
        pytest.param(
            {"gradient_clip_val": 1e3, "l2_decay": 0.01}, id="penalised", marks=pytest.mark.slow
        ),
    ],
)
def test_training_equals_a_slow_loop_in_keras(small, optimizer, changes):
    changes |= {"optimizer": optimizer, "lr_init": 0.01, "lr_decay_rate": 0.05}
    expected, (losses, norms) = slow_training(small, 5, small.make_config(**changes))
    state, seen = small.start(), []
    before = to_numpy(state["weights"])
    for stop in range(1, 6):
        state = small.run(state, stop, **changes)
        seen.append((float(np.sum(state["loss_sums"])), float(state["gradient_norm"])))
    np.testing.assert_allclose([loss for loss, _ in seen], np.cumsum(losses), rtol=1e-5)
    np.testing.assert_allclose([norm for _, norm in seen], norms, rtol=1e-4)
    ours = named(to_numpy(state["weights"]))
    for name, value in expected.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-4, atol=2e-5, err_msg=name)
        assert not np.array_equal(ours[name], named(before)[name])


def total_loss(weights, inputs, targets, l2_decay):
    """Return the penalised loss, computed in NumPy in float64."""
    h = np.tile(weights["initial_state"], (B, 1))
    for t in range(T):
        h = np.tanh(inputs[:, t] @ weights["input"] + h @ weights["recurrent"] + weights["bias"])
    logits = (h @ weights["readout"] + weights["readout_bias"]).reshape(B, 10, 10)
    right = np.take_along_axis(logits, targets[:, -1, :, None], -1)[..., 0]
    loss = (np.log(np.exp(logits).sum(-1)) - right).sum(-1).mean()
    return loss + l2_decay * sum((weights[n] ** 2).sum() for n in ("input", "recurrent", "readout"))


@pytest.mark.parametrize("l2_decay", [0.0, 0.05])
def test_gradient_equals_central_differences(small, l2_decay):
    """With SGD, a learning rate of 1 and no clipping, an update is minus the gradient."""
    changes = {"optimizer": "sgd", "lr_init": 1.0, "lr_decay_rate": 1.0, "gradient_clip_val": 1e9}
    start = small.start(seed=5)
    before = {k: v.astype("float64") for k, v in named(to_numpy(start["weights"])).items()}
    after = named(to_numpy(small.run(start, 1, l2_decay=l2_decay, **changes)["weights"]))
    inputs, targets = to_numpy(tuple(small.task.sample("train", 3, B, 0)))
    rng = np.random.default_rng(1)
    for name, weight in before.items():
        direction = rng.normal(size=weight.shape)
        losses = [
            total_loss(before | {name: weight + sign * 1e-5 * direction}, inputs, targets, l2_decay)
            for sign in (1, -1)
        ]
        expected = (losses[0] - losses[1]) / 2e-5
        assert ((weight - after[name]) * direction).sum() == pytest.approx(expected, rel=1e-3)


# K steps per call.


def test_ten_steps_equal_five_and_five_and_ten_single_steps(small):
    whole = to_numpy(small.run(small.start(), 10))
    for stops in ((5, 10), range(1, 11), (1, 4, 10, 10)):
        state = small.start()
        for stop in stops:
            state = small.run(state, stop)
        assert_equal(to_numpy(state), whole)
    assert whole["step"] == 10
    assert whole["feasible"]


def test_a_state_goes_through_numpy_unchanged(small):
    half = to_numpy(small.run(small.start(), 5))
    again = keras.tree.map_structure(keras.ops.convert_to_tensor, half)
    assert_equal(to_numpy(small.run(again, 10)), to_numpy(small.run(small.start(), 10)))


def test_the_seed_determines_the_batches(small):
    first, other = (to_numpy(small.run(small.start(), 2, seed=seed)) for seed in (3, 4))
    assert first["loss_sums"][0] != other["loss_sums"][0]


@tensorflow_only
def test_trials_share_a_compilation(small):
    small.run(small.start(), 3)
    compiled = small.program._run.experimental_get_tracing_count()
    small.run(small.start(1), 7, lr_init=0.5, optimizer="rmsprop", seed=9, l2_decay=0.1)
    assert small.program._run.experimental_get_tracing_count() == compiled == 1


# Divergence.

HUGE = {"optimizer": "sgd", "lr_decay_rate": 1.0}


def test_an_update_to_infinite_weights_is_discarded(small):
    start = small.start()
    ended = to_numpy(small.run(start, 10, lr_init=1e30, **HUGE))
    assert not ended["feasible"]
    assert ended["step"] == 0
    assert not ended["loss_sums"].any()
    assert_equal(ended["weights"], to_numpy(start["weights"]))


def test_a_loss_above_a_hundred_times_chance_ends_the_training(small):
    """A huge update makes huge but finite weights, whose loss the next step computes."""
    ended = to_numpy(small.run(small.start(), 10, lr_init=1e5, **HUGE))
    assert not ended["feasible"]
    assert ended["step"] == 1
    stopped = to_numpy(small.run(small.start(), 1, lr_init=1e5, **HUGE))
    assert stopped["feasible"]
    assert_equal(ended["weights"], stopped["weights"])
    assert_equal(ended["slots"], stopped["slots"])
    assert all(np.isfinite(weight).all() for weight in keras.tree.flatten(ended["weights"]))
    outputs = small.outputs(ended["weights"], "train", 1)
    loss = float(small.task.loss(outputs, small.task.sample("train", 3, B, 1)))
    assert loss > DIVERGED * small.task.chance_loss


@pytest.mark.slow
@pytest.mark.parametrize("factor, feasible", [(1.001, True), (0.999, False)])
def test_the_limit_is_a_hundred_times_the_chance_loss(factor, feasible):
    """The chance loss is set so that the first loss is just below or above the limit."""
    small = Small("rnn")
    batch = small.task.sample("train", 3, B, 0)
    loss = float(small.task.loss(small.model(batch.inputs), batch))
    small.task.chance_loss = factor * loss / 100
    ended = small.run(small.start(), 1)
    assert bool(ended["feasible"]) == feasible
    assert int(ended["step"]) == feasible


def test_a_nan_weight_ends_the_training(small):
    weights = get_weights(small.make_model(0))
    weights["layers"][0]["bias"]["h"] = weights["layers"][0]["bias"]["h"] + np.float32("nan")
    ended = to_numpy(small.run(small.program.start(weights), 10))
    assert not ended["feasible"]
    assert ended["step"] == 0


def test_a_diverged_training_does_not_resume(small):
    ended = small.run(small.start(), 10, lr_init=1e5, **HUGE)
    assert_equal(to_numpy(small.run(ended, 20)), to_numpy(ended))


# Lanes.

STOPS = [10, 4, 10, 9]


@pytest.fixture(scope="module")
def lanes():
    """Return four trials, alone and in one program; the second is shorter, the third diverges."""
    small = Small("rnn", activations=("tanh", "relu"))
    trials = [
        {"optimizer": "adam", "lr_init": 0.01, "seed": 3},
        {"optimizer": "sgd", "lr_init": 0.1, "seed": 4, "gradient_clip_val": 0.3},
        {"optimizer": "sgd", "lr_init": 1e5, "seed": 5},
        {"optimizer": "rmsprop", "lr_init": 0.003, "seed": 6, "l2_decay": 0.01, "train_steps": 9},
    ]
    hparams = [
        small.hparams(activation=("tanh", "relu")[lane % 2], **trial)
        for lane, trial in enumerate(trials)
    ]
    weights = [get_weights(small.make_model(seed)) for seed in range(4)]
    alone = [
        to_numpy(small.program.run(small.program.start(weight), numbers, {}, stop))
        for weight, numbers, stop in zip(weights, hparams, STOPS, strict=True)
    ]
    start = small.program.start(stack(weights))
    together = small.program.run(start, stack(hparams), {}, STOPS)
    return small, hparams, alone, together


@pytest.mark.slow  # test_lanes.py has lanes that differ in more.
def test_a_lane_equals_the_trial_alone(lanes):
    _, _, alone, together = lanes
    together = to_numpy(together)
    assert together["feasible"].tolist() == [True, True, False, True]
    assert together["step"].tolist() == [10, 4, 1, 9]
    for lane, expected in enumerate(alone):
        mine = keras.tree.map_structure(lambda value, lane=lane: value[lane], together)
        assert_close(mine, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow  # So do the metrics of test_lanes.py.
def test_evaluation_of_a_lane_equals_the_trial_alone(lanes):
    small, hparams, _, together = lanes
    measured = small.program.evaluate(together["weights"], stack(hparams), {}, "valid", 32)
    for lane, numbers in enumerate(hparams):
        weights = keras.tree.map_structure(lambda w, lane=lane: w[lane], together["weights"])
        for name, value in small.program.evaluate(weights, numbers, {}, "valid", 32).items():
            np.testing.assert_allclose(measured[name][lane], value, rtol=1e-4)


# Evaluation.


@pytest.mark.parametrize("shared", slow_except([True], [True, False]))
def test_evaluation_is_the_mean_of_the_models_metrics_over_whole_batches(
    small, shared, monkeypatch
):
    task = small.task
    monkeypatch.setattr(task, "splits_share_a_program", shared)
    monkeypatch.setattr(small.program, "_evaluators", {})
    monkeypatch.setattr("trainer.program.EVALUATION_NUMBERS", B * task.num_steps * task.input_dim)
    state = small.run(small.start(), 3)
    measured = small.program.evaluate(state["weights"], small.hparams(), {}, "eval", 3 * B)
    expected = []
    for step in range(3):
        outputs = small.outputs(to_numpy(state["weights"]), "eval", step)
        expected.append(small.task.metrics(outputs, small.task.sample("eval", 3, B, step)))
    assert isinstance(measured["loss"], float)
    assert isinstance(measured["accuracy_by_stream"], list)
    for name, value in measured.items():
        mean = np.mean([to_numpy(metrics[name]) for metrics in expected], axis=0)
        np.testing.assert_allclose(value, mean, rtol=1e-5)


def test_cells_with_wide_states_are_measured_in_smaller_batches(monkeypatch):
    """The mLSTM's state is a matrix; 4,096 samples of adding took 11 GB."""
    options = {"num_params": 2000, "batch_size": 2, "task_options": {"num_steps": 4}}
    trial = Trial(TrainConfig("adding", "mlstm", eval_samples=8, **options))
    (width,) = {cell.units * (cell.units // 4) for cell in trial.cells}
    assert width > 1000
    monkeypatch.setattr("trainer.program.EVALUATION_NUMBERS", 2 * width)
    program = trial.program()
    Evaluator(trial)(trial.random_weights())
    assert {batch_size for _, _, batch_size, _ in program._evaluators} == {2}


def test_an_unsupported_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(UserError, match="KERAS_BACKEND=torch; use tensorflow or jax"):
        backend.current()


# JAX. The other process runs this file as its program.


def trained_weights():
    """Return the weights of a GRU after 20 steps as a list."""
    small = Small("gru")
    state = small.run(small.start(), 20, lr_init=0.01, optimizer="adam")
    assert int(state["step"]) == 20
    return keras.tree.flatten(to_numpy(state["weights"]))


@tensorflow_only
@pytest.mark.slow
def test_jax_trains_to_the_same_weights(tmp_path):
    path = tmp_path / "weights.npz"
    process = subprocess.Popen(
        [sys.executable, __file__, path],
        env=environment(KERAS_BACKEND="jax"),
        stderr=subprocess.PIPE,
        text=True,
    )
    ours = trained_weights()
    _, problem = process.communicate(timeout=300)
    assert process.returncode == 0, problem
    theirs = [*np.load(path).values()]
    assert len(ours) == len(theirs)
    start = keras.tree.flatten(get_weights(Small("gru").make_model(0)))
    assert not np.allclose(ours[0], start[0], rtol=0.1)
    assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


if __name__ == "__main__":
    assert keras.backend.backend() == "jax"
    np.savez(sys.argv[1], *trained_weights())
