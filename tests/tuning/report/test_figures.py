"""Figures show the right runs at the right places."""

import contextlib
import dataclasses
import io
import struct
import xml.etree.ElementTree

import numpy as np
import pytest
from matplotlib import rc_context
from PIL import Image
from processes import python
from report_rows import capacity, frame, trial
from slow import slow_except

from tuning.report import figures, generic, selection
from tuning.report.figures import FIGURES
from tuning.trials import together


def points(chart, *columns):
    found = chart.points[list(columns)]
    return sorted(found.itertuples(index=False, name=None))


def key(chart):
    """Labels of the key, which is in the axes or above them."""
    chart.frame()  # lays it out
    (legend,) = filter(None, (chart.axes.get_legend(), *chart.figure.legends))
    return [text.get_text() for text in legend.get_texts()]


def test_every_panel_of_the_paper_is_there():
    letters = {"1": "abcdefghi", "2": "abc", "3": "abcdefg", "4": "abcdefghijklmnop", "5": "ab"}
    names = {number + letter for number, of in letters.items() for letter in of}
    assert set(FIGURES) == names | {"App.1"}


@pytest.mark.parametrize("name", slow_except(("1a", "2c", "5b", "App.1"), FIGURES))
def test_every_figure_of_the_full_grid_can_be_drawn(planted, name):
    chart = FIGURES[name].draw(planted)
    shown = planted.set_index("run").loc[chart.points.run]
    assert set(shown.depth) <= set(FIGURES[name].depths)
    assert set(chart.points.run) <= set(FIGURES[name].select(planted).run)
    assert len(chart.points) or name == "1i"


def test_a_figure_is_written_as_vectors_and_at_300_dots_per_inch(planted):
    chart = FIGURES["2c"].draw(planted)
    png = chart.picture("png", "2c")
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (1380, 1020)  # 4.6 x 3.4 inches
    direct = io.BytesIO()
    with rc_context(chart.style):
        chart.figure.savefig(direct, format="png")
    assert len(png) < len(direct.getvalue()) / 2
    few, many = (np.asarray(Image.open(f).convert("RGB"), int) for f in (io.BytesIO(png), direct))
    assert abs(few - many).max() <= 16  # the eye sees no difference
    xml.etree.ElementTree.fromstring(chart.svg("2c"))
    assert chart.picture("pdf", "2c")[:5] == b"%PDF-"


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tmp_path):
    draw = """
import hashlib
from report_rows import frame, losses
from tuning.report.figures import FIGURES
chart = FIGURES["4a"].draw(frame(*losses("gru", 1.0, 300), *losses("mgu", 2.0)))
pictures = [chart.picture(kind, "4a") for kind in ("pdf", "svg", "png")]
print(*[hashlib.sha256(each).hexdigest() for each in pictures])
"""
    done = python("-c", draw, cwd=tmp_path, PYTHONHASHSEED="1")
    here = io.StringIO()
    with contextlib.redirect_stdout(here):
        exec(draw, {})
    assert (done.code, done.stdout) == (0, here.getvalue()), done.stderr


@pytest.mark.parametrize("name", FIGURES)
def test_no_figure_needs_any_run(name):
    assert FIGURES[name].draw(frame()) is None


def test_stored_bits_are_the_best_trial_of_each_size():
    table = frame(
        capacity(3000.0),
        capacity(4000.0),
        capacity(9000.0, max_params=2000, num_params=1990),
        capacity(500.0, arch="gru"),
        capacity(7000.0, num_steps=2),  # a run of figure 2b
        capacity(8000.0, depth=2),
        capacity(9999.0, is_rerun=True),
        trial("memory", 0.1),
    )
    shown = points(figures.stored_bits(table, depth=1), "x", "y", "arch", "run")
    assert shown == [
        (990, 500.0, "gru", "s/00003"),
        (990, 4000.0, "rnn", "s/00001"),
        (1990, 9000.0, "rnn", "s/00002"),
    ]
    assert (990, 8000.0) in points(figures.stored_bits(table), "x", "y")
    per = points(figures.bits_per_parameter(table, depth=1), "x", "y")
    np.testing.assert_allclose(per[1], (990, 4000 / 990))


def test_relu_is_its_best_beside_the_best_of_all():
    rows = [capacity(4000.0), *(capacity(bits, activation="relu") for bits in (2000.0, 1000.0))]
    found = points(figures.relu_effect(frame(*rows)), "y", "run")
    assert [run for _, run in found] == ["s/00001", "s/00000"]
    more = [capacity(5000.0, seed=1, study="t")]
    more += [capacity(3000.0, seed=1, study="t", activation="relu")]
    chart = figures.relu_effect(frame(*rows, *more))
    # Of two seeds, the best of one of them would favour their cell.
    assert points(chart, "y") == [(pytest.approx(2500 / 990),), (pytest.approx(4500 / 990),)]
    assert chart.notes[0] == "Points of ReLU only are the best of 1 to 2 trials."
    chart = figures.relu_effect(frame(*rows[:2]))
    assert chart.notes[0] == "Points of ReLU only are single trials."


def test_memory_is_shown_by_units_with_its_theory():
    table = frame(trial("memory", 0.2, units=50), trial("memory", 0.4, units=50))
    chart = figures.memory(table)
    assert points(chart, "x", "y") == [(50, 0.2)]
    theory = max(chart.axes.lines, key=lambda line: len(line.get_xdata()))
    x, y = theory.get_data()
    np.testing.assert_allclose(y, np.maximum(0, 1 - x / 64))
    assert any(set(line.get_xdata()) == {64} for line in chart.axes.lines)
    # Of vectors of other sizes, the theory is another.
    chart = figures.memory(frame(trial("memory", 0.2, units=8, num_inputs=4)))
    x, y = max(chart.axes.lines, key=lambda line: len(line.get_xdata())).get_data()
    np.testing.assert_allclose(y, np.maximum(0, 1 - x / 4))
    assert any(set(line.get_xdata()) == {4} for line in chart.axes.lines)
    assert any("n/4)" in text for text in key(chart))


def test_text8_by_parameters_and_by_units():
    table = frame(trial("text8", 1.2, bits_per_character=1.7, num_params=9000, units=80))
    assert points(figures.text8(table, 1), "x", "y") == [(9000, 1.7)]
    assert points(figures.text8(table, 1, x="units"), "x", "y") == [(80, 1.7)]
    assert figures.text8(table, 2) is None


def test_medians_and_minima_go_by_iteration():
    losses = [4.0, None, 1.0, 2.0, 0.5]
    table = frame(*(trial("parens", loss) for loss in losses))
    chart = figures.medians(table, "parens", 1)
    assert points(chart, "x", "y") == [(1, 4.0), (3, 1.0), (4, 2.0), (5, 0.5)]
    (line,) = chart.axes.lines
    np.testing.assert_allclose(line.get_ydata(), [4.0, 2.5, 2.0, 1.5])
    least = points(figures.minima(table, "parens", 1), "x", "y")
    assert set(least) == {(1, 4.0), (3, 1.0), (5, 0.5)}


def test_searches_with_several_seeds_are_their_median_and_range():
    of_seed = {1: [4.0, 1.0], 2: [3.0, None, 2.0], 3: [2.0, 8.0, 0.5]}
    rows = [
        trial("parens", loss, study=f"s{seed}", seed=seed, iteration=i)
        for seed, losses in of_seed.items()
        for i, loss in enumerate(losses)
    ]
    chart = figures.minima(frame(*rows), "parens", 1)
    (line,) = chart.axes.lines
    np.testing.assert_allclose(line.get_xydata(), [(1, 3.0), (2, 2.0), (3, 1.0)])
    (band,) = chart.axes.collections
    ends = band.get_paths()[0].vertices[:, 1]
    assert {4.0, 2.0} <= set(ends) and ends.min() == 0.5
    last = {tuple(end) for end in band.get_paths()[0].vertices if end[0] > 3}
    assert last == {(3.5, 0.5), (3.5, 2.0)}
    assert chart.notes == [
        "Lines: the median of the studies; bands: their range.",
        "Studies that ended earlier keep their last value.",
    ]


def test_seeds_at_a_single_size_draw_without_warnings():
    """Matplotlib rounds the x of bars on a log axis: 880 becomes an interval of no width."""
    rows = [trial("memory", 1.2 + seed / 20, seed=seed, num_params=880) for seed in range(3)]
    chart = generic.by_parameters(
        lambda each: each, frame(*(row | {"chance_loss": 1.0} for row in rows))
    )
    chart.picture("svg", "x")
    low, high = chart.axes.get_xlim()
    assert high > 1.2 * low


def test_sizes_with_several_seeds_are_the_median_seed_and_bars():
    rows = [trial("memory", loss, seed=seed) for seed, loss in enumerate((0.5, 0.2, 0.9))]
    rows += [trial("memory", 0.3, seed=0), trial("memory", 0.4, units=40, max_params=9)]
    chart = figures.memory(frame(*rows))
    # The best of seed 0 is 0.3, so the seeds have 0.2, 0.3 and 0.9.
    assert points(chart, "x", "y", "run") == [(20, 0.3, "s/00003"), (40, 0.4, "s/00004")]
    ends = [
        segment[:, 1].tolist() for each in chart.axes.collections for segment in each.get_segments()
    ]
    assert any(each == pytest.approx([0.2, 0.9]) for each in ends)
    words = "Points: the median seed by the objective on valid; bars: the range of the seeds."
    assert chart.notes == [words]
    chart = figures.memory(frame(*rows, trial("memory", 0.5, seed=3)))
    assert points(chart, "y", "run") == [(0.4, "s/00003"), (0.4, "s/00004")]  # of 0.3 and 0.5
    assert chart.notes == [
        words,
        "Of an even number of seeds, the point lies midway between the middle two, and leads to "
        "the better one.",
    ]


def test_all_depths_are_drawn_only_if_there_are_several():
    one = frame(capacity(3000.0))
    assert FIGURES["1a"].draw(one) is None and FIGURES["1e"].draw(one) is None
    assert FIGURES["1b"].draw(one) is not None
    both = FIGURES["1a"].draw(frame(capacity(3000.0), capacity(2000.0, depth=3)))
    assert key(both) == ["RNN", "depth 1", "depth 3"]


@pytest.mark.parametrize("arch", slow_except(["my_cells.leaky"], ["mgu", "my_cells.leaky"]))
def test_cells_outside_the_paper_are_drawn_in_its_figures(arch):
    table = frame(
        capacity(4000.0, arch=arch),
        capacity(4000.0, arch=arch, num_steps=2),
        *(trial(task, 1.0, arch=arch, bits_per_character=1.5) for task in ("memory", "text8")),
        *(trial(task, 1.0, arch=arch) for task in ("rcf", "parens", "arithmetic")),
        trial("parens", 1.0, arch=arch, algorithm="random", study="r"),
    )
    drawn = {name: panel.draw(table) for name, panel in FIGURES.items() if 1 in panel.depths}
    assert {name for name, chart in drawn.items() if chart is None} == {"1a", "1e", "1i"}
    assert all(set(chart.points.arch) == {arch} for chart in drawn.values() if chart)
    assert key(drawn["1b"]) == [arch]


def test_chance_is_a_line_if_it_is_near_and_else_in_the_caption():
    rows = [
        trial("text8", 1.2, bits_per_character=1.7, chance_loss=2.8, max_params=n) for n in (1, 2)
    ]
    far = figures.text8(frame(*rows), 1)
    assert far.notes == ["Chance is at 4.04."]  # 2.8 nats
    rows.append(trial("text8", 1.2, bits_per_character=3.7, chance_loss=2.8))
    near = figures.text8(frame(*rows), 1)
    assert [text.get_text() for text in near.axes.texts] == ["chance"] and not near.notes


def test_a_search_is_shown_once_at_one_budget_and_never_the_random_one():
    rows = [trial("parens", 1.0, study="long")] * 3 + [trial("parens", 9.0, study="short")] * 2
    rows += [trial("parens", 5.0, study="random", algorithm="random")] * 9
    rows += [trial("parens", 7.0, study="other size", max_params=2000)] * 2
    found = selection.longest(selection.tuned(frame(*rows), "parens", 1))
    assert set(found.study) == {"long"} and len(found) == 3


def test_boxes_are_of_random_trials_by_architecture():
    rows = [trial("parens", i, algorithm="random", chance_loss=4.5) for i in (1, 2, 3, 4, 5)]
    rows += [trial("parens", None, algorithm="random"), trial("parens", 99.0)]
    chart = figures.boxes(frame(*rows), 1)
    assert [text.get_text() for text in chart.axes.texts] == ["17%", "chance", "diverged:"]
    assert any(set(line.get_ydata()) == {4.5} for line in chart.axes.lines)
    assert sorted(chart.points.y) == [1, 2, 3, 4, 5]
    medians = [line for line in chart.axes.lines if set(line.get_ydata()) == {3.0}]
    assert medians
    assert [text.get_text() for text in chart.axes.get_xticklabels()] == ["RNN"]


def test_multipliers_are_written_into_their_cells():
    table = frame(capacity(4950.0), capacity(3960.0, arch="lstm"))
    chart = figures.multipliers(table)
    cells = {text.get_position(): text.get_text() for text in chart.axes.texts}
    assert cells == {(0, 0): "1.00", (1, 0): "1.25", (0, 1): "0.80", (1, 1): "1.00"}
    # The better of two seeds beside one would favour its architecture.
    more = frame(capacity(3960.0), capacity(4950.0, seed=1), capacity(4455.0, arch="lstm"))
    assert {text.get_text() for text in figures.multipliers(more).axes.texts} == {"1.00"}


def test_boxes_say_what_faint_ones_are():
    of = {"algorithm": "random", "chance_loss": 4.5}
    rows = [trial("parens", i, **of) for i in (1, 2)]
    theirs = [trial("parens", i, source="published", study="p", **of) for i in (3, 4)]
    chart = figures.boxes(together([frame(*theirs), frame(*rows)]), 1)
    assert any(note.startswith("Faint boxes: published trials") for note in chart.notes)
    assert not any("Faint" in note for note in figures.boxes(frame(*rows), 1).notes)


def test_published_trials_lie_under_others():
    own = frame(capacity(4000.0))
    published = frame(capacity(5000.0, source="published", study="published/fig1"))
    chart = figures.stored_bits(together([published, own]), depth=1)
    assert points(chart, "y") == [(4000.0,), (5000.0,)]
    alphas = [line.get_alpha() for line in chart.axes.lines]
    assert alphas == [0.35, 1.0]
    assert key(chart) == ["RNN, published", "RNN"]
    alone = figures.stored_bits(published, depth=1)
    assert [line.get_alpha() for line in alone.axes.lines] == [1.0]


def test_a_point_is_where_the_frame_says():
    chart = figures.memory(frame(trial("memory", 0.25, units=48)))
    frame_ = chart.frame()
    x = frame_["box"][0] + (frame_["box"][2] - frame_["box"][0]) * (48 - frame_["x"][0]) / (
        frame_["x"][1] - frame_["x"][0]
    )
    width, height = chart.figure.canvas.get_width_height()
    drawn = chart.axes.transData.transform((48, 0.25))
    assert drawn[0] / width == pytest.approx(x)
    y = frame_["box"][3] - (frame_["box"][3] - frame_["box"][1]) * (0.25 - frame_["y"][0]) / (
        frame_["y"][1] - frame_["y"][0]
    )
    assert 1 - drawn[1] / height == pytest.approx(y)


@pytest.mark.slow
def test_figures_do_not_change_their_trials(planted):
    before = planted.copy()
    for panel in FIGURES.values():
        panel.draw(planted)
    assert before.equals(planted)


def test_a_panel_is_a_plain_value():
    assert dataclasses.is_dataclass(FIGURES["4c"])
    assert FIGURES["4c"].sweep == "figure_4_parens"


def test_trials_with_another_optimizer_have_lines_of_their_own():
    rows = [capacity(3000.0), capacity(4000.0, optimizer="muon", study="m")]
    chart = figures.bits_per_parameter(frame(*rows), depth=1)
    assert points(chart, "y", "run") == [(3000 / 990, "s/00000"), (4000 / 990, "m/00001")]
    assert key(chart) == ["RNN", "RNN, muon"]
    faces = [line.get_markerfacecolor() for line in chart.axes.lines]
    assert faces[1] == "none" != faces[0]
    # Figures of the paper's own quantities, such as relative sizes, keep to its optimizers.
    assert points(figures.relu_effect(frame(*rows)), "y") == [(3000 / 990,)]
