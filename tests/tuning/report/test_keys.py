"""Keys of figures: in an empty part of the axes, or above them, and always inside the figure."""

import pytest

from tuning.report.chart import Chart

LONG = ", batch_size 8, eval_samples 4,096, l2_decay 0, lr_init 0.01, precision mixed_bfloat16"


@pytest.mark.parametrize(
    "entries",
    [
        ["RNN", "GRU"],
        [f"GRU{LONG[:64]} {number}" for number in range(4)],
        [f"GRU{LONG} {number}" for number in range(8)],
        ["GRU" + LONG.replace(" ", "_") * 3],
    ],
    ids=["short", "as wide as the axes", "wider than the figure", "without a space"],
)
def test_a_key_is_inside_its_figure(entries):
    chart = Chart("number of parameters", "loss")
    for number, text in enumerate(entries):
        (mark,) = chart.axes.plot([1, 2], [number, 3], "o-")
        chart.entry(text, mark)
    chart.svg("name")  # lays it out
    figure = chart.figure
    figure.draw_without_rendering()
    (key,) = [*figure.legends, *filter(None, [chart.axes.get_legend()])]
    box, whole = key.get_window_extent(), figure.bbox
    assert box.x0 >= 0 and box.x1 <= whole.x1 and box.y0 >= 0 and box.y1 <= whole.y1
    if key in figure.legends:
        assert box.y0 >= chart.axes.get_window_extent().y1
        assert chart.axes.get_window_extent().height > 0.4 * whole.height / (1 + len(entries) / 4)
    else:
        frame = chart.axes.get_window_extent()
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1
    words = "".join(text.get_text() for text in key.get_texts()).replace("\n", "")
    assert words.replace(" ", "") == "".join(entries).replace(" ", "")
