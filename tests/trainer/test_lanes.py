"""Trials in lanes of one program end as each would alone."""

import dataclasses
import itertools
import math

import keras
import numpy as np
import pytest
from registrations import restored

import rnn_zoo
import trainer.trial
from trainer import Callback, TrainConfig, UserError, backend, lanes
from trainer.config import ACTIVATIONS
from trainer.lanes import train_lanes
from trainer.storage.records import RunRecord
from trainer.trial import Trial

BASE = TrainConfig(
    task="capacity",
    arch="ugrnn",
    num_params=300,
    train_steps=60,
    batch_size=8,
    task_options={"num_inputs": 6, "num_samples": 90, "presentation": "every"},
)


def varied(**changes):
    return dataclasses.replace(BASE, **changes)


#: Six trials for two lanes: they differ in everything that lanes may, and end at different steps.
TRIALS = [
    BASE,
    varied(
        seed=5,
        optimizer="sgd",
        lr_init=0.1,
        activation="relu",
        gate_bias=3.0,
        train_steps=20,
        task_options={"num_inputs": 6, "num_samples": 300, "presentation": "first"},
    ),
    varied(optimizer="rmsprop", momentum_logit=3.0, l2_decay=1e-3, train_steps=35),
    varied(optimizer="momentum", lr_init=1e5, gradient_clip_val=1e6, l2_decay=0.1),
    varied(seed=9, train_steps=15, input_scale=2.0, matrix_init="identity"),
    varied(seed=10, optimizer="momentum", lr_init=0.05, gradient_clip_val=0.1, lr_decay_rate=0.5),
]


def shared(trial):
    """Return the program that trains a trial in lanes."""
    return trial.program(trial.optimizers, ACTIVATIONS)


@pytest.fixture
def no_programs(monkeypatch):
    """An empty store of programs."""
    monkeypatch.setattr(trainer.trial, "kept_programs", {})
    return trainer.trial.kept_programs


@pytest.fixture(scope="module")
def program():
    """The program of `BASE` alone."""
    return Trial(BASE).program()


def alone(config, program):
    """Return a trial's last step, and its metrics on the whole data set if it is feasible."""
    trial = Trial(config)
    hparams, data = trial.hparams(program), trial.task.device_data
    state = program.run(program.start(trial.draw_weights()), hparams, data, config.train_steps)
    if not bool(state["feasible"]):
        return int(state["step"]), None
    size = trial.task.num_samples
    metrics = program.evaluate(state["weights"], hparams, data, "eval", size, whole=True)
    return int(state["step"]), trial.task.summarise(metrics, trial.units, trial.num_params)


class Recorder(Callback):
    """Keeps the arguments of all calls, by run."""

    def __init__(self):
        self.heard = {}

    def on_start(self, info):
        assert info["run_id"] not in self.heard
        self.heard[info["run_id"]] = [info]

    def on_measure(self, row):
        self.heard[row["run_id"]].append(row)

    on_end = on_measure


@pytest.fixture(scope="module")
def heard():
    """The arguments of a callback's calls for `TRIALS` in two lanes, by run."""
    trials = [Trial(config, str(number)) for number, config in enumerate(TRIALS)]
    found, recorder = [], Recorder()
    for trial, record, _ in train_lanes(iter(trials), lanes=2, callbacks=[recorder]):
        record.origin = "search"  # as in a study, which completes records
        found.append(trial.run_id)
    assert found != sorted(found)
    return recorder.heard


@pytest.fixture(scope="module")
def records(heard):
    """The records of `TRIALS`, in the trials' order."""
    return [RunRecord(**heard[run_id][-1]) for run_id in sorted(heard)]


def test_callbacks_are_called_for_each_trial_from_start_to_end(heard):
    assert sorted(heard) == ["0", "1", "2", "3", "4", "5"]
    for run_id, (info, *rows, record) in heard.items():
        assert (info["steps_done"], info["run_dir"]) == (0, None)
        assert info["hparams"] == record["hparams"]
        assert record["origin"] == "search" and info["origin"] is None
        # Every step is measured by itself, since there are fewer than a hundred.
        assert [row["step"] for row in rows] == list(range(1, record["steps_done"] + 1))
        per_point = record["train_steps"] // 20
        if record["train_steps"] % 20 == 0 and record["status"] == "ok":
            losses = np.reshape([row["train_loss"] for row in rows], (20, per_point)).mean(1)
            np.testing.assert_allclose(losses, record["curve"], rtol=1e-4)
        config = TRIALS[int(run_id)]
        share = (rows[-1]["step"] - 1) / config.train_steps
        rate = config.lr_init * config.lr_decay_rate**share
        assert rows[-1]["learning_rate"] == pytest.approx(rate)


@pytest.mark.parametrize(
    "index",
    [0, *(pytest.param(index, marks=pytest.mark.slow) for index in range(1, len(TRIALS)))],
)
def test_a_lane_ends_as_its_trial_alone(records, program, index):
    if index:  # The others' activations and optimizers are not those of `BASE`.
        program = Trial(TRIALS[index]).program()
    record, (step, metrics) = records[index], alone(TRIALS[index], program)
    assert record.steps_done == step
    if metrics is None:
        assert (record.status, record.infeasible_at) == ("infeasible", step)
        assert record.eval_loss is None
    else:
        assert record.status == "ok"
        for name, value in metrics.items():
            np.testing.assert_allclose(record.metrics["eval"][name], value, rtol=1e-4, atol=1e-6)


def test_the_trials_cover_both_ends(records):
    assert [record.status for record in records].count("infeasible") == 1
    assert records[1].data["num_samples"] == 300


def test_another_shape_is_refused_before_it_trains_on_anothers_data():
    other = varied(task_options={"num_inputs": 7, "num_samples": 90})
    with pytest.raises(UserError, match="lanes share one program"):
        lanes.Lanes([Trial(BASE), Trial(other)], 2)


class Instant:
    """Lanes whose trials end at the first call, in place of `Lanes`."""

    def __init__(self, trials, num_lanes):
        (self.shape,) = {trial.shape for trial in trials}
        self.busy, self.num_lanes, self.done = list(trials), num_lanes, []

    @property
    def idle(self):
        return range(self.num_lanes - len(self.busy))

    def advance(self):
        self.done, self.busy = self.busy, []

    def ended(self):
        done, self.done = self.done, []
        return done

    def collect(self, ended):
        if ended:
            groups.append("".join(trial.run_id for trial in ended))
        yield from ((trial, trial, {}) for trial in ended)

    def rows(self):
        return []

    def refill(self, lane, trial):
        assert trial.shape == self.shape
        self.busy.append(trial)

    def drop_idle(self):
        pass


@dataclasses.dataclass
class Shaped:
    """A trial and its record in one."""

    run_id: str
    shape: str

    def record(self):
        return self


groups: list[str] = []


def test_trials_of_another_shape_train_after_the_others(monkeypatch):
    monkeypatch.setattr(lanes, "Lanes", Instant)
    groups.clear()
    trials = [Shaped(name, "long" if name in "cdg" else "short") for name in "abcdefg"]
    # None is ready after the third.
    ready = [*trials[:3], None, None, *trials[3:]]
    found = train_lanes(iter(ready), lanes=2)
    assert "".join(trial.run_id for trial, _, _ in found) == "abcdefg"
    assert groups == ["ab", "c", "d", "ef", "g"]


def test_no_trials_are_no_work():
    assert list(train_lanes([], lanes=4)) == []


def test_a_loss_that_is_not_finite_after_the_last_step_is_infeasible():
    trial = Trial(BASE)
    record = trial.record()
    record.status, record.steps_done = "ok", 60
    trial.complete(record, lambda *_: {"loss": float("inf"), "accuracy": 0.5})
    assert (record.status, record.infeasible_at, record.eval_loss) == ("infeasible", 60, None)


def test_the_weights_are_those_of_the_trial_alone(program):
    trial = Trial(BASE)
    hparams, data = trial.hparams(program), trial.task.device_data
    state = program.run(program.start(trial.draw_weights()), hparams, data, BASE.train_steps)
    other = Trial(varied(seed=4, train_steps=7))
    found = {id(trial): weights for trial, _, weights in train_lanes([trial, other], lanes=2)}
    for name, array in named(found[id(trial)]).items():
        expected = keras.ops.convert_to_numpy(named(state["weights"])[name])
        np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-5)


def named(weights):
    return {"/".join(map(str, path)): leaf for path, leaf in keras.tree.flatten_with_path(weights)}


def test_the_curve_is_the_mean_of_the_losses(program):
    """With 190 steps, a point spans 9 or 10 steps; the first 52 steps complete five points."""
    trial = Trial(varied(train_steps=190))
    hparams, data = trial.hparams(program), trial.task.device_data
    state, losses, before = program.start(trial.draw_weights()), [], 0.0
    for step in range(1, 53):
        state = program.run(state, hparams, data, step)
        total = float(keras.ops.convert_to_numpy(state["loss_sums"]).sum(dtype="float64"))
        losses.append(total - before)
        before = total
    curve = trial.curve(state["loss_sums"], 52)
    ends = [math.ceil(190 * point / 20) for point in range(6)]
    expected = [np.mean(losses[a:b]) for a, b in itertools.pairwise(ends)]
    np.testing.assert_allclose(curve, expected, rtol=1e-4)


def test_a_pruned_trial_ends_early_and_is_measured():
    trials = [
        Trial(varied(train_steps=200), "good", stop_above={0.25: 10.0}),
        Trial(varied(train_steps=200), "bad", stop_above={0.25: 1e-6}),
        Trial(varied(train_steps=200), "late", stop_above={0.5: 1e-6}),
    ]
    records = {record.run_id: record for _, record, _ in train_lanes(trials, lanes=2)}
    steps = {name: record.steps_done for name, record in records.items()}
    assert steps == {"good": 200, "bad": 50, "late": 100}
    assert {name: record.stopped_early for name, record in records.items()} == {
        "good": False,
        "bad": True,
        "late": True,
    }
    assert all(record.status == "ok" and record.valid_loss > 0 for record in records.values())
    assert [len(records[name].curve) for name in ("good", "bad", "late")] == [20, 5, 10]


def test_a_lane_waits_for_a_trial_that_is_not_there_yet():
    busy = set()

    def trials():
        yield Trial(varied(train_steps=20), "first")
        yield Trial(varied(train_steps=60), "second")
        # The third is ready only after the first has ended.
        while "first" in busy:
            yield None
        yield Trial(varied(train_steps=10), "third")

    busy.update(("first", "second"))
    ended = []
    for _, record, _ in train_lanes(trials(), lanes=2):
        busy.discard(record.run_id)
        ended.append(record.run_id)
    assert sorted(ended) == ["first", "second", "third"]


@pytest.mark.slow
def test_lanes_that_wait_at_the_start_are_filled_later():
    """Three lanes start with one trial; the others join as soon as they are ready."""
    seen = []

    def trials():
        yield None
        yield Trial(varied(train_steps=30), "0")
        yield None
        yield from (Trial(varied(train_steps=30), str(number)) for number in range(1, 4))

    records = [r for _, r, _ in train_lanes(trials(), 3, lambda steps: seen.append(len(steps)))]
    assert sorted(record.run_id for record in records) == ["0", "1", "2", "3"]
    assert seen[0] == 1 and max(seen) == 3


def test_data_have_a_seed_of_their_own():
    seeds = [(1, None), (1, 2), (2, 1), (1, 1)]
    trials = [Trial(varied(seed=s, data_seed=d), f"{s} {d}") for s, d in seeds]
    found = {record.run_id: record for _, record, _ in train_lanes(trials, lanes=2)}
    losses = {name: record.train_loss for name, record in found.items()}
    assert losses["1 None"] == losses["1 1"]
    assert len(set(losses.values())) == 3


def test_a_program_has_the_optimizers_that_its_trials_may_use():
    """Muon's matrix products would slow down trials that do not use it."""
    paper = ("sgd", "momentum", "rmsprop", "adam")
    assert Trial(BASE).optimizers == Trial(BASE, optimizers=["adam", "sgd"]).optimizers == paper
    assert Trial(varied(optimizer="muon")).optimizers == ("muon",)
    assert shared(Trial(BASE)).optimizer_names == paper


@pytest.mark.slow
@pytest.mark.parametrize("name, tolerance", [("muon", 1e-4), ("soap", 1e-3)])
def test_another_optimizer_trains_beside_adam_if_both_allow_it(name, tolerance):
    other = varied(optimizer=name, seed=8, train_steps=40)  # with no answer close to one half
    with pytest.raises(UserError, match="lanes share one program"):
        lanes.Lanes([Trial(BASE), Trial(other)], 2)
    # The second lane is free first, and begins again from zero slots.
    configs = [BASE, varied(train_steps=10), other]
    trials = [Trial(each, str(i), optimizers=[name, "adam"]) for i, each in enumerate(configs)]
    found = {trial.run_id: record for trial, record, _ in train_lanes(iter(trials), lanes=2)}
    assert shared(trials[0]).optimizer_names == ("adam", name)
    step, metrics = alone(other, Trial(other).program())
    assert found["2"].steps_done == step == 40
    for metric, value in metrics.items():
        in_lane = found["2"].metrics["eval"][metric]
        np.testing.assert_allclose(in_lane, value, rtol=tolerance, atol=1e-6)


def test_a_cell_that_is_registered_anew_has_a_program_of_its_own(no_programs):
    first, again, other = Trial(BASE), Trial(BASE), Trial(BASE)
    other.cells = [type("UGRNNCell", (type(cell),), {})(cell.units) for cell in first.cells]
    assert shared(first) is shared(again)
    assert shared(other).cells is other.cells
    assert shared(Trial(varied(batch_size=4))) is not shared(again)


@keras.saving.register_keras_serializable("test_lanes")
def halved(z):
    return 0.5 * keras.ops.tanh(z)


@pytest.mark.parametrize("own", ["elu", halved], ids=["by name", "a function"])
def test_a_cell_with_another_nonlinearity_trains_in_lanes_too(own, no_programs):
    class LeakyCell(rnn_zoo.AbstractRNNCell):
        gates = ("h",)

        def __init__(self, units, activation=own, **kwargs):
            super().__init__(units, activation, **kwargs)

        def step(self, ops, x, pre, states):
            h = 0.9 * states[0] + self.activation(pre("h", states[0]))
            return h, [h]

    with restored():
        rnn_zoo.register("leaky", LeakyCell)
        config = varied(arch="leaky", train_steps=20)
        (found,) = [record for _, record, _ in train_lanes([Trial(config)], 1)]
        _, metrics = alone(config, Trial(config).program())
        assert found.metrics["eval"]["loss"] == pytest.approx(metrics["loss"], rel=1e-4)
        assert Trial(config).shape != Trial(varied(arch="leaky", activation="relu")).shape


def test_only_the_last_programs_are_kept(no_programs):
    first, *_ = programs = [Trial(varied(batch_size=size)).program() for size in range(1, 6)]
    assert [*no_programs.values()] == programs[1:]
    assert Trial(varied(batch_size=2)).program() is programs[1]
    assert Trial(varied(batch_size=1)).program() is not first
    assert [each.batch_size for each in no_programs.values()] == [4, 5, 2, 1]


@pytest.mark.slow
def test_a_program_is_compiled_once_for_all_trials_of_its_shape(no_programs, monkeypatch):
    """Reruns, another study of the same shape, or a run in a loop do not compile again."""
    made, compile_ = [], backend.current().compile
    monkeypatch.setattr(backend.current(), "compile", lambda f: made.append(f) or compile_(f))
    configs = [varied(seed=3), varied(seed=4)]
    first, again = [list(train_lanes([Trial(config)], 1)) for config in configs]
    assert len(made) == 2  # training and evaluation
    assert first[0][1].curve != again[0][1].curve
    list(train_lanes([Trial(varied(batch_size=4))], 1))
    assert len(made) == 4
