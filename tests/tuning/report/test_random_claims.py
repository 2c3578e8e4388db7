"""Rules about random hyperparameters and reruns, on handmade trials."""

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
    [(0.5, 200, SUPPORTED), (0.1, 200, CONTRADICTED), (0.5, 20, TOO_FEW)],
)
def test_half_of_the_irnns_diverge(share, count, verdict):
    finding = check("irnn_diverges", *diverging("irnn", share, count))
    assert (finding.verdict, finding.runs) == (verdict, count)


def test_given_and_transferred_hyperparameters_are_not_random():
    rows = diverging("irnn", 0.5)
    given = [row | {"origin": origin} for row in rows for origin in ("first", "transfer")]
    assert check("irnn_diverges", *rows, *given).runs == 200
    halved = [row | {"study": "halved", "stopped_early": True} for row in rows]
    assert check("irnn_diverges", *rows, *halved).runs == 200


def test_hyperparameters_within_narrower_ranges_are_not_random():
    rows = diverging("irnn", 0.02, 300)
    assert check("irnn_diverges", *rows).verdict == CONTRADICTED
    for name in ("held", "narrowed"):
        few = [row | {name: '["lr_init"]'} for row in rows]
        assert check("irnn_diverges", *few) == ("", 0, TOO_FEW)


def test_a_few_deep_trials_do_not_undo_a_verdict():
    rows = diverging("irnn", 0.5)
    deep = diverging("irnn", 0.5, 40, depth=8)
    assert check("irnn_diverges", *rows, *deep).verdict == SUPPORTED
    assert check("irnn_diverges", *deep).verdict == TOO_FEW


def test_a_few_deep_trials_are_no_pairs_of_table_app_2():
    means = {"gru": 1.0, "ugrnn": 2.0, "lstm": 2.5, "irnn": 2.8, "rnn": 4.0}
    values = {"algorithm": "random", "chance_loss": 18.0}
    rows = [row for a, x in means.items() for row in losses(a, x, 400, **values)]
    deep = [row for a in means for row in losses(a, 3.0, 40, depth=8, **values)]
    assert check("table_app_2", *rows, *deep).verdict == SUPPORTED


def test_small_fractions_are_compared_by_their_ratio():
    deep = [row for a in paper.ARCHS for row in diverging(a, 0.02 if a == "gru" else 0.3, depth=8)]
    shares = {"rnn": 0.09, "irnn": 0.48, "ugrnn": 0.04, "gru": 0.005, "lstm": 0.025}
    rows = [row for a, x in shares.items() for row in diverging(a, x, 300)]
    assert check("least_infeasible", *deep, *rows).verdict == TOO_FEW


def test_table_1_needs_as_many_steps_as_the_paper():
    rows = [row | {"train_steps": 4000} for row in diverging("gru", 0.9)]
    assert check("table_1", *rows).verdict == TOO_FEW


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


def test_the_papers_own_numbers_pass():
    rows = [
        row
        for arch, depth, share in published_shares()
        for row in diverging(arch, share, 1000, depth)
    ]
    assert check("least_infeasible", *rows).verdict == SUPPORTED
    assert check("irnn_diverges", *rows).verdict == SUPPORTED
    assert check("table_1", *rows).verdict == SUPPORTED
    others = [row for row in rows if row["arch"] != "gru"]
    assert check("table_1", *others).verdict == TOO_FEW
    assert check("table_1", *others, *diverging("gru", 0.9)).verdict == CONTRADICTED


def test_table_1_at_another_size_is_no_evidence():
    rows = [row | {"max_params": 10_000} for row in diverging("gru", 0.9)]
    finding = check("table_1", *rows)
    assert finding.verdict == TOO_FEW and "not at 200,000 parameters" in finding.result


def test_the_signs_of_table_app_2():
    means = {"gru": 1.0, "ugrnn": 2.0, "lstm": 2.5, "irnn": 2.8, "rnn": 4.0}
    values = {"count": 400, "algorithm": "random", "chance_loss": 18.0}
    rows = [row for arch, mean in means.items() for row in losses(arch, mean, **values)]
    finding = check("table_app_2", *rows)
    assert finding.result.startswith("10 of 10 pairs") and finding.verdict == SUPPORTED
    two = [row for row in rows if row["arch"] in ("gru", "rnn")]
    assert check("table_app_2", *two).verdict == TOO_FEW
    swapped = [row for a, x in {"gru": 4.0, "rnn": 1.0}.items() for row in losses(a, x, **values)]
    assert check("table_app_2", *swapped).verdict == CONTRADICTED
    # Losses at chance or above are all alike.
    stuck = [row | {"eval_loss": 17.5 + row["eval_loss"]} for row in rows]
    assert check("table_app_2", *stuck).result.startswith("0 of 10 pairs")


def rerun(ratio, count=20, chance=20.0):
    rows = []
    for arch in SHALLOW:
        values = {"arch": arch, "study": arch, "chance_loss": chance}
        rows += [trial("parens", 0.1, **values)] * 20
        rows += [
            trial("parens", 0.1 * ratio * x, is_rerun=True, **values)
            for x in np.linspace(0.8, 1.2, count)
        ]
    return rows


@pytest.mark.parametrize(
    ("ratio", "count", "verdict"),
    [(2, 20, SUPPORTED), (50, 20, CONTRADICTED), (2, 5, TOO_FEW)],
)
def test_reruns(ratio, count, verdict):
    assert check("reruns", *rerun(ratio, count)).verdict == verdict


@pytest.mark.parametrize("ratio", [1, 50])
def test_reruns_of_a_network_that_has_not_solved_its_task_say_nothing(ratio):
    finding = check("reruns", *rerun(ratio, chance=0.1))
    assert finding.verdict == TOO_FEW and "original 100.00% of chance" in finding.result
