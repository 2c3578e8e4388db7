"""The tuning guide's example of the oracle on a user's own model runs as written."""

import re

import numpy as np
import pytest
from on_backend import tensorflow_only
from processes import ROOT

GUIDE = ROOT / "docs/guides/tune.md"


@pytest.mark.slow
@tensorflow_only
def test_a_user_s_own_model_is_tuned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n((?:(?!```).)*GPOracle.*?)```", GUIDE.read_text(), re.S)
    rng = np.random.default_rng(0)
    names = {"x": rng.random((64, 28, 28), "float32"), "y": rng.integers(10, size=64)}
    exec(example.replace("max_trials=20", "max_trials=3"), names)
    best = names["tuner"].get_best_hyperparameters()[0]
    assert set(best.values) == {"layers", "units", "lr"}
    assert len(names["oracle"].end_order) == 3
