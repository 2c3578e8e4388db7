"""Rules on handmade trials: floors, fairness, and the trials that each rule may use."""

import itertools
import json
import math
import re

import numpy as np
import pytest
from report_rows import capacity, diverging, frame, losses, trial
from slow import slow_except

from tuning.report import paper
from tuning.report.claims import CLAIMS, CONTRADICTED, SUPPORTED, TOO_FEW, floors

SHALLOW = ("rnn", "irnn", "ugrnn", "gru", "lstm")


@pytest.fixture
def few_trials_do(monkeypatch):
    """Make twelve trials as thorough as the paper's search."""
    monkeypatch.setattr(paper, "TRIALS", dict.fromkeys(paper.TRIALS, 12))


def check(name, *rows):
    return CLAIMS[name].check(frame(*rows))


def sized(bits, sizes=(1000, 4000, 16000), count=12, **values):
    """A study of equal trials per size, of a network that stores `bits(n)`."""
    arch = values.get("arch", "rnn")
    return [
        capacity(bits(n), max_params=n, num_params=n, study=f"{arch}-{n}", **values)
        for n in sizes
        for _ in range(count)
    ]


def each_arch(make, archs=SHALLOW):
    return [row for arch in archs for row in make(arch)]


@pytest.mark.parametrize("name", CLAIMS)
def test_nothing_is_judged_without_runs(name):
    finding = CLAIMS[name].check(frame())
    assert finding == ("", 0, TOO_FEW)


@pytest.mark.parametrize("name", CLAIMS)
@pytest.mark.parametrize("seed", slow_except([0], range(3)))
def test_any_part_of_the_runs_can_be_judged(planted, monkeypatch, name, seed):
    low = {task: floors.Floor(0, 1) for task in floors.FLOORS}
    monkeypatch.setattr(floors, "FLOORS", low)
    few = planted.sample(300, random_state=seed).reset_index(drop=True)
    finding = CLAIMS[name].check(few)
    assert finding.verdict in (SUPPORTED, CONTRADICTED, TOO_FEW)
    assert isinstance(finding.result, str) and "nan" not in finding.result


def solved(depth, gated, ungated, count=20, **values):
    archs = [*SHALLOW, *(["+rnn"] if depth > 1 else [])]
    return [
        trial(task, gated if arch in paper.GATED else ungated, arch=arch, depth=depth,
              chance_loss=10.0, study=f"{task}-{arch}", **values)
        for task in ("parens", "arithmetic")
        for arch in archs
        for _ in range(count)
    ]  # fmt: skip


# Floors -------------------------------------------------------------------------------------------


def test_short_trials_and_short_studies_are_no_evidence():
    assert check("only_gated_deep", *solved(8, 0.01, 0.05)).verdict == CONTRADICTED
    for few in (
        solved(8, 0.01, 0.05, train_steps=20),
        solved(8, 0.01, 0.05, count=19),
        solved(8, 0.01, 0.05, stopped_early=True, steps_done=200),
    ):
        assert check("only_gated_deep", *few) == ("", 0, TOO_FEW)


def test_trials_known_beforehand_do_not_help_a_study_over_the_floor():
    rows = [
        trial("memory", 0.5, seed=0, max_params=10_000, units=64, iteration=i, study="m")
        for i in range(13)
    ]
    finding = check("number_per_unit", *rows)
    assert finding.runs == 13 and "no evidence" in finding.result


def test_trials_known_beforehand_are_shown_but_decide_nothing():
    rows = [
        trial("parens", None if i % 2 else 17.0, arch="irnn", algorithm="random", seed=0,
              max_params=10_000, chance_loss=18.0, iteration=i)
        for i in range(300)
    ]  # fmt: skip
    finding = check("irnn_diverges", *rows[:100])
    assert finding.verdict == TOO_FEW and finding.runs == 100
    assert finding.result.startswith("depth 1 50.0%") and "no evidence" in finding.result
    assert check("irnn_diverges", *rows).verdict == SUPPORTED
    assert check("irnn_diverges", *rows).runs == 200


def test_unfinished_studies_are_shown_but_decide_nothing():
    rows = diverging("irnn", 0.5, seed=1)
    assert check("irnn_diverges", *rows).verdict == SUPPORTED
    finding = check("irnn_diverges", *(row | {"is_partial": True} for row in rows))
    assert finding.verdict == TOO_FEW and "of unfinished studies, so no evidence" in finding.result
    levels = {arch: 1 if arch == "gru" else 5 for arch in SHALLOW}
    rows = both_tasks(levels, algorithm="random", seeds=6)
    assert check("gru_untuned", *rows).verdict == SUPPORTED
    rows = [row | {"is_partial": row["arch"] == "lstm"} for row in rows]
    assert check("gru_untuned", *rows).verdict == TOO_FEW


def test_few_trials_at_a_depth_are_shown_but_do_not_decide():
    rows = diverging("irnn", 0.5, seed=1), diverging("irnn", 0.8, count=40, depth=8, seed=1)
    finding = check("irnn_diverges", *itertools.chain(*rows))
    assert finding.verdict == SUPPORTED and finding.runs == 240
    assert re.search(r"depth 8 80.0% \[.*\] of 40, too few for the rule", finding.result)


@pytest.mark.parametrize("learners, same", [(24, 0), (60, 1)])
def test_a_sample_without_learners_is_no_certainty(learners, same):
    """Welch's t takes it for one without variance: of 24 of 600 against 0 of 132 p is 5e-6."""
    learned = np.linspace(0.5, 0.9, learners)
    losses = {"lstm": [*learned, *[1.0] * (600 - learners)], "rnn": [1.0] * 132}
    rows = [
        trial("parens", 18 * loss, arch=arch, algorithm="random", chance_loss=18.0, seed=1,
              study=arch, iteration=number)
        for arch, found in losses.items() for number, loss in enumerate(found)
    ]  # fmt: skip
    assert check("table_app_2", *rows).result.startswith(f"{same} of 1 pairs")


def test_samples_that_share_their_input_are_no_evidence():
    rows = each_arch(lambda arch: sized(lambda n: 4 * n, arch=arch, num_inputs=27))
    assert check("five_bits", *rows).verdict == SUPPORTED
    few = [row | {"num_inputs": 16} for row in rows]
    assert check("five_bits", *few) == ("", 0, TOO_FEW)


# Capacity -----------------------------------------------------------------------------------------


def test_short_searches_do_not_contradict_bounds(monkeypatch):
    rows = each_arch(lambda arch: sized(lambda n: 1.5 * n, arch=arch))
    assert check("five_bits", *rows).verdict == TOO_FEW
    monkeypatch.setattr(paper, "TRIALS", dict.fromkeys(paper.TRIALS, 12))
    assert check("five_bits", *rows).verdict == CONTRADICTED


def test_more_than_six_bits_contradict_at_once():
    rows = each_arch(lambda arch: sized(lambda n: 8 * n, arch=arch))
    assert check("five_bits", *rows).verdict == CONTRADICTED


@pytest.mark.parametrize(
    "spoilt",
    [{"algorithm": "random"}, {"train_steps": 40_000}, {"stopped_early": True}],
    ids=["random", "short", "stopped"],
)
def test_only_long_searches_are_thorough(few_trials_do, spoilt):
    rows = each_arch(lambda arch: sized(lambda n: 1.5 * n, arch=arch))
    assert check("five_bits", *rows).verdict == CONTRADICTED
    assert check("five_bits", *(row | spoilt for row in rows)).verdict == TOO_FEW


def test_a_search_that_still_improves_is_not_compared():
    rows = each_arch(lambda arch: sized(lambda n: 4 * n, arch=arch))
    assert check("linear", *rows).verdict == SUPPORTED
    # The last trial of one study beats all others by a tenth.
    last = rows[-1]
    bits = 1.1 * last["bits"]
    late = last | {"bits": bits, "bits_per_parameter": 4.4, "objective": -bits}
    finding = check("linear", *rows[:-1], late)
    assert finding.verdict == TOO_FEW


def test_extra_trials_of_one_architecture_are_ignored():
    rows = each_arch(lambda arch: sized(lambda n: 4 * n, arch=arch), ("ugrnn", "gru", "lstm"))
    rnn = sized(lambda n: 4 * n, arch="rnn")
    more = [
        row | {"bits_per_parameter": 4.15, "objective": -4.15 * row["num_params"]} for row in rnn
    ]
    finding = check("similar_capacity", *rows, *rnn, *more)
    assert finding.result.startswith("factor 1.00")


def test_pairs_that_were_never_compared_do_not_differ_little():
    rows = each_arch(lambda arch: sized(lambda n: 4 * n, arch=arch), ("rnn", "ugrnn", "gru"))
    assert check("similar_capacity", *rows, *sized(lambda n: 4 * n, arch="lstm")).verdict == (
        SUPPORTED
    )
    deep = sized(lambda n: 1.2 * n, arch="lstm", depth=2)
    assert check("similar_capacity", *rows, *deep).verdict == TOO_FEW


def test_an_unbounded_interval_is_not_shown():
    rows = [row for arch in ("rnn", "gru") for row in sized(lambda n: 4 * n, (1000,), arch=arch)]
    assert check("similar_capacity", *rows).result == "factor 1.00"


def test_trials_with_half_the_steps_must_come_close():
    rows = each_arch(lambda arch: sized(lambda n: 4 * n, arch=arch))
    assert check("linear", *rows).verdict == SUPPORTED
    same = [row | {"train_steps": 60_000} for row in rows]
    assert check("linear", *same).verdict == TOO_FEW
    for part, verdict in ((0.97, SUPPORTED), (0.9, TOO_FEW)):
        half = [
            row
            | {name: part * row[name] for name in ("bits", "bits_per_parameter", "objective")}
            | {"train_steps": 30_000, "study": f"{row['study']}-half"}
            for row in rows
        ]
        assert check("linear", *same, *half).verdict == verdict


def test_a_given_first_trial_is_not_found_by_the_search():
    rows = each_arch(lambda arch: sized(lambda n: 4 * n, arch=arch))
    given = [
        row | {"bits_per_parameter": 9.0, "objective": -9.0 * row["num_params"], "origin": "first"}
        for row in rows[::12]
    ]
    found = [row | {"iteration": 1 + i} for i, row in enumerate(rows)]
    assert check("five_bits", *given, *found).result.startswith("4.00")


def unrolled(bits, count=12, **values):
    """Studies of three architectures at each T, which store `bits[T]` bits per parameter."""
    return [
        row | {"num_steps": steps, "study": f"{row['study']}-{steps}"} | values
        for arch in ("rnn", "gru", "lstm")
        for steps, level in bits.items()
        for row in sized(lambda n, level=level: level * n, (1000,), count, arch=arch)
    ]


def test_time_steps_are_compared_at_equal_effort_and_free_nonlinearities():
    rows = unrolled({1: 2.0, 2: 3.0, 3: 3.5, 5: 3.9, 10: 4.0})
    assert check("unrolling", *rows).verdict == SUPPORTED
    held = unrolled({5: 9.0}, held='["activation"]')
    held = [row | {"study": f"{row['study']}-held"} for row in held]
    more = [row | {"bits_per_parameter": 9.0, "objective": -9e3} for row in unrolled({5: 9.0})]
    assert check("unrolling", *rows, *held).result == check("unrolling", *rows).result
    assert check("unrolling", *rows, *more).result == check("unrolling", *rows).result


def test_smoke_runs_and_other_settings_do_not_mix():
    rows = each_arch(lambda arch: sized(lambda n: 4 * n, arch=arch))
    odd = [row | {"bits_per_parameter": 99.0, "objective": -1e9, "study": "odd"} for row in rows]
    expected = check("five_bits", *rows)
    for values in ({"profile": "smoke"}, {"setting": '{"coding": "signs"}'}):
        assert check("five_bits", *rows, *(row | values for row in odd[:12])) == expected


def relu(levels, **values):
    """Studies of two architectures, with bits per parameter for each value of s()."""
    return [
        row | {"study": f"{row['study']}-{name}", "activation": name} | values
        for arch in ("rnn", "ugrnn")
        for name, level in levels.items()
        for row in sized(lambda n, level=level: level * n, arch=arch)
    ]


def test_only_studies_that_hold_the_nonlinearity_compare_it(few_trials_do):
    held = {"held": json.dumps(["activation"])}
    assert check("relu", *relu({"tanh": 5, "relu": 3}, **held)).verdict == SUPPORTED
    assert check("relu", *relu({"tanh": 4, "relu": 5}, **held)).verdict == CONTRADICTED
    assert check("relu", *relu({"tanh": 5, "relu": 3})) == ("", 0, TOO_FEW)
    # Studies with a given s() say nothing about architectures that may choose it.
    assert check("linear", *relu({"tanh": 5, "relu": 3}, **held)).runs == 0


# Losses -------------------------------------------------------------------------------------------


def falling(task, factor, archs=SHALLOW):
    rows = []
    for arch in archs:
        times = factor if arch == "lstm" else 1
        for n in (1000, 4000, 16000):
            loss = 3 - 0.1 * math.log(n / times)
            values = {"arch": arch, "max_params": n, "num_params": n, "units": math.sqrt(n)}
            values |= {"chance_loss": 3.0, "study": f"{task}-{arch}-{n}"}
            rows += [trial(task, loss, bits_per_character=loss, **values)] * 12
    return rows


@pytest.mark.parametrize("task", ["text8", "rcf"])
def test_equal_losses_at_equal_parameters(few_trials_do, task):
    assert check(f"{task}_equal", *falling(task, 1.3)).verdict == SUPPORTED
    assert check(f"{task}_equal", *falling(task, 3.0)).verdict == CONTRADICTED
    assert check(f"{task}_equal", *falling(task, 1.3, ("rnn", "lstm"))).verdict == TOO_FEW
    at_chance = [row | {"chance_loss": 1.03 * row["eval_loss"]} for row in falling(task, 1.3)]
    assert check(f"{task}_equal", *at_chance).verdict == TOO_FEW


def test_a_depth_at_which_loss_rises_prevents_a_verdict():
    rising = [
        row | {"depth": 2, "eval_loss": 4 - row["eval_loss"], "study": f"deep {row['study']}"}
        for row in falling("rcf", 1)
    ]
    rising = [row | {"objective": row["eval_loss"]} for row in rising]
    finding = check("rcf_equal", *falling("rcf", 1.3), *rising)
    assert (finding.verdict, finding.result) == (TOO_FEW, "")


def test_one_architecture_that_forgets_spoils_one_number_per_unit():
    def rows(rnn):
        return [
            trial("memory", max(0, 1 - units / 64) + (rnn if arch == "rnn" else 0.001 * units / 64),
                  units=units, max_params=units, arch=arch, study=f"{arch}-{units}")
            for arch in SHALLOW for units in (8, 16, 32, 80) for _ in range(8)
        ]  # fmt: skip

    assert check("number_per_unit", *rows(0.01)).verdict == SUPPORTED
    assert check("number_per_unit", *rows(0.1)).verdict == TOO_FEW
    small = [row for row in rows(0.01) if row["units"] < 64]
    assert check("number_per_unit", *small).verdict == TOO_FEW
    # Vectors of 4 numbers leave no error to more units.
    four = [row | {"units": 8 + row["units"] // 20, "num_inputs": 4} for row in rows(0.01)]
    four = [row | {"eval_loss": 0.01, "objective": 0.01} for row in four]
    finding = check("number_per_unit", *four)
    assert finding.verdict == TOO_FEW and "vectors of 4 numbers" in finding.result


# Hard tasks ---------------------------------------------------------------------------------------


def both_tasks(levels, seeds=4, **values):
    """Searches of both hard tasks, given each architecture's loss; seeds differ a little."""
    return [
        row | {"study": f"{row['study']}-{seed}"}
        for task in ("parens", "arithmetic")
        for arch, level in levels.items()
        for seed in range(seeds)
        for row in losses(arch, level * (1 + 0.01 * seed), task=task, chance_loss=20.0, **values)
    ]


def test_gated_searches_must_beat_the_rnn_and_the_irnn():
    good = {"rnn": 10, "irnn": 9, "ugrnn": 1, "gru": 1, "lstm": 1}
    assert check("gated_easier", *both_tasks(good)).verdict == SUPPORTED
    assert check("gated_easier", *both_tasks(good, seeds=3)).verdict == TOO_FEW
    one_task = [row for row in both_tasks(good) if row["task"] == "parens"]
    assert check("gated_easier", *one_task).verdict == TOO_FEW
    # Without the IRNN's divergence the ungated would win.
    assert check("gated_easier", *both_tasks(good | {"rnn": 0.1})).verdict == CONTRADICTED
    deep = both_tasks({"rnn": 1, "gru": 10, "ugrnn": 11, "lstm": 12}, depth=4)
    assert check("gated_easier", *both_tasks(good), *deep).verdict == CONTRADICTED
    assert check("gated_easier", *both_tasks(dict.fromkeys(good, 1))).verdict == TOO_FEW


def test_a_search_of_many_trials_is_one_sample():
    good = {"rnn": 10, "irnn": 9, "ugrnn": 1, "gru": 1, "lstm": 1}
    once = [row for row in both_tasks(good, seeds=1) for _ in range(4)]
    assert check("gated_easier", *once).verdict == TOO_FEW


def test_comparisons_of_searches_leave_out_transferred_trials():
    level = {"rnn": 10, "irnn": 9, "ugrnn": 1, "gru": 1, "lstm": 1}
    good = both_tasks(level)
    lucky = [row | {"eval_loss": 0.01} for row in good if row["arch"] == "rnn"]
    first = [row | {"origin": "first"} for row in lucky]
    assert check("gated_easier", *first, *good).verdict == SUPPORTED
    # The search goes on from a transferred trial, so the whole study is left out.
    whole = [row | {"study": f"{row['study']}-helped"} for row in lucky]
    given = [row | {"origin": "transfer"} for row in whole[::30]]
    assert check("gated_easier", *given, *whole, *good).verdict == SUPPORTED
    assert check("gated_easier", *whole, *good).verdict != SUPPORTED


def test_comparisons_of_searches_need_equal_steps():
    level = {"rnn": 10, "irnn": 9, "ugrnn": 1, "gru": 1, "lstm": 1}
    short = [row for row in both_tasks(level) if row["arch"] in ("rnn", "irnn")]
    long = [row for row in both_tasks(level) if row["arch"] not in ("rnn", "irnn")]
    long = [row | {"train_steps": 1_000_000} for row in long]
    finding = check("gated_easier", *short, *long)
    assert finding.verdict == TOO_FEW


def test_comparisons_of_searches_need_whole_trials_and_ranges():
    level = {"rnn": 10, "irnn": 9, "ugrnn": 1, "gru": 1, "lstm": 1}
    good = both_tasks(level)
    assert check("gated_easier", *good).verdict == SUPPORTED
    for spoilt in (
        {"stopped_early": True},
        {"held": '["lr_init"]'},
        {"narrowed": '["lr_init"]'},
        {"outside": '["lr_init"]'},
    ):
        rows = [row | (spoilt if row["arch"] == "rnn" else {}) for row in good]
        assert check("gated_easier", *rows).verdict == TOO_FEW
    muon = {"optimizer": "muon", "held": '["optimizer"]'}
    for outside in ("[]", '["optimizer"]'):  # records of earlier versions have the first
        rows = [row | muon | {"outside": outside} for row in good]
        assert check("gated_easier", *rows).verdict == SUPPORTED


def test_one_bad_gated_architecture_cannot_hide_among_the_others():
    level = {"rnn": 10, "irnn": 9, "ugrnn": 1, "gru": 1, "lstm": 9.5}
    assert check("gated_easier", *both_tasks(level, seeds=8)).verdict == TOO_FEW


@pytest.mark.parametrize(("best", "verdict"), [("gru", SUPPORTED), ("lstm", CONTRADICTED)])
@pytest.mark.parametrize(
    ("name", "algorithm"), [("gru_most_trainable", "gp"), ("gru_untuned", "random")]
)
def test_the_most_trainable(name, algorithm, best, verdict):
    levels = {arch: 1 if arch == best else 5 for arch in SHALLOW}
    rows = both_tasks(levels, seeds=6, algorithm=algorithm)
    assert check(name, *rows).verdict == verdict
    if verdict == SUPPORTED:
        without = [row for row in rows if row["arch"] != "irnn"]
        assert check(name, *without).verdict == TOO_FEW


def test_an_architecture_that_is_not_the_papers_is_left_out():
    levels = {arch: 1 if arch == "gru" else 5 for arch in SHALLOW} | {"mgu": 0.1}
    rows = both_tasks(levels)
    assert check("gru_most_trainable", *rows).verdict == SUPPORTED
    others = sized(lambda n: 4 * n, arch="mgu")
    assert check("gru_most_trainable", *rows, *others).verdict == SUPPORTED
    assert check("linear", *others).runs == 0


def test_solving_is_a_hundredth_of_chance(monkeypatch):
    # The ungated have not solved the tasks yet, and may yet do so.
    assert check("ungated_solve", *solved(1, 0.01, 0.2)).verdict == TOO_FEW
    assert check("only_gated_deep", *solved(8, 0.01, 0.2)).verdict == TOO_FEW
    # A task once solved stays solved.
    assert check("ungated_solve", *solved(1, 0.01, 0.05)).verdict == SUPPORTED
    assert check("only_gated_deep", *solved(8, 0.01, 0.05)).verdict == CONTRADICTED
    monkeypatch.setattr(paper, "TRIALS", dict.fromkeys(paper.TRIALS, 20))
    for short in ({"train_steps": 1000}, {"stopped_early": True}):
        assert check("ungated_solve", *solved(1, 0.01, 0.2, **short)).verdict == TOO_FEW
    assert check("ungated_solve", *solved(1, 0.01, 0.2)).verdict == CONTRADICTED
    assert check("only_gated_deep", *solved(8, 0.01, 0.2)).verdict == SUPPORTED
    assert check("only_gated_deep", *solved(8, 0.2, 0.2)).verdict == CONTRADICTED


def test_a_single_deep_rnn_that_solves_a_task_contradicts():
    rows = [row for row in solved(8, 0.01, 0.05) if row["arch"] == "rnn"]
    parens = [row for row in rows if row["task"] == "parens"]
    assert check("only_gated_deep", *parens).verdict == CONTRADICTED
