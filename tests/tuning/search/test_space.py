"""The search space against appendix A, repeated here, and the distributions of its draws."""

import json
import math
import re

import numpy as np
import pytest
from registrations import restored

import rnn_zoo
from rnn_zoo import CELLS
from trainer import TrainConfig, UserError
from trainer.optimizers import register_optimizer
from trainer.tasks import PAPER_TASKS, TASKS
from trainer.trial import Trial
from tuning.config import StudyConfig
from tuning.search.features import Features
from tuning.search.hyperparameter import DISTRIBUTIONS, Condition, Hyperparameter
from tuning.search.ranges import (
    changed,
    clipped,
    hold,
    of_set,
    of_study,
    settled,
    united,
    with_fixed,
    with_ranges,
    without_effect,
)
from tuning.search.space import (
    configure,
    deviations,
    hyperparameters,
    outside,
    space,
    table,
    values_of,
)

ARCHS = ("rnn", "irnn", "ugrnn", "gru", "lstm", "+rnn")
GATES = {"rnn": "h", "irnn": "h", "ugrnn": "cg", "gru": "ruc", "lstm": "ifco"}
#: Appendix A's ranges of hyperparameters that every network has.
RANGES = {
    "input_scale": ("log-uniform", 0.001, 2.0),
    "recurrent_scale": ("log-uniform", 0.01, 2.0),
    "bias_scale": ("uniform", -2.0, 2.0),
    "gate_bias": ("uniform", 0.0, 6.0),
    "lr_init": ("log-uniform", 1e-4, 1e-1),
    "lr_decay_rate": ("log-uniform", 1e-3, 1.0),
    "momentum_logit": ("uniform", 1.0, 7.0),
    "gradient_clip_val": ("log-uniform", 1.0, 100.0),
    "l2_decay": ("log-uniform", 1e-8, 1e-3),
}


def config(task="parens", arch="gru", **changes):
    return TrainConfig(task=task, arch=arch, **{"train_steps": 4000, "num_params": 2000} | changes)


def by_name(**which):
    return {each.name: each for each in space(config(**which))}


def held_by(start, given, ranges=()):
    """Return the ranges of a study after `hold`."""
    return hold(start, given, StudyConfig(ranges=dict(ranges)))[1].ranges


def points(space, count):
    """Draw random points of a space."""
    features = Features(hyperparameters(space))
    return map(features.decode, features.draw(np.random.default_rng(3), count))


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("task", PAPER_TASKS)
def test_between_10_and_27_dimensions(task, arch):
    names = [each.name for each in space(config(task, arch))]
    assert 10 <= len(names) <= 27
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("arch", ARCHS)
def test_ranges_are_those_of_appendix_a(arch):
    for name, each in by_name(arch=arch).items():
        assert each.distribution in DISTRIBUTIONS
        group = name.split(".")[0]
        if group in RANGES:
            assert (each.distribution, each.low, each.high) == RANGES[group]


def test_scales_are_tuned_gate_by_gate():
    for arch, gates in GATES.items():
        names = by_name(arch=arch)
        for gate in gates:
            assert f"input_scale.{gate}" in names
            assert f"bias_scale.{gate}" in names
            assert (f"recurrent_scale.{gate}" in names) == (arch != "irnn")
    for gate in ("y", "h", "gy", "gh"):
        assert f"recurrent_scale.{gate}" in by_name(arch="+rnn")


def test_exceptions_for_networks_without_gates():
    rnn, irnn, gru = (by_name(arch=arch) for arch in ("rnn", "irnn", "gru"))
    assert rnn["matrix_init"].choices == ("orthogonal", "normal")
    assert rnn["recurrent_scale.h"].condition is None
    assert {"matrix_init", "activation"}.isdisjoint(irnn)
    assert set(gru["matrix_init"].choices) == {"identity", "orthogonal", "normal"}
    for names in (rnn, irnn):
        assert not {name for name in names if "gate_bias" in name}
    assert {name for name in gru if "gate_bias" in name} == {"gate_bias.u"}
    assert {"gate_bias.gy", "gate_bias.gh"} <= by_name(arch="+rnn").keys()


def test_nonlinearities_of_the_intersection_rnn_are_the_papers_unless_set():
    assert "activation" in by_name(arch="gru")
    assert "activation" not in by_name(arch="+rnn")
    for given, expected in (({}, "tanh"), ({"activation": "relu"}, "relu")):
        start = config(arch="+rnn", **given)
        assert held_by(start, given) == given
        (values,) = points(space(start), 1)
        (cell, *_) = Trial(configure(start, values)).cells
        assert cell.activation.__name__ == expected
        assert cell.depth_activation.__name__ == "relu"


def test_conditional_hyperparameters():
    names = by_name()
    scale, momentum = names["recurrent_scale.r"], names["momentum_logit"]
    assert scale.condition == ("matrix_init", ("orthogonal", "normal"))
    assert momentum.condition == ("optimizer", ("momentum", "rmsprop", "adam"))
    for values in points(space(config()), 50):
        assert ("recurrent_scale.r" in values) == (values["matrix_init"] != "identity")
        assert ("momentum_logit" in values) == (values["optimizer"] != "sgd")
    order = list(names)
    for each in names.values():
        if each.condition:
            assert order.index(each.condition.name) < order.index(each.name)
            assert set(each.condition.values) < set(names[each.condition.name].choices)


def test_hyperparameters_of_tasks():
    capacity = by_name(task="capacity")
    samples = capacity["task_options.num_samples"]
    assert (samples.low, samples.high) == (200, 20_000)
    assert capacity["task_options.presentation"].choices == ("first", "every")
    arithmetic = by_name(task="arithmetic")["task_options.compute_steps"]
    assert (arithmetic.low, arithmetic.high) == (1, 6)
    assert not any(name.startswith("task_options") for name in by_name(task="parens"))


def test_distributions():
    """Quantiles in keras-tuner: both ends, the middle, whole numbers equally likely."""
    laws = [
        Hyperparameter("uniform", "uniform", -2.0, 2.0),
        Hyperparameter("log", "log-uniform", 0.01, 100.0),
        Hyperparameter("whole", "integer", 1, 6),
        Hyperparameter("whole_log", "log-integer", 10, 999),
        Hyperparameter("kind", "categorical", choices=("a", "b", "c")),
    ]
    hp = {each.name: each for each in hyperparameters(laws).space}
    middles = {"uniform": 0.0, "log": 1.0, "whole": 4, "whole_log": 100, "kind": "b"}
    for name, middle in middles.items():
        assert hp[name].prob_to_value(0.5) == pytest.approx(middle)
    for each in laws[:4]:
        assert hp[each.name].prob_to_value(0.0) == each.low
        assert hp[each.name].prob_to_value(1 - 1e-9) == pytest.approx(each.high)
    drawn = [hp["whole"].prob_to_value(u) for u in (np.arange(600) + 0.5) / 600]
    assert [drawn.count(value) for value in range(1, 7)] == [100] * 6


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("task", ["capacity", "arithmetic", "rcf"])
def test_every_point_is_a_configuration(task, arch):
    start = config(task, arch)
    for values in points(space(start), 20):
        made = configure(start, values)
        assert (made.task, made.arch, made.num_params) == (task, arch, 2000)
        assert made.lr_init == values["lr_init"]
        assert 1000 <= made.train_steps <= 4000
        for name, value in values.items():
            field, _, entry = name.partition(".")
            assert (getattr(made, field)[entry] if entry else getattr(made, field)) == value


@pytest.mark.parametrize("arch", ["rnn", "irnn", "lstm", "+rnn"])
def test_the_first_trial_can_be_the_configuration(arch):
    config = TrainConfig(task="memory", arch=arch, lr_init=0.5, l2_decay=0.0, depth=2)
    _, first = of_study(config, StudyConfig(first="config"))
    cell = CELLS[arch](3)
    for name in {"activation", "matrix_init"} & set(first):
        expected = getattr(cell, name)
        assert first[name] == getattr(expected, "__name__", expected)
    assert (first["lr_init"], first["l2_decay"]) == (0.1, 1e-8)
    assert first["optimizer"] == "adam" and first["train_steps"] == config.train_steps
    tried = configure(config, first)
    assert dict.fromkeys(tried.input_scale, 1.0) == tried.input_scale
    _, again = of_study(tried, StudyConfig(first="config"))
    assert again == first


def test_a_few_values_of_the_first_trial_can_be_chosen():
    start = config("capacity", "gru", lr_init=0.004)
    _, known = of_study(start, StudyConfig(first="config"))
    chosen = {"num_samples": 300, "input_scale": 0.5}
    _, first = of_study(start, StudyConfig(first=chosen))
    changed = {f"input_scale.{gate}": 0.5 for gate in "ruc"} | {"task_options.num_samples": 300}
    assert first == known | changed
    assert of_study(start, StudyConfig(first=first))[1] == first
    # Scales are inactive, and a name for all gates does not make them active.
    _, first = of_study(
        start, StudyConfig(first={"matrix_init": "identity", "recurrent_scale": 0.5})
    )
    assert not any(name.startswith("recurrent_scale") for name in first)


@pytest.mark.parametrize(
    "first, message",
    [
        ({"lr_init": "x"}, "lr_init must be within .*, got 'x' for the first trial"),
        ({"lr_init": None}, "lr_init must be within .*, got None for the first trial"),
        ({3: 1}, "names of hyperparameters, not 3"),
    ],
)
def test_odd_values_of_the_first_trial_are_refused(first, message):
    with pytest.raises(UserError, match=message):
        of_study(config(), StudyConfig(first=first))


def test_an_unknown_name_of_the_first_trial_lists_each_choice_once():
    with pytest.raises(UserError) as caught:
        of_study(config(), StudyConfig(first={"nonsense": 1}))
    names = re.findall(r"\w+", str(caught.value).partition("there are")[2])
    for name in ("activation", "matrix_init", "batch_size", "depth"):
        assert names.count(name) == 1


def test_the_first_trial_has_the_defaults_of_task_and_cell():
    class Eager(rnn_zoo.AbstractRNNCell):
        gates = ("c",)

        def __init__(self, units, activation="relu", **options):
            super().__init__(units, activation=activation, **options)

        def step(self, ops, x, pre, states):
            h = self.activation(pre("c", states[0]))
            return h, [h]

    with restored():
        rnn_zoo.register("eager", Eager)
        config = TrainConfig(task="capacity", arch="eager", num_params=5000)
        _, first = of_study(config, StudyConfig(first="config"))
    assert (first["activation"], first["matrix_init"]) == ("relu", "orthogonal")
    assert first["task_options.num_samples"] == 20_000
    assert first["task_options.presentation"] == "every"


def test_task_options_that_are_not_tuned_are_kept():
    start = config("capacity", task_options={"num_inputs": 7})
    (values,) = points(space(start), 1)
    made = configure(start, values)
    assert made.task_options["num_inputs"] == 7
    assert made.task_options.keys() == {"num_inputs", "num_samples", "presentation"}


def test_narrowing():
    ranges = {"lr_init": (1e-3, 1e-2), "optimizer": ["adam"], "input_scale": (0.5, 1.0)}
    narrowed = {h.name: h for h in with_ranges(space(config()), ranges | {"gate_bias": 2.0})}
    assert (narrowed["lr_init"].low, narrowed["lr_init"].high) == (1e-3, 1e-2)
    assert narrowed["optimizer"].choices == ("adam",)
    assert all(narrowed[f"input_scale.{gate}"].low == 0.5 for gate in "ruc")
    features = Features(hyperparameters(narrowed.values()))
    assert features.decode(features.draw(np.random.default_rng(0), 1)[0])["gate_bias.u"] == 2.0
    assert narrowed["l2_decay"] == by_name()["l2_decay"]


@pytest.mark.parametrize(
    "inputs, options, ranges, least",
    [
        (24, {}, {}, 25),  # up to 20,000 samples
        (25, {}, {}, None),
        (23, {}, {"num_samples": (200, 8000)}, None),
        (22, {}, {"num_samples": (200, 8000)}, 23),
        (19, {}, {"num_samples": (200, 400)}, 20),
        (6, {}, {"num_samples": 400}, None),  # fixed: no search for the largest
        (6, {"preset": "capacity/gru-2k"}, {}, None),
    ],
)
def test_a_search_for_the_largest_data_set_needs_enough_inputs(inputs, options, ranges, least):
    start = config("capacity", task_options={"num_inputs": inputs}, **options)
    study = StudyConfig(ranges=ranges)
    if least is None:
        assert of_study(start, study)
    else:
        message = f"{inputs} inputs are too few.*num_inputs in task_options to {least} or more"
        with pytest.raises(UserError, match=message):
            of_study(start, study)


@pytest.mark.parametrize("choices", [None, ["adam"], ["adam", "muon"], ["muon"], ["sgd"]], ids=str)
def test_muon_is_searched_only_if_asked_for(choices):
    ranges = {} if choices is None else {"optimizer": choices}
    found, _ = of_study(config(), StudyConfig(ranges=ranges))
    (optimizer,) = (each for each in found if each.name == "optimizer")
    paper = ("sgd", "momentum", "rmsprop", "adam")
    assert optimizer.choices == (paper if choices is None else tuple(choices))
    for values in points(found, 10):
        assert ("momentum_logit" in values) == (values["optimizer"] != "sgd")


def test_an_optimizer_s_own_hyperparameters_are_active_with_it():
    found, _ = of_study(config(), StudyConfig(ranges={"optimizer": ["adam", "adamw"]}))
    (decay,) = (each for each in found if each.name == "optimizer_options.weight_decay")
    assert decay.condition == Condition("optimizer", ("adamw",))
    start = config(optimizer="adamw", optimizer_options={"weight_decay": 0.5})
    kinds = set()
    for values in points(found, 20):
        made = configure(start, values)
        kinds.add(made.optimizer)
        own = {"weight_decay": values.get("optimizer_options.weight_decay")}
        assert made.optimizer_options == (own if made.optimizer == "adamw" else {})
        assert values_of(made, found) == values
    assert kinds == {"adam", "adamw"}
    # Without a value of its own, the first trial has the default.
    study = StudyConfig(ranges={"optimizer": ["adam", "adamw"]}, first={"optimizer": "adamw"})
    assert of_study(config(), study)[1]["optimizer_options.weight_decay"] == 0.004


def test_an_optimizer_s_own_hyperparameter_can_be_fixed():
    ranges = {"optimizer": ["adam", "adamw"], "optimizer_options.weight_decay": 0.1}
    found, _ = of_study(config(), StudyConfig(ranges=ranges))
    decays = {
        made.optimizer: made.optimizer_options
        for made in (configure(config(), values) for values in points(found, 20))
    }
    assert decays == {"adam": {}, "adamw": {"weight_decay": 0.1}}


def test_soap_has_ranges_of_its_own():
    found, _ = of_study(config(), StudyConfig(ranges={"optimizer": ["adam", "soap"]}))
    own = {each.name.partition(".")[2]: each for each in found if "optimizer_opt" in each.name}
    assert own.keys() == {"beta_2", "shampoo_beta", "precondition_frequency"}
    assert own["precondition_frequency"].distribution == "log-integer"
    for values in points(found, 10):
        options = configure(config(), values).optimizer_options
        assert options.keys() == (own.keys() if values["optimizer"] == "soap" else set())


@pytest.mark.parametrize(
    "arch, activations, message",
    [
        ("rnn", {"activation": "relu"}, None),
        ("irnn", {}, None),
        ("rnn", {}, "path_sgd cannot train with the activation tanh; set activation to relu, or"),
        ("gru", {"activation": "relu"}, "path_sgd cannot train gru, only rnn, irnn; choose anothe"),
    ],
)
def test_path_sgd_is_searched_only_with_models_that_it_can_train(arch, activations, message):
    study = StudyConfig(ranges={"optimizer": ["sgd", "path_sgd"], **activations})
    if message:
        with pytest.raises(UserError, match=message):
            of_study(config(arch=arch), study)
        return
    found, _ = of_study(config(arch=arch), study)
    made = [configure(config(arch=arch), values) for values in points(found, 10)]
    assert {each.optimizer for each in made} == {"sgd", "path_sgd"}
    assert all(("rate_factor" in m.optimizer_options) == (m.optimizer != "sgd") for m in made)


def test_a_first_trial_does_not_change_a_held_value():
    study = StudyConfig(ranges={"lr_init": 0.03}, first={"lr_init": 0.01})
    with pytest.raises(UserError, match=r"is held at 0\.03, got 0\.01 for the first trial"):
        of_study(config(), study)


def test_optimizers_share_a_hyperparameter_of_one_name_and_range():
    def decayed(step, weight_decay=0.1):
        return step

    with restored():
        register_optimizer("same", decayed, ranges={"weight_decay": (1e-5, 1.0, "log")})
        register_optimizer("other", decayed, ranges={"weight_decay": (0.1, 1.0)})
        found = {each.name: each for each in space(config(), ("adamw", "sgd", "same"))}
        owners = found["optimizer_options.weight_decay"].condition
        assert owners == Condition("optimizer", ("adamw", "same"))
        with pytest.raises(UserError, match="other and adamw have different ranges of weight_deca"):
            space(config(), ("adamw", "other"))


@pytest.mark.parametrize(
    "ranges, words",
    [
        ({"momentum": 3}, ["'momentum'", "momentum_logit"]),
        ({"weight_decay": 0.1}, ["weight_decay is an option of adamw", "'optimizer': ['adamw']"]),
        ({"arch": ["gru", "lstm"]}, ["a study has one arch", "the grid of a sweep"]),
        ({"num_params": (1, 9)}, ["a study has one num_params", "the grid of a sweep"]),
        ({"seed": [1, 2]}, ["a study has one seed", "the grid of a sweep"]),
        (
            {"optimizer": "sgd", "momentum_logit": (1.0, 2.0)},
            ["momentum_logit has a range", "no effect where optimizer is sgd", "omit one"],
        ),
        ({"matrix_init": "identity", "recurrent_scale": (0.1, 1.0)}, ["recurrent_scale.r has"]),
        ({"lr_init": (0, 1e-2)}, ["lr_init", "logarithmic", "above 0"]),
        ({"lr_init": (-1.0, -1.0)}, ["lr_init must be", "greater than 0", "-1.0"]),
        ({"lr_init": (1e-2, 1e-3)}, ["lr_init", "0.01"]),
        ({"optimizer": ["adam", "lion"]}, ["optimizer", "rmsprop", "'lion'"]),
        ({"optimizer": []}, ["optimizer", "choice"]),
        ({"matrix_init": {}}, ["matrix_init", "choices of one type", "{}"]),
        ({("a",): (1, 2)}, ["names of hyperparameters, not ('a',)"]),
        ({"lr_init": (1e-3,)}, ["lr_init", "(low, high)"]),
        ({"lr_init": "small"}, ["lr_init", "'small'"]),
        ({"train_steps": (1500.5, 2000)}, ["train_steps", "whole numbers"]),
        ({"train_steps": (1500, 9000)}, ["train_steps 9000", "4000", "--train_steps"]),
        ({"batch_size": (0, 64)}, ["batch_size must be", "at least 1", "got 0"]),
        ({"batch_size": (0, 64, "log")}, ["batch_size", "logarithmic", "above 0"]),
        ({"batch_size": (64, 10**9)}, ["batch_size = 1000000000", "GiB", "smaller range"]),
        ({"batch_size": (8, 16, "lin")}, ["batch_size", "(low, high)"]),
        ({"depth": (0, 2)}, ["depth must be", "got 0"]),
        ({"num_steps": (0, 9)}, ["num_steps must be", "at least 1", "got 0"]),
        ({"num_steps": -3}, ["num_steps must be", "at least 1", "got -3"]),
        ({"batch_size": 10**9}, ["batch_size = 1000000000", "GiB"]),
        ({"activation": ["tanh", "sine"]}, ["unknown activation 'sine'", "tanh", "relu"]),
        ({"activation": ["tanh", 1]}, ["activation", "choices of one type"]),
        ({"optimizer": ("sgd", "adam")}, ["optimizer", "list of choices", "('sgd', 'adam')"]),
        ({"lr_init": [0.1, "log"]}, ["lr_init", "choices of numbers", "'log'"]),
        ({"train_steps": [1000, 1500.5]}, ["train_steps", "choices of whole numbers"]),
    ],
    ids=str,
)
def test_invalid_ranges_are_refused(ranges, words):
    with pytest.raises(UserError) as caught:
        of_study(config(), StudyConfig(ranges=ranges))
    for word in words:
        assert word in str(caught.value)


class Copied(TASKS["memory"]):
    """A task with an option of the name of a field, and one of the name of an option of Janet."""

    def __init__(self, delay: int = 12, depth: int = 3, beta: float = 0.5):
        super().__init__(delay=delay)


@pytest.fixture
def copied(monkeypatch):
    monkeypatch.setitem(TASKS, "copied", Copied)
    return TrainConfig("copied", "janet", task_options={"depth": 3})


def test_the_name_of_a_field_does_not_stand_for_an_option(copied):
    for ranges in ({"depth": 2}, {"depth": [1, 2]}, {"task_options.depth": (4, 5)}):
        found, study = hold(copied, {}, StudyConfig(ranges=ranges))
        names = [each.name for each in of_study(found, study)[0]]
        assert found.task_options["depth"] == 3
        assert ("depth" in names) == (ranges == {"depth": [1, 2]})
        assert ("task_options.depth" in names) == ("task_options.depth" in ranges)
        assert found.depth == (2 if ranges == {"depth": 2} else 1)
    assert changed(copied, StudyConfig(ranges={"depth": 2})) >= {"task_options.depth"}
    assert united({"depth": 2}, {"task_options.depth": 4}) == {"depth": 2, "task_options.depth": 4}


@pytest.mark.parametrize("first", [{}, {"beta": 0.7}])
def test_a_name_of_two_options_is_refused(copied, first):
    whole = {"arch_options.beta": (0.1, 0.9), "task_options.beta": (0.6, 0.9)}
    ranges = whole if first else {"beta": (0.6, 0.7)}
    with pytest.raises(UserError) as caught:
        of_study(*hold(copied, {}, StudyConfig(ranges=ranges, first=first or None)))
    assert re.fullmatch(
        r"beta may be task_options\.beta or arch_options\.beta; write one of these",
        str(caught.value),
    )
    assert len(of_study(copied, StudyConfig(ranges=whole))[0]) > 2


@pytest.mark.parametrize("values", [((4, 5), (7, 8)), (4, 5)])
def test_two_ranges_of_one_hyperparameter_are_refused(values):
    ranges = dict(zip(("num_steps", "task_options.num_steps"), values, strict=True))
    start = config("capacity")
    with pytest.raises(UserError) as caught:
        hold(start, {}, StudyConfig(ranges=ranges))
    first, second = map(repr, values)
    assert str(caught.value) == (
        "num_steps and task_options.num_steps are the same, but are "
        f"{first} and {second}; omit one of the two"
    )
    with pytest.raises(UserError, match="num_steps are the same"):
        of_study(start, StudyConfig(ranges=ranges))
    gates = {"input_scale": (0.1, 0.2), "input_scale.c": (0.3, 0.4)}
    assert of_study(config("memory"), StudyConfig(ranges=gates))


@pytest.mark.parametrize("name", ["num_samples", "task_options.num_samples", "lr_init"])
@pytest.mark.parametrize("value", [math.nan, math.inf, (0.5, math.nan), [math.nan, 1.0]], ids=str)
def test_a_number_that_is_not_finite_is_refused(name, value):
    with pytest.raises(UserError, match=f"the range of .*{name} is "):
        of_study(config("capacity"), StudyConfig(ranges={name: value}))


def test_ranges_may_go_beyond_the_paper_s_and_name_more():
    ranges = {
        "lr_init": (1e-5, 1.0),
        "l2_decay": 0.0,
        "batch_size": (8, 512, "log"),
        "depth": (1, 3),
        "num_steps": (5, 9),
        "momentum_logit": -3.0,
    }
    found, _ = of_study(config(), StudyConfig(ranges=ranges))
    kinds = {each.name: (each.distribution, each.low, each.high) for each in found}
    assert kinds["lr_init"] == ("log-uniform", 1e-5, 1.0)
    assert kinds["l2_decay"] == ("uniform", 0.0, 0.0)
    assert kinds["batch_size"] == ("log-integer", 8, 512)
    assert kinds["depth"] == ("integer", 1, 3)
    assert kinds["task_options.num_steps"] == ("integer", 5, 9)
    seen = set()
    for values in points(found, 50):
        made = configure(config(), values)
        assert values_of(made, found) == values
        assert made.make_task().num_steps in range(5, 10) and made.l2_decay == 0
        names = {"batch_size", "depth", "task_options.num_steps", "l2_decay"}
        names |= {"lr_init"} if not 1e-4 <= made.lr_init <= 0.1 else set()
        names |= {"momentum_logit"} if made.optimizer != "sgd" else set()
        assert set(outside(made, found)) == names
        seen |= names
    assert "lr_init" in seen


def test_a_list_has_choices_and_a_tuple_an_interval():
    ranges = {
        "lr_init": [0.01, 0.003],
        "train_steps": [3000],
        "batch_size": [64, 16, 32],
        "momentum_logit": [2, 4.5],
        "depth": (1, 3),
        "optimizer": ["adam", "rmsprop"],
    }
    study = StudyConfig(ranges=ranges)
    found = of_study(config(), study)[0]
    kinds = {each.name: (each.distribution, *each.ends) for each in found if each.name in ranges}
    assert kinds == {
        "lr_init": ("categorical", 0.003, 0.01),
        "train_steps": ("integer", 3000, 3000),
        "batch_size": ("categorical", 16, 64),
        "momentum_logit": ("categorical", 2.0, 4.5),
        "depth": ("integer", 1, 3),
        "optimizer": ("categorical", "adam", "rmsprop"),
    }
    (batch,) = (each for each in found if each.name == "batch_size")
    assert str(batch) == "{16, 32, 64}"
    seen = {(values["batch_size"], values["lr_init"]) for values in points(found, 100)}
    assert seen == {(size, rate) for size in (16, 32, 64) for rate in (0.003, 0.01)}
    stored = json.loads(json.dumps(study.to_json()))
    assert StudyConfig.from_json(stored) == study
    # The first trial has the choice that is next to the configuration's value.
    first = of_study(config(batch_size=50), StudyConfig(ranges=ranges, first="config"))[1]
    assert (first["batch_size"], first["lr_init"]) == (64, 0.01)


def test_a_first_trial_says_what_the_ranges_change():
    start, study = config(batch_size=64, l2_decay=1e-6), StudyConfig(first={"lr_init": 0.02})
    assert clipped(start, study, of_study(start, study)[1]) is None
    study = StudyConfig(ranges={"batch_size": (4, 8), "lr_init": (0.02, 0.1)}, first="config")
    message = "the first trial has lr_init 0.02 instead of 0.01, batch_size 8 instead of 64"
    assert message in clipped(start, study, of_study(start, study)[1])


def test_a_hyperparameter_that_no_trial_uses_is_not_in_the_space():
    start = config("memory", "rnn", optimizer="sgd", momentum_logit=2.5, gate_bias=3.0)
    given = {"optimizer", "momentum_logit", "gate_bias", "lr_init"}
    searched, _ = of_study(*hold(start, given, StudyConfig()))
    assert "momentum_logit" not in {each.name for each in searched}
    fixed = StudyConfig(ranges={"optimizer": ["sgd"], "momentum_logit": 2.5})
    for study, names in ((StudyConfig(), given), (fixed, {"gate_bias"})):
        assert without_effect(start, study, names) == [
            "gate_bias has no effect: rnn has no gate with b^fg",
            "momentum_logit has no effect: sgd has no momentum",
        ]
    assert without_effect(start, StudyConfig(), {"lr_init"}) == []
    for task, lines in (
        ("rcf", ["eval_samples has no effect: the data set of rcf is measured whole"]),
        ("parens", []),
    ):
        assert without_effect(config(task), StudyConfig(), {"eval_samples"}) == lines
    start = config(bias_init="normal")
    for ranges, names in (
        ({}, []),
        ({"bias_scale": 0.0}, ["bias_init has no effect: bias_scale is 0"]),
    ):
        assert without_effect(start, StudyConfig(ranges=ranges), {"bias_init"}) == names


def test_choices_of_truth_values_are_no_numbers():
    for wanted, expected in (([False, True], {False, True}), (True, {True}), ([False], {False})):
        study = StudyConfig(ranges={"permuted": wanted})
        features = Features(hyperparameters(of_study(config("digits", "rnn"), study)[0]))
        points = features.draw(np.random.default_rng(0), 20)
        found = [features.decode(point)["task_options.permuted"] for point in points]
        assert set(found) == expected and set(map(type, found)) == {bool}


def test_files_of_earlier_versions_have_intervals():
    stored = {"ranges": {"lr_init": [0.01, 0.1], "depth": [1, 3, "log"], "optimizer": ["adam"]}}
    ranges = {"lr_init": (0.01, 0.1), "depth": (1, 3, "log"), "optimizer": ["adam"]}
    assert StudyConfig.from_json(stored).ranges == ranges
    assert StudyConfig(ranges=ranges).to_json()["ranges"] == stored["ranges"]


def test_a_decay_of_zero_can_be_held():
    assert held_by(config(l2_decay=0.0), {"l2_decay"}) == {"l2_decay": 0.0}


def test_a_value_may_also_be_its_own_range():
    beyond = {"lr_init": 16.0, "gate_bias": 1.0}
    held = held_by(config(lr_init=16.0), {"lr_init", "gate_bias"}, beyond)
    assert held == beyond | {"gate_bias.u": 1.0}


def test_one_gate_can_be_held_by_a_range():
    start, search = hold(config(arch="ugrnn"), (), StudyConfig(ranges={"input_scale.c": 0.5}))
    searched, _ = of_study(start, search)
    fixed = {each.name: each.fixed for each in searched if each.fixed is not None}
    assert fixed == {"input_scale.c": 0.5}
    assert with_fixed(start, search).input_scale == {"c": 0.5, "g": 1.0}


def test_values_that_the_user_set_are_held():
    start = config("capacity", "lstm", lr_init=0.02, recurrent_scale=0.5, activation="relu")
    given = {"lr_init", "recurrent_scale", "activation", "matrix_init", "train_steps", "depth"}
    ranges = held_by(start, given, {"l2_decay": (1e-8, 1e-6)})
    assert ranges == {
        "l2_decay": (1e-8, 1e-6),
        "activation": "relu",
        "matrix_init": "orthogonal",  # the architecture's default
        **{f"recurrent_scale.{gate}": 0.5 for gate in "ifco"},
        "lr_init": 0.02,
    }
    held = with_ranges(space(start), ranges)
    features = Features(hyperparameters(held))
    for vector in features.draw(np.random.default_rng(1), 20):
        made = configure(start, features.decode(vector))
        assert (made.lr_init, made.activation, made.matrix_init) == (0.02, "relu", "orthogonal")
        assert made.recurrent_scale == dict.fromkeys("ifco", 0.5)


def test_only_the_task_s_options_that_the_user_set_are_held():
    start = config("capacity", task_options={"num_inputs": 9, "num_samples": 700})
    assert held_by(start, {"task_options.num_inputs"}) == {}
    found = held_by(start, {"task_options.num_samples"})
    assert found == {"task_options.num_samples": 700}


#: A value that the paper does not tune, and the names of those that are recorded.
UNTUNED = [
    ("irnn", {"activation": "tanh"}, ["activation"]),
    ("irnn", {"activation": "relu"}, []),
    ("irnn", {"matrix_init": "normal"}, ["matrix_init"]),
    ("+rnn", {"activation": "relu"}, ["activation"]),
    ("+rnn", {"arch_options.depth_activation": "tanh"}, ["arch_options.depth_activation"]),
    ("+rnn", {"arch_options.depth_activation": "relu"}, []),
    ("gru", {"batch_size": 4}, ["batch_size"]),
    ("gru", {"batch_size": 64}, []),
    ("gru", {"depth": 2}, []),
    ("gru", {"task_options.num_steps": 9}, []),
]


@pytest.mark.parametrize("arch, values, names", UNTUNED, ids=str)
def test_values_that_the_paper_does_not_tune_are_the_same_by_value_and_by_range(
    arch, values, names
):
    start, found = config(arch=arch), []
    for given in (values, {}):
        study = StudyConfig(ranges={} if given else values)
        search = hold(configure(start, given), set(given), study)
        searched, _ = of_study(*search)
        assert [each.name for each in searched if each.fixed is not None] == names
        made = [configure(search[0], values) for values in points(searched, 2)]
        assert {name for each in made for name in outside(each, searched)} == set(names)
        assert all(values_of(each, searched).items() >= values.items() for each in made if names)
        assert set(deviations(vars(made[0]))) == set(names) - {"batch_size"}
        found.append((search, [vars(each) for each in made]))
    assert found[0] == found[1]
    # A study of an earlier version has no range for the value.
    assert settled(configure(start, values), StudyConfig()) == settled(*found[0][0])


def test_values_that_the_paper_does_not_tune_are_held_beside_a_first_trial():
    start = config(arch="irnn", activation="tanh", lr_init=0.02)
    assert changed(start, StudyConfig(first="config")) >= {"activation"}
    assert "lr_init" not in changed(start, StudyConfig(first="config"))


def test_options_that_a_configuration_gives_are_held_beside_a_first_trial():
    start = config("capacity", task_options={"num_samples": 300}, lr_init=0.02)
    assert changed(start, StudyConfig(first="config")) & {
        "task_options.num_samples",
        "lr_init",
    } == {"task_options.num_samples"}


def test_an_architecture_that_is_not_registered_has_no_deviations():
    assert deviations({"arch": "my_cells.leaky", "activation": "tanh"}) == []
    assert deviations({"arch": "rnn", "matrix_init": "identity"}) == ["matrix_init"]


@pytest.mark.parametrize(
    "changes, given, ranges, message",
    [
        ({"lr_init": 16.0}, "lr_init", {}, r"lr_init must be within \[0.0001, 0.1\], got 16.0"),
        ({}, "gate_bias", {"gate_bias.u": (0.0, 1.0)}, "gate_bias.u is set to 1.0 and also has"),
        ({}, "gate_bias", {"gate_bias": 2.0}, "gate_bias.u is set to 1.0 and also has a range"),
        ({}, "batch_size", {"batch_size": (8, 9)}, "batch_size is set to 64 and also has a range"),
        ({"lr_init": 16.0}, "lr_init", {}, r"StudyConfig.ranges = {'lr_init': 16.0}"),
    ],
)
def test_values_that_cannot_be_held_are_refused(changes, given, ranges, message):
    with pytest.raises(UserError, match=message):
        held_by(config(**changes), {given}, ranges)


def test_values_outside_the_paper_s_ranges_are_named():
    start = config(lr_init=0.2, l2_decay=1e-5, optimizer="muon", train_steps=10)
    (batch, rate, decay, optimizer, steps) = (
        Hyperparameter("batch_size", "log-integer", 32, 256),
        Hyperparameter("lr_init", "log-uniform", 1e-4, 1.0),
        Hyperparameter("l2_decay", "log-uniform", 1e-8, 1.0),
        Hyperparameter("optimizer", "categorical", choices=("adam", "muon")),
        Hyperparameter("train_steps", "log-integer", 1, 9),
    )
    names = ["batch_size", "lr_init", "optimizer"]
    assert outside(start, (batch, rate, decay, optimizer, steps)) == names
    assert outside(start, (decay, optimizer)) == ["optimizer"]
    assert outside(start, space(start)) == ["optimizer", "lr_init"]
    assert outside(config(optimizer="sgd"), (optimizer,)) == []


GIVEN = frozenset({"lr_init", "task_options.delay", "train_steps"})


def test_a_given_set_is_marked():
    start = config(lr_init=0.02, task_options={"num_steps": 7})
    study = StudyConfig(ranges={"lr_init": 0.02, "l2_decay": 1e-6, "input_scale": (0.5, 1.0)})
    base = with_fixed(start, study)
    assert base.l2_decay == 1e-6
    values = {"optimizer": "sgd", "batch_size": 32, "task_options.num_steps": 9, "lr_init": 0.02}
    made = configure(base, values | {"lr_decay_rate": 5.0})
    marks = of_set(base, study, GIVEN, made)
    assert marks["held"] == ["lr_init", "l2_decay"]
    assert marks["outside"] == ["lr_decay_rate", "batch_size", "task_options.num_steps"]
    assert of_set(base, study, GIVEN, base)["outside"] == []


def test_a_given_set_has_the_fixed_option_of_its_optimizer():
    ranges = {"optimizer": ["adam", "adamw"], "optimizer_options.weight_decay": 0.1}
    study = StudyConfig(ranges=ranges)
    base = with_fixed(config(), study)
    assert of_set(base, study, frozenset(), base)["outside"] == []  # l2_decay is 0, as in a run
    message = "weight_decay is 0.004, but the command has it held at 0.1"
    with pytest.raises(UserError, match=re.escape(message)):
        of_set(base, study, frozenset(), configure(base, {"optimizer": "adamw"}))
    values = {"optimizer": "adamw", "optimizer_options.weight_decay": 0.1}
    marks = of_set(base, study, frozenset(), configure(base, values))
    assert marks["held"] == ["optimizer_options.weight_decay"]


@pytest.mark.parametrize(
    "values, message",
    [
        ({"lr_init": 5.0}, "lr_init is 5.0, but the command has it held at 0.02"),
        (
            {"task_options.num_steps": 9},
            "task_options.num_steps is 9, but the command sets it to 7",
        ),
        ({"train_steps": 9}, "train_steps is 9, but the command sets it to 4000"),
        ({"l2_decay": 1e-3}, r"l2_decay is 0.001, but the command has it within \[1e-08, 1e-06\]"),
    ],
)
def test_a_given_set_must_agree_with_the_command(values, message):
    start = config(lr_init=0.02, task_options={"num_steps": 7})
    study = StudyConfig(ranges={"lr_init": 0.02, "l2_decay": (1e-8, 1e-6)})
    given = GIVEN | {"task_options.num_steps"}
    with pytest.raises(UserError, match=message):
        of_set(start, study, given, configure(start, values))


def test_the_table_shows_fixed_values():
    lines = table(with_ranges(space(config()), {"optimizer": "adam", "lr_init": 0.01})).splitlines()
    (optimizer,) = (line for line in lines if line.startswith("optimizer"))
    assert optimizer.split()[1:3] == ["fixed", "adam"]
    free = len(lines) - 4
    assert lines[-1] == f"{free} dimensions, fixed: optimizer = adam, lr_init = 0.01"


def test_the_table_has_one_line_per_hyperparameter():
    lines = table(space(config())).splitlines()
    assert lines[-1] == f"{len(lines) - 2} dimensions"
    (momentum,) = (line for line in lines if line.startswith("momentum_logit"))
    assert momentum.split()[1:3] == ["uniform", "[1,"]
    assert "optimizer in momentum, rmsprop, adam" in momentum


def test_the_table_tells_ranges_of_the_user_from_those_of_the_paper():
    config = TrainConfig("parens", "gru")
    found = with_ranges(space(config), {"lr_init": (0.01, 10.0), "gate_bias": 5.0})
    sources = {each.name: each.source for each in found}
    assert [sources[name] for name in ("lr_init", "gate_bias.u")] == ["the user", "the user"]
    assert sources["l2_decay"] == "appendix A"
