"""Public Keras examples train with the layers of Keras and with those of rnn_zoo."""

import keras
import numpy as np
import pytest
from slow import slow_rows_except

from benchmarks.examples import EXAMPLES
from rnn_zoo import layers

#: (example, whether to run eagerly): tracing the graphs of all takes a minute.
QUICK = [("weather", True), ("seq2seq", True)]
ROWS = slow_rows_except(QUICK, QUICK + [(name, False) for name in EXAMPLES])


def recurrent(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN)]


@pytest.mark.parametrize("module", [keras.layers, layers], ids=["keras", "rnn_zoo"])
@pytest.mark.parametrize(("name", "run_eagerly"), ROWS)
def test_an_example_trains_with_either_import(name, run_eagerly, module):
    keras.utils.set_random_seed(1)
    model, x, y, batch_size = EXAMPLES[name](module, tiny=True)
    model.run_eagerly = run_eagerly
    before = model.get_weights()
    history = model.fit(x, y, batch_size, verbose=0).history
    assert np.isfinite(history["loss"][0])
    layer, *_ = recurrent(model)
    assert type(layer) is getattr(module, type(layer).__name__)
    changed = [np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True)]
    # The learned initial states of a decoder are not used.
    assert np.mean(changed) > 0.8


@pytest.mark.parametrize("name", EXAMPLES)
def test_sizes_are_those_of_the_example(name):
    model, x, y, batch_size = EXAMPLES[name](keras.layers)
    sizes = {
        "weather": (5_153, (120, 7)),
        "text_generation": (101_944, (40, 56)),
        "addition": (205_324, (7, 12)),
        "imdb": (2_757_761, (200,)),
        "seq2seq": (718_173, (16, 71)),
        "captcha": (432_596, (200, 50, 1)),
        "video": (99_909, (20, 2048)),
    }
    first = x[0] if isinstance(x, list) else x
    assert (model.count_params(), first.shape[1:]) == sizes[name]
    assert len(first) == len(y) == 8 * batch_size
