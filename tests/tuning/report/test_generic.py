"""Figures of tasks and cells outside the paper."""

import json

import pytest
from report_rows import capacity, frame, trial

from tuning.report import generic, style
from tuning.report.captions import caption
from tuning.report.selection import settings

TASK = "my_tasks.parity"


def own(loss, **values):
    return trial(TASK, loss, **({"arch": "my_cells.leaky", "chance_loss": 0.5} | values))


def drawn(*rows):
    table = frame(*rows)
    panels = generic.panels(table)
    charts = {name: panel.draw(table) for name, panel in panels.items()}
    captions = {name: caption(panels[name], chart, table) for name, chart in charts.items()}
    return {name.rpartition("-")[2]: chart for name, chart in charts.items()}, captions


def points(chart, *columns):
    return sorted(chart.points[list(columns)].itertuples(index=False, name=None))


def test_every_kind_is_drawn_for_a_task_and_a_cell_of_the_users():
    charts, _ = drawn(
        own(0.4), own(0.2), own(None), own(0.1, max_params=2000, num_params=1990, units=30),
        own(0.3, depth=3, study="deep"), own(0.25, arch="mgu"),
    )  # fmt: skip
    assert list(charts) == ["parameters", "units", "trials", "depth"]
    leaky = [(990, 0.4, "s/00001"), (990, 0.6, "deep/00004"), (1990, 0.2, "s/00003")]
    assert points(charts["parameters"], "x", "y", "run") == sorted([*leaky, (990, 0.5, "s/00005")])
    assert points(charts["units"], "x") == [(20,), (20,), (20,), (30,)]
    assert points(charts["depth"], "x", "y") == [(1, 0.4), (1, 0.5), (3, 0.6)]
    assert set(charts["trials"].points.arch) == {"mgu", "my_cells.leaky"}
    for chart in charts.values():
        assert [text.get_text() for text in chart.axes.texts] == ["chance"]
        assert any(set(line.get_ydata()) == {1.0} for line in chart.axes.lines)


def of_study(loss, study, seed=0, **fixed):
    text = json.dumps({"search": "gp", "batch_size": 8} | fixed)
    return own(loss, study=study, seed=seed, iteration=0, fixed=text)


def key(chart):
    """Labels of the key, which is in the axes or above them."""
    chart.frame()  # lays it out
    (legend,) = filter(None, (chart.axes.get_legend(), *chart.figure.legends))
    return [text.get_text() for text in legend.get_texts()]


def test_studies_with_other_settings_are_no_seeds():
    charts, captions = drawn(
        of_study(0.4, "a"), of_study(0.2, "b", seed=1), of_study(0.3, "c", seed=2),
        of_study(0.1, "d", batch_size=4),
    )  # fmt: skip
    small, large = "my_cells.leaky, batch_size 4", "my_cells.leaky, batch_size 8"
    for name in ("parameters", "trials"):
        assert key(charts[name])[:2] == [small, large]
    assert points(charts["parameters"], "y", "run") == [(0.2, "d/00003"), (0.6, "c/00002")]
    marks = {line.get_ydata()[0]: line for line in charts["parameters"].axes.lines}
    assert marks[0.2].get_color() != marks[0.6].get_color()
    assert (marks[0.2].get_fillstyle(), marks[0.6].get_fillstyle()) == ("full", "none")
    bands = [band.get_paths()[0].vertices[:, 1] for band in charts["trials"].axes.collections]
    assert {(band.min(), band.max()) for band in bands if 0 < band.min() < band.max()} == {
        (0.4, 0.8)
    }
    assert not any("Pools" in text for text in captions.values())


def test_each_architecture_has_its_first_group_in_its_own_colour():
    others = (
        own(loss, arch="mgu", study=f"m{loss}", fixed=json.dumps({"x": loss}))
        for loss in (0.1, 0.3)
    )
    charts, _ = drawn(of_study(0.4, "a"), of_study(0.2, "b", batch_size=4), *others)
    lines = {line.get_ydata()[0]: line for line in charts["parameters"].axes.lines}
    assert [lines[y].get_fillstyle() for y in (0.4, 0.8, 0.2, 0.6)] == ["full", "none"] * 2
    assert [lines[y].get_color() for y in (0.4, 0.2)] == [
        style.look(arch)[0] for arch in ("my_cells.leaky", "mgu")
    ]


def test_the_dashes_that_a_key_explains_are_those_of_every_optimizer():
    other = {"optimizer": "mine.lion", "study": "lion"}
    charts, _ = drawn(own(0.4), own(0.2), own(0.3, **other), own(0.1, **other))
    lines = [line for line in charts["trials"].axes.lines if len(line.get_xdata()) == 2]
    looks = {(line.get_linestyle(), line.get_color()) for line in lines if line.get_zorder() > 0}
    assert len(looks) == 4 and {dashes for dashes, _ in looks} == {"-", "--"}
    charts, _ = drawn(*(own(0.4, depth=depth, **more) for depth in (1, 2) for more in ({}, other)))
    lines = [line for line in charts["parameters"].axes.lines if len(line.get_xdata()) == 1]
    assert len({(line.get_linestyle(), line.get_color()) for line in lines}) == 4


def test_a_search_of_one_trial_is_a_mark():
    charts, _ = drawn(own(0.4), own(0.2), own(0.3, arch="mgu", study="t"))
    alone = [line for line in charts["trials"].axes.lines if list(line.get_ydata()) == [0.6]]
    assert [line.get_marker() != "" for line in alone] == [True]


def test_bars_at_one_place_are_side_by_side():
    rows = [own(0.1 * (1 + seed), seed=seed, study=f"s{seed}") for seed in range(2)]
    rows += [own(0.15 * (1 + seed), seed=seed, optimizer="mine.lion") for seed in range(2)]
    charts, captions = drawn(*rows)
    chart = charts["parameters"]
    assert "Marks with bars at one place stand side by side." in captions[f"{TASK}-parameters"]
    chart.frame()  # lays it out
    bars = chart.axes.collections
    places = [bar.get_transform().transform(bar.get_segments()[0])[0, 0] for bar in bars]
    assert len(places) == 2 and abs(places[1] - places[0]) > 4
    assert set(chart.points.x) == {990}


def test_the_steps_of_a_search_are_the_most_of_its_trials():
    fixed = ({"search": "random", "train_steps": steps} for steps in (150, 200))
    rows = [own(0.1, study=str(n), fixed=json.dumps(each)) for n, each in enumerate(fixed)]
    assert key(drawn(*rows)[0]["parameters"])[:2] == [
        "my_cells.leaky, train_steps up to 150",
        "my_cells.leaky, train_steps up to 200",
    ]


def test_runs_with_other_settings_are_no_seeds():
    rows = [
        own(loss, study=name, run_id=name, seed=seed, iteration=None, fixed=json.dumps(fixed))
        for name, loss, seed, fixed in (
            ("a", 0.4, 3, {"optimizer": "adam", "lr_init": 0.005}),
            ("b", 0.2, 6, {"optimizer": "rmsprop", "lr_init": 0.001}),
        )
    ]
    charts, captions = drawn(*rows)
    assert points(charts["parameters"], "y") == [(0.4,), (0.8,)]
    assert key(charts["parameters"])[:2] == [
        "my_cells.leaky, lr_init 0.001, optimizer rmsprop",
        "my_cells.leaky, lr_init 0.005, optimizer adam",
    ]
    assert "median seed" not in captions[f"{TASK}-parameters"]


def test_settings_with_many_values_are_pooled_and_named_in_the_caption():
    charts, captions = drawn(*(of_study(0.1 * x, f"s{x}", batch_size=x) for x in range(1, 9)))
    assert len(charts["parameters"].points) == 1
    for kind in ("parameters", "trials"):
        assert "Pools batch_size 1, 2, 3, 4, 5 and others." in captions[f"{TASK}-{kind}"]


def test_trials_are_the_best_so_far_and_the_median():
    charts, captions = drawn(own(0.4), own(0.1), own(0.3), own(0.2, max_params=9, study="t"))
    lines = [list(line.get_ydata()) for line in charts["trials"].axes.lines]
    assert lines[:2] == [[0.8, 0.2, 0.2], pytest.approx([0.8, 0.5, 0.6])]
    assert captions[f"{TASK}-trials"].endswith("Not drawn: 1 at other budgets (9).")


def test_bits_per_parameter_and_an_objective_that_is_no_loss():
    charts, _ = drawn(capacity(2000.0), capacity(3000.0))
    assert list(charts) == ["parameters", "units", "trials", "bits"]
    assert points(charts["parameters"], "y") == [(3000.0,)]
    assert points(charts["bits"], "y") == [(3000 / 990,)]
    best, median = charts["trials"].axes.lines[:2]
    assert list(best.get_ydata()) == [2000, 3000]
    assert list(median.get_ydata()) == [2000, 2500]
    assert charts["parameters"].axes.get_ylabel() == "stored bits"
    score, _ = drawn(trial("mine", 0.5, objective=-0.8), trial("mine", 0.4, objective=-0.9))
    assert points(score["parameters"], "y") == [(-0.9,)]


def at_lengths(*losses, **metrics):
    """The column `lengths` of a trial with these losses at 1, 2, ... times the length."""
    chance = {"chance_loss": 0.5}
    return json.dumps([
        {"multiple": n, "num_steps": 7 * n, "metrics": loss and {"loss": loss} | metrics} | chance
        for n, loss in enumerate(losses, 1)
    ])  # fmt: skip


def test_the_best_trial_is_drawn_at_multiples_of_the_trained_length():
    rows = [
        own(0.1, lengths=at_lengths(0.1, 0.4)),
        own(0.2, lengths=at_lengths(0.1, 0.2)),  # not the best by validation
        own(0.05, seed=1, study="t", lengths=at_lengths(0.05, 0.3)),
        own(0.3, arch="mgu", study="m", lengths=at_lengths(0.3, None)),
        own(0.1, depth=2, study="d", lengths=at_lengths(0.1)),
        own(0.1, study="u", arch="lstm"),
    ]
    charts, captions = drawn(*rows)
    chart, text = charts["lengths"], captions[f"{TASK}-lengths"]
    # Midway between 0.2 and 0.1, and between 0.8 and 0.6.
    leaky = [(1, pytest.approx(0.15), "t/00002"), (2, pytest.approx(0.7), "t/00002")]
    assert points(chart, "x", "y", "run") == [*leaky[:1], (1, 0.6, "m/00003"), *leaky[1:]]
    bars = [bar.get_segments()[0][:, 1].tolist() for bar in chart.axes.collections]
    assert chart.axes.get_xticks().tolist() == [1, 2]
    assert [list(segment) for segment in bars[:1]] == [[0.1, 0.2]]
    assert "The loss of mgu is not finite at 2 times the length." in text
    assert "1 at other depths, 1 not measured at other lengths" in text
    assert [line for line in chart.axes.texts if line.get_text() == "chance"]


def of_seeds(arch, *losses):
    """A study per seed, of one trial each; the trial of None diverged."""
    lengths = [at_lengths(loss) if loss else "[]" for loss in losses]
    return [
        own(loss, arch=arch, seed=seed, study=f"{arch}-{seed}", iteration=0, lengths=lengths[seed])
        for seed, loss in enumerate(losses)
    ]


def test_seeds_that_only_diverged_count_as_the_worst():
    """The median of the survivors alone would praise what rarely survives."""
    leaky = of_seeds("my_cells.leaky", 0.1, None, 0.3, None, 0.2)
    charts, captions = drawn(*leaky, *of_seeds("mgu", 0.05, None, None))
    for name in ("parameters", "units", "lengths"):
        assert points(charts[name], "y", "run") == [(0.6, "my_cells.leaky-2/00002")], name
        words = captions[f"{TASK}-{name}"]
        assert "2 of 5 seeds of my_cells.leaky only diverged and count as the worst" in words
        assert "2 of 3 seeds of mgu only diverged" in words
        assert "1 point without a median not drawn." in words
        assert "lack this measure" not in words
    best, *_ = charts["trials"].axes.lines
    assert [*best.get_ydata()] == [0.6]
    words = captions[f"{TASK}-trials"]
    assert "2 of 3 studies of mgu only diverged and count as the worst." in words
    assert words.endswith("Medians are of the trials that did not diverge.")


def test_a_study_counts_as_the_worst_until_its_first_feasible_trial():
    """The median of the best so far is that of all studies, and may rise otherwise."""

    def study(name, *losses, first=0):
        return [own(loss, study=name, iteration=first + i) for i, loss in enumerate(losses)]

    charts, _ = drawn(
        *study("a", 0.1, 0.1, 0.1), *study("b", None, 0.3, 0.3), *study("c", None, None, 0.2)
    )
    best, *_ = charts["trials"].axes.lines
    assert [*best.get_xdata()] == [2, 3]
    assert [*best.get_ydata()] == [0.6, 0.4]
    # A study that begins later, as the rest of one in another directory, does not count before.
    charts, _ = drawn(*study("a", 0.1, 0.1, 0.1), *study("b", 0.3, 0.3, first=1))
    best, *_ = charts["trials"].axes.lines
    assert [*best.get_ydata()] == pytest.approx([0.2, 0.4, 0.4])


def test_a_figure_whose_median_seeds_diverged_says_so():
    charts, captions = drawn(*of_seeds("mgu", 0.05, None, None))
    assert charts["parameters"] is None
    assert captions[f"{TASK}-parameters"] == "Of 3 trials, the median seeds diverged."


def test_a_further_study_with_one_seed_counts_as_another_seed():
    def study(name, *losses, first=0):
        return [own(loss, study=name, iteration=first + i) for i, loss in enumerate(losses)]

    charts, captions = drawn(*study("a", 0.4, 0.3), *study("b", 0.2, 0.5, 0.6), *study("c", 0.1))
    assert points(charts["parameters"], "y", "run") == [(0.4, "b/00002")]
    assert "Points: the median seed" in captions[f"{TASK}-parameters"]
    # The rest of a study that grew in another directory.
    charts, captions = drawn(*study("a", 0.4, 0.3), *study("b", 0.2, first=2))
    assert points(charts["parameters"], "y", "run") == [(0.4, "b/00002")]
    assert "median seed" not in captions[f"{TASK}-parameters"]


def test_the_accuracy_is_drawn_where_a_task_has_one():
    charts, _ = drawn(own(0.1, lengths=at_lengths(0.1, 9.0, accuracy=0.75)))
    chart = charts["lengths"]
    assert points(chart, "x", "y") == [(1, 0.75), (2, 0.75)]
    assert chart.axes.get_ylabel() == "accuracy" and not chart.axes.texts


def test_trials_outside_the_papers_ranges_and_other_optimizers_are_drawn():
    rows = [own(0.4), own(0.2, outside='["lr_init"]'), own(0.3, optimizer="muon", study="m")]
    rows[-1]["outside"] = '["optimizer"]'
    charts, captions = drawn(*rows)
    assert points(charts["parameters"], "y") == [(0.4,), (0.6,)]
    text = captions[f"{TASK}-parameters"]
    assert "1 outside the paper's ranges" in text and "Not drawn" not in text
    assert not generic.panels(frame())


def test_each_setting_has_figures_and_the_one_with_most_architectures_comes_first():
    many = [own(0.3, setting='{"T": 9}', study="many") for _ in range(5)]
    two = [own(0.2, setting="{}", study="a"), own(0.4, setting="{}", study="b", arch="mgu")]
    alone = own(0.1, setting='{"T": 7, "kind": "a/b"}', study="c", arch="lstm", profile="smoke")
    table = frame(*many, *two, alone, own(0.5, arch="gru", is_rerun=True, setting="{}"))
    panels = generic.panels(table)
    names = [name for name in panels if name.endswith("parameters")]
    places = [TASK, f"{TASK}-T=9", f"{TASK}-T=7_kind=a_b"]
    assert names == [f"{place}-parameters" for place in places]
    assert len({panel.title for panel in panels.values()}) == len(panels)
    assert panels[names[0]].title == "Loss by number of parameters, default options"
    # A setting that is alone is named too, unless it is the default.
    (title, *_) = (panel.title for panel in generic.panels(frame(*many)).values())
    assert title == "Loss by number of parameters, T=9"
    plain, hashed = (frame(two[0] | {"setting": text}) for text in ("{}", '{"sha256": "a"}'))
    for each in (plain, hashed):
        assert generic.panels(each)[names[0]].title == "Loss by number of parameters"
    drawn = [{*panels[name].draw(table).points.arch} for name in names]
    assert drawn == [{"my_cells.leaky", "mgu"}, {"my_cells.leaky"}, {"lstm"}]
    text = caption(panels[names[0]], panels[names[0]].draw(table), table)
    other = "6 in other settings of the task (T=7 kind=a/b, T=9)"
    assert text.endswith(f"Not drawn: 1 from reruns, {other}. No trial of GRU, LSTM is drawn.")


def test_the_name_of_a_figure_is_not_too_long_for_a_file():
    """An option of a trial may have any name."""
    options = [json.dumps({letter * 300: 1}) for letter in "ab"]
    table = frame(*(own(0.4, setting=setting) for setting in ("{}", *options)))
    names = list(generic.panels(table))
    assert len(set(names)) == len(names) and max(map(len, names)) < 200


def test_the_best_so_far_is_that_by_validation():
    losses = [(0.4, 0.5), (0.3, 0.6), (0.35, 0.1), (0.2, 0.3)]  # valid, eval
    rows = [own(valid, valid_loss=valid, eval_loss=loss) for valid, loss in losses]
    charts, _ = drawn(*rows)
    solid = charts["trials"].axes.lines[0]
    assert (solid.get_linestyle(), list(solid.get_ydata())) == ("-", [1.0, 1.2, 1.2, 0.6])
    assert points(charts["parameters"], "y") == [(0.6,)]


def test_defaults_come_before_as_many_trials_of_other_options():
    rows = [own(0.4, setting=text) for text in ('{"delay": 9}', "{}")]
    assert settings(frame(*rows)) == ["{}", '{"delay": 9}']
    assert settings(frame(*rows, own(0.4, setting='{"delay": 9}')))[0] == '{"delay": 9}'
