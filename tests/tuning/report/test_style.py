"""Looks of architectures, ticks, and the place of the key."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
import reference_cells as reference
from matplotlib import colors
from report_rows import frame, trial

from trainer.errors import UserError
from tuning.report import figures, generic, page, style, ticks
from tuning.report.paper import ARCHS

PALETTE = style.read()["axes.prop_cycle"].by_key()["color"]


def luminance(colour):
    values = np.array(colors.to_rgb(colour))
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722], linear


def contrast(first, second):
    low, high = sorted(luminance(each)[0] for each in (first, second))
    return (high + 0.05) / (low + 0.05)


def oklab(colour):
    """Björn Ottosson's perceptual coordinates of a colour."""
    to_lms = [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.63]]
    to_lab = [[0.2105, 0.7936, -0.0041], [1.978, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]
    return np.array(to_lab) @ np.cbrt(np.array(to_lms) @ luminance(colour)[1])


def test_all_colours_are_legible_in_both_themes_and_far_from_each_other():
    assert all(contrast(each, ground) >= 3 for each in PALETTE for ground in ("#ffffff", "#16171b"))
    distances = [np.linalg.norm(oklab(a) - oklab(b)) for a, b in itertools.combinations(PALETTE, 2)]
    assert min(distances) > 0.075


def test_a_look_follows_from_the_name_and_is_not_one_of_the_papers():
    looks = {arch: style.look(arch) for arch in (*reference.GATES, "my_cells.leaky")}
    assert len(set(looks.values())) == len(looks)
    assert [looks[arch][0].upper() for arch in ARCHS] == [
        f"#{each.lstrip('#')}" for each in PALETTE[:6]
    ]
    assert looks["mgu"] == (PALETTE[8], ">")
    assert looks["minimal_rnn"] == (PALETTE[11], "<")
    names = [f"cells.c{i}" for i in range(500)]
    found = {style.look(name) for name in names}
    assert len(found) == 64 and not found & {looks[arch] for arch in ARCHS}


def test_no_two_architectures_of_a_report_look_the_same():
    names = [f"cells.c{i}" for i in range(58)]
    alone = {name: style.look(name) for name in names}
    with style.using(None, [*names, *ARCHS]):
        looks = {name: style.look(name) for name in (*names, *ARCHS)}
    assert len(set(looks.values())) == 64 and style.look("cells.c1") == alone["cells.c1"]
    # With few names, not even colours are shared, and most looks are those of the name alone.
    few = style.looks([*names[:8], *ARCHS])
    assert len({colour for colour, _ in few.values()}) == 14
    kept = [name for name in names[:8] if few[name] == alone[name]]
    assert names[0] in kept and len(kept) >= 4
    assert style.looks(["my_cells.leaky", *ARCHS])["my_cells.leaky"] == style.look("my_cells.leaky")


def test_a_style_file_changes_figures_in_one_place(tmp_path):
    mine = tmp_path / "mine.mplstyle"
    mine.write_text('lines.linewidth: 5\naxes.prop_cycle: cycler("color", ["red", "lime"])\n')
    table = frame(trial("rcf", 0.5), trial("rcf", 0.6, arch="irnn"), trial("rcf", 0.7, arch="mgu"))
    with style.using(mine):
        chart = figures.rcf(table, 1)
    lines = chart.axes.lines[:3]
    assert [line.get_linewidth() for line in lines] == [5, 5, 5]
    assert [line.get_color() for line in lines[:2]] == ["red", "lime"]
    assert lines[2].get_color() in ("red", "lime") and lines[2].get_marker() == ">"
    assert figures.rcf(table, 1).axes.lines[0].get_linewidth() == 1.4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("lines.linewidth: thick", "could not convert"),
        ("lines.girth: 1", "unknown key lines.girth"),
    ],
)
def test_a_bad_style_file_is_one_line(tmp_path, text, reason):
    bad = tmp_path / "bad.mplstyle"
    bad.write_text(text)
    with pytest.raises(UserError, match="as a Matplotlib style file: ") as error:
        style.read(bad)
    assert reason in str(error.value).lower() and "\n" not in str(error.value)


def test_the_page_can_replace_all_ink_also_black(tmp_path):
    mine = tmp_path / "mine.mplstyle"
    mine.write_text("text.color: black\nxtick.color: black\n")
    rows = [trial("rcf", 0.5, arch=arch, depth=d) for arch in ("rnn", "gru") for d in (1, 3)]
    with style.using(mine):
        panels = generic.panels(frame(*rows))
        svg = page.inline(
            (chart := panels["rcf-depth"].draw(frame(*rows))).svg("x"), "x", chart.inks
        )
    drawn = re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", svg)
    assert set(drawn) == {"#0072b2", "#d55e00"}
    texts = re.findall("<text[^>]*>", svg)
    assert texts and all("currentColor" in each for each in texts)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (430, 2050, ["500", "1,000", "2,000"]),
        (665, 1515, ["700", "1,000", "1,500"]),
        (9e3, 2e6, ["10,000", "100,000", "10⁶"]),
        (0.00015, 0.6, ["0.001", "0.01", "0.1"]),
        (2e-5, 3e-4, ["3×10⁻⁵", "10⁻⁴", "3×10⁻⁴"]),
        (13.2, 19, ["14", "16", "18"]),
        (9300, 9900, ["9,300", "9,450", "9,600", "9,750", "9,900"]),
    ],
)
def test_log_axes_have_at_least_three_numbers(low, high, labels):
    axes = figures.Chart("", "", "log").axes
    axes.set_xlim(low, high)
    ticks.label(axes.xaxis, low, high)
    places = [x for x in axes.xaxis.get_majorticklocs() if low <= x <= high]
    assert [axes.xaxis.get_major_formatter()(x) for x in places] == labels


@pytest.mark.filterwarnings("error")
def test_odd_values_and_names_give_a_picture_without_warnings():
    """Such as a loss of 0 in a tiny run, and names of cells from files."""
    chart = figures.Chart("parameters \x1b[31m", "loss", "log", "log")
    for arch in ("gru", "a\x1bb", "漢"):
        chart.line(pd.DataFrame({"x": [10, 20], "y": [0.0, 0.0], "run": ["a", "b"]}), arch)
    text = chart.svg("figure")
    assert "\x1b" not in text and "a\\x1bb" in text and "漢" in text
    assert (chart.frame()["x"][2], chart.frame()["y"][2]) == (True, False)


def test_a_dollar_is_a_dollar():
    """Names from files are no formulas, which may not parse."""
    chart = figures.Chart("$x", r"$\frac{$", "log")
    assert r"$\frac{$" in chart.svg("x")


def test_the_key_is_inside_where_it_covers_nothing_and_else_above():
    falling = [trial("rcf", 1 / n, max_params=n, num_params=n) for n in (10, 20, 40, 80)]
    inside = figures.rcf(frame(*falling), 1)
    inside.frame()  # lays it out
    box = inside.axes.get_legend().get_window_extent()
    shown = inside.axes.transData.transform(inside.points[["x", "y"]].to_numpy(float))
    assert not any(box.contains(*place) for place in shown) and not inside.figure.legends
    everywhere = [
        trial("memory", x, units=n, max_params=n * 100 + i)
        for n in range(1, 100, 3)
        for i, x in enumerate(np.linspace(0, 1, 12))
    ]
    full = figures.memory(frame(*everywhere))
    full.frame()
    assert full.axes.get_legend() is None and len(full.figure.legends) == 1
