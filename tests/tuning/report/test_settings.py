"""Settings in which trials differ are told apart, or named where trials are pooled."""

import json

import pytest
from report_rows import frame, trial

from tuning.report import settings


def row(loss=1.0, arch="gru", seed=0, **fixed):
    return trial("mine", loss, arch=arch, seed=seed, fixed=json.dumps(fixed))


def studies(*several):
    return frame(*(row(search="gp", **fixed) for fixed in several))


def split(table):
    return [(words, part.run.tolist()) for words, part in settings.groups(table).parts]


def test_settings_differ_only_between_trials_of_one_architecture_depth_and_size():
    table = frame(
        row(batch_size=8), row(batch_size=4), row(batch_size=4, seed=1, lr_init=0.1),
        row(arch="lstm", batch_size=9), trial("mine", 1.0, max_params=9, fixed='{"x": 1}'),
    )  # fmt: skip
    assert settings.differing(table) == {"batch_size": [4, 8], "lr_init": [None, 0.1]}
    assert settings.differing(frame(trial("mine", 1.0), trial("mine", 2.0))) == {}


def test_trials_and_single_runs_are_compared_among_themselves():
    table = frame(row(search="gp", batch_size=4), row(batch_size=4, lr_init=0.1, l2_decay=0.5))
    assert settings.differing(table) == {"search": [None, "gp"]}
    assert split(table) == [("single runs", ["s/00001"]), ("gp search", ["s/00000"])]


def test_groups_are_named_after_what_differs():
    table = studies({"arch_options.rate": 0.9}, {"batch_size": 4}, {"arch_options.rate": 0.5})
    words = ["rate 0.5", "rate 0.9", "batch_size 4"]
    assert [words for words, _ in settings.groups(table).parts] == words
    assert split(studies({"x": 1}, {"x": 1})) == [("", ["s/00000", "s/00001"])]


def test_settings_that_differ_together_are_named_together_if_they_are_few():
    low, high = ({name: value for name in "abcde"} for value in (0.001, 0.01))
    found = settings.groups(studies(low, high))
    assert [words for words, _ in found.parts] == [
        "a 0.001, b 0.001, c 0.001",
        "a 0.01, b 0.01, c 0.01",
    ]
    assert (found.names, found.unnamed) == (list("abcde"), ["d", "e"])


def test_a_setting_with_many_values_is_pooled_and_named():
    rows = [{"lr_init": x / 100, "batch_size": 4 * (1 + x % 2)} for x in range(1, 9)]
    table = studies(*rows)
    found = settings.groups(table)
    assert [words for words, _ in found.parts] == ["batch_size 4", "batch_size 8"]
    assert settings.pooled([part for _, part in found.parts]) == [
        "Pools lr_init 0.01, 0.02, 0.03, 0.04, 0.05 and others."
    ]
    assert settings.pooled([table])[0].startswith("Pools batch_size 4, 8 and lr_init 0.01, ")


@pytest.mark.parametrize("value", [[1, [2]], {"a": None}, True, "x" * 99, 10**30, float("nan"), ""])
def test_values_of_any_kind_have_words(value):
    found = settings.groups(studies({"x": value}, {"x": 1}, {}))
    assert len(found.parts) == 3 and all(len(words) < 60 for words, _ in found.parts)


def test_a_long_value_says_that_it_is_cut():
    assert settings._value("optimizer range", "{adam, my_optimizers.lion}") == (
        "{adam, my_optimizers.lion}"
    )
    assert settings._value("optimizer range", "x" * 99) == "x" * 39 + "…"


def test_searches_that_differ_are_told_apart():
    found = split(studies({"lr_init range": "[0.001, 0.01]"}, {"early_stopping": "median"}, {}))
    assert [words for words, _ in found] == [
        "",
        "lr_init range [0.001, 0.01]",
        "early_stopping median",
    ]
