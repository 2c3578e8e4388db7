"""The row of Table App.1, against NumPy."""

import numpy as np
import pytest

from tuning.robustness import robustness


def test_a_row_of_table_app_1():
    losses = [0.2, 0.5, None, 0.35, 0.21]
    row = robustness(0.19, losses)
    known = np.array([0.2, 0.5, 0.35, 0.21])
    assert row["original"] == 0.19 and row["infeasible"] == pytest.approx(0.2)
    assert [row["min"], row["max"]] == [0.2, 0.5]
    assert row["mean"] == pytest.approx(known.mean())
    assert row["sd"] == pytest.approx(known.std(ddof=1))
    assert row["sd/mean"] == pytest.approx(known.std(ddof=1) / known.mean())
    nothing = robustness(0.19, [None])
    assert nothing["infeasible"] == 1 and nothing["mean"] is None
