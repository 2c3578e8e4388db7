"""Verdicts on claims about random hyperparameters and reruns."""

import numpy as np
import pytest
from report_rows import diverging, frame, losses, trial

from tuning.report import paper
from tuning.report.claims import CLAIMS, CONTRADICTED, SUPPORTED, TOO_FEW

SHALLOW = ("rnn", "irnn", "ugrnn", "gru", "lstm")


def check(name, *rows):
    return CLAIMS[name].check(frame(*rows))


@pytest.mark.parametrize(
    ("share", "count", "verdict"),
    [(0.5, 200, SUPPORTED), (0.1, 200, CONTRADICTED), (0.5, 10, TOO_FEW)],
)
def test_half_of_the_irnns_diverge(share, count, verdict):
    finding = check("irnn_diverges", *diverging("irnn", share, count))
    assert (finding.verdict, finding.runs) == (verdict, count)


def test_the_least_infeasible():
    shallow = [row for a in ("rnn", "irnn", "gru", "ugrnn") for row in diverging(a, 0.3)]
    deep = [row for a in paper.ARCHS for row in diverging(a, 0.02 if a == "gru" else 0.3, depth=8)]
    others = shallow + deep
    assert check("least_infeasible", *others, *diverging("lstm", 0.05)).verdict == SUPPORTED
    assert check("least_infeasible", *shallow, *diverging("lstm", 0.05)).verdict == TOO_FEW
    assert check("least_infeasible", *others, *diverging("lstm", 0.6)).verdict == CONTRADICTED
    assert check("least_infeasible", *others, *diverging("lstm", 0.29)).verdict == TOO_FEW


def published_shares():
    return [
        (arch, depth, share)
        for depth in (1, 8)
        for arch, share in paper.TABLE_1[depth].dropna().items()
    ]


def test_table_1_at_the_papers_size():
    rows = [
        r for arch, depth, share in published_shares() for r in diverging(arch, share, 200, depth)
    ]
    assert check("table_1", *rows).verdict == SUPPORTED
    assert check("table_1", *rows[:400]).verdict == TOO_FEW
    others = [row for row in rows if row["arch"] != "gru"]
    assert check("table_1", *others, *diverging("gru", 0.9)).verdict == CONTRADICTED


def test_table_1_at_another_size_is_no_evidence():
    rows = [row | {"max_params": 10_000} for row in diverging("gru", 0.9)]
    finding = check("table_1", *rows)
    assert finding.verdict == TOO_FEW and "not at 200,000 parameters" in finding.result


def test_the_signs_of_table_app_2():
    means = {"gru": 1.0, "ugrnn": 2.0, "lstm": 2.5, "irnn": 2.8, "rnn": 4.0}
    rows = [
        row for arch, mean in means.items() for row in losses(arch, mean, 400, algorithm="random")
    ]
    finding = check("table_app_2", *rows)
    assert finding.result.startswith("10 of 10 pairs") and finding.verdict == SUPPORTED
    two = [row for row in rows if row["arch"] in ("gru", "rnn")]
    assert check("table_app_2", *two).verdict == TOO_FEW
    deep = {"+rnn": 1.0, "gru": 2.0, "ugrnn": 2.05, "irnn": 3.0, "lstm": 3.5, "rnn": 3.1}
    rows += [
        row
        for arch, mean in deep.items()
        for row in losses(arch, mean, 400, algorithm="random", depth=8)
    ]
    assert check("table_app_2", *rows).verdict == SUPPORTED
    swapped = {"gru": 4.0, "rnn": 1.0}
    rows = [row for arch, mean in swapped.items() for row in losses(arch, mean, algorithm="random")]
    assert check("table_app_2", *rows).verdict == CONTRADICTED


def rerun(ratio, count=12):
    rows = []
    for arch in SHALLOW:
        rows.append(trial("parens", 0.1, arch=arch, study=arch))
        rows += [
            trial("parens", 0.1 * ratio * x, arch=arch, study=arch, is_rerun=True)
            for x in np.linspace(0.8, 1.2, count)
        ]
    return rows


@pytest.mark.parametrize(
    ("ratio", "count", "verdict"),
    [(2, 12, SUPPORTED), (50, 12, CONTRADICTED), (2, 4, TOO_FEW)],
)
def test_reruns(ratio, count, verdict):
    assert check("reruns", *rerun(ratio, count)).verdict == verdict
