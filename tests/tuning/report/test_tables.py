"""Tables against planted numbers, SciPy, and the paper."""

import math

import numpy as np
import pandas as pd
import pytest
from report_rows import frame, trial
from scipy import stats

from tuning.report import build, paper, tables
from tuning.report.paper import LABELS

ARCHS = {label: arch for arch, label in LABELS.items()}


def test_infeasible_shares_are_those_of_the_trials(planted):
    table = tables.infeasible(planted)
    random = planted[(planted.algorithm == "random") & (planted.task == "parens")]
    assert len(table) == 11
    for row in table.itertuples():
        own = random[(random.arch == ARCHS[row.architecture]) & (random.depth == row.depth)]
        assert row.trials == len(own) == 30
        assert row.infeasible == (own.status == "infeasible").mean()
        assert row.low < row.infeasible < row.high or row.infeasible == 0


def test_the_papers_numbers_have_columns_of_their_own():
    table = tables.infeasible(frame()).set_index(["architecture", "depth"])
    assert table.paper["IRNN", 1] == 0.567 and table.paper["GRU", 8] == 0.032
    assert ("+RNN", 1) not in table.index and table.paper["+RNN", 8] == 0.088
    again = tables.reruns(frame()).set_index("architecture")
    assert again["paper: sd/mean"]["UGRNN"] == 2.63
    pairs = tables.welch(frame()).set_index(["pair", "depth"])
    assert pairs["paper: t"]["GRU/RNN", 1] == -26.5
    assert pairs["paper: p"]["IRNN/RNN", 8] == 0.568
    assert len(pairs) == 25 and pairs.t.isna().all()


def test_the_papers_own_tables_agree_with_themselves():
    # S.D./Mean of Table App.1 is the quotient of its neighbours, to the printed digits.
    table = paper.TABLE_APP_1
    np.testing.assert_allclose(table.sd / table["mean"], table["sd/mean"], rtol=0.012)
    # The p-values of Table App.2 follow from its t and df.
    for row in paper.TABLE_APP_2.itertuples():
        p = 2 * stats.t.sf(abs(row.t), row.df)
        assert p < 0.001 if row.p == paper.P_FLOOR else p == pytest.approx(row.p, rel=0.08)


def test_reruns_are_those_of_the_best(planted):
    table = tables.reruns(planted).set_index("architecture")
    for arch in paper.TABLE_APP_1.index:
        row = table.loc[LABELS[arch]]
        study = planted[planted.is_rerun & (planted.arch == arch)].study.iloc[0]
        losses = planted[(planted.study == study) & ~planted.is_rerun].eval_loss
        assert row.original == losses.min()
        again = planted.eval_loss[(planted.study == study) & planted.is_rerun]
        assert row["mean"] == pytest.approx(again.mean(), nan_ok=True)
        assert row.reruns == 3


def test_a_reruns_row_by_hand():
    rows = [trial("parens", 2.0), trial("parens", 1.0)]
    rows += [trial("parens", x, is_rerun=True) for x in (1.0, 3.0, None)]
    table = tables.reruns(frame(*rows)).set_index("architecture")
    row = table.loc["RNN"]
    assert (row.original, row.reruns, row["min"], row["mean"], row["max"]) == (1.0, 3, 1, 2, 3)
    assert row.infeasible == pytest.approx(1 / 3)
    assert row.sd == pytest.approx(math.sqrt(2)) and row["sd/mean"] == pytest.approx(2**-0.5)
    assert math.isnan(table["mean"]["GRU"]) and table.reruns["GRU"] == 0


def test_welch_is_scipys_over_feasible_trials(planted):
    table = tables.welch(planted).set_index(["pair", "depth"])
    random = planted[(planted.algorithm == "random") & (planted.depth == 8)]
    losses = {a: random.eval_loss[random.arch == a].dropna() for a in ("gru", "irnn")}
    theirs = stats.ttest_ind(losses["gru"], losses["irnn"], equal_var=False)
    row = table.loc["GRU/IRNN", 8]
    expected = (theirs.statistic, theirs.df, theirs.pvalue)
    np.testing.assert_allclose((row.t, row.df, row.p), expected)
    assert (row.t < 0) == (losses["gru"].mean() < losses["irnn"].mean())


@pytest.mark.parametrize("name", tables.TABLES)
def test_a_table_of_nothing_has_its_rows(name):
    assert len(tables.TABLES[name].make(frame()))


def test_what_is_missing_is_empty_in_markdown():
    table = pd.DataFrame(
        {"architecture": ["GRU", "RNN"], "share": [0.25, None], "loss": [None, 1.5]}
    )
    *_, first, second = build._markdown(table, ["share"]).splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in (first, second)]
    assert cells == [["GRU", "25.0%", ""], ["RNN", "", "1.5"]]
