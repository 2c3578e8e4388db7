"""Fixtures that make the random numbers of tests repeatable."""

import keras
import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(20170)


@pytest.fixture(autouse=True)
def repeatable():
    keras.utils.set_random_seed(20170)
