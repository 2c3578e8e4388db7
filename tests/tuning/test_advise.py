"""Advice follows the paper's rules, and shows the trials that it rests on."""

import math

import pytest
import report_rows as rows
from processes import ROOT, python

from rnn_zoo.sizing import count_params
from tuning import advise
from tuning.advise import EXPENSIVE, Needs
from tuning.report import atlas, statistics

NONE = rows.frame()


def texts(advice):
    return "\n".join(reason.text for reason in advice.reasons)


@pytest.mark.parametrize(
    "needs, arch",
    [
        (Needs(), "gru"),
        (Needs(train_budget=5000), "gru"),
        (Needs(depth=2), "+rnn"),
        (Needs(depth=8, train_budget=999, inference=EXPENSIVE), "+rnn"),
        (Needs(train_budget=1000, inference=EXPENSIVE), "rnn"),
        (Needs(depth=4, train_budget=1000, inference=EXPENSIVE), "rnn"),
    ],
)
def test_the_cell_is_the_paper_s(needs, arch):
    advice = advise.advise(needs, NONE)
    assert (advice.arch, advice.depth, advice.units) == (arch, needs.depth, None)
    assert advice.start.arch == arch


@pytest.mark.parametrize("bits", [1.0, 777.0, 12_345.0, 1e6])
@pytest.mark.parametrize("depth", [1, 3])
def test_the_size_is_the_smallest_that_holds_the_bits(bits, depth):
    """Five bits per parameter after a large search, else three, the least in the paper."""
    for budget, rate in ((1000, 5), (999, 3)):
        needs = Needs(bits, depth=depth, train_budget=budget, input_dim=7, output_dim=3)
        advice = advise.advise(needs, NONE)

        def size(units, arch=advice.arch, depth=depth):
            return count_params(arch, depth, units, 7, 3)

        assert advice.num_params == size(advice.units) >= bits / rate
        assert advice.units == 1 or size(advice.units - 1) < bits / rate


def test_a_unit_for_every_number():
    advice = advise.advise(Needs(task_bits=30, inputs_to_remember=64), NONE)
    assert advice.units == 64
    assert advise.advise(Needs(inputs_to_remember=3, task_bits=1e5), NONE).units > 64


def test_few_runs_count_with_the_best_trial():
    found = rows.frame(
        # The third stored nothing, and was tried all the same.
        *(rows.capacity(bits, arch="gru", study="a") for bits in (1980.0, 990.0, 0.0)),
        rows.capacity(4000.0, arch="lstm", study="b"),
        rows.capacity(6000.0, arch="gru", depth=2, study="c"),
        # In a million steps.
        rows.capacity(4500.0, arch="gru", study="m", optimizer="muon", outside='["optimizer"]'),
    )
    advice = advise.advise(Needs(task_bits=1000.0), found)
    assert advice.num_params >= 500 > count_params("gru", 1, advice.units - 1, 1, 1)
    (size,) = (reason for reason in advice.reasons if "five_bits" in reason.claims)
    assert "at 5 bits per parameter" in size.text.lower() and "need 200 parameters" in size.text
    assert "500 are safer: 2.00 bits each, the best here with the paper's optimizers" in size.text
    assert size.here == "the best of 3 trials of the GRU stored 2.00 bits per parameter (a/00000)"
    assert advise.advise(Needs(1000.0, train_budget=1000), found).num_params < 300


def test_a_trial_better_than_the_paper_makes_no_smaller_network():
    found = rows.frame(rows.capacity(6.5 * 990, arch="gru"))
    advice = advise.advise(Needs(task_bits=1000.0), found)
    assert advice.num_params >= 200 and "safer" not in texts(advice)


@pytest.mark.parametrize("bits", [0.0, -3.0, 1e-300])
def test_a_trial_that_stored_nothing_says_nothing_of_the_size(bits):
    found = rows.frame(rows.capacity(bits, arch="gru"))
    advice = advise.advise(Needs(task_bits=1000.0), found)
    assert advice == advise.advise(Needs(task_bits=1000.0), NONE)
    assert "the paper's least" in texts(advice)


def test_the_odds_are_those_of_independent_runs():
    losses = [1.0] * 3 + [0.5] * 2 + [None]
    found = rows.frame(
        *(
            rows.trial("parens", loss, arch="gru", algorithm="random", origin="random")
            for loss in losses
        )
    ).assign(chance_loss=1.0)
    learned, total, studies = advise._learned(advise._random(found, 1))["gru"]
    assert (learned, total, list(studies)) == (2, 6, ["s"])
    advice = advise.advise(Needs(train_budget=4), found)
    p, low, high = statistics.share(2, 6)
    percents = [f"{100 * (1 - (1 - share) ** 4):.0f} %" for share in (p, low, high)]
    odds = f"with a probability of {percents[0]} [{percents[1]}, {percents[2]}]"
    assert odds in texts(advice)
    needed = next(n for n in range(1, 99) if 1 - (1 - p) ** n >= 0.9)
    assert f"it takes {needed} for 90 %" in texts(advice)
    assert "GRU 33 % [10 %, 70 %] of 6 (s)" in advice.reasons[0].here


def test_studies_of_the_atlas_count_for_capacity_alone(monkeypatch):
    """The report judges claims without them."""
    of_parens = {"arch": "gru", "algorithm": "random", "chance_loss": 1.0, "train_steps": 99}
    found = rows.frame(
        rows.trial("parens", 0.5, **of_parens),
        rows.trial("parens", 1.0, **of_parens, study="atlas"),
        rows.capacity(1980.0, arch="gru", study="atlas"),
    )
    monkeypatch.setattr(atlas.standard(), "select", lambda trials: trials[trials.study == "atlas"])
    advice = advise.advise(Needs(task_bits=100.0), found)
    assert "of 1 (s)" in advice.reasons[0].here
    assert "2.00 bits each" in texts(advice)


def test_every_claim_that_advice_names_exists():
    from tuning.report.claims import CLAIMS

    for needs in (Needs(9, 9), Needs(9, 9, depth=2), Needs(9, 9, 1, 1000, EXPENSIVE)):
        for reason in advise.advise(needs, NONE).reasons:
            assert CLAIMS.keys() >= set(reason.claims)
            assert reason.paper or reason.here


def test_the_start_is_the_most_similar_preset():
    assert advise.advise(Needs(), NONE).start.name == "parens/gru-10k"
    deep = advise.advise(Needs(depth=5), NONE).start
    assert (deep.name, deep.depth) == ("parens/+rnn-depth4-10k", 4)


def test_the_command_line(tmp_path):
    """The advice of published trials, with a number recomputed from them."""
    command = ("-m", "tuning.advise", "--task_bits=20000", "--train_budget=20")
    command = (*command, "--runs=results/figure_1")
    done = python(*command, cwd=ROOT)
    assert (done.code, done.stderr) == (0, ""), done.stderr
    headline, *_ = (line for line in done.stdout.splitlines() if line.startswith("GRU"))
    assert headline.endswith(" parameters, for 1 input and 1 output")
    assert "claim: Networks store about five bits per parameter: " in done.stdout
    assert "--preset=parens/gru-10k --scratch --task=TASK --arch=gru --depth=1" in done.stdout
    import tuning

    runs = tuning.load(ROOT / "results/figure_1")
    own = (runs.task == "capacity") & (runs.arch == "gru") & (runs.depth == 1)
    most = runs[own].bits_per_parameter.max()
    assert f"stored {most:.2f} bits per parameter" in done.stdout
    wanted = math.ceil(20_000 / most)
    assert f"{wanted:,} are safer" in done.stdout


@pytest.mark.parametrize(
    "flag, words",
    [
        ("--depth=0", "--depth must be a number at least 1"),
        ("--task_bits=-1", "--task_bits must be a number at least 0"),
        ("--train_budget=0", "--train_budget must be"),
        ("--inference=low", "unknown --inference 'low'; choose one of cheap, expensive"),
        ("--runs=nowhere", "--runs is not a directory: nowhere"),
    ],
)
def test_mistakes_are_one_line(flag, words, tmp_path):
    done = python("-m", "tuning.advise", flag, cwd=tmp_path)
    assert done.code == 2 and words in done.stderr
    assert len(done.stderr.splitlines()) == 1
