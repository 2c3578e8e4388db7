"""The gap between RNNs and gated cells by optimizer: by hand, and on planted trials."""

import itertools

import numpy as np
import pytest
from report_rows import frame, trial

from rnn_zoo.architectures import ARCHITECTURES
from tuning.report import optimizers
from tuning.report.claims.floors import LEARNED
from tuning.report.statistics import Estimate, share_difference
from tuning.sweep import config

PARENS = optimizers.studies()[optimizers.studies().task == "parens"]


def study(row, ratios, **values):
    """The trials of a study of the sweep, from their losses over chance; None diverged."""
    facts = {name: row[name] for name in ("arch", "activation", "optimizer", "depth")}
    facts |= {name: row[name] for name in ("max_params", "max_steps", "algorithm", "seed")}
    name = "-".join(str(row[name]) for name in ("task", "arch", "activation", "optimizer"))
    facts |= {"study": name, "held": '["activation", "optimizer"]', "chance_loss": 2.0}
    return [
        trial(row["task"], None if ratio is None else 2 * ratio, iteration=number, **facts | values)
        for number, ratio in enumerate(ratios)
    ]


def planted(closing, generator, gated_learn=True):
    """Trials in which gated cells learn, and RNNs with the closing optimizers alone."""
    rows = []
    for row in PARENS.to_dict("records"):
        is_gated = bool(ARCHITECTURES[row["arch"]].forget_gates)
        learns = gated_learn if is_gated else row["optimizer"] in closing
        learned = 0.1 + 0.05 * generator.exponential(size=row["num_trials"])
        failed = 1 - 0.03 * generator.random(row["num_trials"])
        often = 0.6 if is_gated else 0.95
        lucky = generator.random(row["num_trials"]) < (often if learns else 0.0)
        ratios = np.where(lucky, learned, failed).tolist()
        ratios[0] = None
        rows += study(row, ratios)
    return rows


def table(rows):
    return optimizers.table(optimizers.complete(optimizers.select(frame(*rows))))


@pytest.mark.parametrize("closing", [(), ("soap",), ("path_sgd", "muon")], ids=str)
def test_planted_gaps_are_found(closing):
    generator = np.random.default_rng(5)
    for _ in range(2):
        found = table(planted(closing, generator)).set_index("optimizer")["the gap"]
        assert (found.index[found == "closed"].sort_values() == sorted(closing)).all()
        assert set(found) <= {"closed", "remains"}


def test_where_gated_cells_learn_nothing_there_is_no_gap():
    found = table(planted((), np.random.default_rng(1), gated_learn=False))
    assert set(found["the gap"]) == {"none: no gated cell learned"}


def first(arch, optimizer, activation="tanh"):
    wanted = {"arch": arch, "optimizer": optimizer, "activation": activation}
    rows = PARENS
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    (row,) = rows.to_dict("records")
    return row


def test_numbers_are_those_of_the_trials():
    found = table(
        [
            *study(first("rnn", "adam"), [0.9, LEARNED, None, 1, 1, 1, 1, 1]),
            *study(first("irnn", "adam", "relu"), [0.7, 0.8, 1, 1, 1, 1, 1, 1]),
            *study(first("gru", "adam"), [0.3, 0.2, 1, 1, 1, 1, 1, 1]),
            *study(first("gru", "muon"), [0.1, 0.4, 1, 1, 1, 1, 1, 1]),
            *study(first("lstm", "muon"), [0.5] * 7),  # not finished
        ]
    )
    (row,) = found.to_dict("records")
    assert (row["task"], row["optimizer"], row["trials per cell"]) == ("parens", "adam", 8)
    assert row["RNNs: learned"] == pytest.approx(3 / 16)
    assert row["gated cells: learned"] == pytest.approx(2 / 8)
    assert (row["RNNs: best"], row["RNNs: loss"]) == ("IRNN", pytest.approx(0.7))
    assert (row["gated cells: best"], row["gated cells: loss"]) == ("GRU", pytest.approx(0.2))
    # Against the optimizer that suits gated cells best.
    assert (row["reference"], row["gap in losses"]) == ("GRU with muon", pytest.approx(0.6))
    interval = share_difference((2, 8), (3, 16))
    assert tuple(row[f"gap in shares{end}"] for end in ("", ", low", ", high")) == interval
    assert row["the gap"] == "undecided"


def test_the_interval_holds_the_gap_as_often_as_it_says():
    """With as many trials as the sweep has so far: 8 of RNNs, and 24 of gated cells."""
    generator = np.random.default_rng(3)
    for rnns, gated in ((0.02, 0.4), (0.2, 0.4), (0.5, 0.5)):
        counts = generator.binomial((8, 24), (rnns, gated), size=(1000, 2)).tolist()
        intervals = [share_difference((few, 24), (many, 8)) for many, few in counts]
        covered = np.mean([each.low <= gated - rnns <= each.high for each in intervals])
        assert covered > 0.93


@pytest.mark.parametrize(
    "difference, p, reference, expected",
    [
        (Estimate(0.0, -0.1, 0.19), 1.0, 0.2, "closed"),
        (Estimate(0.1, 0.01, 0.19), 0.01, 0.2, "closed"),
        (Estimate(0.0, -0.1, 0.21), 1.0, 0.2, "undecided"),
        (Estimate(0.3, 0.01, 0.4), 0.049, 0.2, "remains"),
        (Estimate(0.3, 0.01, 0.4), 0.051, 0.2, "undecided"),
        (Estimate(-0.3, -0.4, 0.21), 0.01, 0.2, "undecided"),
        (Estimate(0.3, 0.2, 0.4), 0.01, LEARNED, "none: no gated cell learned"),
    ],
)
def test_a_gap_is_closed_or_remains(difference, p, reference, expected):
    assert optimizers.verdict(difference, p, reference) == expected


@pytest.mark.parametrize("number, expected", [(1, "remains"), (5, "undecided")])
def test_a_gap_remains_at_a_level_for_all_optimizers(number, expected):
    """Fisher's p of 0 of 8 and 12 of 24 is 0.014."""
    gated = [study(first(arch, "muon"), [0.3] * 4 + [1.0] * 4) for arch in ("ugrnn", "gru", "lstm")]
    names = ("sgd", "momentum", "rmsprop", "adam", "adamw")[:number]
    rnns = [study(first("rnn", name), [1.0] * 8) for name in names]
    found = table(itertools.chain(*gated, *rnns)).set_index("optimizer")["the gap"]
    assert found.to_dict() == dict.fromkeys(names, expected)


@pytest.mark.parametrize("values", [{"held": "[]"}, {"max_steps": 7}, {"profile": "smoke"}])
def test_only_the_sweep_s_own_studies_are_used(values):
    rows = study(first("rnn", "adam"), [0.5] * 8, **values)
    assert not len(optimizers.select(frame(*rows)))


def test_files_are_a_table_and_a_figure():
    found = optimizers.select(frame(*planted(("soap",), np.random.default_rng(2))))
    files = optimizers.files(found)
    assert sorted(files) == [
        "figures/optimizers.pdf",
        "figures/optimizers.png",
        "figures/optimizers.svg",
        "tables/optimizers.csv",
        "tables/optimizers.md",
    ]
    chart = optimizers.draw(optimizers.table(optimizers.complete(found)))
    (marks,) = [line for line in chart.axes.lines if line.get_marker() not in ("None", "")]
    names = [label.get_text() for label in chart.axes.get_xticklabels()]
    gaps = dict(zip(names, marks.get_ydata(), strict=True))
    assert gaps.keys() == {
        "sgd",
        "momentum",
        "rmsprop",
        "adam",
        "adamw",
        "muon",
        "soap",
        "path_sgd",
    }
    assert gaps["soap"] < 0 < min(gaps[name] for name in names if name != "soap")
    assert optimizers.files(found.iloc[:3]) == {}


@pytest.mark.parametrize(
    "values",
    [
        {"setting": '{"num_symbols": 5}'},
        {"held": '["activation", "lr_init", "optimizer"]'},
        {"fixed": '{"lr_init range": "[0.001, 0.01]"}'},
    ],
    ids=str,
)
def test_a_study_with_other_settings_is_not_used(values):
    row = PARENS.to_dict("records")[0]
    assert len(optimizers.select(frame(*study(row, [0.5] * 8)))) == 8
    assert not len(optimizers.select(frame(*study(row, [0.5] * 8, **values))))


def test_each_task_has_rows_of_its_own_named_with_its_options():
    rows = []
    for row in optimizers.studies().to_dict("records"):
        if row["optimizer"] == "adam":
            rows += study(row, [0.5] * 8, setting=row["setting"])
    found = table(rows)
    assert list(found.task) == ["parens", "adding, num_steps=200", "copy, delay=100"]
    # The same tasks at other lengths are not the sweep's.
    assert list(table([row | {"setting": "{}"} for row in rows]).task) == ["parens"]


def test_the_trained_models_are_not_measured_at_other_lengths():
    points = config.points("gin_configs/optimizers.gin", "laptop")
    assert {point["eval_lengths"] for point in points} == {()}
