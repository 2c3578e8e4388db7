"""The plan: power, order by cost, budget, and a gin file that a sweep accepts."""

import contextlib
import json
import pathlib
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from report_rows import frame, trial
from slow import slow_except

from trainer.errors import UserError
from tuning import trials
from tuning.report import designs, evidence, plan, simulation, statistics, truths
from tuning.report.claims import CLAIMS, CONTRADICTED, SUPPORTED, TOO_FEW, Finding
from tuning.report.designs import Design
from tuning.report.evidence import Evidence, key_of
from tuning.sweep.config import parse
from tuning.trials import together

#: Designs that differ, by the name of their first claim.
DISTINCT = list({id(design): name for name, design in [*designs.DESIGNS.items()][::-1]}.values())

#: Published sweeps.
SWEEPS = [path.parent.name for path in sorted(pathlib.Path("results").glob("*/studies"))]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def few_simulations(monkeypatch):
    """One simulation is enough, since the powers of these tests are 0 or 1."""
    monkeypatch.setattr(plan, "SIMULATIONS", 1)


def a_minute(points):
    return [60.0] * len(points)


def of(task, arch="gru", trials=30, **values):
    return designs.product(task, arch=arch, num_params=2000, num_trials=trials, **values)


@pytest.fixture
def three_claims(monkeypatch):
    """Claims on the memory task that need 30, 60 and 900 trials of a GRU, and one of an LSTM."""

    def needing(arch, count):
        def check(found):
            runs = int((found.arch == arch).sum())
            return Finding("", runs, SUPPORTED if runs >= count else TOO_FEW)

        return type("Claim", (), {"check": staticmethod(check)})

    claims = {"few": ("gru", 30), "more": ("gru", 60), "most": ("gru", 900), "lstm": ("lstm", 120)}
    monkeypatch.setattr(plan, "CLAIMS", {name: needing(*each) for name, each in claims.items()})
    smallest = {name: Design(of("memory", arch)) for name, (arch, _) in claims.items()}
    monkeypatch.setattr(designs, "DESIGNS", smallest)
    return list(claims)


def test_cheap_claims_come_first_and_share_studies(three_claims):
    steps = plan.make(frame(), 10.0, a_minute, three_claims)
    assert [step.claim for step in steps] == ["few", "more", "lstm", "most"]
    assert [step.power for step in steps] == [1, 1, 1, 0]
    # 30 trials, 30 more of the same study, 120 of the other; 240 of 900 needed decide nothing.
    assert [step.hours for step in steps] == pytest.approx([0.5, 0.5, 2.0, 4.0])
    assert [step.total for step in steps[:3]] == pytest.approx([0.5, 1.0, 3.0])
    assert steps[3].total is None
    assert [(p["arch"], p["num_trials"]) for p in plan.studies_of(steps)] == [
        ("gru", 60),
        ("lstm", 120),
    ]


def test_studies_that_do_not_fit_are_left_out_but_shown(three_claims):
    steps = plan.make(frame(), 1.2, a_minute, three_claims)
    assert [step.total for step in steps] == [0.5, 1.0, None, None]
    assert {point["arch"] for point in plan.studies_of(steps)} == {"gru"}


def there(count, task="memory", **values):
    row = {"study": "old", "arch": "gru", "max_params": 2000, "seed": 1, "chance_loss": 1.0}
    row["max_steps"] = designs.STEPS[task]
    return [trial(task, 0.5, iteration=i, **row | values) for i in range(count)]


def test_existing_trials_are_not_run_again(three_claims):
    steps = plan.make(frame(*there(40)), 10.0, a_minute, three_claims)
    assert (steps[0].claim, steps[0].verdict, steps[0].studies) == ("few", SUPPORTED, ())
    assert (steps[1].claim, steps[1].hours) == ("more", pytest.approx(20 / 60))


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 2},
        {"depth": 2},
        {"arch": "lstm"},
        {"held": '["optimizer"]'},
        {"max_steps": 20_000},
        {"train_steps": 1000},  # below the floor
    ],
    ids=str,
)
def test_trials_of_other_studies_are_not_mistaken_for_this_one(other):
    assert Evidence(frame(*there(40))).count(of("memory")[0]) == 40
    assert Evidence(frame(*there(40, **other))).count(of("memory")[0]) == 0


def test_a_plan_ignores_trials_of_other_optimizers(three_claims):
    steps = plan.make(frame(*there(40, optimizer="muon")), 10.0, a_minute, three_claims)
    assert [step.verdict for step in steps] == [TOO_FEW] * 4


def half_done(task, rng, best=1.0, **values):
    """The first 20 of a study's 40 trials, with `best` times the usual results; and the study."""
    points = of(task, trials=40, **values)
    rows = simulation.simulate(points, truths.LAPTOP, rng).iloc[:20]
    return evidence._scaled(rows, best), points


def test_a_search_continues_around_its_best(rng):
    """The remaining trials follow a limit that fits the best so far, and can beat it."""
    beaten = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows, points = half_done("capacity", rng, best=1.5, task_options={"num_inputs": 26})
        completed = Evidence(rows).completed(points, rng)
        assert len(completed) == 40 and completed.run.nunique() == 40
        assert sorted(completed.iteration) == list(range(40)) and completed.study.nunique() == 1
        new = completed[completed.iteration >= 20]
        beaten.append(statistics.learned(new).max() / statistics.learned(rows).max())
    assert 0.25 <= np.mean(np.array(beaten) > 1) < 1
    # Without the fit, simulated trials reach only two thirds of a best that is 1.5 times the usual.
    assert np.median(beaten) == pytest.approx(1, abs=0.15)


def test_studies_of_a_plan_are_complete_and_others_are_as_they_were(rng):
    rows, points = half_done("capacity", rng, task_options={"num_inputs": 26})
    other = rows.assign(study="other", seed=9)
    found = together([rows, other]).assign(is_partial=True)
    completed = Evidence(found).completed(points, rng)
    partial = completed.groupby("study", observed=True).is_partial.agg(["any", "all", "size"])
    assert partial.loc["other"].tolist() == [True, True, 20]
    assert partial.drop("other").to_numpy().tolist() == [[False, False, 40]]


def test_shares_continue_with_their_own_uncertainty(rng):
    """A Bayesian bootstrap: the share among all further trials varies as Beta(6, 4)'s."""
    rows = there(10, "parens", algorithm="random", max_params=10_000, chance_loss=1.0)
    found = frame(*(row | {"eval_loss": float(i < 6)} for i, row in enumerate(rows)))
    (point,) = designs._random("gru", 410)
    completed = Evidence(found).completed([point], rng)
    assert len(completed) == 410 and set(completed.eval_loss) == {0, 1}
    shares = [(evidence._remaining(point, found, rng).eval_loss == 1).mean() for _ in range(200)]
    assert np.mean(shares) == pytest.approx(0.6, abs=0.03)
    assert np.std(shares) == pytest.approx((0.24 / 11) ** 0.5, abs=0.03)


def test_power_is_the_share_of_verdicts(rng):
    """The rule is supported by every second outcome, whatever the trials are."""
    outcomes = iter([SUPPORTED, TOO_FEW, CONTRADICTED, TOO_FEW])
    found = plan.power(
        lambda _: Finding(verdict=next(outcomes)), of("memory"), Evidence(frame()), 4
    )
    assert found == 0.5


def test_simulations_that_cannot_reach_the_power_end_early():
    """After the fourth failure of 25, at most 21 can be verdicts, and 22 are required."""
    outcomes = [TOO_FEW, SUPPORTED, TOO_FEW, SUPPORTED, TOO_FEW, TOO_FEW, SUPPORTED]

    def check(_):
        return Finding(verdict=next(left))

    for required, number in ((plan.REQUIRED, 6), (0.0, 25)):
        left = iter(outcomes + [SUPPORTED] * 18)
        found = plan.power(check, of("memory"), Evidence(frame()), 25, required=required)
        assert found < plan.REQUIRED and 25 - len(list(left)) == number


def test_a_true_claim_is_decided_by_its_design_but_not_by_few_trials():
    check, design = CLAIMS["irnn_diverges"].check, designs.DESIGNS["irnn_diverges"]
    nothing = Evidence(frame())
    assert plan.power(check, design.studies(2), nothing, 10) >= 0.8
    few = [point | {"num_trials": 20} for point in design.studies(1)]
    assert plan.power(check, few, nothing, 10) <= 0.2


def test_enough_power_takes_more_than_luck(three_claims, monkeypatch):
    """Four of five simulations are too few, and each size has simulations of its own."""
    seeds = []

    def power(check, studies, there, seed, required):
        seeds.append(seed)
        return 0.8

    monkeypatch.setattr(plan, "power", power)
    (step,) = plan.make(frame(), 10.0, a_minute, ["few"])
    assert step.total is None and len(set(seeds)) == len(plan.SCALES)


def test_power_is_that_with_all_studies_of_the_plan(three_claims, monkeypatch):
    """The claim is undecided as soon as another claim's LSTMs are there."""

    def check(found):
        is_alone = (found.arch == "gru").all()
        return Finding("", 1, SUPPORTED if len(found) and is_alone else TOO_FEW)

    alone = type("Claim", (), {"check": staticmethod(check)})
    monkeypatch.setitem(plan.CLAIMS, "few", alone)
    powers = {s.claim: s.power for s in plan.make(frame(), 10.0, a_minute, ["few", "lstm"])}
    assert powers == {"few": 0, "lstm": 1}
    (step,) = plan.make(frame(), 10.0, a_minute, ["few"])
    assert step.power == 1


def test_complete_studies_are_not_written(three_claims):
    steps = plan.make(frame(*there(45)), 10.0, a_minute, three_claims)
    assert {p["arch"] for p in plan.studies_of(steps)} == {"gru", "lstm"}
    full = frame(*there(60))
    assert {p["arch"] for p in plan.studies_of(steps, Evidence(full))} == {"lstm"}
    assert Evidence(full).places(of("memory")[0]) == ["old"]


def test_a_plan_names_the_sweeps_that_hold_parts_of_its_studies(
    three_claims, tmp_path, monkeypatch
):
    held = frame(*there(40, study="older/studies/memory-gru"))
    monkeypatch.setattr(plan.trials, "read", lambda runs: (held, []))
    monkeypatch.setattr(plan, "_seconds", lambda points, text8: a_minute(points))
    said, phases = [], []
    display = SimpleNamespace(
        say=said.append,
        table=lambda *_: None,
        phase=lambda name: contextlib.nullcontext(phases.append(name)),
    )
    plan.run("runs", tmp_path, 3.0, {}, display)
    assert [re.sub(r"[0-9]+ s left", "N s left", phase) for phase in phases] == [
        "simulating more, claim 1 of 3",
        "simulating most, claim 2 of 3, about N s left",
        "simulating lstm, claim 3 of 3, about N s left",
        "measuring the time of a trial",
    ]
    assert [line for line in said if "older" in line] == [
        "1 of these studies have trials in the sweep older; they continue there, and a sweep in "
        "another directory repeats these trials"
    ]
    plan.run("runs", tmp_path / "of_one", 3.0, {}, display, ["few"])
    assert said[-1] == "all of these claims are decided"
    table = pd.read_csv(tmp_path / "plan.csv", keep_default_na=False).set_index("claim")
    # 40 trials of the GRU are there; the largest design has more steps as well.
    assert table["runs added"].to_dict() == {"few": 0, "more": 20, "lstm": 120, "most": 240}
    assert table.note.to_dict() == {
        "few": "supported", "more": "", "lstm": "", "most": "too little power"
    }  # fmt: skip
    assert table.total.to_dict() == {"few": "", "more": "0.3", "lstm": "2.3", "most": ""}


def test_a_plan_of_one_claim_measures_its_text(three_claims, tmp_path, monkeypatch):
    """Its text is checked and in the command of its sweep; other claims' texts are neither."""
    monkeypatch.setitem(designs.DESIGNS, "more", Design(of("text8", trials=60)))
    monkeypatch.setattr(plan, "_seconds", lambda points, text8: a_minute(points))
    said = []
    display = SimpleNamespace(
        say=said.append, table=lambda *_: None, phase=lambda _: contextlib.nullcontext()
    )
    text = {"path": "nowhere"}
    plan.run(None, tmp_path, 3.0, text, display, ["few"])
    assert list(pd.read_csv(tmp_path / "plan.csv").claim) == ["few"]
    (command,) = (line for line in said if "python -m" in line)
    assert command.endswith("plan.gin --out=runs/decide")
    with pytest.raises(UserError, match="nowhere cannot be read"):
        plan.run(None, tmp_path, 3.0, text, display, ["more"])
    (tmp_path / "text").write_text("anarchism originated " * 1000)
    plan.run(None, tmp_path, 3.0, {"path": str(tmp_path / "text")}, display, ["more"])
    assert said[-1].endswith(f"plan.gin --out=runs/decide --text8_path={tmp_path / 'text'}")


def test_seeds_grow_beyond_those_of_the_design():
    grown = designs.DESIGNS["gated_easier"].studies(2)
    assert {point["seed"] for point in grown} == set(range(1, 9))
    assert len({designs.key(point) for point in grown}) == len(grown) == 80


@pytest.mark.parametrize("name", slow_except(DISTINCT[:4], DISTINCT))
def test_a_sweep_accepts_every_design_in_its_order(name, tmp_path):
    points = list(designs.DESIGNS[name].smallest)
    text_file = tmp_path / "text8"
    text_file.write_text("anarchism originated " * 1000)
    for merge in (False, True):
        text = plan.gin(points, f"Of {name}.", merge)
        (tmp_path / "plan.gin").write_text(text)
        data = {"text8": {"path": str(text_file)}}
        specs, *_ = parse(str(tmp_path / "plan.gin"), "laptop", data=data)
        assert len(specs) == len(points)
        assert len({spec.name for spec in specs}) == len(points)
        if not merge:
            for rank, (spec, point) in enumerate(zip(specs, points, strict=True)):
                assert spec.priority == rank
                assert (spec.config.arch, spec.config.seed) == (point["arch"], point["seed"])
                assert spec.study.num_trials == point["num_trials"]
                assert spec.config.train_steps == point["train_steps"]


def test_a_design_grows_in_trials_and_in_steps():
    design = designs.DESIGNS["text8_equal"]
    for one, grown in zip(design.smallest, design.studies(4, 2), strict=True):
        counts = {"num_trials": 4 * one["num_trials"], "train_steps": 2 * one["train_steps"]}
        assert grown == one | counts


def test_a_design_keeps_its_studies_names_as_it_grows(tmp_path):
    design, names = designs.DESIGNS["gated_easier"], []
    for scale in (1, 2):
        (tmp_path / "plan.gin").write_text(plan.gin(design.studies(scale), "Grown."))
        specs, *_ = parse(str(tmp_path / "plan.gin"), "laptop")
        names.append({spec.name for spec in specs})
    assert names[0] < names[1]


def test_longer_studies_have_names_of_their_own(tmp_path):
    design = designs.DESIGNS["irnn_diverges"]
    points = [*design.studies(2), *design.studies(1, 4)]
    for merge in (False, True):
        (tmp_path / "plan.gin").write_text(plan.gin(points, "Longer.", merge))
        specs, *_ = parse(str(tmp_path / "plan.gin"), "laptop")
        assert [spec.name for spec in specs] == [
            "parens-irnn-1-10000-random-seed_1",
            "parens-irnn-1-10000-random-seed_1-train_steps_16000",
        ]
        assert [spec.config.train_steps for spec in specs] == [4000, 16_000]


@pytest.mark.parametrize("name", DISTINCT)
def test_simulated_studies_are_those_of_the_design(name, rng):
    points = designs.DESIGNS[name].studies(1)
    found = simulation.simulate(points, truths.PAPER, rng)
    keys = {key_of(row) for row in found.itertuples()}
    assert keys == set(map(designs.key, points))


@pytest.mark.parametrize("sweep", slow_except(["figure_1"], SWEEPS))
def test_studies_on_disk_have_the_key_of_their_settings(sweep):
    found, _ = trials.read(pathlib.Path("results", sweep))
    keys = {row.study: set() for row in found.itertuples()}
    for row in found.itertuples():
        keys[row.study].add(key_of(row))
    for study, (key,) in keys.items():
        settings = json.loads(pathlib.Path("results", sweep, study, "study.json").read_text())
        point = settings["config"] | {"algorithm": settings["study"]["algorithm"]}
        ranges = settings["study"]["ranges"]
        held = {name for name, values in ranges.items() if isinstance(values, str)}
        point |= dict.fromkeys({"activation", "optimizer"} - held)
        assert key == designs.key({n: v for n, v in point.items() if v is not None})


def test_all_trials_of_a_design_are_above_the_floors(rng):
    for design in map(designs.DESIGNS.get, DISTINCT):
        found = simulation.simulate(design.smallest, truths.LAPTOP, rng)
        there = Evidence(found)
        assert [there.count(point) for point in design.smallest] == [
            point["num_trials"] for point in design.smallest
        ]


def test_steps_of_a_study_are_log_uniform_up_to_its_maximum(rng):
    point = of("text8", trials=2000, train_steps=8000, first="config")[0]
    found = simulation.simulate([point], truths.PAPER, rng)
    assert found.train_steps[0] == 8000 and found.origin[0] == "first"
    assert found.train_steps.between(2000, 8000).all() and set(found.max_steps) == {8000}
    # The logarithm of the steps is uniform, so half of the trials have at most half the steps.
    assert (found.train_steps <= 4000).mean() == pytest.approx(0.5, abs=0.05)
    narrow = simulation.simulate(
        [point | {"ranges": {"train_steps": (5000, 6000)}}], truths.PAPER, rng
    )
    assert narrow.train_steps.between(5000, 6000).all()
    # A quarter of the steps doubles `short`, the part of the shortfall that depends on steps.
    only = truths.but(gap=0.0, luck=0.0, moves=1.0, short=0.1)
    whole, quarter = (
        simulation.simulate(
            of("capacity", "rnn", 1, activation="tanh", ranges={"train_steps": (n, n)}), only, rng
        ).bits_per_parameter[0]
        for n in (50_000, 12_500)
    )
    assert quarter / whole == pytest.approx(0.8 / 0.9, rel=1e-3)


def test_studies_of_one_key_are_one_study():
    """Claims share studies; only the number of trials may differ."""
    by_key = {}
    for design in designs.DESIGNS.values():
        for point in design.smallest:
            rest = {name: value for name, value in point.items() if name != "num_trials"}
            assert by_key.setdefault(designs.key(point), rest) == rest
