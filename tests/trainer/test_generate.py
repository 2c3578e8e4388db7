"""Text from models whose likeliest text or symbol frequencies are known."""

import math

import keras
import numpy as np
import pytest
from on_backend import to_numpy
from scipy import stats

from rnn_zoo import build_model
from rnn_zoo.model import get_weights, set_weights
from trainer.generate import draw, generate

UNLUCKY = 1e-4
SYMBOLS = 5


def random_model(arch, depth, scale=2.0, **options):
    """Return a model whose outputs depend on all inputs so far and on its initial states."""
    model = build_model(arch, depth, 6, SYMBOLS, SYMBOLS, **options)
    rng = np.random.default_rng(1)
    weights = keras.tree.map_structure(
        lambda w: scale * rng.normal(size=w.shape), get_weights(model)
    )
    weights["readout"]["bias"] = np.zeros(SYMBOLS)
    set_weights(model, weights)
    return model


@pytest.mark.parametrize("arch, depth", [("lstm", 2), ("+rnn", 2), ("gru", 1)])
def test_temperature_0_gives_the_likeliest_text_of_the_whole_sequence_model(arch, depth):
    model, prompt = random_model(arch, depth), [3, 1, 4]
    text = prompt + generate(model, prompt, 25, temperature=0, seed=0)
    assert len(text) == 28
    assert len(set(text[3:])) > 2
    outputs = to_numpy(model(np.eye(SYMBOLS, dtype="float32")[None, text]))
    assert text[3:] == outputs[0, 2:-1].argmax(-1).tolist()
    assert generate(model, text[:20], 8, temperature=0, seed=1) == text[20:]
    assert generate(model, prompt, 0, temperature=0, seed=0) == []


def test_a_text_starts_from_the_learned_initial_state():
    model = random_model("lstm", 2)
    before = generate(model, [3], 25, temperature=0, seed=0)
    weights = get_weights(model)
    weights["layers"][1]["initial_state"][0] *= -1
    set_weights(model, weights)
    assert generate(model, [3], 25, temperature=0, seed=0) != before


def test_a_text_is_a_function_of_its_seed():
    model = random_model("ugrnn", 1, scale=0.5)
    texts = [generate(model, [0], 40, temperature=1.0, seed=seed) for seed in (7, 7, 8)]
    assert len(texts[0]) == 40
    assert texts[0] == texts[1] != texts[2]
    assert set(texts[0]) <= set(range(SYMBOLS))


LOGITS = np.array([0.3, -1.0, 1.5, 0.0, 0.7])


def assert_drawn(codes, temperature):
    weights = [math.exp(z / temperature) for z in LOGITS]
    expected = [len(codes) * weight / sum(weights) for weight in weights]
    observed = np.bincount(codes, minlength=len(LOGITS))
    assert stats.chisquare(observed, expected).pvalue > UNLUCKY


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_codes_are_drawn_from_the_softmax(temperature):
    rng = np.random.default_rng(0)
    assert_drawn([draw(LOGITS, temperature, rng) for _ in range(4000)], temperature)


def test_symbol_frequencies_equal_the_softmax():
    """From a model whose outputs do not depend on its inputs."""
    model = random_model("rnn", 1)
    weights = get_weights(model)
    weights["readout"] = {"kernel": 0 * weights["readout"]["kernel"], "bias": LOGITS}
    set_weights(model, weights)
    assert_drawn(generate(model, [1], 1000, temperature=0.7, seed=0), 0.7)


def test_draws_at_the_limits():
    rng = np.random.default_rng(0)
    assert draw(np.array([1.0, 4.0, 4.0]), 0, rng) == 1
    assert {draw(np.array([1e300, -1e300, 0.0]), 1e-300, rng) for _ in range(9)} == {0}
    assert {draw(np.array([0.0, 1.0]), 1e300, rng) for _ in range(50)} == {0, 1}
    assert {draw(np.array([-1e4, -1e4 - 900]), 1.0, rng) for _ in range(9)} == {0}


def test_a_text_ends_at_non_finite_outputs():
    model = random_model("rnn", 1, scale=1e6, activation="relu")
    text = generate(model, [1, 2], 50, temperature=0.8, seed=0)
    assert 0 < len(text) < 50
