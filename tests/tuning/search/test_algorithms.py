"""The table of search algorithms."""

import sys

import pytest

from trainer import UserError
from tuning.search.algorithms import ALGORITHMS, load_oracle
from tuning.search.durable import DurableOracle


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_is_a_durable_oracle(name):
    if ALGORITHMS[name].extra:
        pytest.importorskip(ALGORITHMS[name].extra)
    assert issubclass(load_oracle(name), DurableOracle)


def test_an_unknown_algorithm_is_refused():
    with pytest.raises(UserError, match=r"'annealing'.*gp, random, keras_tuner, optuna"):
        load_oracle("annealing")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "tuning.search.optuna_oracle", raising=False)
    with pytest.raises(UserError, match=r"needs optuna: pip install 'rnn-zoo\[optuna\]'"):
        load_oracle("optuna")
