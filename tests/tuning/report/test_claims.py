"""Verdicts on planted truths, on their opposites, and on too few runs."""

import itertools
import math

import numpy as np
import pytest
from report_rows import capacity, diverging, frame, losses, trial

from tuning.report import paper
from tuning.report.claims import CLAIMS, CONTRADICTED, SUPPORTED, TOO_FEW

SHALLOW = ("rnn", "irnn", "ugrnn", "gru", "lstm")
#: Claims that the planted runs, 3 % of the paper's trials, suffice to support.
PLANTED = (
    "linear five_bits similar_capacity capacity_order relu unrolling dataset_size number_per_unit "
    "text8_equal rcf_equal per_unit_misleads gated_easier ungated_solve gru_most_trainable "
    "plus_rnn_most_trainable plus_rnn_untuned"
).split()


@pytest.fixture
def few_trials_do(monkeypatch):
    """Makes two trials as thorough as the paper's search."""
    monkeypatch.setattr(paper, "TRIALS", dict.fromkeys(paper.TRIALS, 2))


def check(name, *rows):
    return CLAIMS[name].check(frame(*rows))


@pytest.mark.parametrize("name", CLAIMS)
def test_nothing_is_judged_without_runs(name):
    finding = CLAIMS[name].check(frame())
    assert (finding.runs, finding.verdict) == (0, TOO_FEW)


@pytest.mark.parametrize("name", PLANTED)
def test_what_was_planted_is_supported(planted, name):
    finding = CLAIMS[name].check(planted)
    assert finding.verdict == SUPPORTED, finding.result
    assert finding.runs > 100


def test_planted_numbers_are_found(planted):
    found = {name: CLAIMS[name].check(planted).result for name in CLAIMS}
    assert found["linear"].startswith("exponent 1.00 [1.00, 1.00]")
    assert found["capacity_order"].count("0.20 [0.20, 0.20]") == 4
    assert "with ReLU 3.50 on average and 3.50 at most" in found["relu"]
    assert found["dataset_size"].startswith("b is 1.10 [1.10, 1.10]")
    assert "0.000 [0.000, 0.000]" in found["number_per_unit"]
    assert found["text8_equal"].startswith("factor 1.40 [1.40, 1.40]")
    assert found["reruns"].count(" 1.50") == 5
    assert "depth 1 50.0%" in found["irnn_diverges"]


@pytest.mark.parametrize("name", CLAIMS)
@pytest.mark.parametrize("seed", range(3))
def test_any_part_of_the_runs_can_be_judged(planted, name, seed):
    few = planted.sample(40, random_state=seed).reset_index(drop=True)
    finding = CLAIMS[name].check(few)
    assert finding.verdict in (SUPPORTED, CONTRADICTED, TOO_FEW)
    assert isinstance(finding.result, str) and "nan" not in finding.result


def sized(bits, **values):
    """Two trials per size of a network that stores `bits(n)`."""
    return [
        capacity(bits(n), max_params=n, num_params=n, **values) for n in (1000, 4000, 16000)
    ] * 2


def each_arch(make, archs=SHALLOW):
    return [row for arch in archs for row in make(arch)]


def test_capacity_that_grows_as_the_root_is_not_linear(few_trials_do):
    rows = sized(lambda n: 100 * math.sqrt(n)) + sized(lambda n: 90 * math.sqrt(n), arch="gru")
    assert check("linear", *rows).verdict == CONTRADICTED


def test_short_searches_do_not_contradict_what_is_possible():
    rows = [row for arch in SHALLOW for row in sized(lambda n: 1.5 * n, arch=arch)]
    assert check("five_bits", *rows).verdict == TOO_FEW


def test_long_ones_do(few_trials_do):
    rows = [row for arch in SHALLOW for row in sized(lambda n: 1.5 * n, arch=arch)]
    finding = check("five_bits", *rows)
    assert (finding.verdict, finding.runs) == (CONTRADICTED, len(rows))


def test_more_than_six_bits_contradict_at_once():
    rows = [row for arch in SHALLOW for row in sized(lambda n: 8 * n, arch=arch)]
    assert check("five_bits", *rows).verdict == CONTRADICTED


def test_an_order_the_other_way_round(few_trials_do):
    levels = dict(zip(paper.CAPACITY_ORDER, (3, 3.5, 4, 4.5, 5), strict=True))
    noise = itertools.cycle([0, 0.02, 0.01])
    rows = []
    for arch, level in levels.items():
        rows += sized(lambda n, level=level: (level + next(noise)) * n, arch=arch, depth=2)
    assert check("capacity_order", *rows).verdict == CONTRADICTED
    missing = [row for row in rows if row["arch"] != "+rnn"]
    assert check("similar_capacity", *missing).verdict == SUPPORTED


def test_an_order_without_one_architecture_is_open():
    levels = dict(zip(paper.CAPACITY_ORDER, (5, 4.5, 4, 3.5), strict=False))
    rows = [row for a, level in levels.items() for row in sized(lambda n, x=level: x * n, arch=a)]
    finding = check("capacity_order", *rows)
    assert finding.verdict == TOO_FEW and "RNN - UGRNN 0.50" in finding.result


def test_very_different_capacities(few_trials_do):
    rows = sized(lambda n: 5 * n) + sized(lambda n: 2 * n, arch="lstm")
    assert check("similar_capacity", *rows).verdict == CONTRADICTED
    # Architectures without a common size cannot be compared.
    rows = sized(lambda n: 5 * n) + [
        capacity(2.0 * n, arch="lstm", max_params=n, num_params=n) for n in (300, 500, 700)
    ]
    assert check("similar_capacity", *rows).verdict == TOO_FEW


@pytest.mark.parametrize(
    "spoilt",
    [{"algorithm": "random"}, {"train_steps": 20}, {"stopped_early": True}, {"split": True}],
    ids=["random", "short", "stopped", "two searches"],
)
def test_only_long_searches_are_thorough(few_trials_do, spoilt):
    rows = [row for arch in SHALLOW for row in sized(lambda n: 1.5 * n, arch=arch)]
    if spoilt.pop("split", False):
        spoilt_rows = [row | {"study": f"s{i}"} for i, row in enumerate(rows)]
    else:
        spoilt_rows = [row | spoilt for row in rows]
    assert check("five_bits", *rows).verdict == CONTRADICTED
    assert check("five_bits", *spoilt_rows).verdict == TOO_FEW


def test_smoke_runs_and_other_settings_do_not_mix():
    rows = each_arch(lambda arch: sized(lambda n: 4 * n, arch=arch))
    odd = [row | {"bits_per_parameter": 99.0, "objective": -1e9} for row in rows[:4]]
    expected = check("five_bits", *rows)
    for values in ({"profile": "smoke"}, {"setting": '{"num_inputs": 4}'}):
        assert check("five_bits", *rows, *(row | values for row in odd)) == expected


def test_relu_that_is_best_anyway(few_trials_do):
    rows = []
    for arch in ("rnn", "ugrnn"):
        rows += sized(lambda n: 5 * n, arch=arch, activation="relu")
        rows += sized(lambda n: 4 * n, arch=arch)
    assert check("relu", *rows).verdict == CONTRADICTED


def test_relu_that_makes_no_difference_is_not_supported():
    generator, supported = np.random.default_rng(0), 0
    for _ in range(20):
        rows = [
            capacity(n * generator.uniform(2, 5), max_params=n, num_params=n, arch=arch,
                     activation=activation)
            for arch in ("rnn", "ugrnn")
            for n in (1000, 2000, 3000)
            for activation in ("tanh", "relu")
            for _ in range(12)
        ]  # fmt: skip
        supported += check("relu", *rows).verdict == SUPPORTED
    assert supported == 0


def unrolled(bits):
    rows = []
    for arch, steps in itertools.product(("rnn", "gru", "lstm"), (1, 2, 4, 8)):
        stored = 1000 * bits(steps) * {"rnn": 1, "gru": 0.98, "lstm": 1.01}[arch]
        rows += [capacity(stored, arch=arch, num_steps=steps)] * 2
    return rows


@pytest.mark.parametrize(
    ("bits", "verdict"),
    [
        (lambda steps: 5 - 3 / steps, SUPPORTED),
        (lambda steps: 5 - 0.5 * math.log2(steps), CONTRADICTED),
        (lambda steps: 1 + steps, CONTRADICTED),
    ],
    ids=["saturates", "falls", "grows for ever"],
)
def test_unrolling(few_trials_do, bits, verdict):
    assert check("unrolling", *unrolled(bits)).verdict == verdict


@pytest.mark.parametrize(("ratio", "verdict"), [(1.05, SUPPORTED), (2.0, CONTRADICTED)])
def test_the_size_of_the_data_set(few_trials_do, ratio, verdict):
    rows = each_arch(lambda arch: sized(lambda n: 5 * n, arch=arch))
    rows = [row | {"num_samples": ratio * row["bits"]} for row in rows]
    assert check("dataset_size", *rows).verdict == verdict


@pytest.mark.parametrize(
    ("excess", "verdict"), [(0.01, SUPPORTED), (0.3, CONTRADICTED), (-0.2, CONTRADICTED)]
)
def test_memory(few_trials_do, excess, verdict):
    rows = [
        trial("memory", max(0, 1 - units / 64) + excess, units=units, max_params=units, arch=arch)
        for arch in SHALLOW
        for units in (8, 16, 32, 80)
    ] * 2
    assert check("number_per_unit", *rows).verdict == verdict
    small = [row for row in rows if row["units"] < 64]
    assert check("number_per_unit", *small).verdict in (TOO_FEW, CONTRADICTED)


def test_less_error_than_a_subspace_allows_contradicts_even_one_search():
    rows = [trial("memory", 0.3, units=units, max_params=units) for units in (8, 9, 10)]
    assert check("number_per_unit", *rows).verdict == CONTRADICTED


def falling(task, factor, units_factor=1.0):
    rows = []
    for arch in SHALLOW:
        times = factor if arch == "lstm" else 1
        for n in (1000, 4000, 16000):
            loss = 3 - 0.1 * math.log(n / times)
            units = math.sqrt(n) / (units_factor if arch == "lstm" else 1)
            values = {"arch": arch, "max_params": n, "num_params": n, "units": units}
            values["chance_loss"] = 3.0
            rows += [trial(task, loss, bits_per_character=loss, **values)] * 2
    return rows


@pytest.mark.parametrize("task", ["text8", "rcf"])
def test_equal_losses_at_equal_parameters(few_trials_do, task):
    assert check(f"{task}_equal", *falling(task, 1.3)).verdict == SUPPORTED
    assert check(f"{task}_equal", *falling(task, 3.0)).verdict == CONTRADICTED
    few = [row for row in falling(task, 1.3) if row["arch"] in ("rnn", "lstm")]
    assert check(f"{task}_equal", *few).verdict == TOO_FEW
    at_chance = [row | {"chance_loss": row["eval_loss"]} for row in falling(task, 1.3)]
    assert check(f"{task}_equal", *at_chance).verdict == TOO_FEW


@pytest.mark.parametrize("depth", [2, 0])
def test_a_depth_at_which_loss_rises_leaves_it_open(depth):
    rising = [
        row | {"depth": depth, "eval_loss": 6 - row["eval_loss"]} for row in falling("rcf", 1)
    ]
    rising = [row | {"objective": row["eval_loss"]} for row in rising]
    finding = check("rcf_equal", *falling("rcf", 1.3), *rising)
    assert (finding.verdict, finding.result) == (TOO_FEW, "")


def test_units_mislead_only_if_they_differ_more(few_trials_do):
    assert check("per_unit_misleads", *falling("text8", 1.1, 2.0)).verdict == SUPPORTED
    assert check("per_unit_misleads", *falling("text8", 3.0, math.sqrt(3))).verdict == CONTRADICTED


def both_tasks(levels, **values):
    """Trials of both hard tasks, given the loss of each architecture."""
    return [
        row
        for task in ("parens", "arithmetic")
        for arch, level in levels.items()
        for row in losses(arch, level, task=task, **values)
    ]


def test_gated_trials_must_win_everywhere():
    good = {"rnn": 10, "irnn": 9, "ugrnn": 1, "gru": 1, "lstm": 1}
    assert check("gated_easier", *both_tasks(good)).verdict == SUPPORTED
    assert check("gated_easier", *both_tasks(good)[: 5 * 30]).verdict == TOO_FEW
    deep = both_tasks({"rnn": 1, "gru": 10}, depth=4)
    assert check("gated_easier", *both_tasks(good), *deep).verdict == CONTRADICTED
    same = dict.fromkeys(good, 1)
    assert check("gated_easier", *both_tasks(same)).verdict == TOO_FEW


def test_a_divergence_is_the_worst_loss():
    diverged = [trial("parens", None, arch="gru", study="parens-gru") for _ in range(60)]
    assert check("gated_easier", *losses("rnn", 10), *losses("gru", 1), *diverged).verdict == (
        CONTRADICTED
    )


@pytest.mark.parametrize(("best", "verdict"), [("gru", SUPPORTED), ("lstm", CONTRADICTED)])
@pytest.mark.parametrize(
    ("name", "algorithm"), [("gru_most_trainable", "gp"), ("gru_untuned", "random")]
)
def test_the_most_trainable(name, algorithm, best, verdict):
    levels = {arch: 1 if arch == best else 5 for arch in SHALLOW}
    rows = both_tasks(levels, algorithm=algorithm)
    assert check(name, *rows).verdict == verdict
    if verdict == SUPPORTED:
        without = [row for row in rows if row["arch"] != "irnn"]
        assert check(name, *without).verdict == TOO_FEW


def test_one_task_does_not_settle_both():
    levels = {arch: 1 if arch == "gru" else 5 for arch in SHALLOW}
    rows = [row for row in both_tasks(levels) if row["task"] == "parens"]
    assert check("gru_most_trainable", *rows).verdict == TOO_FEW


def test_an_architecture_that_is_not_the_papers_is_left_out():
    levels = {arch: 1 if arch == "gru" else 5 for arch in (*SHALLOW, "mgu")} | {"mgu": 0.1}
    rows = both_tasks(levels)
    assert check("gru_most_trainable", *rows).verdict == SUPPORTED
    for name in CLAIMS:
        check(name, *rows, *diverging("mgu", 0.5), *sized(lambda n: 4 * n, arch="mgu"))


def solved(depth, gated, ungated):
    archs = [*SHALLOW, *(["+rnn"] if depth > 1 else [])]
    return [
        trial(task, gated if arch in paper.GATED else ungated, arch=arch, depth=depth,
              chance_loss=10.0, study=f"{task}-{arch}")
        for task in ("parens", "arithmetic")
        for arch in archs
        for _ in range(2)
    ]  # fmt: skip


def test_solving_is_a_hundredth_of_chance(few_trials_do):
    assert check("ungated_solve", *solved(1, 0.01, 0.05)).verdict == SUPPORTED
    assert check("ungated_solve", *solved(1, 0.01, 0.2)).verdict == CONTRADICTED
    assert check("only_gated_deep", *solved(8, 0.01, 0.2)).verdict == SUPPORTED
    assert check("only_gated_deep", *solved(8, 0.01, 0.05)).verdict == CONTRADICTED


def test_what_short_searches_do_not_solve_is_open():
    assert check("ungated_solve", *solved(1, 0.01, 0.2)).verdict == TOO_FEW
    assert check("only_gated_deep", *solved(8, 0.01, 0.2)).verdict == TOO_FEW
